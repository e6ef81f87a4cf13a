package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// frontEnv makes the test binary run as the front itself, so that tests can kill it.
const frontEnv = "CHDBFRONT_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(frontEnv) == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// libraryPath finds libchdb.so where the stack installs it.
func libraryPath(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("CHDB_LIB_PATH"); path != "" {
		return path
	}
	const inside = "chdb/node_modules/@chdb/lib-linux-x64-gnu/libchdb.so"
	places := []string{filepath.Join(os.Getenv("TAPSWITCH_STACK_DIR"), inside),
		filepath.Join("../../../.stack", inside)}
	for _, place := range places {
		if _, err := os.Stat(place); err == nil {
			return place
		}
	}
	const reason = "not run: clickhouse is not installed: run make stack-up"
	if os.Getenv("TAPSWITCH_REQUIRE_STACK") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
	return ""
}

// runningFront is the front as a process of its own.
type runningFront struct {
	addr, path, library string

	cmd *exec.Cmd
}

func startFront(t *testing.T) *runningFront {
	t.Helper()
	f := &runningFront{path: t.TempDir(), library: libraryPath(t), addr: freeAddr(t)}
	f.start(t)
	t.Cleanup(f.kill)
	return f
}

func freeAddr(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().String()
}

func (f *runningFront) start(t testing.TB) {
	t.Helper()
	f.cmd = exec.Command(os.Args[0], "-addr", f.addr, "-path", f.path, "-lib", f.library)
	f.cmd.Env = append(os.Environ(), frontEnv+"=1")
	f.cmd.Stderr = os.Stderr
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the front to answer", func() bool {
		resp, err := http.Get("http://" + f.addr + "/ping")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
	})
}

func (f *runningFront) kill() {
	_ = f.cmd.Process.Kill()
	_ = f.cmd.Wait()
}

