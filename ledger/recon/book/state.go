package book

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Standing is where a break stands.
type Standing string

// The standings.
const (
	Open Standing = "open"
	// Proposed: one person wants it written off, another has to confirm.
	Proposed Standing = "proposed"
	// Resolved by a person.
	Resolved Standing = "resolved"
	// Closed by a run: the other side came, or it is no longer there.
	Closed Standing = "closed"
)

// Run is one run whose result was kept.
type Run struct {
	Number int    `json:"run"`
	Plan   string `json:"plan"`
	Day    string `json:"day"`
	// Digest is the SHA-256 of its report.
	Digest string     `json:"digest"`
	At     txn.Millis `json:"at_ms"`
	Actor  string     `json:"actor"`

	day txn.BusinessDate
	seq uint64
}

// Step is one thing that happened to a break.
type Step struct {
	Break      string     `json:"break"`
	Action     string     `json:"action"`
	Owner      string     `json:"owner,omitempty"`
	Resolution string     `json:"resolution,omitempty"`
	Note       string     `json:"note,omitempty"`
	At         txn.Millis `json:"at_ms"`
	Actor      string     `json:"actor"`
}

// Item is a break with its history.
type Item struct {
	recon.Break
	Plan       string   `json:"plan"`
	Standing   Standing `json:"standing"`
	Resolution string   `json:"resolution,omitempty"`
	History    []Step   `json:"history"`

	day      txn.BusinessDate // of the run that opened it last
	closedBy txn.BusinessDate // of the run that closed it
	proposer string
}

// closing is how a run closes a break.
type closing struct {
	ID   string `json:"id"`
	Note string `json:"note"`
}

// State is what a journal tells.
type State struct {
	runs  []Run
	items map[string]*Item

	pending *pending
}

// pending is a run whose end was not read yet.
type pending struct {
	run    Run
	events []event
}

func newState() *State { return &State{items: map[string]*Item{}} }

// apply folds one event into the state.
func (s *State) apply(e *event) error {
	switch e.Kind {
	case kindRun:
		var r Run
		if err := json.Unmarshal(e.Body, &r); err != nil {
			return err
		}
		day, err := txn.ParseBusinessDate(r.Day)
		if err != nil {
			return err
		}
		r.day, r.seq, r.At, r.Actor = day, e.Seq, e.At, e.Actor
		s.pending = &pending{run: r}
	case kindOpen, kindClose:
		if s.pending == nil {
			return errors.New("a break outside of a run")
		}
		s.pending.events = append(s.pending.events, *e)
	case kindCommit:
		if s.pending == nil {
			return errors.New("the end of no run")
		}
		p := s.pending
		s.pending = nil
		return s.commit(p)
	case kindStep:
		s.pending = nil // a run that was cut short
		return s.step(e)
	default:
		return fmt.Errorf("unknown kind %q", e.Kind)
	}
	return nil
}

func (s *State) commit(p *pending) error {
	s.runs = append(s.runs, p.run)
	for i := range p.events {
		e := &p.events[i]
		var err error
		if e.Kind == kindOpen {
			err = s.open(e, &p.run)
		} else {
			err = s.close(e, &p.run)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *State) open(e *event, r *Run) error {
	var b recon.Break
	if err := json.Unmarshal(e.Body, &b); err != nil {
		return err
	}
	if b.Row() == nil {
		return fmt.Errorf("break %s has no row", b.ID)
	}
	item := s.items[b.ID]
	if item == nil {
		item = &Item{}
		s.items[b.ID] = item
	} else {
		b.Owner = item.Owner
	}
	item.Break, item.Plan, item.Standing, item.day = b, r.Plan, Open, r.day
	item.closedBy = 0
	item.note(e, Step{Action: "opened", Note: fmt.Sprintf("run %d: %s, %s", r.Number, b.Difference, b.Cause)})
	return nil
}

func (s *State) close(e *event, r *Run) error {
	var c closing
	if err := json.Unmarshal(e.Body, &c); err != nil {
		return err
	}
	item := s.items[c.ID]
	if item == nil {
		return fmt.Errorf("close of %q, which was never opened", c.ID)
	}
	item.Standing, item.closedBy = Closed, r.day
	item.note(e, Step{Action: "closed", Note: c.Note})
	return nil
}

func (i *Item) note(e *event, step Step) {
	step.Break, step.At, step.Actor = i.ID, e.At, e.Actor
	i.History = append(i.History, step)
}

func (s *State) step(e *event) error {
	var step Step
	if err := json.Unmarshal(e.Body, &step); err != nil {
		return err
	}
	item := s.items[step.Break]
	if item == nil {
		return fmt.Errorf("step of %q, which was never opened", step.Break)
	}
	switch step.Action {
	case Assign:
		item.Owner = step.Owner
	case Resolve:
		item.Standing, item.Resolution, item.proposer = Resolved, step.Resolution, ""
		if step.Resolution == WrittenOff {
			item.Standing, item.proposer = Proposed, e.Actor
		}
	case Confirm:
		item.Standing = Resolved
	case Reject, Reopen:
		item.Standing, item.Resolution, item.proposer = Open, "", ""
	}
	item.note(e, step)
	return nil
}

// Runs returns the runs that were kept, in order.
func (s *State) Runs() []Run { return slices.Clone(s.runs) }

// Find returns a break by its id; ErrNotFound when there is none.
func (s *State) Find(id string) (Item, error) {
	item := s.items[id]
	if item == nil {
		return Item{}, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	return *item, nil
}

// Breaks returns the breaks of a plan ("" for all) in one of the standings (none for all), the
// oldest first.
func (s *State) Breaks(plan string, standings ...Standing) []Item {
	all := []Item{}
	for _, item := range s.items {
		if (plan == "" || item.Plan == plan) &&
			(len(standings) == 0 || slices.Contains(standings, item.Standing)) {
			all = append(all, *item)
		}
	}
	slices.SortFunc(all, func(a, b Item) int {
		return cmp.Or(cmp.Compare(a.Opened, b.Opened), cmp.Compare(a.Difference, b.Difference),
			cmp.Compare(a.ID, b.ID))
	})
	return all
}

// carried are the rows that go into a run, in order of their breaks' ids.
func (s *State) carried(plan string) (rows [2][]*recon.Row) {
	ids := make([]string, 0, len(s.items))
	for id, item := range s.items {
		waits := item.Standing == Open || item.Standing == Proposed
		if item.Plan == plan && waits && item.Carries() {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		item := s.items[id]
		row, side := item.Ours, recon.Ours
		if row == nil {
			row, side = item.Theirs, recon.Theirs
		}
		clone := *row
		clone.Since, clone.Carried = item.Opened, id
		clone.Text[recon.Origin] = item.Where
		rows[side] = append(rows[side], &clone)
	}
	return rows
}
