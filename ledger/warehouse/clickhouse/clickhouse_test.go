package clickhouse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func closeAll(t *testing.T, ws ...*Warehouse) {
	t.Helper()
	for _, w := range ws {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}

// untilAppended sends the same records until they are confirmed, as the feed does.
func untilAppended(t *testing.T, w *Warehouse, records []txn.Record) (faults int) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := w.Append(context.Background(), records)
		if err == nil {
			return faults
		}
		if faults++; time.Now().After(deadline) {
			t.Fatalf("Append never succeeds: %v", err)
		}
	}
}

// isInsert chooses the piece of a request that carries the records of an insert. The query
// stands in the URL, so it is in the first piece.
func isInsert(sent []byte) bool { return bytes.Contains(sent, []byte("INTO+records")) }

// TestAckLost loses the server's answer to inserts, again and again. The totals must be
// exact; and without FINAL they must not be, or this test proves nothing.
func TestAckLost(t *testing.T) {
	s := startServer(t)
	dsn := s.database(t)
	proxy := warehousetest.NewProxy(t, s.Addr())
	w := mustOpen(t, Options{DSN: strings.Replace(dsn, s.Addr(), proxy.Addr(), 1)})
	chain := warehousetest.NewChain(1)
	var all []txn.Record
	faults := 0
	for i := range 6 {
		batch := append(chain.Batch(500), chain.CloseBuckets(3)...)
		n := 0
		if i%2 == 0 {
			proxy.Judge(func(sent []byte) warehousetest.Fate {
				if !isInsert(sent) {
					return warehousetest.Deliver
				}
				if n++; n > 2 {
					return warehousetest.Deliver
				}
				return warehousetest.LoseAnswer
			})
		}
		faults += untilAppended(t, w, batch)
		proxy.Judge(nil)
		all = append(all, batch...)
	}
	if proxy.Lost() < 3 || faults < 3 {
		t.Fatalf("%d answers lost, %d faults seen: the fault did not happen", proxy.Lost(), faults)
	}
	warehousetest.Check(t, w, all)
	planted := mustOpen(t, Options{DSN: dsn, noFinal: true})
	want, err := warehousetest.Expected(all, warehousetest.Day)
	if err != nil {
		t.Fatal(err)
	}
	got, err := planted.Totals(context.Background(), warehousetest.Day)
	if err != nil {
		t.Fatal(err)
	}
	if got.Rows == want.Rows {
		t.Errorf("without FINAL the totals are right too: no duplicate, no test")
	}
	t.Logf("lost %d answers; rows %d, without FINAL %d", proxy.Lost(), want.Rows, got.Rows)
	closeAll(t, w, planted)
}

// TestServerKilled kills the server under load. What was confirmed is there, and the rest
// can be sent again.
func TestServerKilled(t *testing.T) {
	s := startServer(t)
	dsn := s.database(t)
	w := mustOpen(t, Options{DSN: dsn})
	chain := warehousetest.NewChain(2)
	var all []txn.Record
	for range 3 {
		batch := append(chain.Batch(2000), chain.CloseBuckets(5)...)
		result := make(chan error, 1)
		go func() { result <- w.Append(context.Background(), batch) }()
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		<-result // done, refused or in doubt: all are right
		if err := s.Restart(context.Background()); err != nil {
			t.Fatal(err)
		}
		untilAppended(t, w, batch)
		all = append(all, batch...)
		closeAll(t, w)
		w = mustOpen(t, Options{DSN: dsn})
		warehousetest.CheckFigures(t, w, all)
	}
	warehousetest.Check(t, w, all)
	closeAll(t, w)
}

