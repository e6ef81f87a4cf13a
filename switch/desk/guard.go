package desk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// What keeps documents and blacklist of one mind when somebody else than the desk has a hand
// in the list: risk control, an import, and a store that was restored from an older copy.

// takeIn prepares the effect of a mark for an entry that the desk did not write. A dead
// number is taken in as dead. A freeze is taken in once, as a restriction of the account;
// until the document knows it, the effect opens nothing of what it closed.
func (s *Service) takeIn(ctx context.Context, token pan.Token, e *account.Effect, entry *store.Entry) error {
	switch {
	case entry.Mark.Reason.Terminal() && !e.Mark.Reason.Terminal():
		return s.bury(ctx, token, e.Carrier, entry.Mark)
	case !foreign(entry):
		return nil
	}
	news, err := s.adopt(ctx, token, e.Carrier, entry)
	if news {
		e.Mark = card.Merge(e.Mark, entry.Mark)
	}
	return err
}

// foreign reports whether somebody else than the desk froze the card last.
func foreign(e *store.Entry) bool {
	return e.Mark.Reason != txn.NotFrozen && !e.Mark.Reason.Terminal() && e.Actor != deskActor
}

// bury tells the document that a number of it is dead. What money it holds may have to wait for
// a person: see WaitingMoney.
func (s *Service) bury(ctx context.Context, token, carrier pan.Token, mark txn.Mark) error {
	if err := s.noteWaiting(ctx, token, carrier); err != nil {
		return err
	}
	out, err := s.commit(ctx, token, account.Command{By: account.Staff{ID: deskActor},
		Step: account.NumberDied{Carrier: carrier, Cancelled: mark.Reason == txn.Cancelled}})
	if err == nil && out.Refusal != account.RefusalNone && out.Refusal != account.UnknownCarrier {
		err = fmt.Errorf("%w: number %s died: %s", errRefused, carrier, out.Refusal)
	}
	return err
}

// adopt takes a freeze that was made without the account, by risk control on one card, into
// the document: it reaches all carriers, and a release of something else does not lift it.
// It reports whether the document did not know it before.
func (s *Service) adopt(ctx context.Context, token, carrier pan.Token, entry *store.Entry) (bool, error) {
	at := s.adoptedToken(carrier)
	l, err := s.o.Cards.Load(ctx, at, nil)
	if err != nil {
		return true, fmt.Errorf("%w: %w", ErrStore, err)
	}
	state := binary.BigEndian.AppendUint64(nil, uint64(entry.Since))
	state = binary.BigEndian.AppendUint32(state, entry.Mark.Uint32()) // two may come in one millisecond
	if string(l.State) == string(state) {
		return false, nil
	}
	id := s.o.Tokenizer.Derive("adopt", fmt.Sprintf("%s/%d/%d/%d", carrier, entry.Since, entry.Mark.Uint32(), l.Version))
	out, err := s.commit(ctx, token, account.Command{ID: account.CommandID(id), Made: s.o.Now(),
		By:   account.Staff{ID: entry.Actor[:min(len(entry.Actor), account.NameMax)]},
		Step: account.FreezeRisk{Scope: entry.Mark.Scope, Ground: entry.Mark.Reason.String()}})
	if err != nil {
		return true, err
	}
	switch out.Refusal {
	case account.RefusalNone, account.AlreadyReported, account.AccountClosed:
	default:
		return true, fmt.Errorf("%w: freeze by %s: %s", errRefused, entry.Actor, out.Refusal)
	}
	c := &store.Commit{Card: at, Version: l.Version, State: state}
	if err := s.o.Cards.Commit(ctx, []*store.Commit{c}); err != nil {
		return true, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return true, nil
}

// disown forgets which foreign freeze of a carrier the document knows, once that is lifted: the
// same one may come again within a millisecond.
func (s *Service) disown(ctx context.Context, carrier pan.Token) error {
	at := s.adoptedToken(carrier)
	l, err := s.o.Cards.Load(ctx, at, nil)
	if err == nil && len(l.State) > 1 {
		err = s.o.Cards.Commit(ctx, []*store.Commit{{Card: at, Version: l.Version, State: []byte{0}}})
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrStore, err)
	}
	return nil
}

// adoptedToken is where it stands which foreign freeze of a carrier the document knows.
func (s *Service) adoptedToken(carrier pan.Token) pan.Token {
	return s.o.Tokenizer.Derive("adopted", carrier.String())
}

