package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/liability"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Loss is a report of a loss as the judgement of liability needs it, kept beyond the end of
// the restriction: an off-line record may come weeks later. One document a case.
type Loss struct {
	Document pan.Token  `json:"-"`
	Account  string     `json:"account"`
	Case     uint32     `json:"case"`
	Received txn.Millis `json:"received"`
	// From is set where the report took the place of a pre-report: what came since that is
	// judged by the report.
	From      txn.Millis    `json:"from,omitempty"`
	Accepted  txn.Millis    `json:"accepted"` // as the scheme counts it
	Effective txn.Millis    `json:"effective"`
	Ended     txn.Millis    `json:"ended,omitempty"` // released; zero while it holds for ever
	Carriers  []LostCarrier `json:"carriers"`
}

// LostCarrier is one carrier of the loss with its notice.
type LostCarrier struct {
	Token  string     `json:"token"`
	Frozen txn.Millis `json:"frozen"`
	Notice string     `json:"notice,omitempty"`
	// ListSeq numbers the freeze in the list of the card's bucket; zero when a crash came
	// between the freeze and this note.
	ListSeq store.ListSeq `json:"list_seq,omitempty"`
}

const lossPrefix = "loss/"

func (s *Service) lossToken(doc pan.Token, no uint32) pan.Token {
	return s.o.Tokenizer.Derive("loss", fmt.Sprintf("%s-%d", doc, no))
}

// lossKeep is how long after its report a loss is judged: records may be 30 days late, and
// the freeze of a party some days more.
const lossKeep txn.Millis = 45 * 24 * 3600 * 1000

// loadLoss reads a loss; nil when there is none.
func (s *Service) loadLoss(ctx context.Context, token pan.Token) (*Loss, uint64, error) {
	l, err := s.o.Cards.Load(ctx, token, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrStore, err)
	}
	if l.Version == 0 {
		return nil, 0, nil
	}
	loss := &Loss{Document: token}
	if err := json.Unmarshal(l.State, loss); err != nil {
		return nil, 0, fmt.Errorf("loss %s: %w", token, err)
	}
	return loss, l.Version, nil
}

