package finding

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Options of New. Registry, City and Now are needed.
type Options struct {
	Registry store.Registry
	City     string
	Now      func() txn.Millis
	// Signer signs evidence; without one it is chained only.
	Signer receipt.Signer
	Rules  Rules
	// About tells what is known of a card's holder; without it every card is nobody's.
	About func(ctx context.Context, card pan.Token) (Holder, error)
	// ScanMax bounds the records of one scan, which stand in memory: 2,000,000 by default.
	ScanMax int
	Logger  *slog.Logger
}

// Service keeps evidence.
type Service struct{ o Options }

// New returns a service.
func New(o Options) (*Service, error) {
	if o.Registry == nil || o.City == "" || o.Now == nil {
		return nil, errors.New("finding: registry, city and clock are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.ScanMax <= 0 {
		o.ScanMax = scanMax
	}
	return &Service{o}, nil
}

// Registry keys. The chain goes by number; "id" leads from a finding to its number.
const (
	headKey     = "finding/head"
	chainPrefix = "finding/chain/"
	idPrefix    = "finding/id/"
	statePrefix = "finding/state/"
)

func chainKey(n uint64) string { return fmt.Sprintf("%s%012d", chainPrefix, n) }
func stateKey(n uint64) string { return fmt.Sprintf("%s%012d", statePrefix, n) }

// head is the last of the chain.
type head struct {
	Number uint64 `json:"number"`
	Hash   string `json:"hash"`
}

// triesMax bounds the rounds of one change against other writers.
const triesMax = 32

// ErrUnknown reports a number that no evidence has.
var ErrUnknown = errors.New("finding: no such evidence")

// Seal keeps a finding as evidence, once, and returns its number. made is false for one that
// is kept already.
func (s *Service) Seal(ctx context.Context, f *Finding) (number uint64, made bool, err error) {
	id := f.ID()
	for range triesMax {
		if n, known, err := s.numberOf(ctx, id); err != nil || known {
			return n, false, err
		}
		last, version, err := s.head(ctx)
		if err != nil {
			return 0, false, err
		}
		e := &Evidence{Card: f.Card.String(), City: s.o.City, FoundAt: s.o.Now(), ID: id, Kind: f.Kind,
			Last4: f.Last4.String(), Lost: f.Lost, Number: last.Number + 1, Previous: last.Hash, Uses: f.Uses,
			Version: evidenceVersion, Why: f.Why}
		sealed, err := seal(e, s.o.Signer)
		if err != nil {
			return 0, false, err
		}
		err = s.put(ctx, chainKey(e.Number), sealed, 0)
		if err != nil && !errors.Is(err, store.ErrConflict) {
			return 0, false, err
		}
		made := err == nil
		if err := s.advance(ctx, e.Number, version); err != nil {
			return 0, false, err
		}
		if made {
			return e.Number, true, nil
		}
	}
	return 0, false, errors.New("finding: the chain changes too often, ask again")
}

// advance moves the head to the evidence of number n, whoever wrote it: a writer that died
// between the two is finished by the next.
func (s *Service) advance(ctx context.Context, n uint64, version uint64) error {
	sealed, e, err := s.Get(ctx, n)
	if err != nil {
		return err
	}
	value, err := json.Marshal(n)
	if err == nil {
		err = s.o.Registry.Put(ctx, idPrefix+e.ID, value, 0)
	}
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("evidence %d: %w", n, err)
	}
	err = s.put(ctx, headKey, head{n, sealed.Hash}, version)
	if errors.Is(err, store.ErrConflict) {
		return nil // another writer has moved it
	}
	return err
}

func (s *Service) head(ctx context.Context) (h head, version uint64, err error) {
	version, err = s.get(ctx, headKey, &h)
	return h, version, err
}

func (s *Service) numberOf(ctx context.Context, id string) (n uint64, known bool, err error) {
	version, err := s.get(ctx, idPrefix+id, &n)
	return n, version > 0, err
}

// Get returns evidence, proven whole.
func (s *Service) Get(ctx context.Context, n uint64) (*Sealed, *Evidence, error) {
	sealed := new(Sealed)
	version, err := s.get(ctx, chainKey(n), sealed)
	switch {
	case err != nil:
		return nil, nil, err
	case version == 0:
		return nil, nil, fmt.Errorf("%w: %d", ErrUnknown, n)
	}
	e, err := sealed.Open()
	if err == nil && e.Number != n {
		err = fmt.Errorf("%w: %d bears number %d", ErrEvidence, n, e.Number)
	}
	return sealed, e, err
}

// Verify walks the chain from the first piece to the head and returns how many there are. An
// error that wraps ErrEvidence names the first that was changed, moved or taken out.
func (s *Service) Verify(ctx context.Context) (uint64, error) {
	last, _, err := s.head(ctx)
	if err != nil {
		return 0, err
	}
	previous := ""
	for n := uint64(1); n <= last.Number; n++ {
		sealed, e, err := s.Get(ctx, n)
		if errors.Is(err, ErrUnknown) {
			err = fmt.Errorf("%w: %d is missing", ErrEvidence, n)
		}
		if err != nil {
			return n - 1, err
		}
		if e.Previous != previous {
			return n - 1, fmt.Errorf("%w: %d does not follow the one before", ErrEvidence, n)
		}
		previous = sealed.Hash
	}
	if previous != last.Hash {
		return last.Number, fmt.Errorf("%w: the head is another", ErrEvidence)
	}
	return last.Number, nil
}

