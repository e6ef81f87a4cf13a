// Package lease has the rules of the freeze lease: how long a purse may be served off line after
// the switch saw it last, so that a freeze takes effect at gates without a network when the lease
// ends, at the latest.
//
// A lease begins and goes on with contacts: requests that the switch itself decided while the
// card was before a terminal. A purse that is frozen, replaced, closed or expired gets none, and
// no lease outlasts the card. A lease never moves backwards: its end is what the card was told.
// Of records that come later the package says whether they were served after the end.
//
// It is pure: values in, values out; no clock, no network, no goroutine. Instants are Unix
// milliseconds of the switch's clock. It neither decides requests nor judges who bears a loss.
package lease

import (
	"fmt"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Bounds of what a scheme may say.
const (
	// LengthMax is the longest lease: what is older is too old to be uploaded, too.
	LengthMax txn.Millis = 30 * 24 * 3600 * 1000
	// LengthMin is the shortest lease but none: a shorter one would end on the way to the gate.
	LengthMin txn.Millis = 60 * 1000
	// MarginMax bounds the margin: a gate whose clock is worse than that is out of order.
	MarginMax txn.Millis = 24 * 3600 * 1000
)

// Terms are what a scheme says. The zero Terms are a scheme without a lease.
type Terms struct {
	// Length is how long a purse may be served off line after a contact; 0 is without limit.
	Length txn.Millis
	// Margin is how long after the end a service is not yet held against the gate, whose clock
	// is not the switch's.
	Margin txn.Millis
	// RenewedBy are the contacts that count.
	RenewedBy Contacts
}

// None reports whether the scheme has no lease.
func (t *Terms) None() bool { return t.Length == 0 }

// Check reports terms that make no sense.
func (t *Terms) Check() error {
	switch {
	case t.None() && t.Margin == 0:
		return nil
	case t.Length < LengthMin || t.Length > LengthMax:
		return fmt.Errorf("policy: lease: a length of %d ms, want 0 or %d to %d", t.Length, LengthMin,
			LengthMax)
	case t.Margin < 0 || t.Margin > MarginMax || t.Margin > t.Length:
		return fmt.Errorf("policy: lease: a margin of %d ms, want 0 to %d and no more than the length",
			t.Margin, MarginMax)
	case t.RenewedBy == 0:
		return fmt.Errorf("policy: lease: nothing renews it")
	default:
		return nil
	}
}

// Contact is a kind of request by which the switch sees a purse.
type Contact uint8

// The contacts.
const (
	NoContact Contact = iota
	Tap
	Purchase
	Load
	Verify
	Balance
	Issue // the card is enrolled: its first lease begins
	contactEnd
)

var contactNames = [contactEnd]string{"none", "tap", "purchase", "load", "verify", "balance", "issue"}

// String returns the contact's stable name.
func (c Contact) String() string {
	if c >= contactEnd {
		return "unknown"
	}
	return contactNames[c]
}

// ParseContact reads a stable name.
func ParseContact(s string) (Contact, error) {
	for c := Tap; c < contactEnd; c++ {
		if contactNames[c] == s {
			return c, nil
		}
	}
	return NoContact, fmt.Errorf("%q is no contact: choose tap, purchase, load, verify, balance or issue", s)
}

// Contacts is a set of contacts.
type Contacts uint8

// SetOf returns the set of all.
func SetOf(all ...Contact) (s Contacts) {
	for _, c := range all {
		s |= 1 << c
	}
	return s &^ (1 << NoContact)
}

// All is every contact.
func All() Contacts { return SetOf(Tap, Purchase, Load, Verify, Balance, Issue) }

// Has reports whether c is in the set; NoContact never is.
func (s Contacts) Has(c Contact) bool { return c != NoContact && c < contactEnd && s>>c&1 == 1 }

// ContactOf returns by what a request shows the purse to the switch: NoContact for a record that
// was made off line, for a QR code, which is shown without the card, and for the work of desks.
func ContactOf(r *txn.Request) Contact {
	switch {
	case r.Offline || !r.Code.IsZero():
		return NoContact
	case r.Kind.IsTap():
		return Tap
	}
	switch r.Kind {
	case txn.Purchase:
		return Purchase
	case txn.Load:
		return Load
	case txn.Verify:
		return Verify
	case txn.Balance:
		return Balance
	case txn.Enrol:
		return Issue
	default:
		return NoContact
	}
}

// GapsMax is how many gaps a lease remembers. A card has one for each time that it stayed away
// from the network for longer than the lease; records older than the upload window ask for none.
const GapsMax = 4

// Gap is a time in which the purse had no lease: after From, and before To.
type Gap struct{ From, To txn.Millis }

// Lease is what is known of one purse; the zero Lease is a purse that never had one.
type Lease struct {
	// Since is when the lease that is in force or was last in force began, Until its end: it is
	// good at Until, and no more after it.
	Since, Until txn.Millis
	// Gaps are before Since, the latest first.
	Gaps [GapsMax]Gap
}

// Moves reports whether a contact is worth a write of its own: less than half of the length is
// left. Where the card is written anyway every contact renews.
func (l *Lease) Moves(t *Terms, now txn.Millis) bool { return l.Until-now < t.Length/2 }

// Renew returns the lease after a contact at now of a purse that is good until valid (0: for
// ever). The end never moves backwards; what was before oldest is forgotten.
func (l *Lease) Renew(t *Terms, now, valid, oldest txn.Millis) Lease {
	end := now + t.Length
	if valid != 0 {
		end = min(end, valid)
	}
	next := *l
	if t.None() || end <= now || end <= l.Until {
		return next
	}
	switch {
	case l.Until == 0:
		next.Since = now
	case now > l.Until:
		copy(next.Gaps[1:], l.Gaps[:])
		next.Gaps[0] = Gap{From: l.Until, To: now}
		next.Since = now
	}
	next.Until = end
	for i := range next.Gaps {
		if next.Gaps[i].To <= oldest {
			next.Gaps[i] = Gap{}
		}
	}
	return next
}

// Ended reports whether the purse had no lease any more when it was served at an instant: it was
// the gate's to refuse it. What is within the margin, and what was before anything that the lease
// remembers, is not held against the gate.
func (l *Lease) Ended(t *Terms, served txn.Millis) bool {
	if t.None() || l.Until == 0 {
		return false
	}
	if served > l.Until+t.Margin {
		return true
	}
	for _, g := range l.Gaps {
		if g.To != 0 && served > g.From+t.Margin && served < g.To {
			return true
		}
	}
	return false
}

// timeForm is how answers tell instants: RFC 3339 in UTC, to the millisecond.
const timeForm = "2006-01-02T15:04:05.000Z"

// AppendText appends what a terminal on an ISO 8583 link has to know of a decision's lease: LEASE and
// the end in UTC, whole seconds, or LEASENONE; nothing in a scheme without a lease.
func AppendText(dst []byte, d *txn.Decision) []byte {
	switch {
	case d.LeaseUntil == txn.LeaseNone:
		return append(dst, "LEASENONE"...)
	case d.LeaseUntil > 0:
		return d.LeaseUntil.Time().UTC().AppendFormat(append(dst, "LEASE"...), "20060102150405")
	default:
		return dst
	}
}

// AppendAnswer appends to a JSON object what a terminal has to know of a decision's lease: until
// when the purse may be served off line, that it may not be, or that a record was served after
// the end. A comma goes before each; a scheme without a lease adds nothing.
func AppendAnswer(dst []byte, d *txn.Decision) []byte {
	switch {
	case d.LeaseEnded:
		dst = append(dst, `,"liability":"operator","liability_reason":"lease_ended"`...)
	case d.LeaseUntil == txn.LeaseNone:
		dst = append(dst, `,"lease":"none"`...)
	case d.LeaseUntil > 0:
		dst = d.LeaseUntil.Time().UTC().AppendFormat(append(dst, `,"lease_until":"`...), timeForm)
		dst = append(dst, '"')
	}
	return dst
}
