// Package intake imports freezes: a list from another system, a line a card, is read, checked
// and frozen through the engine in lists.
//
// An import never opens anything: a card that is frozen already keeps what it bears, merged
// with what the list says. Nothing of a list is lost in silence: each line is frozen, was
// frozen already, or is reported by its number, with the card masked. A list may be given
// again under the same id after a crash: where it stood is kept in the registry, and a line
// that was done twice changes nothing. The accounts of the cards are not touched; the desk
// takes such a freeze into an account with the next word about it.
//
// The import yields to taps: it works in short lists with pauses between, at a rate that
// Options name, and rests longer when its lists take longer than they did.
//
// Instants are Unix milliseconds. An Importer is safe for concurrent use, one import an id at
// a time. It keeps no card number.
package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Engine decides the freezes; *engine.Engine is one.
type Engine interface {
	// AuthorizeAll decides a list, with the answers in the same order.
	AuthorizeAll(ctx context.Context, requests []*txn.Request) []engine.Answer
}

// Options of New. Engine, Registry and Tokenizer are needed.
type Options struct {
	Engine    Engine
	Registry  store.Registry
	Tokenizer *pan.Tokenizer
	Currency  txn.Currency // CNY by default
	// PerSecond is how many cards are frozen a second; 0 for 12,000.
	PerSecond int
	// Now is the switch's clock; nil for the system's. Pause waits between two lists; nil
	// for a timer.
	Now   func() txn.Millis
	Pause func(ctx context.Context, d time.Duration) error
}

// Limits.
const (
	// LinesMax bounds the lines of one list.
	LinesMax = 1_000_000
	// ListMax is how many cards one list of the engine holds: short, so that a tap never
	// waits for more than that.
	ListMax = 64
	// BadMax bounds the lines that a Result holds; the rest are counted. Job.Bad gets all.
	BadMax = 1000
	// IDMax bounds the bytes of an import's id.
	IDMax = 64

	perSecondDefault = 12_000
	// triesMax bounds the tries of one list, with retryPause between.
	triesMax   = 5
	retryPause = 200 * time.Millisecond
	// journalEvery is how many lists go between two notes of the position.
	journalEvery = 32
)

var (
	// ErrList reports a list that cannot be imported as a whole.
	ErrList = errors.New("freeze list")
	// ErrOther reports that another list was begun under the id.
	ErrOther = errors.New("another list was begun under this id")
	// ErrStore reports that the store did not answer; the same import goes on where it stood.
	ErrStore = errors.New("the store does not answer")
)

// Importer imports lists.
type Importer struct {
	o        Options
	terminal txn.TerminalID
}

// New returns an importer.
func New(o Options) *Importer {
	if o.Currency == 0 {
		o.Currency = txn.CNY
	}
	if o.PerSecond <= 0 {
		o.PerSecond = perSecondDefault
	}
	if o.Now == nil {
		o.Now = func() txn.Millis { return txn.MillisOf(time.Now()) }
	}
	if o.Pause == nil {
		o.Pause = wait
	}
	terminal, err := txn.ParseTerminalID("INTAKE")
	if err != nil {
		panic("intake: internal error: " + err.Error())
	}
	return &Importer{o, terminal}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Job is one import.
type Job struct {
	// ID names the import: given again with the same list it goes on where it stood.
	ID    string
	Actor string // the operator
	List  io.Reader
	// DryRun checks every line and freezes none.
	DryRun bool
	// Bad, when set, is told of every line that was not taken, in order.
	Bad func(BadLine)
}

// BadLine is a line that was not taken.
type BadLine struct {
	Line int    `json:"line"`           // from 1
	Code string `json:"code"`           // stable
	Card string `json:"card,omitempty"` // masked; "" when it cannot be told
}

// Result is what became of a list.
type Result struct {
	Lines   int // with a card, good or bad
	Frozen  int // by this import, earlier runs of it included
	Already int // were closed as far before
	Refused int // bad lines
	Resumed int // lines that an earlier run had done
	Bad     []BadLine
}

// run is an import at work.
type run struct {
	*Importer
	job     Job
	result  Result
	lines   reader
	journal journal
	version uint64
	lists   int
	pace    pace
	batch   []*txn.Request
	of      []row
	// declined are lines that the engine refused: a later run, which passes over them, must
	// report them too.
	declined []BadLine
}

// Import imports a list. With an error the same import may be asked for again and goes on.
func (m *Importer) Import(ctx context.Context, job Job) (Result, error) {
	if job.ID == "" || len(job.ID) > IDMax || strings.ContainsAny(job.ID, "/ \n") {
		return Result{}, fmt.Errorf("%w: an id has 1 to %d characters without / and blanks", ErrList, IDMax)
	}
	r := &run{Importer: m, job: job, lines: newReader(job.List, m.o.Tokenizer, m.o.Now()),
		pace: pace{every: time.Second * ListMax / time.Duration(m.o.PerSecond)}}
	if err := r.open(ctx); err != nil {
		return r.result, err
	}
	err := r.all(ctx)
	return r.result, err
}

// all reads the list to its end.
func (r *run) all(ctx context.Context) error {
	for {
		line, bad, err := r.lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return r.finish(ctx)
		case err != nil:
			return err
		}
		if r.lines.differ() {
			return fmt.Errorf("%w: the first %d lines are others", ErrOther, r.journal.Lines)
		}
		r.result.Lines++
		if bad != "" {
			r.refuse(BadLine{Line: line.number, Code: bad, Card: line.masked})
		} else if err := r.take(ctx, line); err != nil {
			return err
		}
	}
}