// Listed is evidence with where it stands.
type Listed struct {
	Evidence *Evidence `json:"evidence"`
	Hash     string    `json:"hash"`
	State    *Case     `json:"state"`
}

// PageMax bounds one page of List.
const PageMax = 500

// List returns evidence after a number, at most most of them.
func (s *Service) List(ctx context.Context, after uint64, most int) ([]Listed, error) {
	last, _, err := s.head(ctx)
	if err != nil {
		return nil, err
	}
	all := []Listed{}
	for n := after + 1; n <= last.Number && len(all) < min(most, PageMax); n++ {
		sealed, e, err := s.Get(ctx, n)
		if err != nil {
			return nil, err
		}
		c, _, err := s.state(ctx, n)
		if err != nil {
			return nil, err
		}
		all = append(all, Listed{Evidence: e, Hash: sealed.Hash, State: c})
	}
	return all, nil
}

// Days reads the ledger by days.
type Days interface {
	// Between calls yield for every settled record of the business dates from to to.
	Between(ctx context.Context, from, to txn.BusinessDate, yield func(*txn.Record) error) error
}

// scanMax is about a gigabyte of records: more than a day of a city.
const scanMax = 2_000_000

// Scan looks through some days of the ledger and seals what it finds. The same days again
// find nothing new.
func (s *Service) Scan(ctx context.Context, days Days, from, to txn.BusinessDate) (found, made int, err error) {
	cards := map[pan.Token][]txn.Record{}
	n := 0
	err = days.Between(ctx, from, to, func(r *txn.Record) error {
		if r.Kind.IsMarker() || r.Kind.IsAgency() || r.Kind == txn.Desk {
			return nil
		}
		if n++; n > s.o.ScanMax {
			return fmt.Errorf("finding: more than %d records, scan fewer days", s.o.ScanMax)
		}
		own := *r
		own.Postings, own.Discounts = nil, nil
		cards[r.Card] = append(cards[r.Card], own)
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	rules, err := s.rules(ctx)
	if err != nil {
		return 0, 0, err
	}
	for card, records := range cards {
		f, m, err := s.look(ctx, card, records, rules)
		found, made = found+f, made+m
		if err != nil {
			return found, made, err
		}
	}
	return found, made, nil
}

// anyEnd makes every ride at preference one after its end.
const anyEnd txn.Millis = 1

// look seals what the records of one card show. The holder is asked about only for a card of
// which something could be found.
func (s *Service) look(ctx context.Context, card pan.Token, records []txn.Record, rules Rules) (found, made int, err error) {
	if len(Detect(records, Holder{RiderUntil: anyEnd}, rules)) == 0 {
		return 0, 0, nil
	}
	var h Holder
	if s.o.About != nil {
		if h, err = s.o.About(ctx, card); err != nil {
			return 0, 0, err
		}
	}
	for _, f := range Detect(records, h, rules) {
		found++
		n, new, err := s.Seal(ctx, &f)
		if err != nil {
			return found, made, err
		}
		if new {
			made++
			s.o.Logger.Info("finding", "number", n, "kind", f.Kind, "card", card.String(), "lost", f.Lost)
		}
	}
	return found, made, nil
}

// rules are the options' with the registered travel times where the options have none.
func (s *Service) rules(ctx context.Context) (Rules, error) {
	rules := s.o.Rules
	if rules.Travel != nil {
		return rules, nil
	}
	table, err := s.Travel(ctx)
	if err == nil && len(table.Legs) > 0 {
		rules.Travel, err = NewTravel(table.Legs, table.SlackSeconds)
	}
	return rules, err
}

const travelKey = "finding/travel"

// Travel returns the registered travel times, none where there are none.
func (s *Service) Travel(ctx context.Context) (TravelTable, error) {
	var table TravelTable
	_, err := s.get(ctx, travelKey, &table)
	return table, err
}

// PutTravel registers travel times for the scans from now on; at most RegisteredLegsMax. The
// error wraps ErrTravel where they are none.
func (s *Service) PutTravel(ctx context.Context, table TravelTable) error {
	if len(table.Legs) > RegisteredLegsMax {
		return fmt.Errorf("%w: %d legs, at most %d in the registry", ErrTravel, len(table.Legs), RegisteredLegsMax)
	}
	if _, err := NewTravel(table.Legs, table.SlackSeconds); err != nil {
		return err
	}
	_, version, err := s.o.Registry.Get(ctx, travelKey)
	if err != nil {
		return fmt.Errorf("registry %s: %w", travelKey, err)
	}
	return s.put(ctx, travelKey, table, version)
}

func (s *Service) get(ctx context.Context, key string, v any) (version uint64, err error) {
	value, version, err := s.o.Registry.Get(ctx, key)
	if err != nil || version == 0 {
		return 0, err
	}
	if err := json.Unmarshal(value, v); err != nil {
		return 0, fmt.Errorf("%w: registry %s", ErrEvidence, key)
	}
	return version, nil
}

func (s *Service) put(ctx context.Context, key string, v any, version uint64) error {
	value, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("registry %s: %w", key, err)
	}
	if err := s.o.Registry.Put(ctx, key, value, version); err != nil {
		return fmt.Errorf("registry %s: %w", key, err)
	}
	return nil
}

// ParseNumber reads the number of evidence.
func ParseNumber(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 48)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%w: %q is no number", ErrUnknown, text)
	}
	return n, nil
}
