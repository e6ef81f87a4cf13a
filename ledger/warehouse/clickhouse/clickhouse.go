package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	driverpkg "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	dialTimeout = 5 * time.Second
	// readTimeout bounds the silence of the server within one call.
	readTimeout = 60 * time.Second
	// connectionsMax is how many calls run at once; the rest waits.
	connectionsMax = 4
	// proveRows is how many records pass between two notes of the proven positions.
	proveRows = 1_000_000
)

var _ warehouse.Warehouse = (*Warehouse)(nil)

// Options say where the database is.
type Options struct {
	// DSN names server and database: clickhouse://user:password@host:9000/ledger for the
	// native protocol, http://… or https://… for HTTP. The database must exist.
	DSN string
	// Log receives what happens; nil discards it.
	Log *slog.Logger
	// Migrate brings the tables up to date at Open; without it an old database is
	// ErrSchema.
	Migrate bool

	// files replaces the migrations, in tests.
	files fs.FS
	// noFinal reads figures without FINAL: a planted fault for the tests that must
	// notice it.
	noFinal bool
}

// Warehouse is the ledger in ClickHouse. Safe for concurrent use.
type Warehouse struct {
	conn    driver.Conn
	log     *slog.Logger
	columns []column
	noFinal bool

	// writer serialises Append, DeadLetter and Positions, and guards what they know.
	writer sync.Mutex
	known  bool // seq was read from the table
	seq    warehouse.Sequence
	open   map[txn.Position]bool // open dead letters
	// doubt: an insert ended with an error; its rows may be there or not.
	doubt bool
	// unproven counts rows since the proven positions were noted.
	unproven int

	mu     sync.Mutex
	closed bool
	calls  sync.WaitGroup
}

// Open connects and checks the tables. It returns ErrSchema when they do not fit.
func Open(ctx context.Context, o Options) (*Warehouse, error) {
	conn, err := connect(o)
	if err != nil {
		return nil, err
	}
	w := &Warehouse{conn: conn, log: o.Log, columns: recordColumns(), noFinal: o.noFinal}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	if err := w.prepare(ctx, o); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return w, nil
}

// prepare checks the way to the server and the tables, and migrates when asked.
func (w *Warehouse) prepare(ctx context.Context, o Options) error {
	if err := w.conn.Ping(ctx); err != nil {
		return fmt.Errorf("cannot reach clickhouse: %w", err)
	}
	files := o.ddl()
	if o.Migrate {
		n, err := migrate(ctx, w.conn, files)
		if err != nil {
			return err
		}
		if n > 0 {
			w.log.Info("clickhouse tables brought up to date", "migrations", n)
		}
	}
	return checkSchema(ctx, w.conn, files)
}

// ddl returns the migrations: the binary's own, or a test's.
func (o *Options) ddl() fs.FS {
	if o.files != nil {
		return o.files
	}
	return deploy.ClickHouseDDL()
}

// connect makes the client; it opens no connection yet. Its errors never quote the DSN, which
// holds a password.
func connect(o Options) (driver.Conn, error) {
	opts, err := driverpkg.ParseDSN(o.DSN)
	if err != nil {
		// The error of ParseDSN may quote the password.
		return nil,
			errors.New(
				"the clickhouse DSN cannot be read: want clickhouse://user:password@host:9000/db")
	}
	opts.DialTimeout, opts.ReadTimeout = dialTimeout, readTimeout
	opts.MaxOpenConns, opts.MaxIdleConns = connectionsMax, connectionsMax
	if opts.Compression == nil {
		opts.Compression = &driverpkg.Compression{Method: driverpkg.CompressionLZ4}
	}
	conn, err := driverpkg.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("cannot open clickhouse: %w", err)
	}
	return conn, nil
}

// enter counts a call under way; leave ends it.
func (w *Warehouse) enter(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return warehouse.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	w.calls.Add(1)
	return nil
}

// Close waits for calls under way and ends the connections.
func (w *Warehouse) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return warehouse.ErrClosed
	}
	w.closed = true
	w.mu.Unlock()
	w.calls.Wait()
	return w.conn.Close()
}