// TestHoles inserts with holes behind the back of Append, as half of an insert or a lost
// part would leave them: positions stop at the hole, totals do not call the date closed,
// and sending everything again repairs it.
func TestHoles(t *testing.T) {
	ctx := context.Background()
	s := startServer(t)
	w := mustOpen(t, Options{DSN: s.database(t)})
	chain := warehousetest.NewChain(3)
	all := []txn.Record{chain.Epoch(1)}
	for range 20 {
		all = append(all, chain.Next(1))
	}
	all = append(all, chain.Epoch(1), chain.Next(1), chain.CutOver(1))
	for _, lost := range []int{0, 1, 7, 20, 21, 22, 23} {
		if err := w.conn.Exec(ctx, "TRUNCATE TABLE records"); err != nil {
			t.Fatal(err)
		}
		var kept []*txn.Record
		for i := range all {
			if i != lost {
				kept = append(kept, &all[i])
			}
		}
		if err := w.insert(ctx, kept, true); err != nil {
			t.Fatal(err)
		}
		want := txn.Position{Bucket: 1}
		if lost > 0 {
			want = all[lost-1].Position
		}
		got, err := w.Positions(ctx)
		if err != nil || got[1] != want {
			t.Fatalf("record %d lost: holds %s, %v, want %s", lost, got[1], err, want)
		}
		totals, err := w.Totals(ctx, warehousetest.Day)
		if err != nil || totals.Buckets[1].Closed {
			t.Fatalf("record %d lost: the date is closed (%v)", lost, err)
		}
		untilAppended(t, w, all)
		warehousetest.Check(t, w, all)
		if totals, err := w.Totals(ctx, warehousetest.Day); err != nil ||
			!totals.Buckets[1].Closed {
			t.Fatalf("record %d sent again: the date is not closed (%v)", lost, err)
		}
	}
	closeAll(t, w)
}

// TestProven notes the proven positions, and shows that a proof begins there, that a date
// that lost a record afterwards is not closed, and that later records are found.
func TestProven(t *testing.T) {
	ctx := context.Background()
	s := startServer(t)
	dsn := s.database(t)
	w := mustOpen(t, Options{DSN: dsn})
	chain := warehousetest.NewChain(4)
	all := append(chain.Batch(500), chain.CloseDay()...)
	w.unproven = proveRows - 1
	untilAppended(t, w, all)
	if w.unproven != 0 {
		t.Fatal("the positions were not noted")
	}
	p := positions{}
	if err := w.readProven(ctx, &p); err != nil || p.held[63].Epoch == 0 {
		t.Fatalf("proven positions %v, %v", p.held, err)
	}
	more := append(chain.Batch(300), chain.CloseDay()...)
	untilAppended(t, w, more)
	all = append(all, more...)
	closeAll(t, w)
	w = mustOpen(t, Options{DSN: dsn})
	warehousetest.Check(t, w, all)
	var lost txn.Position
	for _, r := range all {
		if r.BusinessDate == warehousetest.Day && r.Kind == txn.Load {
			lost = r.Position
		}
	}
	err := w.conn.Exec(ctx, fmt.Sprintf(`ALTER TABLE records DELETE WHERE bucket = %d AND epoch = %d
		AND seq = %d SETTINGS mutations_sync = 1`, lost.Bucket, lost.Epoch, lost.Seq))
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Totals(ctx, warehousetest.Day)
	if err != nil || got.Complete() || got.Buckets[lost.Bucket].Closed {
		t.Errorf("a date that lost %s is complete (%v)", lost, err)
	}
	closeAll(t, w)
}

// TestTwoWriters: after another process wrote, Positions makes Append go on from there.
func TestTwoWriters(t *testing.T) {
	s := startServer(t)
	dsn := s.database(t)
	a, b := mustOpen(t, Options{DSN: dsn}), mustOpen(t, Options{DSN: dsn})
	chain := warehousetest.NewChain(5)
	first, second, third := chain.Batch(200), chain.Batch(200), chain.Batch(200)
	untilAppended(t, a, first)
	untilAppended(t, b, append(append([]txn.Record{}, first...), second...))
	if err := a.Append(context.Background(), third); !errors.Is(err, warehouse.ErrGap) {
		t.Fatalf("Append by one who has not seen the others: %v, want ErrGap", err)
	}
	if _, err := a.Positions(context.Background()); err != nil {
		t.Fatal(err)
	}
	untilAppended(t, a, third)
	all := append(append(first, second...), third...)
	warehousetest.Check(t, b, all)
	closeAll(t, a, b)
}

