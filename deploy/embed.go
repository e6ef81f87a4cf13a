// Package deploy holds what is installed beside the binary, so that the binary carries it:
// the ClickHouse tables of the ledger.
//
// The files are read-only and the same in every build of one version. The package does
// nothing with them; ledger/warehouse/clickhouse applies them and keeps their checksums.
package deploy

import (
	"embed"
	"io/fs"
)

//go:embed clickhouse/*.sql
var ddl embed.FS

// ClickHouseDDL returns the migrations of the ledger's ClickHouse database, in files that
// sort in the order in which they are applied: "0001_records.sql". A file that was released
// never changes; a change is a new file.
func ClickHouseDDL() fs.FS {
	sub, err := fs.Sub(ddl, "clickhouse")
	if err != nil {
		panic("deploy: internal error: " + err.Error())
	}
	return sub
}
