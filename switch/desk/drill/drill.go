package drill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Options of New. Cards, Registry, Tokenizer and Books are needed.
type Options struct {
	Cards     store.Cards
	Registry  store.Registry
	Tokenizer *pan.Tokenizer
	Books     fs.FS // the runbooks
	Currency  txn.Currency
	Now       func() txn.Millis
}

// Service keeps drills.
type Service struct {
	o        Options
	books    []Book
	terminal txn.TerminalID
}

// Limits.
const (
	// TextMax bounds the bytes of a finding and of a conclusion.
	TextMax = 400
	// PeopleMax bounds those who take part, NameMax the bytes of a name.
	PeopleMax = 20
	NameMax   = 48

	triesMax = 20
	noteMax  = 128
	version  = 1
)

var (
	// ErrUnknown reports a runbook or a drill that is not there.
	ErrUnknown = errors.New("no such drill or runbook")
	// ErrRefused reports a change that the drill's state does not permit, or a bad field.
	ErrRefused = errors.New("drill")
	// ErrStore reports that the store did not answer; the change may have been made, and the
	// drill tells.
	ErrStore = errors.New("the store does not answer")
)

// Result is what became of a step.
type Result string

// The results. Skipped is for a step that does not apply; its finding says why.
const (
	Passed  Result = "passed"
	Failed  Result = "failed"
	Skipped Result = "skipped"
)

// Step is one that was done.
type Step struct {
	No      int        `json:"no"`
	Result  Result     `json:"result"`
	Finding string     `json:"finding,omitempty"`
	By      string     `json:"by"`
	At      txn.Millis `json:"at"`
}

// Drill is one drill.
type Drill struct {
	Version    int        `json:"version"`
	ID         string     `json:"id"`
	Book       string     `json:"book"`
	Steps      []string   `json:"steps"` // as they stood in the runbook
	StartedBy  string     `json:"started_by"`
	StartedAt  txn.Millis `json:"started_at"`
	People     []string   `json:"people"`
	Done       []Step     `json:"done"` // in the order in which they were done; the last word counts
	FinishedBy string     `json:"finished_by,omitempty"`
	FinishedAt txn.Millis `json:"finished_at,omitempty"`
	Conclusion string     `json:"conclusion,omitempty"`
	Passed     bool       `json:"passed"`
}

// New returns a service.
func New(o Options) (*Service, error) {
	if o.Cards == nil || o.Registry == nil || o.Tokenizer == nil || o.Books == nil {
		return nil, errors.New("drill: cards, registry, tokenizer and runbooks are needed")
	}
	if o.Now == nil {
		o.Now = func() txn.Millis { return txn.MillisOf(time.Now()) }
	}
	if o.Currency == 0 {
		o.Currency = txn.CNY
	}
	books, err := Books(o.Books)
	if err != nil {
		return nil, err
	}
	terminal, err := txn.ParseTerminalID("DRILL")
	if err != nil {
		panic("drill: internal error: " + err.Error())
	}
	return &Service{o, books, terminal}, nil
}

// Runbooks returns the runbooks that have a drill.
func (s *Service) Runbooks() []Book { return slices.Clone(s.books) }

