// Package deploy holds what is installed beside the binary, so that the binary carries it:
// the ClickHouse tables of the ledger, the policy files of the cities with the calendar of
// working days, examples of tariffs, and the chart of accounts with examples of terms.
//
// The files are read-only and the same in every build of one version. The package does
// nothing with them; ledger/warehouse/clickhouse applies the tables and keeps their
// checksums, switch/scheme reads the policies, switch/fare/tariff the tariffs,
// ledger/settle/terms the chart and the terms.
package deploy

import (
	"embed"
	"io/fs"
)

//go:embed clickhouse/*.sql
var ddl embed.FS

//go:embed schemes/*.yaml
var schemes embed.FS

//go:embed tariffs/*.yaml
var tariffs embed.FS

//go:embed recon/*.yaml
var recon embed.FS

//go:embed finance/*.yaml
var finance embed.FS

//go:embed runbooks/*.md
var runbooks embed.FS

// ClickHouseDDL returns the migrations of the ledger's ClickHouse database, in files that
// sort in the order in which they are applied: "0001_records.sql". A file that was released
// never changes; a change is a new file.
func ClickHouseDDL() fs.FS { return below(ddl, "clickhouse") }

// Schemes returns the policy files, one a city ("handan.yaml"), and "calendar.yaml".
func Schemes() fs.FS { return below(schemes, "schemes") }

// Tariffs returns the tariff files: "shenzhen.yaml", and "example.yaml" with every rule.
func Tariffs() fs.FS { return below(tariffs, "tariffs") }

// Finance returns the chart of accounts with its posting rules ("chart.yaml") and examples of
// terms of settlement ("terms.yaml").
func Finance() fs.FS { return below(finance, "finance") }

// Runbooks returns what to do about incidents, one a file: "lost-store.md".
func Runbooks() fs.FS { return below(runbooks, "runbooks") }

// Recon returns the layouts of counterparties' files ("clearing-fixed.yaml") and the plans by
// which they are reconciled ("plan-clearing.yaml").
func Recon() fs.FS { return below(recon, "recon") }

func below(files embed.FS, dir string) fs.FS {
	sub, err := fs.Sub(files, dir)
	if err != nil {
		panic("deploy: internal error: " + err.Error())
	}
	return sub
}
