package desk

import (
	"context"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// What an effect asks of the engine and of the notices. Each can be asked for again: the
// request id is made of the document and the number of the effect, or the request says what
// shall be.

// errRefused reports that the engine declined what a document decided. It stays in the list
// and is seen there.
var errRefused = errors.New("declined")

// request starts a request of the desk.
func (s *Service) request(kind txn.Kind, card pan.Token, id txn.RequestID) *txn.Request {
	now := s.o.Now()
	return &txn.Request{ID: id, Kind: kind, Card: card, Currency: s.o.Currency, ServiceAt: now,
		ReceivedAt: now, Listing: txn.Listing{Actor: deskActor}}
}

// deskActor is who stands in the records of effects; who wanted them stands in those of the
// commands.
const deskActor = "desk"

// effectRequest starts the request of an effect.
func (s *Service) effectRequest(kind txn.Kind, card, doc pan.Token, e *account.Effect) *txn.Request {
	r := s.request(kind, card, requestID('E', doc, e.Seq, uint32(e.Kind)))
	r.ServiceAt = max(e.Since, 1) // the same in every try, or the card would not know it again
	r.Listing.Note = fmt.Sprintf("%s case %d effect %d", doc, e.Case, e.Seq)
	return r
}

// ask decides a request; done already is no failure.
func (s *Service) ask(ctx context.Context, r *txn.Request) error {
	a := s.o.Engine.Authorize(ctx, r)
	return settled(&a.Decision, a.Err)
}

func settled(d *txn.Decision, err error) error {
	switch {
	case err != nil:
		return err
	case d.Outcome == txn.Approved, d.Reason == txn.AlreadyListed, d.Reason == txn.NotListed:
		return nil
	default:
		return fmt.Errorf("%w: %s", errRefused, d.Reason)
	}
}

// card reads a card's state; the zero State when it is absent.
func (s *Service) card(ctx context.Context, token pan.Token) (state card.State, err error) {
	l, err := s.o.Cards.Load(ctx, token, nil)
	if err != nil {
		return state, fmt.Errorf("%w: %w", ErrStore, err)
	}
	if l.Version == 0 {
		return state, nil
	}
	if err := state.Decode(l.State); err != nil {
		return state, fmt.Errorf("card %s: %w", token, err)
	}
	return state, nil
}

// setMarks brings the blacklist entries of carriers to what the document says: what closes
// more as one list, so that an account freezes with one sync; what opens one by one.
func (s *Service) setMarks(ctx context.Context, token pan.Token, doc *account.Account,
	marks []*account.Effect) []error {
	errs := make([]error, len(marks))
	var freezes []*txn.Request
	var of []int
	for i, e := range marks {
		entry, _, err := s.Entry(ctx, e.Carrier)
		if err == nil {
			err = s.takeIn(ctx, token, e, &entry)
		}
		switch {
		case err != nil:
			errs[i] = err
		case entry.Mark == e.Mark, entry.Mark.Reason.Terminal():
		case e.Mark.Reason != txn.NotFrozen && card.Merge(entry.Mark, e.Mark) == e.Mark:
			r := s.effectRequest(txn.Freeze, e.Carrier, token, e)
			r.Listing.Mark = e.Mark
			if c := doc.Carrier(e.Carrier); c != nil {
				r.Last4 = c.Last4
			}
			freezes, of = append(freezes, r), append(of, i)
		default:
			r := s.effectRequest(txn.Release, e.Carrier, token, e)
			r.Listing.Mark, r.Listing.From = e.Mark, entry.Mark
			if errs[i] = s.ask(ctx, r); errs[i] == nil && foreign(&entry) {
				errs[i] = s.disown(ctx, e.Carrier)
			}
		}
	}
	for k, a := range s.o.Engine.AuthorizeAll(ctx, freezes) {
		errs[of[k]] = settled(&a.Decision, a.Err)
		// Only a loss notes the number, and takes it out again.
		if why := freezes[k].Listing.Mark.Reason; a.ListSeq != 0 && (why == txn.Lost || why == txn.PreReported) {
			s.listSeqs.Store(freezes[k].Card, a.ListSeq)
		}
	}
	return errs
}

// perform does one effect other than a mark.
func (s *Service) perform(ctx context.Context, token pan.Token, doc *account.Account, e *account.Effect) error {
	switch e.Kind {
	case account.Enrol:
		return s.enrol(ctx, token, doc, e)
	case account.Amend:
		return s.amend(ctx, token, doc, e)
	case account.Widen:
		return s.widen(ctx, token, e)
	case account.Transfer:
		return s.startTransfer(ctx, token, e)
	case account.PostFee:
		return s.postFee(ctx, token, doc, e)
	case account.Payout:
		return s.payOut(ctx, token, e)
	case account.Notify:
		return s.notify(ctx, token, doc, e)
	case account.Alarm:
		s.log.Warn("legal date passed", "document", token.String(), "case", e.Case, "owner", e.Name,
			"due", e.Since.Time())
		return nil
	case account.Compensate:
		return s.compensate(ctx, token, doc, e)
	case account.BookLiability:
		return s.bookFinding(ctx, token, e)
	default:
		return fmt.Errorf("desk: internal error: effect %s", e.Kind)
	}
}

// enrol makes a card's state, or takes over one that exists, and ties it to the account. A
// number that died meanwhile gets its state all the same, since money may be on its way there,
// and the account learns that it is dead.
func (s *Service) enrol(ctx context.Context, token pan.Token, doc *account.Account, e *account.Effect) error {
	r := s.effectRequest(txn.Enrol, e.Carrier, token, e)
	r.Last4 = e.Last4
	r.Enrolment = txn.Enrolment{Apps: e.Card.Open(), Rider: e.Card.Rider, ExpiresOn: e.Card.ExpiresOn,
		Issuer: e.Issuer, Account: token}
	a := s.o.Engine.Authorize(ctx, r)
	exists := a.Err == nil && a.Decision.Reason == txn.CardExists
	if err := settled(&a.Decision, a.Err); err != nil && !exists {
		return err
	}
	if err := s.amend(ctx, token, doc, e); err != nil {
		return err
	}
	entry, _, err := s.Entry(ctx, e.Carrier)
	if err != nil || !entry.Mark.Reason.Terminal() {
		return err
	}
	return s.bury(ctx, token, e.Carrier, entry.Mark)
}

// amend brings a card's state to what the document says. A dead card only learns its
// successor.
func (s *Service) amend(ctx context.Context, token pan.Token, doc *account.Account, e *account.Effect) error {
	c := txn.CardChange{Set: txn.ChangeAccount, Account: token}
	if e.To.IsZero() {
		waiting := doc.Awaiting()
		if e.Card.BankAwaited() {
			waiting |= txn.AppBank // open as far as that a till is told why it is not
		}
		c.Set |= txn.ChangeStatus | txn.ChangeApps | txn.ChangeBankWaiting | txn.ChangeRider |
			txn.ChangeExpiry
		c.Active = e.Card.Status == account.Active
		c.Apps = e.Card.Open() | waiting
		c.BankWaiting = waiting.Has(txn.AppBank)
		c.Rider = e.Card.Rider
		if e.Card.ExpiresOn != 0 {
			c.ExpiresAt = s.scheme().Rules.Calendar.Start(e.Card.ExpiresOn.Next())
		}
	} else {
		old, err := s.card(ctx, e.Carrier)
		if heir := old.Life.Successor; err != nil || !heir.IsZero() && heir != e.To {
			return err // it has one for ever, from before
		}
		c.Set |= txn.ChangeSuccessor
		c.Successor = e.To
	}
	r := s.effectRequest(txn.Amend, e.Carrier, token, e)
	r.ID = requestID('E', token, e.Seq, uint32(account.Amend))
	r.Change = &c
	return s.ask(ctx, r)
}

// widen tells a card the trust flag of its account (ZZ14). The flag ends on the card by itself.
func (s *Service) widen(ctx context.Context, token pan.Token, e *account.Effect) error {
	r := s.effectRequest(txn.Amend, e.Carrier, token, e)
	r.Change = &txn.CardChange{Set: txn.ChangeTrust, Widen: e.Amount}
	if e.Until != 0 {
		r.Change.WidenUntil = s.scheme().Rules.Calendar.Start(e.Until.Next())
	}
	return s.ask(ctx, r)
}

// startTransfer makes the new card the successor of the old one and brings over what there
// is. What comes to the old card later follows by itself.
func (s *Service) startTransfer(ctx context.Context, token pan.Token, e *account.Effect) error {
	old, err := s.card(ctx, e.Carrier)
	if err != nil || old.Status == card.StatusNone {
		return err
	}
	if heir := old.Life.Successor; !heir.IsZero() && heir != e.To {
		return s.transfer(ctx, e.Carrier) // a successor is for ever: what it gets goes on from there
	}
	heir := s.effectRequest(txn.Amend, e.To, token, e)
	heir.Change = &txn.CardChange{Set: txn.ChangeAccount, Account: token, Predecessor: e.Carrier}
	if err := s.ask(ctx, heir); err != nil {
		return err
	}
	r := s.effectRequest(txn.Amend, e.Carrier, token, e)
	r.ID = requestID('E', token, e.Seq, 100)
	r.Change = &txn.CardChange{Set: txn.ChangeSuccessor, Successor: e.To}
	if err := s.ask(ctx, r); err != nil {
		return err
	}
	return s.transfer(ctx, e.Carrier)
}

// purse returns the carrier on which money of the account is booked: a living one with a
// card state, else one that died, whose money finds its successor.
func purse(doc *account.Account) (pan.Token, bool) {
	for _, kind := range []account.CarrierKind{account.Chip, account.ECard, account.QR} {
		for _, c := range doc.Carriers {
			if c.Kind == kind {
				return c.Token, true
			}
		}
	}
	for i := len(doc.Former) - 1; i >= 0; i-- {
		if f := &doc.Former[i]; f.Kind != account.BankPAN {
			return f.Token, true
		}
	}
	return pan.Token{}, false
}

var errNoPurse = errors.New("the account has no card to book on")

func (s *Service) postFee(ctx context.Context, token pan.Token, doc *account.Account, e *account.Effect) error {
	on, ok := purse(doc)
	if !ok {
		return errNoPurse
	}
	r := s.effectRequest(txn.Fee, on, token, e)
	r.Amount = e.Amount
	r.Place = txn.Place{Payee: txn.Account(e.Name), Funding: cash(e.Outlet)}
	return s.ask(ctx, r)
}

// cash is the account of an outlet's till.
func cash(outlet string) txn.Account {
	if outlet == "" {
		outlet = "agency"
	}
	return txn.Account("cash/" + outlet)
}

// payOut pays the whole balance; none left means that it was paid.
func (s *Service) payOut(ctx context.Context, token pan.Token, e *account.Effect) error {
	state, err := s.card(ctx, e.Carrier)
	if err != nil || state.Balance <= 0 {
		return err
	}
	r := s.effectRequest(txn.Payout, e.Carrier, token, e)
	r.Amount = state.Balance
	r.Place = txn.Place{Payee: cash(e.Outlet)}
	return s.ask(ctx, r)
}

func (s *Service) compensate(ctx context.Context, token pan.Token, doc *account.Account, e *account.Effect) error {
	on, ok := purse(doc)
	if !ok {
		return errNoPurse
	}
	r := s.effectRequest(txn.Compensation, on, token, e)
	r.Amount = e.Amount
	r.Liability = s.kindOf(e.Name)
	r.Place = txn.Place{Payee: txn.Account("loss/" + e.Name)}
	return s.ask(ctx, r)
}

// kindOf returns what kind of party a name is; the agency when it is none of the scheme's.
func (s *Service) kindOf(party string) txn.Liability {
	for _, p := range s.scheme().Parties {
		if p.Name == party {
			return p.Kind
		}
	}
	return txn.LiabilityAgency
}

// notify tells the parties of a freeze or release, one notice a carrier: each party knows
// the card by the token that it can resolve.
func (s *Service) notify(ctx context.Context, token pan.Token, doc *account.Account, e *account.Effect) error {
	kind := notice.Freeze
	policy := s.scheme().Notice
	var carriers []noticed
	switch e.Notice {
	case account.NoticeFreeze, account.NoticeSuspended, account.NoticeReplaced, account.NoticeCancelled:
		carriers = frozenCarriers(doc, e.Case)
	case account.NoticeRelease, account.NoticeLapse, account.NoticeRestored:
		kind, policy = notice.Release, s.scheme().Release
		carriers = livingCarriers(doc)
	default: // the holder's renewal is no matter of the parties
		s.log.Info("notice to the holder", "document", token.String(), "notice", e.Notice.String())
		return nil
	}
	ids := make([]string, len(carriers))
	for i, c := range carriers {
		if s.o.Notices == nil {
			break
		}
		ids[i] = noticeID(token, e.Seq, c.token)
		n := notice.Notice{
			ID: ids[i], Kind: kind, Card: c.token, Last4: c.last4,
			Scope: c.scope(kind), Reason: c.mark.Reason, Case: fmt.Sprintf("%s-%d", token, e.Case),
			AcceptedAt: max(e.Since, 1), Policy: policy,
		}
		var err error
		if n.Supersedes, err = s.lastNotice(ctx, c.token, n.ID); err != nil {
			return err
		}
		if err := s.o.Notices.Notify(ctx, n); err != nil && !errors.Is(err, notice.ErrOther) {
			return fmt.Errorf("notice %s: %w", n.ID, err)
		}
		if err := s.keepNotice(ctx, c.token, n.ID); err != nil {
			return err
		}
	}
	if e.Notice == account.NoticeFreeze {
		return s.keepLoss(ctx, token, doc, carriers, ids)
	}
	return s.endLosses(ctx, token, doc)
}

// noticed is a carrier that parties are told of.
type noticed struct {
	token pan.Token
	last4 pan.Last4
	mark  txn.Mark
}

// scope is what a notice concerns: what is closed, and everything when it is opened.
func (c *noticed) scope(kind notice.Kind) txn.App {
	if kind == notice.Release || c.mark.Scope == 0 {
		return txn.AppAll
	}
	return c.mark.Scope
}

// frozenCarriers are those that are closed now, and those that died in the case.
func frozenCarriers(doc *account.Account, no uint32) []noticed {
	var all []noticed
	for _, c := range livingCarriers(doc) {
		if c.mark.Reason != txn.NotFrozen {
			all = append(all, c)
		}
	}
	for i := range doc.Former {
		f := &doc.Former[i]
		if k := doc.Case(no); f.At == doc.Closed || k != nil && f.Successor == k.Next && !k.Next.IsZero() {
			all = append(all, noticed{f.Token, f.Last4, doc.MarkOf(f.Token)})
		}
	}
	return all
}

func livingCarriers(doc *account.Account) []noticed {
	var all []noticed
	for _, c := range doc.Carriers {
		if c.Status != account.InProduction {
			all = append(all, noticed{c.Token, c.Last4, doc.MarkOf(c.Token)})
		}
	}
	return all
}

// noticeID names the notice of an effect about a carrier.
func noticeID(doc pan.Token, seq uint32, carrier pan.Token) string {
	return fmt.Sprintf("%s-%d-%s", doc, seq, carrier.String()[:8])
}