func (s *Service) book(name string) (*Book, error) {
	i := slices.IndexFunc(s.books, func(b Book) bool { return b.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: runbook %.40q", ErrUnknown, name)
	}
	return &s.books[i], nil
}

const indexPrefix = "drill/"

func (s *Service) token(id string) pan.Token { return s.o.Tokenizer.Derive("drill", id) }

// Start begins a drill. Two of one runbook cannot begin in the same millisecond, which names it.
func (s *Service) Start(ctx context.Context, book, by string, people []string) (*Drill, error) {
	b, err := s.book(book)
	if err != nil {
		return nil, err
	}
	if len(people) > PeopleMax || slices.ContainsFunc(people, func(p string) bool { return !fits(p, NameMax) || p == "" }) {
		return nil, fmt.Errorf("%w: at most %d people, each by a name of at most %d bytes", ErrRefused, PeopleMax, NameMax)
	}
	now := s.o.Now()
	d := &Drill{Version: version, ID: fmt.Sprintf("%s.%d", b.Name, now), Book: b.Name, Steps: b.Steps, StartedBy: by,
		StartedAt: now, People: append([]string{}, people...), Done: []Step{}}
	err = s.o.Registry.Put(ctx, indexPrefix+b.Name+"/"+d.ID, []byte(d.ID), 0)
	switch {
	case errors.Is(err, store.ErrConflict):
		return nil, fmt.Errorf("%w: %s began at the same time", ErrRefused, d.ID)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return d, s.commit(ctx, d, 0, by, "drill start "+d.ID)
}

// Do keeps what became of a step; said again, the last word counts and the first stays on
// record.
func (s *Service) Do(ctx context.Context, id string, step Step) (*Drill, error) {
	switch step.Result {
	case Passed, Failed, Skipped:
	default:
		return nil, fmt.Errorf("%w: result: want %s, %s or %s", ErrRefused, Passed, Failed, Skipped)
	}
	if !fits(step.Finding, TextMax) || step.Result != Passed && step.Finding == "" {
		return nil, fmt.Errorf("%w: finding: at most %d bytes; what failed or was skipped says why", ErrRefused, TextMax)
	}
	step.At = s.o.Now()
	return s.change(ctx, id, step.By, func(d *Drill) (string, error) {
		if step.No < 1 || step.No > len(d.Steps) {
			return "", fmt.Errorf("%w: step: want 1 to %d", ErrRefused, len(d.Steps))
		}
		if len(d.Done) >= 2*StepsMax {
			return "", fmt.Errorf("%w: %d results are kept already", ErrRefused, len(d.Done))
		}
		d.Done = append(d.Done, step)
		return fmt.Sprintf("drill step %d %s %s", step.No, step.Result, d.ID), nil
	})
}

// Finish ends a drill. It has passed when no step failed.
func (s *Service) Finish(ctx context.Context, id, by, conclusion string) (*Drill, error) {
	if conclusion == "" || !fits(conclusion, TextMax) {
		return nil, fmt.Errorf("%w: a conclusion of at most %d bytes is needed", ErrRefused, TextMax)
	}
	return s.change(ctx, id, by, func(d *Drill) (string, error) {
		last := map[int]Result{}
		for _, step := range d.Done {
			last[step.No] = step.Result
		}
		d.Passed = true
		for n := range d.Steps {
			switch last[n+1] {
			case "":
				return "", fmt.Errorf("%w: nothing stands at step %d", ErrRefused, n+1)
			case Failed:
				d.Passed = false
			}
		}
		d.FinishedBy, d.FinishedAt, d.Conclusion = by, s.o.Now(), conclusion
		outcome := Failed
		if d.Passed {
			outcome = Passed
		}
		return fmt.Sprintf("drill finish %s %s", outcome, d.ID), nil
	})
}

// fits bounds a text and wants it printable.
func fits(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return c < ' ' })
}

// change changes an open drill.
func (s *Service) change(ctx context.Context, id, by string, f func(*Drill) (string, error)) (*Drill, error) {
	for range triesMax {
		d, at, err := s.load(ctx, id)
		if err != nil {
			return nil, err
		}
		if d.FinishedAt != 0 {
			return nil, fmt.Errorf("%w: %s is finished", ErrRefused, id)
		}
		note, err := f(d)
		if err != nil {
			return nil, err
		}
		if err := s.commit(ctx, d, at, by, note); !errors.Is(err, store.ErrConflict) {
			return d, err
		}
	}
	return nil, fmt.Errorf("%w: drill %s changes too often", ErrStore, id)
}

