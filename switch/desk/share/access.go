package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Ask is a unit's wish to be told something.
type Ask struct {
	Consumer string
	Purpose  string
	Operator string   // who asks, a name of the unit's own
	Fields   []string // a part of what was agreed; none: all of it
}

// Told is what a unit is told about one person, already minimised.
type Told struct {
	Refusal Refusal
	// Account is the account's own refusal with ByAccount: no consent, or no such purpose.
	Account account.Refusal
	Person  map[string]any
	Records []map[string]any
}

// recordsMax bounds the records of one query about a person.
const recordsMax = 500

// Query tells a unit about one person. The account's rules judge purpose and consent, and
// its audit trail has the query before anything is told.
func (s *Service) Query(ctx context.Context, ask Ask, id account.CommandID, person pan.Token) (Told, error) {
	c, refusal, err := s.admitted(ctx, &ask)
	if err != nil || refusal != RefusalNone {
		return Told{Refusal: refusal}, err
	}
	a, err := s.o.Desk.Do(ctx, person, account.Command{ID: id, Made: s.now(),
		By: account.Staff{ID: ask.Operator, Role: c.Role, Outlet: c.Name},
		Step: account.Query{Who: account.Who{Actor: account.Authority, Channel: account.AtUnit},
			Purpose: ask.Purpose, Party: c.Name}})
	switch {
	case err != nil:
		return Told{}, err
	case a.Outcome.Refusal != account.RefusalNone:
		return Told{Refusal: ByAccount, Account: a.Outcome.Refusal}, nil
	}
	told := Told{Person: minimise(ask.Fields, nil, a.Account)}
	if slices.Contains(ask.Fields, subject) {
		told.Person[subject] = s.pseudonym(c.Name, person)
	}
	told.Records, err = s.recordsOf(ctx, a.Account, ask.Fields)
	return told, err
}

// admitted is Admit that notes a refusal and fills in what fields may be told.
func (s *Service) admitted(ctx context.Context, ask *Ask) (*Consumer, Refusal, error) {
	if ask.Operator == "" || len(ask.Operator) > account.NameMax {
		return nil, ConsumerUnknown, nil
	}
	c, refusal, err := s.Admit(ctx, ask.Consumer, ask.Purpose, ask.Fields)
	if err != nil {
		return nil, refusal, err
	}
	if refusal != RefusalNone {
		s.log.Warn("use of data refused", "consumer", ask.Consumer, "purpose", ask.Purpose,
			"operator", ask.Operator, "refusal", refusal.String())
		return nil, refusal, nil
	}
	if len(ask.Fields) == 0 {
		ask.Fields = c.Fields
	}
	return c, refusal, nil
}

// recordsOf returns the minimised records of every carrier of an account.
func (s *Service) recordsOf(ctx context.Context, doc *account.Account, fields []string) ([]map[string]any, error) {
	var all []map[string]any
	for _, token := range carriersOf(doc) {
		rows, err := s.o.Desk.RecordsOf(ctx, token, 0, recordsMax)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			if m := minimise(fields, &rows[i], nil); len(m) > 0 && len(all) < recordsMax {
				all = append(all, m)
			}
		}
	}
	return all, nil
}

// carriersOf lists the tokens of an account's carriers, dead ones too.
func carriersOf(doc *account.Account) []pan.Token {
	var all []pan.Token
	for _, c := range doc.Carriers {
		all = append(all, c.Token)
	}
	for _, f := range doc.Former {
		all = append(all, f.Token)
	}
	return all
}

// Stream hands records on to one unit, minimised, for as long as its agreement lasts. It is
// for one goroutine.
type Stream struct {
	s       *Service
	ask     Ask
	c       *Consumer
	consent bool
	checked txn.Millis
	last    pan.Token // the card that agreed was asked about
	agreed  bool
}

// recheckEvery is how long a stream goes by what it read of its unit's agreement: a unit
// that is removed or narrowed is cut off within it.
const recheckEvery txn.Millis = 10_000

