package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
)

// VersionMin is the oldest ClickHouse that the tables and queries are made for.
const VersionMin = "24.8"

// CheckSettings looks at everything on the server that the ledger's guarantees rest on and
// returns a line for each. It changes nothing. An error means that the server could not be
// asked.
func CheckSettings(ctx context.Context, o Options) (findings []warehouse.Finding, err error) {
	conn, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	var version string
	if err := conn.QueryRow(ctx, "SELECT version()").Scan(&version); err != nil {
		return nil, fmt.Errorf("cannot ask clickhouse for its version: %w", err)
	}
	findings = append(findings, warehouse.Finding{Name: "clickhouse.version",
		OK:  atLeast(version, VersionMin),
		Got: version, Want: VersionMin + " or newer", Fix: "upgrade the server"})
	findings = append(findings, checkMigrations(ctx, conn, o))
	tables, err := checkTables(ctx, conn)
	if err != nil {
		return nil, err
	}
	async, err := checkAsync(ctx, conn)
	if err != nil {
		return nil, err
	}
	findings = append(append(findings, tables...), async)
	for i := range findings {
		if findings[i].OK {
			findings[i].Fix = ""
		}
	}
	return findings, nil
}

// atLeast compares dotted versions by their first two numbers.
func atLeast(version, least string) bool {
	var have, want [2]int
	for i, to := range []*[2]int{&have, &want} {
		parts := strings.SplitN([]string{version, least}[i], ".", 3)
		for j := range min(2, len(parts)) {
			n, err := strconv.Atoi(parts[j])
			if err != nil {
				return false
			}
			to[j] = n
		}
	}
	return have[0] > want[0] || have[0] == want[0] && have[1] >= want[1]
}

// checkMigrations asks whether the tables are those of this binary.
func checkMigrations(ctx context.Context, conn driver.Conn, o Options) warehouse.Finding {
	f := warehouse.Finding{Name: "clickhouse.migrations", OK: true, Got: "up to date",
		Want: "up to date"}
	if err := checkSchema(ctx, conn, o.ddl()); err != nil {
		f.OK, f.Got = false, err.Error()
		f.Fix = "run this version's migration, or use the version that made the tables"
	}
	return f
}

// tableNeeds are the words that the definition of each table must have.
func tableNeeds() map[string][]string {
	durable := []string{"ReplacingMergeTree", "fsync_after_insert = 1", "fsync_part_directory = 1"}
	return map[string][]string{"records": durable, "dead_letters": durable,
		"proven_positions": durable}
}

// checkTables asks for the engine and the fsync settings, which a careless ALTER or a table made
// by hand would lack.
func checkTables(ctx context.Context, conn driver.Conn) ([]warehouse.Finding, error) {
	var findings []warehouse.Finding
	for _, name := range []string{"records", "dead_letters", "proven_positions"} {
		needs := tableNeeds()[name]
		var engine string
		err := conn.QueryRow(ctx, `SELECT any(engine_full) FROM system.tables
			WHERE database = currentDatabase() AND name = ?`, name).Scan(&engine)
		if err != nil {
			return nil, fmt.Errorf("cannot ask clickhouse for table %s: %w", name, err)
		}
		f := warehouse.Finding{Name: "clickhouse.table." + name, OK: true, Got: engine,
			Want: strings.Join(needs, ", "),
			Fix:  "restore the setting with ALTER TABLE … MODIFY SETTING"}
		for _, need := range needs {
			f.OK = f.OK && strings.Contains(engine, need)
		}
		findings = append(findings, f)
	}
	return findings, nil
}

// checkAsync looks at what an insert of ours would really run with: a profile may forbid
// the change that each insert asks for.
func checkAsync(ctx context.Context, conn driver.Conn) (warehouse.Finding, error) {
	f := warehouse.Finding{Name: "clickhouse.async_insert", Want: "0",
		Fix: "let the user's profile change async_insert, or set it to 0 there"}
	err := conn.QueryRow(withInsert(ctx, ""),
		"SELECT value FROM system.settings WHERE name = 'async_insert'").Scan(&f.Got)
	if err != nil {
		return f, fmt.Errorf("cannot ask clickhouse for async_insert: %w", err)
	}
	f.OK = f.Got == "0"
	return f, nil
}