// stop ends the front with SIGTERM and reports its exit.
func (f *runningFront) stop() error {
	if err := f.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return f.cmd.Wait()
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(time.Minute)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

func connect(t testing.TB, addr string, change ...func(*clickhouse.Options)) driver.Conn {
	t.Helper()
	opt := &clickhouse.Options{
		Addr:     []string{addr},
		Protocol: clickhouse.HTTP,
		Settings: clickhouse.Settings{"async_insert": 0},
	}
	for _, c := range change {
		c(opt)
	}
	conn, err := clickhouse.Open(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func execute(t testing.TB, conn driver.Conn, statement string) {
	t.Helper()
	if err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func count(t *testing.T, conn driver.Conn, query string, args ...any) uint64 {
	t.Helper()
	var n uint64
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

const createRecords = `CREATE TABLE %s (bucket UInt8, epoch UInt32, seq UInt64, card String,
	amount Int64, at DateTime64(3, 'UTC'), tags Array(LowCardinality(String)), note Nullable(String)
) ENGINE = %s ORDER BY (bucket, epoch, seq)
SETTINGS non_replicated_deduplication_window = 1000`

// insertRecords writes rows first to first+n-1 as one batch.
func insertRecords(ctx context.Context, conn driver.Conn, table string, first, n int) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+table+
		" (bucket, epoch, seq, card, amount, at, tags, note)")
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	at := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	for i := first; i < first+n; i++ {
		var note *string
		if i%3 == 0 {
			text := "it's; a \\ note"
			note = &text
		}
		err := batch.Append(uint8(i%64), uint32(1), uint64(i), fmt.Sprintf("card%08d", i),
			int64(-i), at.Add(time.Duration(i)*time.Millisecond), []string{"metro", "entry"}, note)
		if err != nil {
			return fmt.Errorf("append: %w", err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

func TestStockClientInsertsAndReadsBack(t *testing.T) {
	f := startFront(t)
	methods := map[string]clickhouse.CompressionMethod{
		"none": clickhouse.CompressionNone,
		"lz4":  clickhouse.CompressionLZ4,
		"zstd": clickhouse.CompressionZSTD,
		"gzip": clickhouse.CompressionGZIP,
	}
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			conn := connect(t, f.addr, func(o *clickhouse.Options) {
				o.Compression = &clickhouse.Compression{Method: method, Level: 3}
			})
			execute(t, conn, fmt.Sprintf(createRecords, name, "MergeTree"))
			const rows = 100_000
			if err := insertRecords(t.Context(), conn, name, 0, rows); err != nil {
				t.Fatal(err)
			}
			var n, notes uint64
			var sum int64
			var last time.Time
			var tags []string
			row := conn.QueryRow(t.Context(), "SELECT count(), sum(amount), max(at), any(tags),"+
				" countIf(note = 'it''s; a \\\\ note') FROM "+name)
			if err := row.Scan(&n, &sum, &last, &tags, &notes); err != nil {
				t.Fatal(err)
			}
			if n != rows || sum != -rows*(rows-1)/2 || notes != 33334 || len(tags) != 2 {
				t.Errorf("%d rows, sum %d, %d notes, tags %v", n, sum, notes, tags)
			}
			if want := "2026-03-01T08:01:39.999Z"; last.Format(time.RFC3339Nano) != want {
				t.Errorf("last time %v, want %s", last, want)
			}
			parts := count(t, conn, "SELECT count() FROM system.parts WHERE active AND table = $1", name)
			if parts != 1 {
				t.Errorf("one batch became %d parts, want 1", parts)
			}
		})
	}
}

func TestLargeResultComesBackWhole(t *testing.T) {
	f := startFront(t)
	conn := connect(t, f.addr, func(o *clickhouse.Options) {
		o.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
	})
	rows, err := conn.Query(t.Context(), "SELECT number, toString(number) FROM numbers(300000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var n, sum uint64
	for rows.Next() {
		var number uint64
		var text string
		if err := rows.Scan(&number, &text); err != nil {
			t.Fatal(err)
		}
		n, sum = n+1, sum+number
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if n != 300_000 || sum != 300_000*299_999/2 {
		t.Errorf("%d rows, sum %d", n, sum)
	}
}

func TestReplacingMergeTreeFinalDropsDuplicates(t *testing.T) {
	f := startFront(t)
	conn := connect(t, f.addr)
	execute(t, conn, fmt.Sprintf(createRecords, "records", "ReplacingMergeTree"))
	execute(t, conn, "SYSTEM STOP MERGES records")
	for range 3 { // the same rows again, as after a lost acknowledgement
		if err := insertRecords(t.Context(), conn, "records", 0, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if err := insertRecords(t.Context(), conn, "records", 500, 1000); err != nil {
		t.Fatal(err)
	}
	if n := count(t, conn, "SELECT count() FROM records FINAL"); n != 1500 {
		t.Errorf("%d rows with FINAL, want 1500", n)
	}
	if n := count(t, conn, "SELECT count() FROM records"); n <= 1500 {
		t.Errorf("%d rows without FINAL: the test proves nothing", n)
	}
}

func TestDeduplicationTokenDropsTheSecondInsert(t *testing.T) {
	f := startFront(t)
	conn := connect(t, f.addr)
	execute(t, conn, fmt.Sprintf(createRecords, "records", "MergeTree"))
	execute(t, conn, `CREATE TABLE totals (bucket UInt8, amount Int64) ENGINE = SummingMergeTree
		ORDER BY bucket SETTINGS non_replicated_deduplication_window = 1000`)
	execute(t, conn, `CREATE MATERIALIZED VIEW totals_of_records TO totals AS
		SELECT bucket, sum(amount) AS amount FROM records GROUP BY bucket`)
	insert := func(token string) {
		t.Helper()
		ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{
			"insert_deduplication_token":                         token,
			"deduplicate_blocks_in_dependent_materialized_views": 1,
		}))
		if err := insertRecords(ctx, conn, "records", 0, 1000); err != nil {
			t.Fatal(err)
		}
	}
	insert("tapswitch.records:7:0-999")
	insert("tapswitch.records:7:0-999")
	if n := count(t, conn, "SELECT count() FROM records"); n != 1000 {
		t.Errorf("%d rows after the same token twice, want 1000", n)
	}
	insert("tapswitch.records:7:1000-1999")
	if n := count(t, conn, "SELECT count() FROM records"); n != 2000 {
		t.Errorf("%d rows after another token, want 2000", n)
	}
	if n := count(t, conn, "SELECT toUInt64(-sum(amount)) FROM totals"); n != 2*1000*999/2 {
		t.Errorf("the view's sum is %d, want %d", n, 2*1000*999/2)
	}
}

func TestDataSurviveStopAndStart(t *testing.T) {
	f := startFront(t)
	conn := connect(t, f.addr)
	execute(t, conn, "CREATE DATABASE ledger")
	execute(t, conn, fmt.Sprintf(createRecords, "ledger.records", "ReplacingMergeTree"))
	execute(t, conn, "CREATE VIEW ledger.sums AS SELECT sum(amount) AS s FROM ledger.records FINAL")
	if err := insertRecords(t.Context(), conn, "ledger.records", 0, 5000); err != nil {
		t.Fatal(err)
	}
	if err := f.stop(); err != nil {
		t.Fatalf("SIGTERM did not end the front well: %v", err)
	}
	f.start(t)
	again := connect(t, f.addr, func(o *clickhouse.Options) { o.Auth.Database = "ledger" })
	if n := count(t, again, "SELECT count() FROM records FINAL"); n != 5000 {
		t.Errorf("%d rows after stop and start, want 5000", n)
	}
	if n := count(t, again, "SELECT toUInt64(-s) FROM sums"); n != 5000*4999/2 {
		t.Errorf("the view says %d", n)
	}
}

// TestAcknowledgedInsertsSurviveKill kills the front at random points of a running insert load.
func TestAcknowledgedInsertsSurviveKill(t *testing.T) {
	f := startFront(t)
	execute(t, connect(t, f.addr), fmt.Sprintf(createRecords, "records", "ReplacingMergeTree"))
	const kills, writers, rows = 4, 4, 500
	var mu sync.Mutex
	acknowledged := map[int]bool{} // first rows of batches that Send returned nil for
	next := 0
	for round := range kills {
		conn := connect(t, f.addr)
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				for {
					mu.Lock()
					first := next
					next += rows
					mu.Unlock()
					if insertRecords(t.Context(), conn, "records", first, rows) != nil {
						return
					}
					mu.Lock()
					acknowledged[first] = true
					mu.Unlock()
				}
			})
		}
		want := (round + 1) * 25
		waitFor(t, "acknowledged batches", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acknowledged) >= want
		})
		f.kill()
		group.Wait()
		f.start(t)
	}
	conn := connect(t, f.addr)
	lost := 0
	for first := range acknowledged {
		if count(t, conn, "SELECT count() FROM records FINAL WHERE seq >= $1 AND seq < $2", first,
			first+rows) != rows {
			lost++
		}
	}
	if lost != 0 {
		t.Errorf("%d of %d acknowledged batches lost", lost, len(acknowledged))
	}
	t.Logf("%d batches acknowledged over %d kills, %d lost", len(acknowledged), kills, lost)
}

func TestStatementsRunSideBySide(t *testing.T) {
	f := startFront(t)
	conn := connect(t, f.addr, func(o *clickhouse.Options) { o.MaxOpenConns = 16 })
	execute(t, conn, fmt.Sprintf(createRecords, "records", "MergeTree"))
	const writers, batches, rows = 8, 5, 2000
	var group sync.WaitGroup
	failed := make(chan error, 2*writers*batches)
	for w := range writers {
		group.Go(func() {
			for b := range batches {
				failed <- insertRecords(t.Context(), conn, "records", (w*batches+b)*rows, rows)
			}
		})
		group.Go(func() {
			for range batches {
				var n uint64
				err := conn.QueryRow(t.Context(), "SELECT count() FROM records").Scan(&n)
				if err == nil && n%rows != 0 {
					err = fmt.Errorf("a reader saw %d rows: half a batch", n)
				}
				failed <- err
			}
		})
	}
	group.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			t.Error(err)
		}
	}
	if n := count(t, conn, "SELECT count() FROM records"); n != writers*batches*rows {
		t.Errorf("%d rows, want %d", n, writers*batches*rows)
	}
}