// OpenStream admits a unit to a stream or an export, and leaves its audit record before the
// first line.
func (s *Service) OpenStream(ctx context.Context, ask Ask, what string) (*Stream, Refusal, error) {
	c, refusal, err := s.admitted(ctx, &ask)
	if err != nil || refusal != RefusalNone {
		return nil, refusal, err
	}
	rule := s.purpose(ask.Purpose)
	if rule == nil {
		return nil, PurposeNotAgreed, nil
	}
	if err := s.audit(ctx, &ask, what); err != nil {
		return nil, RefusalNone, err
	}
	return &Stream{s: s, ask: ask, c: c, consent: rule.Consent, checked: s.now()}, RefusalNone, nil
}

// Line returns a record as the unit may see it, nil when its holder's consent is missing.
// After the agreement's last day every line is refused.
func (t *Stream) Line(ctx context.Context, r *txn.Record) ([]byte, Refusal, error) {
	if refusal, err := t.still(ctx); err != nil || refusal != RefusalNone {
		return nil, refusal, err
	}
	if t.consent {
		ok, err := t.consented(ctx, r)
		if err != nil || !ok {
			return nil, RefusalNone, err
		}
	}
	m := minimise(t.ask.Fields, r, nil)
	if slices.Contains(t.ask.Fields, subject) {
		m[subject] = t.s.pseudonym(t.c.Name, r.Card)
	}
	line, err := json.Marshal(m)
	if err != nil {
		return nil, RefusalNone, fmt.Errorf("record %s: %w", r.Position, err)
	}
	return line, RefusalNone, nil
}

// still judges whether the unit may go on.
func (t *Stream) still(ctx context.Context) (Refusal, error) {
	now := t.s.now()
	if now-t.checked < recheckEvery {
		return t.c.admit(t.s.today(), t.ask.Purpose, t.ask.Fields), nil
	}
	c, refusal, err := t.s.Admit(ctx, t.ask.Consumer, t.ask.Purpose, t.ask.Fields)
	if err == nil && refusal == RefusalNone {
		t.c, t.checked, t.last = c, now, pan.Token{}
	}
	return refusal, err
}

// consented asks the account of a card for the holder's consent, once for a run of records
// of one card. A card without an account has nobody who consented.
func (t *Stream) consented(ctx context.Context, r *txn.Record) (bool, error) {
	if t.last == r.Card {
		return t.agreed, nil
	}
	_, doc, err := t.s.o.Desk.Find(ctx, r.Card)
	switch {
	case errors.Is(err, desk.ErrNoAccount):
		t.last, t.agreed = r.Card, false
		return false, nil
	case err != nil:
		return false, err
	}
	today := t.s.today()
	t.last = r.Card
	t.agreed = slices.ContainsFunc(doc.Consents, func(g account.Consent) bool {
		return g.Party == t.c.Name && g.Purpose == t.ask.Purpose && g.Withdrawn == 0 &&
			(g.Until == 0 || today <= g.Until) && (g.Scope == 0 || g.Scope&r.Application == r.Application)
	})
	return t.agreed, nil
}

// Days reads the ledger by days.
type Days interface {
	// Between calls yield for every settled record of the business dates from to to.
	Between(ctx context.Context, from, to txn.BusinessDate, yield func(*txn.Record) error) error
}

// Extent is what an export is taken from.
type Extent struct {
	Ledger   Days
	From, To txn.BusinessDate
}

// Tally is what an export held.
type Tally struct {
	Lines    int `json:"lines"`
	Withheld int `json:"withheld"` // without the holder's consent
}