// Append implements warehouse.Appender. After an error it makes no second try itself: the
// caller sends the same records, and then they are proven to be there.
func (w *Warehouse) Append(ctx context.Context, records []txn.Record) error {
	if err := w.enter(ctx); err != nil {
		return err
	}
	defer w.calls.Done()
	w.writer.Lock()
	defer w.writer.Unlock()
	if err := w.knowLocked(ctx); err != nil {
		return err
	}
	seq := w.seq
	kept, err := warehouse.Admit(&seq, records, func(p txn.Position) bool { return w.open[p] })
	if err != nil || len(kept) == 0 {
		return err
	}
	again := w.doubt
	w.doubt = true
	if err := w.insert(ctx, kept, again); err != nil {
		return fmt.Errorf("insert of %d records is in doubt: %w", len(kept), err)
	}
	if again {
		if err := w.proveLocked(ctx, seq.Held()); err != nil {
			return err
		}
	}
	w.doubt, w.seq = false, seq
	for _, r := range kept {
		delete(w.open, r.Position)
	}
	w.noteLocked(ctx, len(kept))
	return nil
}

// proveLocked reads the positions from the table and compares them with what was inserted
// after a doubt.
func (w *Warehouse) proveLocked(ctx context.Context, want warehouse.Positions) error {
	p, err := w.readPositions(ctx)
	if err != nil {
		return fmt.Errorf("cannot prove an insert that was in doubt: %w", err)
	}
	for b := range want {
		if p.held[b].Before(want[b]) {
			w.known = false
			return fmt.Errorf("clickhouse confirmed %s and holds %s: send again", want[b],
				p.held[b])
		}
	}
	return nil
}

// knowLocked reads the positions once, and after a failed proof again.
func (w *Warehouse) knowLocked(ctx context.Context) error {
	if w.known {
		return nil
	}
	p, err := w.readPositions(ctx)
	if err != nil {
		return err
	}
	w.seq, w.open, w.known = warehouse.NewSequence(p.held), p.open, true
	return nil
}

// Positions implements warehouse.Appender.
func (w *Warehouse) Positions(ctx context.Context) (warehouse.Positions, error) {
	if err := w.enter(ctx); err != nil {
		return warehouse.Positions{}, err
	}
	defer w.calls.Done()
	w.writer.Lock()
	defer w.writer.Unlock()
	w.known = false
	if err := w.knowLocked(ctx); err != nil {
		return warehouse.Positions{}, err
	}
	return w.seq.Held(), nil
}

// DeadLetter implements warehouse.Appender.
func (w *Warehouse) DeadLetter(ctx context.Context, letter warehouse.DeadLetter) error {
	if err := letter.Check(); err != nil {
		return err
	}
	if err := w.enter(ctx); err != nil {
		return err
	}
	defer w.calls.Done()
	w.writer.Lock()
	defer w.writer.Unlock()
	if err := w.knowLocked(ctx); err != nil {
		return err
	}
	seq := w.seq
	if letter.Placed() {
		switch seq.TakePlace(letter.Position) {
		case warehouse.Duplicate:
			return nil
		case warehouse.Gap:
			return fmt.Errorf("%w: have %s, dead letter is for %s", warehouse.ErrGap,
				seq.At(letter.Position.Bucket), letter.Position)
		}
	}
	if err := w.insertLetter(ctx, &letter); err != nil {
		return err
	}
	w.seq = seq
	if letter.Placed() {
		w.open[letter.Position] = true
	}
	return nil
}

// insertLetter keeps one dead letter. A repeat has the same source and is absorbed.
func (w *Warehouse) insertLetter(ctx context.Context, d *warehouse.DeadLetter) error {
	var kept uint64
	err := w.conn.QueryRow(ctx, `SELECT uniqExact(source) FROM dead_letters
		WHERE source != ?`, d.Source).Scan(&kept)
	if err != nil {
		return fmt.Errorf("cannot count the dead letters: %w", err)
	}
	if kept >= warehouse.DeadLettersMax {
		return fmt.Errorf("%w: %d dead letters are kept", warehouse.ErrTooMany, kept)
	}
	batch, err := w.conn.PrepareBatch(withInsert(ctx, ""), `INSERT INTO dead_letters
		(source, bucket, epoch, seq, business_date, reason, record, at_ms)`)
	if err != nil {
		return fmt.Errorf("cannot keep dead letter %s: %w", d.Source, err)
	}
	err = batch.Append(d.Source, uint8(d.Position.Bucket), uint64(d.Position.Epoch),
		uint64(d.Position.Seq), timeOf(warehouse.DayNumber(d.Date)), d.Reason, string(d.Record),
		int64(d.At))
	if err == nil {
		err = batch.Send()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot keep dead letter %s: %w", d.Source, err),
			batch.Abort())
	}
	return nil
}
