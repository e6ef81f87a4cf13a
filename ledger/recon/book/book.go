package book

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/tapswitch/tapswitch/ledger/person"
	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/run"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// What a person does about a break.
const (
	Assign  = "assign"  // give it to Owner
	Comment = "comment" // say something
	Resolve = "resolve" // with a Resolution
	Confirm = "confirm" // a write-off that another person proposed
	Reject  = "reject"  // it stays open
	Reopen  = "reopen"  // what was resolved
)

// The resolutions. WrittenOff needs two people.
const (
	Paid       = "paid"        // money was moved
	Corrected  = "corrected"   // a side corrected its record
	Explained  = "explained"   // there is nothing to do
	WrittenOff = "written_off" // given up
)

// Resolutions returns all of them.
func Resolutions() []string { return []string{Paid, Corrected, Explained, WrittenOff} }

// Limits.
const (
	// TextMax is the longest name, owner or note in bytes.
	TextMax = 2000
	// StepsMax is how many steps one break may have.
	StepsMax = 1000
)

// Refusals.
var (
	ErrNotFound = errors.New("no such break")
	// ErrStanding reports a step that the break's standing does not allow.
	ErrStanding = errors.New("not possible as the break stands")
	// ErrSamePerson reports a write-off that its proposer wants to confirm.
	ErrSamePerson = errors.New("another person has to confirm a write-off")
	// ErrStep reports a step that is none.
	ErrStep = errors.New("no such step")
	// ErrLaterRun reports a day whose result may no longer change.
	ErrLaterRun = errors.New("a later day was run already")
)

// Book is the journal, open for writing. Not safe for concurrent use.
type Book struct {
	lock, file *os.File
	dir        string
	size       int64
	last       event
	state      *State
	broken     error
}