// finish freezes the rest and notes the end.
func (r *run) finish(ctx context.Context) error {
	if r.lines.count < r.journal.Lines || r.lines.differ() {
		return fmt.Errorf("%w: it had %d lines", ErrOther, r.journal.Lines)
	}
	if err := r.flush(ctx); err != nil || r.job.DryRun {
		return err
	}
	return r.note(ctx)
}

func (r *run) refuse(b BadLine) {
	r.result.Refused++
	if len(r.result.Bad) < BadMax {
		r.result.Bad = append(r.result.Bad, b)
	}
	if r.job.Bad != nil {
		r.job.Bad(b)
	}
}

// take puts a line on the list that is being gathered, unless an earlier run has done it.
func (r *run) take(ctx context.Context, line row) error {
	if r.job.DryRun {
		return nil
	}
	if r.lines.count <= r.journal.Lines {
		r.result.Resumed++
		return nil
	}
	r.batch, r.of = append(r.batch, r.request(line)), append(r.of, line)
	if len(r.batch) < ListMax {
		return nil
	}
	return r.flush(ctx)
}

// request makes the freeze of a line. Its service time is when the card was frozen elsewhere.
func (r *run) request(line row) *txn.Request {
	now := r.o.Now()
	at := now
	if line.since != 0 {
		at = line.since
	}
	return &txn.Request{ID: txn.RequestID{Terminal: r.terminal, Boot: r.boot(), Counter: uint32(line.number)},
		Kind: txn.Freeze, Card: line.card, Last4: line.last4, Currency: r.o.Currency, ServiceAt: at, ReceivedAt: now,
		Listing: txn.Listing{Mark: line.mark, Actor: r.job.Actor, Note: line.note}}
}

// boot tells the requests of one import from those of another.
func (r *run) boot() uint32 {
	var n uint32
	for _, c := range []byte(r.job.ID) {
		n = n*16777619 ^ uint32(c)
	}
	return n
}

// flush freezes what was gathered. A fault is tried again; a line that is refused is bad.
func (r *run) flush(ctx context.Context) error {
	for try := 0; len(r.batch) > 0; try++ {
		if try == triesMax {
			return r.stop(fmt.Errorf("%w: stopped before line %d", ErrStore, r.of[0].number))
		}
		if try > 0 {
			if err := r.o.Pause(ctx, retryPause); err != nil {
				return r.stop(err)
			}
		}
		began := time.Now()
		answers := r.o.Engine.AuthorizeAll(ctx, r.batch)
		took := time.Since(began)
		r.settle(answers)
		if err := r.o.Pause(ctx, r.pace.rest(took)); err != nil {
			return r.stop(err)
		}
	}
	if r.lists++; r.lists%journalEvery == 0 {
		return r.note(ctx)
	}
	return nil
}

