package account

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// documentVersion is the first byte of an encoded document. A reader refuses a greater
// one: what it cannot read it must not overwrite.
const documentVersion = 1

// trustVersion is that of a document with a trust flag, which stands behind everything else:
// documents without one stay as they were written before there were any.
const trustVersion = 2

// ErrDocument reports bytes that are no encoded document of a known version.
var ErrDocument = errors.New("account document cannot be read")

// Append appends a in its encoded form, at most EncodedMax bytes. Every document has one
// form only.
func (a *Account) Append(dst []byte) []byte {
	version := byte(documentVersion)
	if a.Trust != (Trust{}) {
		version = trustVersion
	}
	c := codec{b: append(dst, version)}
	c.account(a, version)
	if c.bad {
		panic(fmt.Sprintf("account: internal error: document of %d carriers and %d cases exceeds a limit",
			len(a.Carriers), len(a.Cases)))
	}
	return c.b
}

// Decode reads an encoded document. It keeps nothing of b.
func Decode(b []byte) (*Account, error) {
	if len(b) == 0 || b[0] < documentVersion || b[0] > trustVersion {
		return nil, fmt.Errorf("%w: want version %d or %d in %d bytes", ErrDocument, documentVersion,
			trustVersion, len(b))
	}
	c := codec{b: b[1:], read: true}
	a := new(Account)
	c.account(a, b[0])
	if c.bad || len(c.b) != 0 || len(b) > EncodedMax {
		return nil, fmt.Errorf("%w: %d bytes", ErrDocument, len(b))
	}
	return a, nil
}

// codec walks a document once for both directions: it appends each value to b, or with
// read takes it off. Once something is wrong, bad sticks.
type codec struct {
	b    []byte
	read bool
	bad  bool
}

