package receipt

import (
	"encoding/hex"
	"fmt"
	"slices"
	"time"
)

// Limits of a freeze receipt.
const (
	// PartiesMax is the most parties: departments, banks, operators and agencies.
	PartiesMax = 256
	// CoveragesMax is the most measurements of the gates.
	CoveragesMax = 64
	// ScopesMax is the most applications.
	ScopesMax = 16
)

// tokenSize is the length of a card token in bytes (crypto/pan).
const tokenSize = 16

// Freeze is a freeze receipt: it proves to the holder when the report was received and from
// when the card was refused.
type Freeze struct {
	Issuer   string    // who gives the receipt
	Number   string    // the receipt's number, unique with the issuer
	IssuedAt time.Time // when it was given

	Token  [tokenSize]byte // the card's token
	Masked string          // asterisks and at most four digits, or ""
	Reason string          // as in the card's state: lost, suspended, …
	Scope  []string        // frozen applications; "all" for all

	ReceivedAt time.Time  // when the report was received
	Parties    []Party    // who was told, in the issuer's order
	Gates      []Coverage // how the gates learnt, in the order of time
	ListEpoch  uint64     // the blacklist's epoch …
	ListSeq    uint64     // … and the entry's number in it
	Boundary   Boundary   // from when losses are no longer the holder's
	Actor      string     // who froze: a desk, a person's number, a system
}

// Party is one that had to freeze.
type Party struct {
	Name        string
	ReceivedAt  time.Time // zero while there is no proof of receipt
	EffectiveAt time.Time // zero while it is not effective
	// BoundaryAt parts the liability for what this party served, where the rule gives each its
	// own; zero else, and while it has not come.
	BoundaryAt time.Time
}

// Coverage is how many gates held the entry at a moment.
type Coverage struct {
	At             time.Time
	Covered, Total uint64
}

// Boundary is the moment that parts the liability, and the rule that set it. With freeze_due each
// party has its own: At is the last of them, from which on no loss is the holder's, and zero
// while it has not come for all.
type Boundary struct {
	Rule string // report_accepted, report_effective, freeze_actual, freeze_due
	At   time.Time
}

// OwnBoundaries is the rule by which each party has a boundary of its own.
const OwnBoundaries = "freeze_due"

// Kind returns KindFreeze.
func (f *Freeze) Kind() Kind { return KindFreeze }

// Issued returns IssuedAt.
func (f *Freeze) Issued() time.Time { return f.IssuedAt }

// check wants every field that a holder or a court would ask for, and each within its limit. It
// does not compare times: they come from the clocks of several parties, and a receipt states
// what was observed.
func (f *Freeze) check() error {
	if f.Token == ([tokenSize]byte{}) {
		return fmt.Errorf("card token: missing")
	}
	if len(f.Parties) > PartiesMax || len(f.Gates) > CoveragesMax || len(f.Scope) > ScopesMax ||
		len(f.Scope) == 0 {
		return fmt.Errorf("%d parties, %d coverages, %d scopes: at most %d, %d, and 1 to %d",
			len(f.Parties), len(f.Gates), len(f.Scope), PartiesMax, CoveragesMax, ScopesMax)
	}
	for _, err := range []error{checkText("issuer", f.Issuer, 1), checkText("number", f.Number, 1),
		checkText("reason", f.Reason, 1), checkText("actor", f.Actor, 1),
		checkText("boundary rule", f.Boundary.Rule, 1), checkMasked(f.Masked),
		checkTime("issued_at", f.IssuedAt, false), checkTime("received_at", f.ReceivedAt, false),
		checkTime("boundary", f.Boundary.At, f.Boundary.Rule == OwnBoundaries)} {
		if err != nil {
			return err
		}
	}
	return f.checkLists()
}

func (f *Freeze) checkLists() error {
	for _, s := range f.Scope {
		if err := checkText("scope", s, 1); err != nil {
			return err
		}
	}
	for _, p := range f.Parties {
		for _, err := range []error{checkText("party", p.Name, 1),
			checkTime("received_at of a party", p.ReceivedAt, true),
			checkTime("effective_at of a party", p.EffectiveAt, true),
			checkTime("boundary_at of a party", p.BoundaryAt, true)} {
			if err != nil {
				return err
			}
		}
	}
	for _, g := range f.Gates {
		if err := checkTime("time of a coverage", g.At, false); err != nil {
			return err
		}
		if g.Covered > g.Total {
			return fmt.Errorf("coverage: %d gates of %d", g.Covered, g.Total)
		}
	}
	return nil
}

