package day

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var (
	// ErrOpen reports a day that is not closed yet: records may still come.
	ErrOpen = errors.New("the business day is not closed")
	// ErrBreaks reports figures that contradict each other; nothing is certified over them.
	ErrBreaks = errors.New("figures contradict each other")
	// ErrState reports a step that the day's state does not allow.
	ErrState = errors.New("not in this state of the day")
	// ErrDamaged reports a run or certificate on disk that is not what was written.
	ErrDamaged = errors.New("settlement damaged")
)

// State is where a business day stands.
type State string

// The states, in their order.
const (
	Open      State = "open"
	Closing   State = "closing" // some buckets have cut over, or not everything has arrived
	Closed    State = "closed"
	Certified State = "certified"
)

// The kinds of events in the journal.
const (
	eventClosing   = "day_closing"
	eventClosed    = "day_closed"
	eventRun       = "run"
	eventCertified = "day_certified"
)

// Options are what a Desk works with.
type Options struct {
	Dir       string // of finance
	Reader    warehouse.Reader
	Chart     *chart.Chart
	Terms     *clearing.Terms
	TermsHash string // SHA-256 of the files of chart and terms
	Work      clearing.WorkDays
	// DateOf is the scheme's calendar, EndOf the instant at which a business date ends.
	DateOf func(txn.Millis) txn.BusinessDate
	EndOf  func(txn.BusinessDate) time.Time
	Now    func() time.Time
	// Passed is told the name of every point that a run and a certificate pass; for tests that
	// end the process there. May be nil.
	Passed func(point string)
	// Disk is where the journal is written; nil is the system's. For tests that let it fail.
	Disk journal.Disk
}

// Desk is finance's desk.
type Desk struct {
	Options
	journal *journal.Journal
}

// OpenDesk opens the desk for writing. What a killed run left half done is removed, or taken
// into the journal when it was whole.
func OpenDesk(o Options) (*Desk, error) {
	if o.Passed == nil {
		o.Passed = func(string) {}
	}
	j, err := journal.Open(o.Dir, o.Disk)
	if err != nil {
		return nil, err
	}
	d := &Desk{Options: o, journal: j}
	if err := d.recover(); err != nil {
		return nil, errors.Join(err, j.Close())
	}
	return d, nil
}

// Close gives the journal's lock back.
func (d *Desk) Close() error { return d.journal.Close() }

// Journal returns the finance journal of the desk.
func (d *Desk) Journal() *journal.Journal { return d.journal }

// Status is a day as finance sees it.
type Status struct {
	Date        string `json:"business_date"`
	State       State  `json:"state"`
	Buckets     int    `json:"buckets_closed"`
	Rows        int64  `json:"rows"`
	DeadLetters int64  `json:"dead_letters"`
	Run         int    `json:"run"` // the last one; 0 for none
	Certificate uint64 `json:"certificate,omitempty"`
}

// stateOf returns what the journal says of a day.
func stateOf(events []journal.Event, date txn.BusinessDate) State {
	state := Open
	for _, e := range events {
		if e.Date != date {
			continue
		}
		switch e.Kind {
		case eventClosing:
			state = Closing
		case eventClosed:
			state = Closed
		case eventCertified:
			state = Certified
		}
	}
	return state
}

// StatusOf looks at a day without changing anything; events are those of the journal.
func StatusOf(
	ctx context.Context, o *Options, events []journal.Event, date txn.BusinessDate,
) (Status, error) {
	t, err := o.Reader.Totals(ctx, date)
	if err != nil {
		return Status{}, fmt.Errorf("state of %s: %w", date, err)
	}
	return statusOf(&t, events, date), nil
}

// statusOf is StatusOf of a day whose figures are known.
func statusOf(t *warehouse.Totals, events []journal.Event, date txn.BusinessDate) Status {
	s := Status{Date: date.String(), State: stateOf(events, date), Rows: t.Rows,
		DeadLetters: t.DeadLetters}
	for _, b := range t.Buckets {
		if b.Closed {
			s.Buckets++
		}
	}
	if s.State == Open && s.Buckets > 0 {
		s.State = Closing
	}
	for _, e := range events {
		if e.Date != date {
			continue
		}
		switch e.Kind {
		case eventRun:
			s.Run = max(s.Run, runOf(e).Run)
		case eventCertified:
			s.Certificate = certifiedOf(e).Number
		}
	}
	return s
}