func (c *codec) take(n int) []byte {
	if n < 0 || len(c.b) < n {
		c.bad, c.b = true, nil
		return nil
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

func (c *codec) bytes(v []byte) {
	if c.read {
		copy(v, c.take(len(v)))
		return
	}
	c.b = append(c.b, v...)
}

// token writes one byte for none, and 16 more for one.
func (c *codec) token(v *pan.Token) {
	there := !v.IsZero()
	c.flag(&there)
	if !there {
		return
	}
	c.bytes(v[:])
	c.bad = c.bad || v.IsZero()
}

func (c *codec) flag(v *bool) {
	b := [1]byte{}
	if *v {
		b[0] = 1
	}
	c.bytes(b[:])
	*v = b[0] == 1
	c.bad = c.bad || b[0] > 1
}

func (c *codec) text(v *string, most int) {
	n := uint8(min(len(*v), 255))
	below(c, &n, uint8(most+1))
	if c.read {
		*v = string(c.take(int(n)))
		return
	}
	c.b = append(c.b, *v...)
}

// below is a value of one byte that must be less than end.
func below[T ~uint8](c *codec, v *T, end T) {
	b := [1]byte{byte(*v)}
	c.bytes(b[:])
	*v = T(b[0])
	if *v >= end {
		c.bad = true
		*v = 0
	}
}

// number is a varint in its shortest form.
func number[T ~uint16 | ~uint32 | ~uint64](c *codec, v *T) {
	if !c.read {
		c.b = binary.AppendUvarint(c.b, uint64(*v))
		return
	}
	n, size := binary.Uvarint(c.b)
	if size <= 0 || size > 1 && c.b[size-1] == 0 || uint64(T(n)) != n {
		c.bad, c.b = true, nil
		return
	}
	*v, c.b = T(n), c.b[size:]
}

// amount is a number that is not negative: an instant or an amount.
func amount[T ~int64](c *codec, v *T) {
	n := uint64(*v)
	number(c, &n)
	*v = T(n)
	c.bad = c.bad || *v < 0
}

// list is a count and that many entries, at most most.
func list[T any](c *codec, v *[]T, most int, each func(*T)) {
	n := uint8(min(len(*v), 255))
	below(c, &n, uint8(most+1))
	if c.read && n > 0 && !c.bad {
		*v = make([]T, n)
	}
	for i := range *v {
		if c.bad {
			return
		}
		each(&(*v)[i])
	}
}

func (c *codec) account(a *Account, version byte) {
	c.token(&a.Holder)
	c.text(&a.Unit, NameMax)
	amount(c, &a.Opened)
	amount(c, &a.Closed)
	c.riderOf(&a.Rider)
	number(c, &a.ExpiresOn)
	below(c, &a.Stage, stageEnd)
	amount(c, &a.BankSince)
	list(c, &a.Carriers, CarriersMax, c.carrier)
	list(c, &a.Former, FormerMax, c.former)
	list(c, &a.Numbers, NumbersMax, func(n *Number) {
		below(c, &n.Kind, numberEnd)
		c.token(&n.Token)
	})
	list(c, &a.Functions, FunctionsMax, c.function)
	list(c, &a.Restrictions, RestrictionsMax, c.restriction)
	list(c, &a.Cases, CasesMax, c.openCase)
	list(c, &a.Ended, EndedMax, c.ended)
	list(c, &a.Consents, ConsentsMax, c.consent)
	list(c, &a.Fees, FeesMax, c.fee)
	list(c, &a.ToDo, EffectsMax, c.effect)
	list(c, &a.Recent, RecentMax, func(m *Remembered) {
		c.bytes(m.ID[:])
		c.bytes(m.Print[:])
		number(c, &m.Case)
		amount(c, &m.Made)
	})
	amount(c, &a.Floor)
	number(c, &a.LastCase)
	number(c, &a.LastEffect)
	number(c, &a.LastFee)
	number(c, &a.LastGrant)
	if version == trustVersion {
		c.trust(&a.Trust)
	}
}

func (c *codec) trust(t *Trust) {
	amount(c, &t.Widen)
	c.text(&t.Purpose, NameMax)
	c.text(&t.Source, NameMax)
	c.text(&t.Decision, NameMax)
	c.text(&t.By, NameMax)
	number(c, &t.Consent)
	amount(c, &t.Since)
	number(c, &t.Until)
	c.bad = c.bad || t.Widen == 0
}

func (c *codec) riderOf(r *Rider) {
	below(c, &r.Category, txn.RiderVeteran+1)
	c.text(&r.Source, NameMax)
	number(c, &r.Until)
}

func (c *codec) carrier(k *Carrier) {
	c.token(&k.Token)
	c.bytes(k.Last4[:])
	below(c, &k.Kind, carrierEnd)
	below(c, &k.Status, statusEnd)
	c.text(&k.Family, IssuerMax)
	c.text(&k.Issuer, IssuerMax)
	amount(c, &k.BoundAt)
	amount(c, &k.EndsAt)
	number(c, &k.Case)
	number(c, &k.Spared)
	c.mark(&k.told.mark)
	c.flag(&k.told.enrolled)
	c.card(&k.told.card)
}

func (c *codec) mark(m *txn.Mark) {
	below(c, &m.Reason, txn.Cancelled+1)
	number(c, &m.Scope)
}

func (c *codec) card(s *CardState) {
	number(c, &s.Apps)
	below(c, &s.Rider, txn.RiderVeteran+1)
	number(c, &s.ExpiresOn)
	below(c, &s.Status, statusEnd)
}

func (c *codec) former(f *Former) {
	c.token(&f.Token)
	c.bytes(f.Last4[:])
	below(c, &f.Kind, carrierEnd)
	below(c, &f.Status, statusEnd)
	amount(c, &f.At)
	c.token(&f.Successor)
}

func (c *codec) function(f *Function) {
	number(c, &f.App)
	amount(c, &f.OpenedAt)
	amount(c, &f.ClosedAt)
	below(c, &f.Channel, channelEnd)
	c.text(&f.Outlet, NameMax)
	c.flag(&f.AfterBank)
}

func (c *codec) restriction(r *Restriction) {
	below(c, &r.Reason, txn.Cancelled+1)
	number(c, &r.Scope)
	number(c, &r.Case)
	amount(c, &r.Received)
	amount(c, &r.Since)
	amount(c, &r.Counts)
	amount(c, &r.Effective)
	amount(c, &r.LapsesAt)
	c.flag(&r.Closed)
	below(c, &r.Actor, actorEnd)
	below(c, &r.ID, idEnd)
	below(c, &r.Channel, channelEnd)
	below(c, &r.Form, formEnd)
	c.flag(&r.BankTold)
	below(c, &r.Fault, faultEnd)
	c.text(&r.By, NameMax)
	c.text(&r.Outlet, NameMax)
	c.text(&r.Role, NameMax)
	c.text(&r.Decision, NameMax)
}

func (c *codec) openCase(k *Case) {
	number(c, &k.No)
	below(c, &k.Kind, caseEnd)
	below(c, &k.State, caseStateEnd)
	amount(c, &k.Received)
	amount(c, &k.Accepted)
	amount(c, &k.Sent)
	amount(c, &k.Made)
	amount(c, &k.Due)
	c.flag(&k.Alarmed)
	c.text(&k.Owner, NameMax)
	c.text(&k.By, NameMax)
	below(c, &k.Actor, actorEnd)
	below(c, &k.Channel, channelEnd)
	below(c, &k.ID, idEnd)
	below(c, &k.Ground, groundEnd)
	below(c, &k.Fault, faultEnd)
	below(c, &k.Field, fieldEnd)
	c.flag(&k.Undo)
	number(c, &k.App)
	number(c, &k.Left)
	number(c, &k.Waived)
	c.token(&k.Carrier)
	c.token(&k.Next)
	c.text(&k.Party, NameMax)
	amount(c, &k.Amount)
	c.text(&k.Decision, NameMax)
	list(c, &k.Txns, TxnsMax, c.position)
	list(c, &k.Lines, LinesMax, func(l *Line) {
		amount(c, &l.At)
		below(c, &l.State, caseStateEnd)
		c.text(&l.By, NameMax)
	})
}

func (c *codec) position(p *txn.Position) {
	below(c, &p.Bucket, txn.BucketCount)
	number(c, &p.Epoch)
	number(c, &p.Seq)
}

func (c *codec) ended(e *Ended) {
	number(c, &e.No)
	below(c, &e.Kind, caseEnd)
	below(c, &e.State, caseStateEnd)
	amount(c, &e.From)
	amount(c, &e.At)
	c.bytes(e.Paper[:])
}

func (c *codec) consent(g *Consent) {
	number(c, &g.No)
	c.text(&g.Party, NameMax)
	c.text(&g.Purpose, NameMax)
	number(c, &g.Scope)
	amount(c, &g.Given)
	number(c, &g.Until)
	amount(c, &g.Withdrawn)
}

func (c *codec) fee(f *Fee) {
	number(c, &f.No)
	below(c, &f.Event, eventEnd)
	below(c, &f.State, feeStateEnd)
	number(c, &f.Case)
	amount(c, &f.Amount)
	c.text(&f.Income, NameMax)
	c.text(&f.Outlet, NameMax)
	c.text(&f.Why, NameMax)
	amount(c, &f.At)
}

// effect writes only what effects of the kind have, since the list is the longest part.
func (c *codec) effect(e *Effect) {
	number(c, &e.Seq)
	below(c, &e.Kind, effectEnd)
	number(c, &e.Case)
	below(c, &e.Tries, TriesMax+1)
	c.text(&e.Why, WhyMax)
	amount(c, &e.Since)
	switch e.Kind {
	case SetMark:
		c.token(&e.Carrier)
		c.mark(&e.Mark)
	case Enrol:
		c.token(&e.Carrier)
		c.card(&e.Card)
		c.bytes(e.Last4[:])
		c.text(&e.Issuer, IssuerMax)
	case Amend:
		c.token(&e.Carrier)
		c.token(&e.To)
		c.card(&e.Card)
	case Transfer:
		c.token(&e.Carrier)
		c.token(&e.To)
	case PostFee:
		amount(c, &e.Amount)
		c.text(&e.Name, NameMax)
		c.text(&e.Outlet, NameMax)
	case Payout:
		c.token(&e.Carrier)
		c.text(&e.Outlet, NameMax)
	case Notify:
		below(c, &e.Notice, noticeEnd)
	case Alarm:
		c.text(&e.Name, NameMax)
	case Compensate:
		c.token(&e.Carrier)
		amount(c, &e.Amount)
		c.text(&e.Name, NameMax)
		c.text(&e.Outlet, NameMax)
		c.position(&e.Txn)
	case BookLiability:
		c.position(&e.Txn)
		below(c, &e.Fault, faultEnd)
		c.flag(&e.Undo)
	case Widen:
		c.token(&e.Carrier)
		amount(c, &e.Amount)
		number(c, &e.Until)
	default:
		c.bad = true
	}
}