func TestMigrations(t *testing.T) {
	ctx := context.Background()
	s := startServer(t)
	one := &fstest.MapFile{Data: []byte("-- a; b\n" +
		"CREATE TABLE IF NOT EXISTS t (a Int8)\nENGINE = Log;\n" +
		"CREATE VIEW IF NOT EXISTS v AS SELECT a FROM t;\n")}
	two := &fstest.MapFile{Data: []byte("CREATE TABLE IF NOT EXISTS u (a Int8) ENGINE = Log;\n")}
	open := func(dsn string, migrate bool, files fstest.MapFS) error {
		w, err := Open(ctx, Options{DSN: dsn, Migrate: migrate, files: files})
		if err == nil {
			closeAll(t, w)
		}
		return err
	}
	both := fstest.MapFS{"0001_a.sql": one, "0002_b.sql": two}
	changed := fstest.MapFS{"0001_a.sql": two, "0002_b.sql": two}
	dsn := s.database(t)
	steps := []struct {
		name    string
		migrate bool
		files   fstest.MapFS
		refused bool
	}{
		{"empty database", false, both, true},
		{"first half", true, fstest.MapFS{"0001_a.sql": one}, false},
		{"behind", false, both, true},
		{"catch up", true, both, false},
		{"again", true, both, false},
		{"up to date", false, both, false},
		{"changed file", true, changed, true},
		{"changed file, no migration", false, changed, true},
		{"newer database", true, fstest.MapFS{"0001_a.sql": one}, true},
		{"hole in the numbers", true, fstest.MapFS{"0001_a.sql": one, "0003_b.sql": two}, true},
	}
	for _, step := range steps {
		err := open(dsn, step.migrate, step.files)
		if (err != nil) != step.refused {
			t.Errorf("%s: %v", step.name, err)
		}
		if err != nil && step.name != "hole in the numbers" && !errors.Is(err, ErrSchema) {
			t.Errorf("%s: %v, want ErrSchema", step.name, err)
		}
	}
	dsn = s.database(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := open(dsn, true, both); err != nil {
				t.Errorf("migrating side by side: %v", err)
			}
		})
	}
	group.Wait()
	if err := open(dsn, false, both); err != nil {
		t.Error(err)
	}
}

// TestTableFromBefore opens a database from before the columns of a bank's answer and of rides. It is refused
// until it is migrated; then its records read as they were, and new ones with the answers.
func TestTableFromBefore(t *testing.T) {
	ctx, s := context.Background(), startServer(t)
	dsn, old := s.database(t), fstest.MapFS{}
	for _, name := range []string{"0001_records.sql", "0002_feed.sql", "0003_views.sql"} {
		text, err := fs.ReadFile(deploy.ClickHouseDDL(), name)
		if err != nil {
			t.Fatal(err)
		}
		old[name] = &fstest.MapFile{Data: text}
	}
	w := mustOpen(t, Options{DSN: dsn, files: old})
	w.columns = slices.DeleteFunc(w.columns, func(c column) bool {
		return slices.Contains([]string{"response", "settlement_date", "mode", "business", "metres",
			"degraded"}, c.name)
	})
	chain := warehousetest.NewChain(8)
	all := []txn.Record{chain.Epoch(3)}
	for range 50 {
		all = append(all, chain.Next(3))
	}
	untilAppended(t, w, all)
	closeAll(t, w)
	if _, err := Open(ctx, Options{DSN: dsn}); !errors.Is(err, ErrSchema) {
		t.Fatalf("the old table: %v, want ErrSchema", err)
	}
	w = mustOpen(t, Options{DSN: dsn})
	warehousetest.Check(t, w, all)
	first := len(all)
	for range 50 {
		r := chain.Bank(3)
		r.Ride = txn.Ride{Mode: txn.ModeTram, Business: true, Metres: 1200, Degraded: 1<<1 | 1<<4}
		all = append(all, r)
	}
	untilAppended(t, w, all[first:])
	warehousetest.Check(t, w, all)
	var answers uint64
	if err := w.conn.QueryRow(ctx, `SELECT count() FROM records_final WHERE response != ''
		AND settlement_date = '0302'`).Scan(&answers); err != nil || answers != 50 {
		t.Errorf("the view shows %d answers, %v; want 50", answers, err)
	}
	var rides uint64
	if err := w.conn.QueryRow(ctx, `SELECT count() FROM analyst_records WHERE transport_mode = 'tram'
		AND business AND ride_metres = 1200 AND degraded_modes = ['station_closed', 'time_waived']`).
		Scan(&rides); err != nil || rides != 50 {
		t.Errorf("the view of analysts shows %d rides, %v; want 50", rides, err)
	}
	closeAll(t, w)
}