// OpenBook opens the journal in dir and makes both when there is none. A torn last line is cut
// off: it was never acknowledged. ErrInUse when another process writes it.
func OpenBook(dir string) (*Book, error) {
	lock, file, err := take(dir)
	if err != nil {
		return nil, err
	}
	b := &Book{lock: lock, file: file, dir: dir, state: newState()}
	if b.last, b.size, err = open(dir, b.state.apply); err == nil {
		err = file.Truncate(b.size)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.state.pending = nil
	return b, nil
}

// Read returns the state of the journal in dir beside whoever writes it; no journal is an empty
// state.
func Read(dir string) (*State, error) {
	s := newState()
	_, _, err := open(dir, s.apply)
	s.pending = nil
	return s, err
}

// Close frees the lock.
func (b *Book) Close() error { return errors.Join(b.file.Close(), b.lock.Close()) }

// State returns what the journal tells now. It changes with the book.
func (b *Book) State() *State { return b.state }

// Carried returns the rows that go into a run of a plan and day: those of breaks that were open
// before the day was run for the first time, whatever happened since. So a day that is run again
// is run with the same rows.
func Carried(dir, plan string, day txn.BusinessDate) (rows [2][]*recon.Row, err error) {
	now, err := Read(dir)
	if err != nil {
		return rows, err
	}
	first := uint64(0)
	for _, r := range now.runs {
		if r.Plan == plan && r.day == day && first == 0 {
			first = r.seq
		}
	}
	if first == 0 {
		return now.carried(plan), nil
	}
	before := newState()
	if _, _, err = open(dir, func(e *event) error {
		if e.Seq >= first {
			return nil
		}
		return before.apply(e)
	}); err != nil {
		return rows, err
	}
	return before.carried(plan), nil
}

// Kept is what Keep did.
type Kept struct {
	Run Run `json:"run"`
	// Fresh is false when the result is the one that was kept already; nothing was written.
	Fresh  bool `json:"fresh"`
	Opened int  `json:"opened"`
	Closed int  `json:"closed"`
}

// Actor is who does something, and when.
type Actor struct {
	Name string
	At   txn.Millis
}

// Keep writes the result of a run: its new breaks, and the old ones that it closes. A result
// that was kept as the last one of its day is not written again. A day that was run with
// another result is corrected: what is no longer there closes. ErrLaterRun when a later day of
// the plan was run since.
func (b *Book) Keep(res *run.Result, digest string, by Actor) (Kept, error) {
	if err := by.check(); err != nil {
		return Kept{}, err
	}
	var last *Run
	for i := range b.state.runs {
		r := &b.state.runs[i]
		if r.Plan != res.Plan {
			continue
		}
		if r.day == res.Day {
			last = r
		}
	}
	if last != nil && last.Digest == digest {
		return Kept{Run: *last}, nil
	}
	for _, r := range b.state.runs {
		if r.Plan == res.Plan && r.day > res.Day {
			return Kept{}, fmt.Errorf("%w: %s of plan %s, run %d; correct breaks of %s by hand", ErrLaterRun,
				r.Day, r.Plan, r.Number, res.Date)
		}
	}
	r := Run{Number: len(b.state.runs) + 1, Plan: res.Plan, Day: res.Date, Digest: digest}
	c := &changes{state: b.state, res: res, number: r.Number}
	if err := c.gather(r); err != nil {
		return Kept{}, err
	}
	if err := b.append(by.At, by.Name, c.events); err != nil {
		return Kept{}, err
	}
	return Kept{Run: b.state.runs[len(b.state.runs)-1], Fresh: true, Opened: c.opened,
		Closed: c.closed}, nil
}

// changes are the events that a result makes.
type changes struct {
	state          *State
	res            *run.Result
	number         int
	events         []event
	opened, closed int
}

func (c *changes) add(kind string, body any) error {
	text, err := json.Marshal(body)
	c.events = append(c.events, event{Kind: kind, Body: text})
	return err
}

func (c *changes) gather(r Run) error {
	if err := c.add(kindRun, r); err != nil {
		return err
	}
	there := map[string]bool{}
	for _, b := range c.res.Breaks {
		there[b.ID] = true
		item := c.state.items[b.ID]
		if item != nil && (item.Standing != Closed || item.closedBy != c.res.Day) {
			continue // it is open already, or a person is done with it
		}
		c.opened++
		if err := c.add(kindOpen, b); err != nil {
			return err
		}
	}
	for _, cl := range c.res.Closed {
		if err := c.close(cl.ID, fmt.Sprintf("run %d: the other side came, rule %s", c.number, cl.Rule)); err != nil {
			return err
		}
	}
	for _, b := range c.res.Breaks {
		for _, id := range b.Carried() {
			if id == b.ID {
				continue
			}
			if err := c.close(id, fmt.Sprintf("run %d: goes on as break %s", c.number, b.ID)); err != nil {
				return err
			}
		}
	}
	if err := c.closeGone(there); err != nil {
		return err
	}
	return c.add(kindCommit, struct {
		Run int `json:"run"`
	}{c.number})
}

// closeGone closes what an earlier run of the day opened and this one does not see.
func (c *changes) closeGone(there map[string]bool) error {
	var gone []string
	for id, item := range c.state.items {
		if item.Plan == c.res.Plan && item.day == c.res.Day && !there[id] {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	for _, id := range gone {
		if err := c.close(id, fmt.Sprintf("run %d: no longer there", c.number)); err != nil {
			return err
		}
	}
	return nil
}

// close closes a break unless somebody did before.
func (c *changes) close(id, note string) error {
	item := c.state.items[id]
	if item == nil || item.Standing == Closed || item.Standing == Resolved {
		return nil
	}
	c.closed++
	return c.add(kindClose, closing{id, note})
}

func (a *Actor) check() error {
	if a.Name == "" || len(a.Name) > TextMax {
		return fmt.Errorf("%w: nobody is named who does it", ErrStep)
	}
	return nil
}

// Do writes a step of a person. It is durable on return.
func (b *Book) Do(step Step, by Actor) error {
	if err := by.check(); err != nil {
		return err
	}
	item := b.state.items[step.Break]
	if item == nil {
		return fmt.Errorf("%w: %q", ErrNotFound, step.Break)
	}
	if err := item.allows(&step, by.Name); err != nil {
		return fmt.Errorf("%s of break %s, which is %s: %w", step.Action, step.Break, item.Standing, err)
	}
	step.At, step.Actor = 0, "" // those of the event count
	text, err := json.Marshal(step)
	if err != nil {
		return fmt.Errorf("step of break %s: %w", step.Break, err)
	}
	return b.append(by.At, by.Name, []event{{Kind: kindStep, Body: text}})
}

// allows says whether a step is possible.
func (i *Item) allows(s *Step, actor string) error {
	if len(s.Note) > TextMax || len(s.Owner) > TextMax || len(i.History) >= StepsMax {
		return fmt.Errorf("%w: longer than %d bytes, or more than %d steps", ErrStep, TextMax, StepsMax)
	}
	want := map[string][]Standing{Assign: {Open, Proposed}, Comment: {Open, Proposed, Resolved, Closed},
		Resolve: {Open}, Confirm: {Proposed}, Reject: {Proposed}, Reopen: {Resolved}}[s.Action]
	switch {
	case want == nil:
		return ErrStep
	case !slices.Contains(want, i.Standing):
		return ErrStanding
	case s.Action == Resolve && !slices.Contains(Resolutions(), s.Resolution):
		return fmt.Errorf("%w: resolution %q; known are %v", ErrStep, s.Resolution, Resolutions())
	case s.Action == Resolve && s.Note == "":
		return fmt.Errorf("%w: a resolution needs a note that says why", ErrStep)
	case s.Action == Assign && s.Owner == "":
		return fmt.Errorf("%w: assign needs an owner", ErrStep)
	case s.Action == Confirm && person.Same(actor, i.proposer):
		return ErrSamePerson
	}
	return nil
}

// Calendar counts working days; switch/scheme's does.
type Calendar interface {
	// WorkingDays returns how many working days lie after from, up to and with to.
	WorkingDays(from, to txn.BusinessDate) (int, error)
}

// Age returns how many working days a break is old on a day.
func (i *Item) Age(on txn.BusinessDate, c Calendar) (int, error) {
	if on < i.Opened {
		return 0, nil
	}
	return c.WorkingDays(i.Opened, on)
}