func TestRefusalCarriesTheCode(t *testing.T) {
	f := startFront(t)
	for _, method := range []clickhouse.CompressionMethod{clickhouse.CompressionNone,
		clickhouse.CompressionLZ4} {
		conn := connect(t, f.addr, func(o *clickhouse.Options) {
			o.Compression = &clickhouse.Compression{Method: method}
		})
		cases := map[string]int32{
			"SELECT * FROM no_such_table": 60,
			"SELECT nope":                 47,
			"SELEKT 1":                    62,
			"SELECT 1; SELECT 2":          62,
			"SELECT throwIf(number = 100000, 'late') FROM numbers(200000)": 395,
		}
		for query, code := range cases {
			rows, err := conn.Query(t.Context(), query)
			if err == nil {
				_ = rows.Close()
			}
			var refused *clickhouse.Exception
			if !errors.As(err, &refused) || refused.Code != code {
				t.Errorf("%s: %v, want code %d", query, err, code)
			}
		}
	}
}

func TestSettingsHoldForOneRequest(t *testing.T) {
	f := startFront(t)
	conn := connect(t, f.addr)
	const ask = "SELECT toUInt64(getSetting('max_block_size'))"
	usual := count(t, conn, ask)
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{
		"max_block_size": 4321,
	}))
	var n uint64
	if err := conn.QueryRow(ctx, ask).Scan(&n); err != nil || n != 4321 {
		t.Errorf("with the setting: %d, %v", n, err)
	}
	if n := count(t, conn, ask); n != usual {
		t.Errorf("the next request sees %d, want %d", n, usual)
	}
	ctx = clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{
		"no_such_setting": 1,
	}))
	if err := conn.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("an unknown setting passed")
	}
}