// Get returns a drill.
func (s *Service) Get(ctx context.Context, id string) (*Drill, error) {
	d, _, err := s.load(ctx, id)
	return d, err
}

func (s *Service) load(ctx context.Context, id string) (*Drill, uint64, error) {
	l, err := s.o.Cards.Load(ctx, s.token(id), nil)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrStore, err)
	}
	d := new(Drill)
	if l.Version == 0 {
		return nil, 0, fmt.Errorf("%w: drill %.80q", ErrUnknown, id)
	}
	if err := json.Unmarshal(l.State, d); err != nil || d.Version > version {
		return nil, 0, fmt.Errorf("drill %s cannot be read (version %d): %w", id, d.Version, errors.Join(err, ErrRefused))
	}
	return d, l.Version, nil
}

// commit writes a drill and its line of the audit trail in one step.
func (s *Service) commit(ctx context.Context, d *Drill, at uint64, by, note string) error {
	state, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("drill %s: %w", d.ID, err)
	}
	if len(state) > store.StateMax {
		return fmt.Errorf("%w: %s has no room left", ErrRefused, d.ID)
	}
	token, now := s.token(d.ID), s.o.Now()
	h := fnv.New32a()
	_, _ = h.Write([]byte(d.ID)) // a hash never fails
	r := &txn.Record{Version: txn.RecordVersion, Position: txn.Position{Bucket: txn.BucketOf(token)},
		Request: txn.RequestID{Terminal: s.terminal, Boot: h.Sum32(), Counter: uint32(at + 1)}, Kind: txn.Desk,
		Outcome: txn.Approved, Card: token, CardVersion: at + 1, Currency: s.o.Currency, ServiceAt: now,
		ReceivedAt: now, Listing: txn.Listing{Actor: by, Note: note[:min(len(note), noteMax)]}}
	c := &store.Commit{Card: token, Version: at, State: state, Record: txn.AppendRecord(nil, r)}
	if err := s.o.Cards.Commit(ctx, []*store.Commit{c}); err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	switch c.Status {
	case store.Committed:
		return nil
	case store.VersionConflict:
		return store.ErrConflict
	default:
		return fmt.Errorf("%w: %s", ErrStore, c.Status)
	}
}

// Standing is a runbook with its last drills.
type Standing struct {
	Book
	// LastPassed is when a drill was last finished that had passed; 0 for never.
	LastPassed txn.Millis `json:"-"`
	Due        txn.Millis `json:"-"` // when the next is due; 0 for now: there was none
	Overdue    bool       `json:"overdue"`
	Drills     []*Drill   `json:"drills"` // the latest first, at most DrillsMax
}

// DrillsMax bounds the drills of a runbook that are told.
const DrillsMax = 20

const dayMS txn.Millis = 86_400_000

// All tells every runbook with its drills and when the next is due. A runbook that never was
// drilled is overdue.
func (s *Service) All(ctx context.Context) ([]Standing, error) {
	var all []Standing
	now := s.o.Now()
	for _, b := range s.books {
		one := Standing{Book: b, Drills: []*Drill{}}
		keys, err := s.o.Registry.Keys(ctx, indexPrefix+b.Name+"/")
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStore, err)
		}
		for _, key := range slices.Backward(keys) {
			d, _, err := s.load(ctx, strings.TrimPrefix(key, indexPrefix+b.Name+"/"))
			if errors.Is(err, ErrUnknown) {
				continue // the index is written first
			}
			if err != nil {
				return nil, err
			}
			if d.Passed && d.FinishedAt > one.LastPassed {
				one.LastPassed = d.FinishedAt
			}
			if len(one.Drills) < DrillsMax {
				one.Drills = append(one.Drills, d)
			}
		}
		if one.LastPassed != 0 {
			one.Due = one.LastPassed + txn.Millis(b.Days)*dayMS
		}
		one.Overdue = one.Due <= now
		all = append(all, one)
	}
	return all, nil
}