// Reconcile compares the blacklist entries of an account's carriers with the document and
// brings them together, always to the closed side: a dead number dies in the document, a
// freeze that the document does not know is taken in, and what the document closes is closed.
// It opens nothing. It reports whether anything was amiss.
func (s *Service) Reconcile(ctx context.Context, token pan.Token) (bool, error) {
	defer s.lock(token)()
	doc, err := s.carry(ctx, token)
	if err != nil || doc == nil {
		return false, err
	}
	amiss := false
	for _, c := range doc.Carriers {
		did, err := s.align(ctx, token, c.Token, doc.MarkOf(c.Token))
		if amiss = amiss || did; err != nil {
			return amiss, err
		}
	}
	for _, f := range doc.Former {
		did, err := s.align(ctx, token, f.Token, doc.MarkOf(f.Token))
		if amiss = amiss || did; err != nil {
			return amiss, err
		}
	}
	if amiss {
		_, err = s.carry(ctx, token)
	}
	return amiss, err
}

// align brings one entry and the document together.
func (s *Service) align(ctx context.Context, token, carrier pan.Token, want txn.Mark) (bool, error) {
	entry, _, err := s.Entry(ctx, carrier)
	if err != nil {
		return false, err
	}
	if foreign(&entry) && !want.Reason.Terminal() {
		news, err := s.adopt(ctx, token, carrier, &entry)
		if news || err != nil {
			return true, err
		}
	}
	switch {
	case entry.Mark.Reason.Terminal() && !want.Reason.Terminal():
		return true, s.bury(ctx, token, carrier, entry.Mark)
	case want.Reason == txn.NotFrozen, want == entry.Mark, entry.Mark.Reason.Terminal():
		return false, nil
	case card.Merge(entry.Mark, want) == entry.Mark && want.Scope != entry.Mark.Scope:
		return false, nil // closed further than the document wants: an effect opens it, if any
	case card.Merge(entry.Mark, want) == entry.Mark:
		r := s.request(txn.Release, carrier, requestID('G', carrier, uint32(want.Reason), uint32(s.o.Now()/1000)))
		r.Listing = txn.Listing{Mark: want, From: entry.Mark, Actor: deskActor, Note: "as the account says"}
		return true, s.ask(ctx, r) // as much is closed, for another reason
	default:
		return true, s.close(ctx, carrier, want, deskActor)
	}
}

// close freezes a card beside the effects of a document.
func (s *Service) close(ctx context.Context, carrier pan.Token, mark txn.Mark, by string) error {
	r := s.request(txn.Freeze, carrier, requestID('G', carrier, uint32(mark.Reason), uint32(s.o.Now()/1000)))
	r.Listing = txn.Listing{Mark: mark, Actor: by, Note: "closed again"}
	return s.ask(ctx, r)
}

// Ledger reads the settled records of all cards, those of one card in their order. It is
// History without a card.
type Ledger interface {
	// RecordsSince calls yield for every settled record from business date from on.
	RecordsSince(ctx context.Context, from txn.BusinessDate, yield func(*txn.Record) error) error
}

// restoreActor is who closes again what an older copy of the store had open. It is not the
// desk, so that the documents, which are as old, take the freeze in.
const restoreActor = "restore"

// Reclosed is what a restore had undone.
type Reclosed struct {
	Cards    int // closed again, the dead numbers among them
	Dead     int
	Accounts int // of which the document was brought up to the list
	// Lost are the documents that the ledger knows in a later version than the store: what
	// was done about them since must be done again by people.
	Lost []pan.Token
	// Unclaimed are closed cards that no account of the store bears.
	Unclaimed int
}

// LostMax bounds Reclosed.Lost.
const LostMax = 10_000