func (r *run) stop(err error) error {
	return fmt.Errorf("%w; ask again with id %s", err, r.job.ID)
}

// settle counts what was answered and leaves what was not.
func (r *run) settle(answers []engine.Answer) {
	left := 0
	for i, a := range answers {
		switch {
		case a.Err != nil || a.Decision.Reason.Retryable():
			r.batch[left], r.of[left] = r.batch[i], r.of[i]
			left++
		case a.Decision.Outcome == txn.Approved:
			r.result.Frozen++
		case a.Decision.Reason == txn.AlreadyListed:
			r.result.Already++
		default:
			b := BadLine{Line: r.of[i].number, Code: a.Decision.Reason.String(), Card: r.of[i].masked}
			r.refuse(b)
			r.declined = append(r.declined, b)
		}
	}
	r.batch, r.of = r.batch[:left], r.of[:left]
}

// pace spreads the lists over time.
type pace struct {
	every time.Duration // from the start of one list to that of the next
	usual time.Duration // what a list takes when the switch has little else to do
	debt  time.Duration // that earlier lists took too long
}

// restMax bounds a rest beyond the rate, as a multiple of it: an import must end.
const restMax = 6

// rest returns how long to wait after a list that took so long: as long as the rate says, and
// never less than the list took, so that the import has half of what it works with at most. A
// list that took much longer than usual shows that taps need the machine: the import then
// steps back for twice as long.
func (p *pace) rest(took time.Duration) time.Duration {
	switch {
	case p.usual == 0 || took < p.usual:
		p.usual = took
	default:
		p.usual += (took - p.usual) / 64
	}
	pause := max(p.every-took-p.debt, took)
	if took > 4*p.usual {
		pause = max(pause, 2*took)
	}
	p.debt = max(0, min(took+pause+p.debt-p.every, p.every)) // made up for by shorter rests
	return min(pause, restMax*p.every)
}

// journal is where an import stands. It lags: what was done after it is done again.
type journal struct {
	Lines   int    `json:"lines"`
	Digest  string `json:"digest"` // of those lines
	Frozen  int    `json:"frozen"`
	Already int    `json:"already"`
	// Declined are the lines that the engine refused.
	Declined []BadLine `json:"declined,omitempty"`
}

// declinedMax bounds them: so many show that something else is wrong.
const declinedMax = 300

func (r *run) key() string { return "intake/" + r.job.ID }

// open reads where an earlier run stood.
func (r *run) open(ctx context.Context) error {
	if r.job.DryRun {
		return nil
	}
	value, version, err := r.o.Registry.Get(ctx, r.key())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	r.version = version
	if version == 0 {
		return nil
	}
	if err := json.Unmarshal(value, &r.journal); err != nil {
		return fmt.Errorf("journal of import %s: %w", r.job.ID, err)
	}
	r.result.Frozen, r.result.Already = r.journal.Frozen, r.journal.Already
	r.lines.at, r.lines.want = r.journal.Lines, r.journal.Digest
	r.declined = r.journal.Declined
	for _, b := range r.declined {
		r.refuse(b)
	}
	return nil
}

// note writes where the import stands, unless nothing was done since.
func (r *run) note(ctx context.Context) error {
	switch {
	case r.lines.count <= r.journal.Lines:
		return nil
	case len(r.declined) > declinedMax:
		return fmt.Errorf("%w: the switch declines its lines, as %s", ErrList, r.declined[0].Code)
	}
	r.journal = journal{Lines: r.lines.count, Digest: r.lines.digest(), Frozen: r.result.Frozen,
		Already: r.result.Already, Declined: r.declined}
	value, err := json.Marshal(r.journal)
	if err != nil {
		return fmt.Errorf("journal of import %s: %w", r.job.ID, err)
	}
	err = r.o.Registry.Put(ctx, r.key(), value, r.version)
	switch {
	case errors.Is(err, store.ErrConflict):
		return fmt.Errorf("import %s is run twice at a time: %w", r.job.ID, err)
	case err != nil:
		return r.stop(fmt.Errorf("%w: %w", ErrStore, err))
	}
	r.version++
	return nil
}