// changeLoss applies change to a loss, a new one when there is none, until it is written.
func (s *Service) changeLoss(ctx context.Context, doc pan.Token, no uint32, change func(*Loss)) error {
	token := s.lossToken(doc, no)
	for range triesMax {
		loss, version, err := s.loadLoss(ctx, token)
		if err != nil {
			return err
		}
		if loss == nil {
			loss = &Loss{Account: doc.String(), Case: no}
			key := fmt.Sprintf("%s%s-%d", lossPrefix, doc, no)
			err := s.o.Registry.Put(ctx, key, []byte(token.String()), 0)
			if err != nil && !errors.Is(err, store.ErrConflict) {
				return fmt.Errorf("%w: %w", ErrStore, err)
			}
		}
		change(loss)
		state, err := json.Marshal(loss)
		if err != nil {
			return fmt.Errorf("loss %s: %w", token, err)
		}
		c := &store.Commit{Card: token, Version: version, State: state}
		if err := s.o.Cards.Commit(ctx, []*store.Commit{c}); err != nil {
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
		if c.Status == store.Committed {
			return nil
		}
	}
	return fmt.Errorf("%w: loss %s changes too often", ErrStore, token)
}

// keepLoss notes what a freeze of an account says for the judgement, once its marks are set.
func (s *Service) keepLoss(ctx context.Context, token pan.Token, doc *account.Account, carriers []noticed,
	notices []string) error {
	for i := range doc.Restrictions {
		r := &doc.Restrictions[i]
		if r.Reason != txn.Lost && r.Reason != txn.PreReported {
			continue
		}
		from, err := s.takeOver(ctx, token, doc, r)
		if err != nil {
			return err
		}
		now := s.o.Now()
		err = s.changeLoss(ctx, token, r.Case, func(l *Loss) {
			l.Received, l.Accepted = r.Received, r.Counts
			if l.From == 0 {
				l.From = from
			}
			if l.Effective == 0 {
				l.Effective = max(r.Effective, r.Since)
			}
			for k, c := range carriers {
				seq, _ := s.listSeqs.LoadAndDelete(c.token)
				number, _ := seq.(store.ListSeq)
				l.add(LostCarrier{c.token.String(), now, notices[k], number})
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// takeOver ends the loss of the pre-report whose place a report took, and returns since when
// the report is the one that judges; zero without one.
func (s *Service) takeOver(ctx context.Context, token pan.Token, doc *account.Account,
	r *account.Restriction) (from txn.Millis, err error) {
	if r.Reason != txn.Lost {
		return 0, nil
	}
	for i := range doc.Ended {
		e := &doc.Ended[i]
		if e.Kind != account.CasePreReport || e.At != r.Since {
			continue
		}
		pre, _, err := s.loadLoss(ctx, s.lossToken(token, e.No))
		if err != nil || pre == nil {
			return 0, err
		}
		err = s.changeLoss(ctx, token, e.No, func(l *Loss) { l.Ended = l.Received })
		return pre.Received, err
	}
	return 0, nil
}

// since is when what the loss judges begins.
func (l *Loss) since() txn.Millis {
	if l.From != 0 {
		return l.From
	}
	return l.Received
}

// covers reports whether the loss judges what the carrier was used for at an instant.
func (l *Loss) covers(carrier string, at txn.Millis) bool {
	return at >= l.since() && (l.Ended == 0 || at < l.Ended) &&
		slices.ContainsFunc(l.Carriers, func(c LostCarrier) bool { return c.Token == carrier })
}

// before returns the losses of the account that were reported before this one. What two
// cover is judged by the first.
func (s *Service) before(ctx context.Context, l *Loss) ([]*Loss, error) {
	token, err := pan.ParseToken(l.Account)
	if err != nil {
		return nil, fmt.Errorf("loss of %s: %w", l.Account, err)
	}
	all, err := s.Losses(ctx, token)
	return slices.DeleteFunc(all, func(o *Loss) bool { return o.Case >= l.Case }), err
}

func (l *Loss) add(c LostCarrier) {
	for i := range l.Carriers {
		if l.Carriers[i].Token == c.Token {
			return
		}
	}
	l.Carriers = append(l.Carriers, c)
}

// endLosses notes that the losses of an account that are in force no more have ended.
func (s *Service) endLosses(ctx context.Context, token pan.Token, doc *account.Account) error {
	losses, err := s.Losses(ctx, token)
	if err != nil {
		return err
	}
	for _, l := range losses {
		holds := l.Ended != 0 || slices.ContainsFunc(doc.Restrictions, func(r account.Restriction) bool {
			return r.Case == l.Case
		})
		if holds {
			continue
		}
		now := s.o.Now()
		if err := s.changeLoss(ctx, token, l.Case, func(l *Loss) { l.Ended = now }); err != nil {
			return err
		}
	}
	return nil
}

// Losses lists the losses that are still judged, of one account or of all with the zero
// token, and forgets those that are too old to be.
func (s *Service) Losses(ctx context.Context, of pan.Token) ([]*Loss, error) {
	prefix := lossPrefix
	if !of.IsZero() {
		prefix += of.String()
	}
	keys, err := s.o.Registry.Keys(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	}
	now := s.o.Now()
	var all []*Loss
	for _, key := range keys {
		value, version, err := s.o.Registry.Get(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStore, err)
		}
		token, err := pan.ParseToken(strings.TrimSpace(string(value)))
		if err != nil || version == 0 {
			continue
		}
		l, _, err := s.loadLoss(ctx, token)
		switch {
		case err != nil:
			return nil, err
		case l == nil:
		case l.Accepted < now-lossKeep:
			if err := s.o.Registry.Put(ctx, key, nil, version); err != nil && !errors.Is(err, store.ErrConflict) {
				return nil, fmt.Errorf("%w: %w", ErrStore, err)
			}
		default:
			all = append(all, l)
		}
	}
	return all, nil
}

// Verdict is who bears one transaction of a lost card, and what the ledger says so far.
type Verdict struct {
	Record    txn.Record
	Verdict   liability.Verdict
	Loss      uint32 // its case
	PartyName string // who served the card
	Amount    txn.Minor
	Booked    map[txn.Account]txn.Minor // credited to the holder against these
	Found     bool                      // a finding of a person stands above the rule

	entries int // that are in the ledger
}

// Judgement judges every transaction of a loss by what is known now.
func (s *Service) Judgement(ctx context.Context, l *Loss) ([]Verdict, error) {
	if s.o.History == nil {
		return nil, nil
	}
	earlier, err := s.before(ctx, l)
	if err != nil {
		return nil, err
	}
	var all []Verdict
	for _, c := range l.Carriers {
		token, err := pan.ParseToken(c.Token)
		if err != nil {
			return nil, fmt.Errorf("loss of %s: %w", l.Account, err)
		}
		parties, err := s.clocks(ctx, c.Notice)
		if err != nil {
			return nil, err
		}
		rows, err := s.history(ctx, token, l)
		if err != nil {
			return nil, err
		}
		rows = slices.DeleteFunc(rows, func(r txn.Record) bool {
			return spends(&r) && slices.ContainsFunc(earlier, func(o *Loss) bool { return o.covers(c.Token, r.ServiceAt) })
		})
		all = append(all, s.judge(l, &c, parties, rows)...)
	}
	return all, nil
}

// history reads the records of a carrier since a little before the loss.
func (s *Service) history(ctx context.Context, token pan.Token, l *Loss) ([]txn.Record, error) {
	const before = 2 * 24 * 3600 * 1000
	from := s.scheme().Rules.Calendar.Date(l.since() - before)
	var rows []txn.Record
	err := s.o.History.Records(ctx, token, from, func(r *txn.Record) error {
		own := *r
		own.Postings, own.Discounts = slices.Clone(r.Postings), slices.Clone(r.Discounts)
		rows = append(rows, own)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("ledger of card %s: %w", token, err)
	}
	return rows, nil
}

// clocks returns the parties of a notice with their clocks.
func (s *Service) clocks(ctx context.Context, id string) (map[string]liability.Party, error) {
	parties := map[string]liability.Party{}
	for _, p := range s.scheme().Parties {
		parties[p.Name] = liability.Party{Name: p.Name, Kind: p.Kind, Contract: p.Contract}
	}
	if s.o.Notices == nil || id == "" {
		return parties, nil
	}
	st, err := s.o.Notices.Status(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("clocks of notice %s: %w", id, err)
	}
	for i := range st.Clocks {
		c := &st.Clocks[i]
		p := parties[c.Row.Party]
		p.Name = c.Row.Party
		p.Sent, p.Received, p.Froze = c.Row.SentFirst, c.Row.Received, c.Row.Effective
		parties[p.Name] = p
	}
	return parties, nil
}

// partyOf names the party whose clock and contract judge a transaction: the one of the scheme
// that answers for its operator, or one that was told beside the scheme and bears the operator's
// name. Such a one has no clause of the scheme, so nothing is booked to it; what it must never
// be is booked to another.
func (s *Service) partyOf(r *txn.Record, parties map[string]liability.Party) string {
	name, own := s.scheme().PartyOf(r)
	if by := server(r); !own && by != "" {
		for told := range parties {
			if strings.EqualFold(told, by) {
				return told
			}
		}
	}
	return name
}

// judge judges the transactions among the records of one carrier.
func (s *Service) judge(l *Loss, c *LostCarrier, parties map[string]liability.Party, rows []txn.Record) []Verdict {
	freeze := liability.Freeze{Accepted: l.Accepted, Effective: l.Effective, Frozen: c.Frozen}
	undone := map[txn.RequestID]txn.Minor{}
	booked := map[txn.RequestID]*Verdict{}
	var all []Verdict
	for i := range rows {
		r := &rows[i]
		if spends(r) && l.covers(c.Token, r.ServiceAt) {
			name := s.partyOf(r, parties)
			p := parties[name]
			all = append(all, Verdict{Record: *r, Loss: l.Case, PartyName: name, Amount: r.Charged,
				Verdict: liability.JudgeUse(&s.scheme().Liability, &freeze, &p, liability.UseOf(r)),
				Booked:  map[txn.Account]txn.Minor{}})
		}
	}
	for i := range all {
		booked[all[i].Record.Request] = &all[i]
	}
	for i := range rows {
		r := &rows[i]
		v := booked[r.Original]
		switch {
		case r.Outcome != txn.Approved || v == nil:
		case r.Kind == txn.Reversal || r.Kind == txn.Refund || r.Kind == txn.BankRefund || r.Kind == txn.BankVoid:
			undone[r.Original] -= r.Charged
		case r.Kind == txn.Liable:
			v.book(r)
		}
	}
	for i := range all {
		all[i].Amount -= undone[all[i].Record.Request]
	}
	return all
}

// spends reports whether a record is one that took money off the card.
func spends(r *txn.Record) bool {
	if r.Outcome != txn.Approved || r.Charged <= 0 {
		return false
	}
	return r.Kind.IsTap() || r.Kind == txn.Purchase || r.Kind == txn.BankPurchase || r.Kind == txn.BankCompletion
}

// findingNote marks the entries that a person's finding made.
const findingNote = "finding"

// book adds an entry that is in the ledger.
func (v *Verdict) book(r *txn.Record) {
	v.entries++
	for _, p := range r.Postings {
		if strings.HasPrefix(string(p.Account), "loss/") {
			v.Booked[p.Account] -= p.Amount // a debit of the loss account is a credit of the holder
			if v.Booked[p.Account] == 0 {
				delete(v.Booked, p.Account)
			}
		}
	}
	if strings.Contains(r.Listing.Note, findingNote) {
		v.Found = !strings.Contains(r.Listing.Note, "undo")
	}
}

// Judge books what the ledger does not say yet about the transactions of a loss, by new
// entries, and returns how many there were. Nothing is booked against a person's finding.
func (s *Service) Judge(ctx context.Context, l *Loss) (int, error) {
	all, err := s.Judgement(ctx, l)
	if err != nil {
		return 0, err
	}
	made := 0
	for i := range all {
		v := &all[i]
		if v.Found {
			continue
		}
		n, err := s.bookVerdict(ctx, v, v.Verdict.Account(), "rule "+v.Verdict.Why)
		made += n
		if err != nil {
			return made, err
		}
	}
	return made, nil
}

// JudgeAll judges every loss that is still judged.
func (s *Service) JudgeAll(ctx context.Context) (int, error) {
	losses, err := s.Losses(ctx, pan.Token{})
	if err != nil {
		return 0, err
	}
	made := 0
	for _, l := range losses {
		n, err := s.Judge(ctx, l)
		if made += n; err != nil {
			return made, err
		}
	}
	return made, nil
}

// bookVerdict moves a transaction to the party of an account, "" for the holder: whatever
// else it is booked to is taken back.
func (s *Service) bookVerdict(ctx context.Context, v *Verdict, to txn.Account, why string) (int, error) {
	made := 0
	entries := map[txn.Account]txn.Minor{}
	for a, sum := range v.Booked {
		entries[a] -= sum
	}
	if to != "" && v.Amount > 0 {
		entries[to] += v.Amount
	}
	accounts := make([]txn.Account, 0, len(entries))
	for a := range entries {
		accounts = append(accounts, a)
	}
	slices.Sort(accounts)
	for _, a := range accounts {
		if entries[a] == 0 {
			continue
		}
		r := s.request(txn.Liable, v.Record.Card, s.entryID(v, a, entries[a], why))
		r.Amount, r.Original, r.Liability = entries[a], v.Record.Request, v.Verdict.Bears
		r.Place = txn.Place{Payee: a}
		r.Listing.Note = cut(fmt.Sprintf("case %d %s %s", v.Loss, why, v.Verdict.Clause))
		answer := s.o.Engine.Authorize(ctx, r)
		if answer.Err == nil && answer.Decision.Reason == txn.IDReused {
			continue // booked at another instant: the ledger that was read is behind
		}
		if err := settled(&answer.Decision, answer.Err); err != nil {
			return made, fmt.Errorf("liability of %s: %w", v.Record.Request, err)
		}
		made++
	}
	return made, nil
}

// cut keeps a note within its limit.
func cut(text string) string { return text[:min(len(text), noteMax)] }

// entryID names an entry by the transaction, what is booked so far, in how many entries, and
// what it books, so that it is made once however often it is judged.
func (s *Service) entryID(v *Verdict, a txn.Account, amount txn.Minor, why string) txn.RequestID {
	token := s.o.Tokenizer.Derive("liability", fmt.Sprintf("%s|%d|%v|%s|%d|%s", v.Record.Request, v.entries,
		v.Booked, a, amount, why))
	return requestID('L', token, 1, 1)
}

// bookFinding moves one transaction to the holder, or back to where the rule puts it.
func (s *Service) bookFinding(ctx context.Context, doc pan.Token, e *account.Effect) error {
	losses, err := s.Losses(ctx, doc)
	if err != nil {
		return err
	}
	for _, l := range losses {
		all, err := s.Judgement(ctx, l)
		if err != nil {
			return err
		}
		for i := range all {
			v := &all[i]
			if v.Record.Position != e.Txn {
				continue
			}
			if e.Undo {
				_, err = s.bookVerdict(ctx, v, v.Verdict.Account(), fmt.Sprintf("%s undo %d", findingNote, e.Seq))
			} else {
				_, err = s.bookVerdict(ctx, v, "", fmt.Sprintf("%s %s %d", findingNote, e.Fault, e.Seq))
			}
			return err
		}
	}
	return fmt.Errorf("desk: no transaction of a loss at %s", e.Txn)
}

// lastNotice returns the notice that a carrier's parties had before the one called id, ""
// for none: the new one makes it void.
func (s *Service) lastNotice(ctx context.Context, carrier pan.Token, id string) (string, error) {
	ids, _, err := s.noticesOf(ctx, carrier)
	if err != nil || len(ids) == 0 {
		return "", err
	}
	if i := slices.Index(ids, id); i >= 0 { // asked again
		if i == 0 {
			return "", nil
		}
		return ids[i-1], nil
	}
	return ids[len(ids)-1], nil
}

// noticesKept is how many notices of a carrier are remembered.
const noticesKept = 16

// noticesOf returns the notices about a carrier, the latest last.
func (s *Service) noticesOf(ctx context.Context, carrier pan.Token) ([]string, uint64, error) {
	l, err := s.o.Cards.Load(ctx, s.noticesToken(carrier), nil)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return strings.Fields(string(l.State)), l.Version, nil
}

func (s *Service) noticesToken(carrier pan.Token) pan.Token {
	return s.o.Tokenizer.Derive("notices", carrier.String())
}

func (s *Service) keepNotice(ctx context.Context, carrier pan.Token, id string) error {
	for range triesMax {
		ids, version, err := s.noticesOf(ctx, carrier)
		if err != nil || slices.Contains(ids, id) {
			return err
		}
		ids = append(ids, id)
		ids = ids[max(0, len(ids)-noticesKept):]
		c := &store.Commit{Card: s.noticesToken(carrier), Version: version,
			State: []byte(strings.Join(ids, " "))}
		if err := s.o.Cards.Commit(ctx, []*store.Commit{c}); err != nil {
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
		if c.Status == store.Committed {
			return nil
		}
	}
	return fmt.Errorf("%w: notices of card %s change too often", ErrStore, carrier)
}

// BoundaryOf is the moment that parts the liability of a carrier of a loss. Where each party has
// its own they are given by name, and the moment is the last of them: from then on nothing is
// the holder's, whoever served it. Zero while it has not come for all that were told.
func (s *Service) BoundaryOf(
	ctx context.Context, l *Loss, c LostCarrier,
) (last txn.Millis, own map[string]txn.Millis, err error) {
	parties, err := s.clocks(ctx, c.Notice)
	if err != nil {
		return 0, nil, err
	}
	rules := s.scheme().Liability
	freeze := liability.Freeze{Accepted: l.Accepted, Effective: l.Effective, Frozen: c.Frozen}
	if rules.Boundary != account.FreezeDue {
		return liability.Boundary(&rules, &freeze, &liability.Party{}), nil, nil
	}
	own = map[string]txn.Millis{}
	waits := len(parties) == 0
	for name, p := range parties {
		at := liability.Boundary(&rules, &freeze, &p)
		own[name], last = at, max(last, at)
		waits = waits || at == 0
	}
	if waits {
		return 0, own, nil
	}
	return last, own, nil
}