// Reclose closes again what the ledger says is closed and the store has open: the store may
// have been restored from an older copy, while the ledger goes on to the last hour. It is to
// be called at start, before any card is served, with the business date that the store
// stands at, so that a store which was not restored costs no more than the records of a day.
// A number that once was dead is dead; of other freezes the last word of the ledger counts.
// Nothing is ever opened. It can be called again.
func (s *Service) Reclose(ctx context.Context, ledger Ledger, from txn.BusinessDate) (Reclosed, error) {
	var done Reclosed
	words, versions, err := lastWords(ctx, ledger, from)
	if err != nil {
		return done, err
	}
	for token, word := range words {
		mark := word.mark
		if mark.Reason == txn.NotFrozen {
			continue
		}
		entry, _, err := s.Entry(ctx, token)
		if err != nil {
			return done, err
		}
		if card.Merge(entry.Mark, mark) == entry.Mark {
			if !entry.Mark.Reason.Terminal() && entry.Actor != word.actor {
				if err := s.takeWord(ctx, token, &word); err != nil {
					return done, err
				}
			}
			continue
		}
		if err := s.close(ctx, token, mark, restoreActor); err != nil {
			return done, fmt.Errorf("card %s cannot be closed again: %w", token, err)
		}
		done.Cards++
		if mark.Reason.Terminal() {
			done.Dead++
		}
		if err := s.tellAccount(ctx, token, &done); err != nil {
			return done, err
		}
	}
	for token, version := range versions {
		l, err := s.o.Cards.Load(ctx, token, nil)
		if err != nil {
			return done, fmt.Errorf("%w: %w", ErrStore, err)
		}
		if l.Version < version && len(done.Lost) < LostMax {
			done.Lost = append(done.Lost, token)
			s.log.Warn("the ledger knows commands that the store does not", "document", token.String(),
				"version", l.Version, "ledger", version)
		}
	}
	return done, nil
}

// takeWord has the account of a card know a freeze of somebody else that was made after the copy
// was. The entry closes as much already, for a reason of its own: what lifts the one must leave
// the other.
func (s *Service) takeWord(ctx context.Context, carrier pan.Token, w *lastWord) error {
	token, _, err := s.Find(ctx, carrier)
	if errors.Is(err, ErrNoAccount) {
		return nil
	}
	if err != nil {
		return err
	}
	defer s.lock(token)()
	id := s.o.Tokenizer.Derive("restored", carrier.String()+"/"+w.at)
	out, err := s.commit(ctx, token, account.Command{ID: account.CommandID(id), Made: s.o.Now(),
		By:   account.Staff{ID: w.actor[:min(len(w.actor), account.NameMax)]},
		Step: account.FreezeRisk{Scope: w.mark.Scope, Ground: w.mark.Reason.String()}})
	if err != nil {
		return fmt.Errorf("account %s: %w", token, err)
	}
	switch out.Refusal {
	case account.RefusalNone, account.AlreadyReported, account.AccountClosed:
		return nil
	default:
		return fmt.Errorf("%w: freeze by %s: %s", errRefused, w.actor, out.Refusal)
	}
}

// tellAccount has the account of a card that was closed again take that in.
func (s *Service) tellAccount(ctx context.Context, of pan.Token, done *Reclosed) error {
	token, _, err := s.Find(ctx, of)
	switch {
	case errors.Is(err, ErrNoAccount):
		done.Unclaimed++
		return nil
	case err != nil:
		return err
	}
	if _, err := s.Reconcile(ctx, token); err != nil {
		return fmt.Errorf("account %s: %w", token, err)
	}
	done.Accounts++
	return nil
}

// lastWord is the mark that a card was left with, by whom, and where the ledger says so.
type lastWord struct {
	mark  txn.Mark
	actor string
	at    string
}

// lastWords returns the mark that each card was left with since a day, a death above all
// else, and the latest version of each document.
func lastWords(ctx context.Context, ledger Ledger, from txn.BusinessDate) (words map[pan.Token]lastWord,
	versions map[pan.Token]uint64, err error) {
	words, versions = map[pan.Token]lastWord{}, map[pan.Token]uint64{}
	err = ledger.RecordsSince(ctx, from, func(r *txn.Record) error {
		switch {
		case r.Outcome != txn.Approved:
		case r.Kind == txn.Desk:
			versions[r.Card] = max(versions[r.Card], r.CardVersion)
		case r.Kind != txn.Freeze && r.Kind != txn.Release:
		case !words[r.Card].mark.Reason.Terminal():
			words[r.Card] = lastWord{r.Listing.Mark, r.Listing.Actor,
				fmt.Sprintf("%s/%s/%d/%s", r.Position, r.Request, r.ReceivedAt, r.Listing.Actor)}
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("freezes in the ledger since %s: %w", from, err)
	}
	return words, versions, err
}

// Behind reports whether the store is an older copy than the ledger: held says how far the
// ledger is complete in each bucket, infos how far the store was before it opened its epoch.
// It returns the business date from which Reclose must look.
func Behind(infos []store.BucketInfo, held [txn.BucketCount]txn.Position) (from txn.BusinessDate, behind bool) {
	for _, info := range infos {
		if from == 0 || info.Date < from {
			from = info.Date
		}
		behind = behind || info.Last.Before(held[info.Bucket])
	}
	return from, behind
}
