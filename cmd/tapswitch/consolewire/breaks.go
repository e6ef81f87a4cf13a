package consolewire

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/ledger/console"
	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/book"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// BreaksOptions make Breaks.
type BreaksOptions struct {
	// Dir is the folder of the journal of breaks; it need not be there yet.
	Dir string
	// Work counts working days.
	Work book.Calendar
	// Today is the present business date, Now the clock.
	Today func() txn.BusinessDate
	Now   func() txn.Millis
}

// journalName is the journal's file, by whose size and age a change is seen.
const journalName = "breaks.jsonl"

// Breaks reads the journal of breaks, and writes the steps that persons take.
type Breaks struct {
	o BreaksOptions

	mu    sync.Mutex // guards the fields below, and is held while the journal is open
	stamp stamp
	state *book.State
}

var _ console.Breaks = (*Breaks)(nil)

// NewBreaks returns a reader.
func NewBreaks(o BreaksOptions) *Breaks { return &Breaks{o: o} }

// readLocked returns the state of the journal, read again only when it changed.
func (b *Breaks) readLocked() (*book.State, error) {
	now, err := stampOf(filepath.Join(b.o.Dir, journalName))
	if err != nil {
		return nil, fmt.Errorf("journal of breaks: %w", err)
	}
	if b.state != nil && now == b.stamp {
		return b.state, nil
	}
	state, err := book.Read(b.o.Dir)
	if err != nil {
		return nil, err
	}
	b.state, b.stamp = state, now
	return state, nil
}

// List implements console.Breaks.
func (b *Breaks) List(_ context.Context, f console.BreakFilter) (l console.BreakList, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state, err := b.readLocked()
	if err != nil {
		return l, err
	}
	if runs := state.Runs(); len(runs) > 0 {
		last := runs[len(runs)-1]
		l.Run = last.Plan + " " + last.Day + " #" + strconv.Itoa(last.Number)
		l.RunAt = last.At.Time()
	}
	var standings []book.Standing
	if f.State != "" {
		standings = append(standings, book.Standing(f.State))
	}
	after := f.After == ""
	for _, item := range state.Breaks("", standings...) {
		if !after {
			after = item.ID == f.After
			continue
		}
		if f.Kind != "" && string(item.Difference) != f.Kind || f.Owner != "" && item.Owner != f.Owner {
			continue
		}
		if f.Max > 0 && len(l.Breaks) == f.Max {
			l.Next = l.Breaks[len(l.Breaks)-1].ID
			break
		}
		shown, err := b.show(&item)
		if err != nil {
			return l, err
		}
		l.Breaks = append(l.Breaks, *shown)
	}
	return l, nil
}

// Show implements console.Breaks.
func (b *Breaks) Show(_ context.Context, id string) (*console.Break, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state, err := b.readLocked()
	if err != nil {
		return nil, err
	}
	item, err := state.Find(id)
	if errors.Is(err, book.ErrNotFound) {
		return nil, fmt.Errorf("%w: %w", console.ErrNone, err)
	}
	if err != nil {
		return nil, err
	}
	return b.show(&item)
}

// show tells a break as a page shows it.
func (b *Breaks) show(i *book.Item) (*console.Break, error) {
	age, err := i.Age(b.o.Today(), b.o.Work)
	if err != nil {
		return nil, fmt.Errorf("age of break %s: %w", i.ID, err)
	}
	s := &console.Break{ID: i.ID, State: string(i.Standing), Kind: string(i.Difference), Cause: string(i.Cause),
		Side: "both", Counterparty: i.Plan, Date: i.Opened, Amount: i.Gap, Currency: uint16(i.Currency()), AgeDays: age,
		Owner: i.Owner, Resolution: i.Resolution, Evidence: i.Evidence,
		Ours: fields(i.Ours), Theirs: fields(i.Theirs), Claim: fields(i.Claim)}
	switch {
	case i.Ours == nil && i.Theirs == nil:
		s.Side = "claims"
	case i.Theirs == nil:
		s.Side = "ours"
	case i.Ours == nil:
		s.Side = "theirs"
	}
	for _, h := range i.History {
		note := h.Note
		if h.Owner != "" {
			note = h.Owner + " " + note
		}
		s.History = append(s.History, console.BreakEvent{At: h.At.Time(), Actor: h.Actor, Action: h.Action, Note: note})
	}
	return s, nil
}

// fields are what a row says. A card stands there as its last digits only.
func fields(r *recon.Row) (all []console.Field) {
	if r == nil {
		return nil
	}
	for f, text := range r.Text {
		if text == "" || recon.Field(f) == recon.Card {
			continue
		}
		all = append(all, console.Field{Name: recon.Field(f).String(), Value: text})
	}
	all = append(all, console.Field{Name: "amount", Value: strconv.FormatInt(r.Amount, 10)})
	if r.Date != 0 {
		all = append(all, console.Field{Name: "date", Value: r.Date.String()})
	}
	if r.At != 0 {
		all = append(all, console.Field{Name: "time", Value: r.At.Time().UTC().Format(time.RFC3339)})
	}
	return all
}

// Act implements console.Breaks.
func (b *Breaks) Act(_ context.Context, id string, a console.BreakAction) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	state, err := b.readLocked()
	if err != nil {
		return err
	}
	if _, err := state.Find(id); err != nil {
		return fmt.Errorf("%w: %w", console.ErrNone, err)
	}
	open, err := book.OpenBook(b.o.Dir)
	if errors.Is(err, book.ErrInUse) {
		return &console.Refusal{English: "The breaks are being changed by another process. Try again in a moment.",
			Chinese: "另一进程正在修改差异，请稍后再试。"}
	}
	if err != nil {
		return err
	}
	err = open.Do(book.Step{Break: id, Action: a.Step, Owner: a.Owner, Resolution: a.Resolution, Note: a.Note},
		book.Actor{Name: a.Actor, At: b.o.Now()})
	return refused(errors.Join(err, open.Close()))
}

// refused gives what the journal does not take its words for a person.
func refused(err error) error {
	switch {
	case errors.Is(err, book.ErrSamePerson):
		return &console.Refusal{English: "Another person has to confirm a write-off.", Chinese: "核销须由另一人确认。"}
	case errors.Is(err, book.ErrStanding):
		return &console.Refusal{English: "This is not possible as the break stands. Look again.",
			Chinese: "差异当前状态不允许此操作，请刷新查看。"}
	case errors.Is(err, book.ErrStep):
		return &console.Refusal{English: "This step is not complete.", Chinese: "操作内容不完整。"}
	}
	return err
}