func TestStatements(t *testing.T) {
	got := statements("-- one; two\nA\n  -- three;\nB;\n\n;\nC")
	if len(got) != 2 || got[0] != "A\nB" || got[1] != "C" {
		t.Errorf("statements = %q", got)
	}
}

func TestCheckSettings(t *testing.T) {
	ctx := context.Background()
	s := startServer(t)
	dsn := s.database(t)
	verdicts := func() map[string]bool {
		findings, err := CheckSettings(ctx, Options{DSN: dsn})
		if err != nil {
			t.Fatal(err)
		}
		ok := make(map[string]bool)
		for _, f := range findings {
			ok[f.Name] = f.OK
			if f.OK == (f.Fix != "") {
				t.Errorf("%s: OK %v and fix %q", f.Name, f.OK, f.Fix)
			}
		}
		return ok
	}
	if got := verdicts(); got["clickhouse.migrations"] || got["clickhouse.table.records"] ||
		!got["clickhouse.version"] || !got["clickhouse.async_insert"] {
		t.Errorf("empty database: %v", got)
	}
	w := mustOpen(t, Options{DSN: dsn})
	for name, ok := range verdicts() {
		if !ok {
			t.Errorf("%s is not OK on a good server", name)
		}
	}
	if err := w.conn.Exec(ctx,
		"ALTER TABLE records MODIFY SETTING fsync_after_insert = 0"); err != nil {
		t.Fatal(err)
	}
	if got := verdicts(); got["clickhouse.table.records"] || !got["clickhouse.table.dead_letters"] {
		t.Errorf("without fsync: %v", got)
	}
	closeAll(t, w)
}

func TestAtLeast(t *testing.T) {
	for version, want := range map[string]bool{"24.8.1.1": true, "24.8": true, "24.7.9": false,
		"18.16.1": false, "26.5.1.1": true, "x": false, "": false} {
		if got := atLeast(version, VersionMin); got != want {
			t.Errorf("atLeast(%q) = %v", version, got)
		}
	}
}

// TestErrorsHideThePassword: a bad DSN is not quoted.
func TestErrorsHideThePassword(t *testing.T) {
	for _, dsn := range []string{"clickhouse://u:sesame@h:x/db", "http://u:sesame@127.0.0.1:1/db"} {
		_, err := Open(context.Background(), Options{DSN: dsn})
		if err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("Open: %v", err)
		}
	}
}

// TestViews reads the views of the dashboards once, so that they cannot rot.
func TestViews(t *testing.T) {
	ctx := context.Background()
	s := startServer(t)
	w := mustOpen(t, Options{DSN: s.database(t)})
	records := warehousetest.NewChain(6).Batch(300)
	untilAppended(t, w, records)
	for _, view := range []string{"operator_days", "account_days"} {
		var n uint64
		if err := w.conn.QueryRow(ctx, "SELECT count() FROM "+view).Scan(&n); err != nil || n == 0 {
			t.Errorf("%s: %d rows, %v", view, n, err)
		}
	}
	var id, request string
	var served time.Time
	want := records[len(records)-1]
	err := w.conn.QueryRow(ctx, `SELECT record_id, request_id, service_at FROM records_final
		WHERE bucket = ? AND epoch = ? AND seq = ?`, uint8(want.Position.Bucket),
		uint64(want.Position.Epoch), uint64(want.Position.Seq)).Scan(&id, &request, &served)
	if err != nil || id != want.Position.String() || request != want.Request.String() ||
		!served.Equal(want.ServiceAt.Time()) {
		t.Errorf("records_final: %s %s %s, %v, want %s %s", id, request, served, err,
			want.Position, want.Request)
	}
	closeAll(t, w)
}