// Export hands the records of some days to a unit, a line each, minimised.
func (s *Service) Export(ctx context.Context, ask Ask, of Extent,
	yield func(line []byte) error) (Tally, Refusal, error) {
	var tally Tally
	t, refusal, err := s.OpenStream(ctx, ask, fmt.Sprintf("export %s to %s", of.From, of.To))
	if err != nil || refusal != RefusalNone {
		return tally, refusal, err
	}
	err = of.Ledger.Between(ctx, of.From, of.To, func(r *txn.Record) error {
		if r.Kind.IsMarker() || r.Kind == txn.Desk {
			return nil
		}
		line, stop, err := t.Line(ctx, r)
		switch {
		case err != nil:
			return err
		case stop != RefusalNone:
			refusal = stop
			return errStopped
		case line == nil:
			tally.Withheld++
			return nil
		}
		tally.Lines++
		return yield(line)
	})
	if errors.Is(err, errStopped) {
		err = nil
	}
	return tally, refusal, err
}

var errStopped = errors.New("the agreement ended")

// accesses is the document of a unit: how often it was told something. Its records are the
// audit trail of what concerns no single account.
type accesses struct {
	Count uint64     `json:"count"`
	Last  txn.Millis `json:"last"`
}

// Accesses tells how many exports and streams of a unit were opened.
func (s *Service) Accesses(ctx context.Context, consumer string) (uint64, error) {
	a, _, err := s.accesses(ctx, consumer)
	return a.Count, err
}

func (s *Service) accesses(ctx context.Context, consumer string) (a accesses, version uint64, err error) {
	l, err := s.o.Cards.Load(ctx, s.o.Tokenizer.Derive("consumer", consumer), nil)
	if err != nil {
		return a, 0, fmt.Errorf("%w: %w", desk.ErrStore, err)
	}
	if l.Version > 0 {
		err = json.Unmarshal(l.State, &a)
	}
	return a, l.Version, err
}

// audit commits the record of an access.
func (s *Service) audit(ctx context.Context, ask *Ask, what string) error {
	token := s.o.Tokenizer.Derive("consumer", ask.Consumer)
	for range triesMax {
		a, version, err := s.accesses(ctx, ask.Consumer)
		if err != nil {
			return err
		}
		now := s.now()
		a.Count, a.Last = a.Count+1, now
		state, err := json.Marshal(a)
		if err != nil {
			return fmt.Errorf("accesses of %s: %w", ask.Consumer, err)
		}
		c := &store.Commit{Card: token, Version: version, State: state, Reserve: true,
			Record: txn.AppendRecord(nil, s.accessRecord(token, version+1, ask, what))}
		if err := s.o.Cards.Commit(ctx, []*store.Commit{c}); err != nil {
			return fmt.Errorf("%w: %w", desk.ErrStore, err)
		}
		if c.Status == store.Committed {
			return nil
		}
	}
	return fmt.Errorf("%w: accesses of %s change too often", desk.ErrStore, ask.Consumer)
}

func (s *Service) accessRecord(token pan.Token, version uint64, ask *Ask, what string) *txn.Record {
	now := s.now()
	note := fmt.Sprintf("share %s %s %s", ask.Consumer, ask.Purpose, what)
	return &txn.Record{Version: txn.RecordVersion, Position: txn.Position{Bucket: txn.BucketOf(token)},
		Request: requestID(token, uint32(version)), Kind: txn.Desk, Outcome: txn.Approved, Card: token,
		CardVersion: version, Currency: txn.CNY, ServiceAt: now, ReceivedAt: now,
		Listing: txn.Listing{Actor: ask.Operator, Note: note[:min(len(note), noteMax)]}}
}

// noteMax is what a note of a record takes.
const noteMax = 128

// requestID names the n-th access of a unit.
func requestID(token pan.Token, n uint32) txn.RequestID {
	id, err := txn.ParseTerminalID("S" + token.String()[:11])
	if err != nil {
		panic("share: internal error: " + err.Error())
	}
	return txn.RequestID{Terminal: id, Boot: 1, Counter: n}
}

// purpose returns the scheme's rule of a purpose, or nil.
func (s *Service) purpose(name string) *account.PurposeRule {
	rules := s.o.Desk.Rules().Purposes
	for i := range rules {
		if rules[i].Purpose == name {
			return &rules[i]
		}
	}
	return nil
}
