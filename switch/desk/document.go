package desk

import (
	"context"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// triesMax bounds the rounds of one change against other writers.
const triesMax = 20

// ErrNoAccount reports that no account bears what was asked for.
var ErrNoAccount = errors.New("no account")

// HolderToken is the keyed token of a holder's ID number, by which accounts are told apart.
func (s *Service) HolderToken(id string) pan.Token { return s.o.Tokenizer.Derive("holder", id) }

// NumberToken is the keyed token of another printed identifier.
func (s *Service) NumberToken(kind account.NumberKind, number string) pan.Token {
	return s.o.Tokenizer.Derive("number/"+kind.String(), number)
}

// generationsMax bounds how often one holder may open an account anew.
const generationsMax = 100

// accountToken names the n-th account of a holder.
func (s *Service) accountToken(holder pan.Token, n int) pan.Token {
	return s.o.Tokenizer.Derive("account", fmt.Sprintf("%s/%d", holder, n))
}

// Load reads an account; nil and version 0 when there is none.
func (s *Service) Load(ctx context.Context, token pan.Token) (*account.Account, uint64, error) {
	l, err := s.o.Cards.Load(ctx, token, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", ErrStore, err)
	}
	if l.Version == 0 {
		return nil, 0, nil
	}
	doc, err := account.Decode(l.State)
	if err != nil {
		return nil, 0, fmt.Errorf("document %s: %w", token, err)
	}
	return doc, l.Version, nil
}

// AccountOf returns the document of a holder's living account, or of the next to be opened.
func (s *Service) AccountOf(ctx context.Context, holder pan.Token) (pan.Token, *account.Account, error) {
	for n := range generationsMax {
		token := s.accountToken(holder, n)
		doc, _, err := s.Load(ctx, token)
		if err != nil || doc == nil || doc.Closed == 0 {
			return token, doc, err
		}
	}
	return pan.Token{}, nil, fmt.Errorf("%w: a holder with %d closed accounts", ErrNoAccount, generationsMax)
}

// indexToken is where it stands which account bears a carrier or a number.
func (s *Service) indexToken(of pan.Token) pan.Token {
	return s.o.Tokenizer.Derive("index", hex.EncodeToString(of[:]))
}

// Find returns the document of the account that bears a carrier, dead or alive, or a printed
// number.
func (s *Service) Find(ctx context.Context, of pan.Token) (pan.Token, *account.Account, error) {
	token, _, err := s.indexed(ctx, of)
	if err != nil || token.IsZero() {
		return pan.Token{}, nil, errors.Join(err, notFound(err))
	}
	doc, _, err := s.Load(ctx, token)
	switch {
	case err != nil:
		return pan.Token{}, nil, err
	case doc == nil || !bears(doc, of):
		return pan.Token{}, nil, ErrNoAccount
	default:
		return token, doc, nil
	}
}

func notFound(err error) error {
	if err == nil {
		return ErrNoAccount
	}
	return nil
}

// bears reports whether the account has the carrier or number: the index may be ahead.
func bears(doc *account.Account, of pan.Token) bool {
	if doc.Carrier(of) != nil || doc.Gone(of) != nil {
		return true
	}
	for _, n := range doc.Numbers {
		if n.Token == of {
			return true
		}
	}
	return false
}

// indexed reads an entry of the index, zero when there is none.
func (s *Service) indexed(ctx context.Context, of pan.Token) (doc pan.Token, version uint64, err error) {
	l, err := s.o.Cards.Load(ctx, s.indexToken(of), nil)
	if err != nil {
		return doc, 0, fmt.Errorf("%w: %w", ErrStore, err)
	}
	if len(l.State) == 1+pan.TokenSize && l.State[0] == indexVersion {
		copy(doc[:], l.State[1:])
	}
	return doc, l.Version, nil
}

const indexVersion = 1

// index makes sure that every carrier and number of next is found, before the document says
// that it has them. Another account that bears one keeps it.
func (s *Service) index(ctx context.Context, token pan.Token, next *account.Account) (account.Refusal, error) {
	for _, of := range borne(next) {
		at, version, err := s.indexed(ctx, of)
		switch {
		case err != nil:
			return account.RefusalNone, err
		case at == token:
			continue
		case !at.IsZero():
			other, _, err := s.Load(ctx, at)
			if err != nil {
				return account.RefusalNone, err
			}
			if other != nil && bears(other, of) {
				return account.CarrierExists, nil
			}
		}
		c := &store.Commit{Card: s.indexToken(of), Version: version,
			State: append([]byte{indexVersion}, token[:]...)}
		if err := s.o.Cards.Commit(ctx, []*store.Commit{c}); err != nil {
			return account.RefusalNone, fmt.Errorf("%w: %w", ErrStore, err)
		}
		if c.Status != store.Committed {
			return account.RefusalNone, fmt.Errorf("%w: the index changed, ask again", ErrStore)
		}
	}
	return account.RefusalNone, nil
}

// frozenCarrier refuses commands that add a carrier whose number is on the list of frozen cards:
// its holder would be declined everywhere. A card that was given out before may be frozen and is
// drawn in with its freeze, unless its number is dead.
func (s *Service) frozenCarrier(ctx context.Context, doc *account.Account, cmds ...account.Command) (account.Refusal, error) {
	for _, cmd := range cmds {
		n := added(cmd.Step)
		if n == nil || n.Token.IsZero() || doc.Carrier(n.Token) != nil {
			continue
		}
		entry, _, err := s.Entry(ctx, n.Token)
		if err != nil {
			return account.RefusalNone, err
		}
		if why := entry.Mark.Reason; why.Terminal() || why != txn.NotFrozen && !n.Existing {
			return account.CarrierFrozen, nil
		}
	}
	return account.RefusalNone, nil
}

// added is the carrier that a step adds to its account; nil for none.
func added(step account.Step) *account.NewCarrier {
	switch c := step.(type) {
	case account.OpenAccount:
		return &c.Carrier
	case account.BindCarrier:
		return &c.Carrier
	case account.BindTemporary:
		return &c.Carrier
	case account.MakeCard:
		return &c.Carrier
	}
	return nil
}

// borne lists what an account is found by.
func borne(doc *account.Account) []pan.Token {
	var all []pan.Token
	for _, c := range doc.Carriers {
		all = append(all, c.Token)
	}
	for _, n := range doc.Numbers {
		all = append(all, n.Token)
	}
	return all
}

// commit decides a command on the document as it stands and commits the outcome.
func (s *Service) commit(ctx context.Context, token pan.Token, cmds ...account.Command) (account.Outcome, error) {
	for range triesMax {
		doc, version, err := s.Load(ctx, token)
		if err != nil {
			return account.Outcome{}, err
		}
		if doc == nil {
			doc = new(account.Account)
		}
		now := s.o.Now()
		out, changed := s.decide(doc, cmds, now)
		if !changed {
			return out, nil
		}
		if refusal, err := s.frozenCarrier(ctx, doc, cmds...); err != nil || refusal != account.RefusalNone {
			return account.Outcome{Refusal: refusal}, err
		}
		if refusal, err := s.index(ctx, token, out.Next); err != nil || refusal != account.RefusalNone {
			return account.Outcome{Refusal: refusal}, err
		}
		if err := s.openIndex(ctx, token, &out); err != nil {
			return account.Outcome{}, err
		}
		if err := s.noteClosed(ctx, token, doc, out.Next); err != nil {
			return account.Outcome{}, err
		}
		c := s.commitOf(token, version, &out, now)
		if err := s.o.Cards.Commit(ctx, []*store.Commit{c}); err != nil {
			return account.Outcome{}, fmt.Errorf("%w: %w", ErrStore, err)
		}
		if c.Status == store.Committed {
			s.closeIndex(ctx, token, &out)
			return out, nil
		}
		if c.Status == store.OutboxFull {
			return account.Outcome{}, fmt.Errorf("%w: %s", ErrStore, c.Status)
		}
	}
	return account.Outcome{}, fmt.Errorf("%w: document %s changes too often", ErrStore, token)
}

// decide applies commands one after the other; the outcome is the last one's, with what all
// of them opened and ended. changed is false when there is nothing to commit.
func (s *Service) decide(doc *account.Account, cmds []account.Command, now txn.Millis) (out account.Outcome, changed bool) {
	next := doc
	var opened, ended []account.CaseRef
	for _, cmd := range cmds {
		out = account.Apply(next, cmd, &s.scheme().Rules, now)
		if out.Refusal != account.RefusalNone && len(cmds) == 1 {
			return out, false
		}
		if out.Refusal == account.RefusalNone && !out.Replay {
			next, changed = out.Next, true
			opened, ended = append(opened, out.Opened...), append(ended, out.Ended...)
		}
	}
	if changed {
		out.Next, out.Opened, out.Ended = next, opened, ended
	}
	return out, changed
}

// commitOf makes the commit of an outcome: the document, its record, and when time or an
// effect demands to look at it again. Freezes pass a full outbox.
func (s *Service) commitOf(token pan.Token, version uint64, out *account.Outcome, now txn.Millis) *store.Commit {
	c := &store.Commit{Card: token, Version: version, State: out.Next.Append(nil), Reserve: true}
	if out.Record.Actor != "" {
		c.Record = txn.AppendRecord(nil, s.recordOf(token, version+1, out, now))
	}
	due := store.DueChange{Key: dueKey(token)}
	if at, ok := s.nextDue(out.Next, now); ok {
		due.At = at
	} else {
		due.Remove = true
	}
	c.Due = []store.DueChange{due}
	return c
}

func dueKey(token pan.Token) []byte { return append([]byte{engine.DueDocument}, token[:]...) }

// Pauses between two goes at effects that failed, in milliseconds.
const (
	retryFirst txn.Millis = 5_000
	retryMax   txn.Millis = 10 * 60_000
)

// nextDue is when the document must be looked at: at once while there are effects that were
// not tried, later and later while they fail, and when time alone changes something.
func (s *Service) nextDue(doc *account.Account, now txn.Millis) (txn.Millis, bool) {
	at, ok := doc.NextDue(&s.scheme().Rules)
	if len(doc.ToDo) == 0 {
		return at, ok
	}
	tries := doc.ToDo[0].Tries
	for i := range doc.ToDo {
		tries = min(tries, doc.ToDo[i].Tries)
	}
	pause := min(retryFirst<<min(tries, 10), retryMax)
	if !ok || now+pause < at {
		return now + pause, true
	}
	return at, true
}

// recordOf is the line of the audit trail that a command leaves.
func (s *Service) recordOf(token pan.Token, version uint64, out *account.Outcome, now txn.Millis) *txn.Record {
	r := &txn.Record{
		Version: txn.RecordVersion, Position: txn.Position{Bucket: txn.BucketOf(token)},
		Request: requestID('A', token, uint32(version), 0), Kind: txn.Desk, Outcome: txn.Approved,
		Card: token, CardVersion: version, Currency: s.o.Currency, ServiceAt: now, ReceivedAt: now,
		Listing: txn.Listing{Actor: out.Record.Actor, Note: note(out)},
	}
	for _, c := range out.Next.Carriers {
		if c.Kind == account.Chip {
			r.Last4 = c.Last4
		}
	}
	return r
}

// noteMax is what a note of a record takes.
const noteMax = 128

func note(out *account.Outcome) string {
	text := out.Record.Step
	if out.Record.Case != 0 {
		text += fmt.Sprintf(" case %d", out.Record.Case)
	}
	if out.Record.Note != "" {
		text += " " + out.Record.Note
	}
	return cut(text)
}

var idText = base32.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567").WithPadding(base32.NoPadding)

// requestID is a request id of the desk's own: a letter for what it is about, 55 bits of the
// token, and two numbers. Ids are unique as long as these are.
func requestID(what byte, token pan.Token, boot, counter uint32) txn.RequestID {
	id, err := txn.ParseTerminalID(string(what) + idText.EncodeToString(token[:7])[:11])
	if err != nil {
		panic("desk: internal error: " + err.Error())
	}
	return txn.RequestID{Terminal: id, Boot: boot, Counter: counter}
}
