package agency

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/desk/finding"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// nightly looks every night through the days that have ended for what is evidence. When, stands
// in the due queue, so that a night that a process was down is looked through when it is back;
// a day that is looked through twice finds nothing new.
type nightly struct {
	cards    store.Cards
	findings *finding.Service
	days     finding.Days
	token    pan.Token // of the document that says up to which day
	now      func() txn.Millis
	today    func() txn.BusinessDate
	midnight func(txn.BusinessDate) txn.Millis
	log      *slog.Logger
	wake     chan struct{}
}

const (
	// scanHour is how long after midnight a day is looked through: off-line records of the
	// evening are in by then, and few people ride.
	scanHour txn.Millis = 3 * 3600 * 1000
	// scanRetry is the pause after a scan that failed, scanDaysMax how many days one goes back.
	scanRetry   txn.Millis = 10 * 60 * 1000
	scanDaysMax            = 31
)

// planScan puts the first night into the due queue, where a ledger is.
func (a *Agency) planScan(ctx context.Context, o *Options, shared *shared) error {
	if o.Warehouse == nil {
		return nil
	}
	calendar := a.Desk.Rules().Calendar
	a.scan = &nightly{cards: o.Store, findings: shared.findings, days: ledgerDays{o.Warehouse},
		token: o.Tokenizer.Derive("schedule", "findings"), now: o.Now, today: a.Desk.Today,
		midnight: calendar.Start, log: o.Log, wake: make(chan struct{}, 1)}
	return a.scan.plan(ctx)
}

// due hands on the due entries of documents, and takes its own.
func (a *Agency) due(entries []store.Due) {
	if a.scan != nil {
		a.scan.due(entries)
	}
	a.Desk.Due(entries)
}

// key is the due entry: a document's, with a letter more than the desk's.
func (n *nightly) key() []byte {
	return append(append([]byte{engine.DueDocument}, n.token[:]...), 's')
}

// due takes the entry when its time has come. It never blocks.
func (n *nightly) due(entries []store.Due) {
	for _, e := range entries {
		if string(e.Key) == string(n.key()) {
			select {
			case n.wake <- struct{}{}:
			default:
			}
		}
	}
}

// stands reads up to which day was looked through.
func (n *nightly) stands(ctx context.Context) (day txn.BusinessDate, version uint64, err error) {
	l, err := n.cards.Load(ctx, n.token, nil)
	if err != nil {
		return 0, 0, fmt.Errorf("schedule of findings: %w", err)
	}
	if len(l.State) == 1+4 && l.State[0] == 1 {
		day = txn.BusinessDate(binary.BigEndian.Uint32(l.State[1:]))
	}
	return day, l.Version, nil
}

// put notes that all days before next are done, and when to look again.
func (n *nightly) put(ctx context.Context, next txn.BusinessDate, version uint64, at txn.Millis) error {
	c := &store.Commit{Card: n.token, Version: version, Reserve: true,
		State: binary.BigEndian.AppendUint32([]byte{1}, uint32(next)), Due: []store.DueChange{{Key: n.key(), At: at}}}
	if err := n.cards.Commit(ctx, []*store.Commit{c}); err != nil {
		return fmt.Errorf("schedule of findings: %w", err)
	}
	return nil // in a conflict another process has done it
}

// plan makes the document, unless it is there.
func (n *nightly) plan(ctx context.Context) error {
	_, version, err := n.stands(ctx)
	if err != nil || version > 0 {
		return err
	}
	return n.put(ctx, n.today(), 0, n.midnight(n.today().Next())+scanHour)
}

// run looks when it is due, until ctx ends.
func (n *nightly) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.wake:
		}
		if err := n.look(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("the night's look for evidence failed", "error", err)
		}
	}
}

// look goes through the days that have ended, one by one.
func (n *nightly) look(ctx context.Context) error {
	next, version, err := n.stands(ctx)
	if err != nil {
		return err
	}
	today := n.today()
	for range scanDaysMax {
		if next >= today {
			break
		}
		found, made, err := n.findings.Scan(ctx, n.days, next, next)
		if err != nil {
			_ = n.put(ctx, next, version, n.now()+scanRetry) // the entry stays due
			return fmt.Errorf("day %s: %w", next, err)
		}
		n.log.Info("the night's look for evidence", "day", next.String(), "found", found, "new", made)
		next = next.Next()
	}
	return n.put(ctx, next, version, n.midnight(today.Next())+scanHour)
}