func TestParametersAreBoundByTheEngine(t *testing.T) {
	f := startFront(t)
	conn := connect(t, f.addr)
	ctx := clickhouse.Context(t.Context(), clickhouse.WithParameters(clickhouse.Parameters{
		"text": `O'Hara \ "x"`, "n": "42",
	}))
	var text string
	var n uint64
	row := conn.QueryRow(ctx, "SELECT {text:String}, {n:UInt64}")
	if err := row.Scan(&text, &n); err != nil || text != `O'Hara \ "x"` || n != 42 {
		t.Errorf("%q, %d, %v", text, n, err)
	}
}

func TestSecondFrontOnAFolderIsRefused(t *testing.T) {
	f := startFront(t)
	cmd := exec.Command(os.Args[0], "-addr", freeAddr(t), "-path", f.path, "-lib", f.library)
	cmd.Env = append(os.Environ(), frontEnv+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte(errFolderInUse.Error())) {
		t.Errorf("%v: %s", err, out)
	}
}

// BenchmarkInsert measures rows through the stock client, as the ledger sends them.
func BenchmarkInsert(b *testing.B) {
	for _, rows := range []int{1000, 100_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			f := &runningFront{path: b.TempDir(), library: libraryPath(b), addr: freeAddr(b)}
			f.start(b)
			b.Cleanup(f.kill)
			conn := connect(b, f.addr, func(o *clickhouse.Options) {
				o.Compression = &clickhouse.Compression{Method: clickhouse.CompressionLZ4}
			})
			execute(b, conn, fmt.Sprintf(createRecords, "records", "ReplacingMergeTree"))
			first := 0
			for b.Loop() {
				if err := insertRecords(b.Context(), conn, "records", first, rows); err != nil {
					b.Fatal(err)
				}
				first += rows
			}
			b.ReportMetric(float64(first)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
