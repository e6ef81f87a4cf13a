package clickhouse

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

var (
	// ErrSchema reports a database whose tables are not those of this binary: behind,
	// ahead, or made by a file that was changed after it was applied.
	ErrSchema = errors.New("clickhouse tables do not fit this program")
)

// migration is one file of deploy/clickhouse.
type migration struct {
	version  uint32
	name     string
	checksum string
	text     string
}

// readMigrations reads the files in order; they are numbered 1, 2, 3 without holes.
func readMigrations(files fs.FS) ([]migration, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("cannot list the migrations: %w", err)
	}
	var all []migration
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("cannot read migration %s: %w", name, err)
		}
		number, _, _ := strings.Cut(name, "_")
		if v, err := strconv.ParseUint(number, 10, 32); err != nil || v != uint64(i+1) {
			return nil, fmt.Errorf("migration %s is number %d of the list: name it %04d_…", name,
				i+1, i+1)
		}
		sum := sha256.Sum256(text)
		all = append(all, migration{version: uint32(i + 1), name: name,
			checksum: hex.EncodeToString(sum[:]), text: string(text)})
	}
	return all, nil
}

// statements splits a file at each semicolon that ends a line. Our own files have none
// inside a string.
func statements(text string) []string {
	var all []string
	for _, s := range strings.SplitAfter(withoutComments(text)+"\n", ";\n") {
		s = strings.TrimSuffix(strings.TrimSpace(s), ";")
		if s != "" {
			all = append(all, s)
		}
	}
	return all
}

// withoutComments drops whole-line comments, which may hold semicolons.
func withoutComments(text string) string {
	var kept []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "--") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

const migrationsTable = `CREATE TABLE IF NOT EXISTS schema_migrations
(version UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC'))
ENGINE = ReplacingMergeTree ORDER BY (version, checksum)`

// applied is a migration that the database says it has.
type applied struct {
	version        uint32
	name, checksum string
}

// readApplied returns what the database says was applied; nothing when it is empty.
func readApplied(ctx context.Context, conn driver.Conn) ([]applied, error) {
	var tables uint64
	err := conn.QueryRow(ctx, `SELECT count() FROM system.tables
		WHERE database = currentDatabase() AND name = 'schema_migrations'`).Scan(&tables)
	if err != nil {
		return nil, fmt.Errorf("cannot look for the migrations table: %w", err)
	}
	if tables == 0 {
		return nil, nil
	}
	rows, err := conn.Query(ctx, `SELECT version, name, checksum FROM schema_migrations FINAL
		ORDER BY version, checksum`)
	if err != nil {
		return nil, fmt.Errorf("cannot read the migrations table: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var all []applied
	for rows.Next() {
		var a applied
		if err := rows.Scan(&a.version, &a.name, &a.checksum); err != nil {
			return nil, fmt.Errorf("cannot read the migrations table: %w", err)
		}
		all = append(all, a)
	}
	return all, rows.Err()
}

// compare returns the migrations that are still to be applied, or ErrSchema when what was
// applied is not a beginning of ours.
func compare(ours []migration, theirs []applied) ([]migration, error) {
	seen := make(map[uint32]bool)
	for _, a := range theirs {
		if int(a.version) > len(ours) {
			return nil,
				fmt.Errorf("%w: migration %d (%s) was applied by a newer version: use that one",
					ErrSchema, a.version, a.name)
		}
		m := ours[a.version-1]
		if m.checksum != a.checksum {
			return nil, fmt.Errorf("%w: %s was applied with SHA-256 %.12s… and now has %.12s…: "+
				"restore the released file and put the change into a new one",
				ErrSchema, m.name, a.checksum, m.checksum)
		}
		seen[a.version] = true
	}
	var pending []migration
	for _, m := range ours {
		if !seen[m.version] {
			pending = append(pending, m)
		}
	}
	return pending, nil
}

// migrate applies what is missing, in order. Two processes may do so at once: every
// statement is IF NOT EXISTS, and a line written twice counts once.
func migrate(ctx context.Context, conn driver.Conn, files fs.FS) (int, error) {
	ours, err := readMigrations(files)
	if err != nil {
		return 0, err
	}
	if err := conn.Exec(ctx, migrationsTable); err != nil {
		return 0, fmt.Errorf("cannot make the migrations table: %w", err)
	}
	theirs, err := readApplied(ctx, conn)
	if err != nil {
		return 0, err
	}
	pending, err := compare(ours, theirs)
	if err != nil {
		return 0, err
	}
	for _, m := range pending {
		for _, s := range statements(m.text) {
			if err := conn.Exec(ctx, s); err != nil {
				return 0, fmt.Errorf("cannot apply migration %s: %w", m.name, err)
			}
		}
		err := conn.Exec(ctx, `INSERT INTO schema_migrations (version, name, checksum, applied_at)
			VALUES (?, ?, ?, ?)`, m.version, m.name, m.checksum, time.Now().UTC())
		if err != nil {
			return 0, fmt.Errorf("cannot note migration %s: %w", m.name, err)
		}
	}
	return len(pending), nil
}

// checkSchema returns ErrSchema when the database is not exactly at our last migration.
func checkSchema(ctx context.Context, conn driver.Conn, files fs.FS) error {
	ours, err := readMigrations(files)
	if err != nil {
		return err
	}
	theirs, err := readApplied(ctx, conn)
	if err != nil {
		return err
	}
	pending, err := compare(ours, theirs)
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		return fmt.Errorf("%w: %d migrations are missing, from %s: run the migration",
			ErrSchema, len(pending), pending[0].name)
	}
	return nil
}