// CloseDay notes that the day is closed, once the marker of every bucket is in the warehouse with
// nothing missing before it. Until then it notes that the day is closing, and fails with ErrOpen.
func (d *Desk) CloseDay(ctx context.Context, date txn.BusinessDate, actor string) (Status, error) {
	t, err := d.Reader.Totals(ctx, date)
	if err != nil {
		return Status{}, fmt.Errorf("closing %s: %w", date, err)
	}
	s := statusOf(&t, d.journal.Events(), date)
	noted := stateOf(d.journal.Events(), date)
	if noted == Closed || noted == Certified {
		return s, nil
	}
	if s.State == Open && t.Rows == 0 && date < d.DateOf(txn.MillisOf(d.Now())) {
		return s, fmt.Errorf("%w: %s has no records: the switch did not run on it, and there is nothing to close",
			ErrState, date)
	}
	if s.State == Open {
		return s, fmt.Errorf("%w: no bucket has cut %s over", ErrOpen, date)
	}
	if noted == Open {
		if err := d.note(eventClosing, actor, date, nil); err != nil {
			return s, err
		}
	}
	if !t.Complete() {
		s.State = Closing
		return s, fmt.Errorf("%w: %s is closed in %d of %d buckets, %d dead letters", ErrOpen, date,
			s.Buckets, txn.BucketCount, s.DeadLetters)
	}
	if err := d.note(eventClosed, actor, date, nil); err != nil {
		return s, err
	}
	s.State = Closed
	return s, nil
}

// note appends an event.
func (d *Desk) note(kind, actor string, date txn.BusinessDate, body any) error {
	e := journal.Event{At: txn.MillisOf(d.Now()), Kind: kind, Actor: actor, Date: date}
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("event %s of %s: %w", kind, date, err)
		}
		e.Body = text
	}
	_, err := d.journal.Append(e)
	return err
}

// runBody is what the journal keeps of a run.
type runBody struct {
	Run      int    `json:"run"`
	Manifest string `json:"manifest_sha256"`
}

func runOf(e journal.Event) (b runBody) {
	_ = json.Unmarshal(e.Body, &b) // the journal's checksums vouch for it
	return b
}

// certifiedBody is what the journal keeps of a certificate.
type certifiedBody struct {
	Number uint64 `json:"number"`
	Hash   string `json:"hash"`
	Run    int    `json:"run"`
}

func certifiedOf(e journal.Event) (b certifiedBody) {
	_ = json.Unmarshal(e.Body, &b)
	return b
}

// runDir is where a run stands.
func (o *Options) runDir(date txn.BusinessDate, run int) string {
	return filepath.Join(o.Dir, "runs", date.String(), fmt.Sprintf("%03d", run))
}

// runs returns the numbers of the whole runs of a day on disk.
func (o *Options) runs(date txn.BusinessDate) ([]int, error) {
	entries, err := os.ReadDir(filepath.Join(o.Dir, "runs", date.String()))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("runs of %s: %w", date, err)
	}
	var all []int
	for _, e := range entries {
		var n int
		if _, err := fmt.Sscanf(e.Name(), "%03d", &n); err == nil && n > 0 && e.IsDir() &&
			e.Name() == fmt.Sprintf("%03d", n) {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all, nil
}

// notedRun returns what the journal keeps of a run of a day; the zero runBody where it has none.
func notedRun(events []journal.Event, date txn.BusinessDate, run int) (noted runBody) {
	for _, e := range events {
		if e.Kind == eventRun && e.Date == date {
			if b := runOf(e); b.Run == run {
				noted = b
			}
		}
	}
	return noted
}

// settledBefore returns the last day before date that has a run, 0 for none.
func settledBefore(events []journal.Event, date txn.BusinessDate) (last txn.BusinessDate, run int) {
	for _, e := range events {
		if e.Kind == eventRun && e.Date < date && e.Date >= last {
			last, run = e.Date, runOf(e).Run
		}
	}
	return last, run
}