// content has every field, also empty ones, so that one receipt has one shape; a party's boundary
// stands there only where it has one.
func (f *Freeze) content() value {
	scope, parties, gates := array(), array(), array()
	for _, s := range f.Scope {
		scope.list = append(scope.list, text(s))
	}
	for _, p := range f.Parties {
		fields := []member{is("party", text(p.Name)), is("received_at", moment(p.ReceivedAt)),
			is("effective_at", moment(p.EffectiveAt))}
		if !p.BoundaryAt.IsZero() {
			fields = append(fields, is("boundary_at", moment(p.BoundaryAt)))
		}
		parties.list = append(parties.list, object(fields...))
	}
	for _, g := range f.Gates {
		gates.list = append(gates.list, object(is("at", moment(g.At)),
			is("covered", count(g.Covered)), is("total", count(g.Total))))
	}
	return object(is("kind", text(string(KindFreeze))), is("version", integer(version)),
		is("issuer", text(f.Issuer)), is("number", text(f.Number)),
		is("issued_at", moment(f.IssuedAt)),
		is("card", object(is("token", text(hex.EncodeToString(f.Token[:]))),
			is("masked", text(f.Masked)))),
		is("reason", text(f.Reason)), is("scope", scope),
		is("received_at", moment(f.ReceivedAt)), is("parties", parties), is("gates", gates),
		is("list", object(is("epoch", count(f.ListEpoch)), is("sequence", count(f.ListSeq)))),
		is("boundary", object(is("rule", text(f.Boundary.Rule)),
			is("at", moment(f.Boundary.At)))),
		is("actor", text(f.Actor)))
}

// freezeOf is the inverse of content.
func freezeOf(d *decoder, v value) *Freeze {
	r := d.object(v, "kind", "version", "issuer", "number", "issued_at", "card", "reason", "scope",
		"received_at", "parties", "gates", "list", "boundary", "actor")
	r.version(KindFreeze)
	card := d.object(r.fields["card"], "token", "masked")
	list := d.object(r.fields["list"], "epoch", "sequence")
	boundary := d.object(r.fields["boundary"], "rule", "at")
	f := &Freeze{Issuer: r.text("issuer"), Number: r.text("number"),
		IssuedAt: r.moment("issued_at"), Masked: card.text("masked"), Reason: r.text("reason"),
		ReceivedAt: r.moment("received_at"), ListEpoch: list.count("epoch"),
		ListSeq: list.count("sequence"), Actor: r.text("actor"),
		Boundary: Boundary{boundary.text("rule"), boundary.moment("at")}}
	copy(f.Token[:], card.bytes("token", tokenSize))
	for _, s := range r.list("scope", ScopesMax) {
		if s.kind != kindString {
			d.fail("scope holds another type")
		}
		f.Scope = append(f.Scope, s.text)
	}
	for _, p := range r.list("parties", PartiesMax) {
		f.Parties = append(f.Parties, d.party(p))
	}
	for _, g := range r.list("gates", CoveragesMax) {
		o := d.object(g, "at", "covered", "total")
		f.Gates = append(f.Gates, Coverage{o.moment("at"), o.count("covered"), o.count("total")})
	}
	return f
}

func (d *decoder) party(v value) Party {
	names := []string{"party", "received_at", "effective_at"}
	bounded := slices.ContainsFunc(v.members, func(m member) bool { return m.name == "boundary_at" })
	if bounded {
		names = append(names, "boundary_at")
	}
	o := d.object(v, names...)
	p := Party{Name: o.text("party"), ReceivedAt: o.moment("received_at"),
		EffectiveAt: o.moment("effective_at")}
	if bounded {
		if p.BoundaryAt = o.moment("boundary_at"); p.BoundaryAt.IsZero() {
			d.fail("boundary_at is empty")
		}
	}
	return p
}
