package provision

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// index is all that was published and ordered: one value of the registry. Its methods are pure
// and change nothing when they refuse.
type index struct {
	// Serial grows by one with each change.
	Serial    uint64             `json:"serial"`
	Documents []Document         `json:"documents"`
	Orders    []disruption.Order `json:"orders"`
}

// find returns a document, nil when there is none.
func (x *index) find(kind Kind, version string) *Document {
	for i := range x.Documents {
		if d := &x.Documents[i]; d.Kind == kind && d.Version == version {
			return d
		}
	}
	return nil
}

// publish adds a document; again is true when the same one is there already.
func (x *index) publish(d Document, now txn.Millis) (again bool, r *Refusal) {
	if was := x.find(d.Kind, d.Version); was != nil {
		if was.same(&d) {
			return true, nil
		}
		return false, conflict("version_exists", "version",
			"%s is published with another content, scope or instant: take another version",
			d.Version)
	}
	switch {
	case d.Effective <= now:
		return false, invalid("effective_ms", "takes effect in the past, %d s ago",
			int64(now-d.Effective)/1000)
	case d.Effective > now+AheadMax:
		return false, invalid("effective_ms", "more than %d days ahead", AheadMax/day)
	}
	for i := range x.Documents {
		o := &x.Documents[i]
		if o.Kind == d.Kind && o.Scope == d.Scope && o.Effective == d.Effective {
			return false, conflict("documents_contradict", "effective_ms",
				"%s takes effect for %s at the same instant", o.Version, o.Scope)
		}
	}
	if x.dropSuperseded(now); len(x.Documents) >= DocumentsMax {
		return false, conflict("documents_full", "", "%d documents are kept, no more fit",
			len(x.Documents))
	}
	x.Documents = append(x.Documents, d)
	return false, nil
}

// dropSuperseded forgets what was replaced long ago.
func (x *index) dropSuperseded(now txn.Millis) {
	all := slices.Clone(x.Documents)
	x.Documents = slices.DeleteFunc(x.Documents, func(d Document) bool {
		return slices.ContainsFunc(all, func(o Document) bool {
			return o.Kind == d.Kind && o.Scope == d.Scope && o.Effective > d.Effective &&
				o.Effective < now-SupersededKeep
		})
	})
}

// withdraw takes back what has not taken effect.
func (x *index) withdraw(kind Kind, version string, now txn.Millis) *Refusal {
	d := x.find(kind, version)
	switch {
	case d == nil:
		return notFound("document")
	case d.Effective <= now:
		return conflict("document_in_effect", "version",
			"%s took effect: publish another version instead", version)
	}
	x.Documents = slices.DeleteFunc(x.Documents, func(o Document) bool {
		return o.Kind == kind && o.Version == version
	})
	return nil
}

// at returns what is in force for a place at an instant: of the narrowest scope that has
// something, what took effect last. nil when there is nothing.
func (x *index) at(kind Kind, p disruption.Place, at txn.Millis) (best *Document) {
	for i := range x.Documents {
		d := &x.Documents[i]
		if d.Kind != kind || d.Effective > at || !d.Scope.Covers(p) {
			continue
		}
		if best == nil || cmp.Or(cmp.Compare(d.Scope.Level, best.Scope.Level),
			cmp.Compare(d.Effective, best.Effective)) > 0 {
			best = d
		}
	}
	return best
}

// next returns what will take the place of what is in force now, nil when nothing will.
func (x *index) next(kind Kind, p disruption.Place, now txn.Millis) *Document {
	var turns []txn.Millis
	for i := range x.Documents {
		if d := &x.Documents[i]; d.Kind == kind && d.Effective > now && d.Scope.Covers(p) {
			turns = append(turns, d.Effective)
		}
	}
	slices.Sort(turns)
	current := x.at(kind, p, now)
	for _, turn := range turns {
		if d := x.at(kind, p, turn); d != current {
			return d
		}
	}
	return nil
}

// order adds an order of a degraded mode.
func (x *index) order(o disruption.Order, now txn.Millis) *Refusal {
	if r := checkOrder(&o, now); r != nil {
		return r
	}
	if other, ok := o.Contradicts(x.Orders); ok {
		return conflict("orders_contradict", "mode", "order %s is for %s at %s in that time",
			other.ID, other.Mode, other.Scope)
	}
	x.Orders = slices.DeleteFunc(x.Orders, func(o disruption.Order) bool {
		return o.Until < now-OrderKeep
	})
	if len(x.Orders) >= OrdersMax {
		return conflict("orders_full", "", "%d orders are kept, no more fit", len(x.Orders))
	}
	x.Orders = append(x.Orders, o)
	return nil
}

// startSlack is how far back an order may begin: the time a person needs to send it.
const startSlack = 60_000

func checkOrder(o *disruption.Order, now txn.Millis) *Refusal {
	bad := func(field, format string, args ...any) *Refusal {
		return &Refusal{http.StatusUnprocessableEntity, "order_invalid", field,
			fmt.Sprintf(format, args...)}
	}
	switch {
	case o.Mode == 0:
		return bad("mode", "missing")
	case o.Reason == "" || len(o.Reason) > disruption.ReasonMax:
		return bad("reason", "%d bytes, want 1 to %d", len(o.Reason), disruption.ReasonMax)
	case holdsNumber(o.Reason):
		return bad("reason", "it may hold a card number")
	case o.From < now-startSlack:
		return bad("from_ms", "begins in the past: what was before is not ordered afterwards")
	case o.From > now+disruption.AheadMax:
		return bad("from_ms", "too far ahead")
	case o.Until <= o.From:
		return bad("until_ms", "not after from_ms")
	case o.Until-o.From > disruption.SpanMax:
		return bad("until_ms", "more than %d hours: what lasts is a tariff",
			disruption.SpanMax/3_600_000)
	}
	return nil
}

// holdsNumber reports whether a text has 13 digits in a row, but for blanks and dashes.
func holdsNumber(s string) bool {
	digits := 0
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c != ' ' && c != '-':
			digits = 0
		}
		if digits >= 13 {
			return true
		}
	}
	return false
}

func (x *index) orderOf(id string) *disruption.Order {
	for i := range x.Orders {
		if x.Orders[i].ID == id {
			return &x.Orders[i]
		}
	}
	return nil
}

// confirm puts a second person behind an order.
func (x *index) confirm(id, by string, now txn.Millis) *Refusal {
	o := x.orderOf(id)
	switch {
	case o == nil:
		return notFound("order")
	case o.By == by:
		return &Refusal{http.StatusForbidden, "second_person_needed", "",
			"who gave the order cannot confirm it"}
	case o.Confirmed() && o.Second != by:
		return conflict("order_confirmed", "", "%s has confirmed it", o.Second)
	case o.Confirmed():
		return nil
	case now > o.Until+disruption.ConfirmMax:
		return conflict("order_too_old", "", "it ended too long ago")
	}
	o.Second, o.SecondAt = by, now
	return nil
}

// end brings the end of an order forward to now.
func (x *index) end(id, by string, now txn.Millis) *Refusal {
	o := x.orderOf(id)
	switch {
	case o == nil:
		return notFound("order")
	case now >= o.Until:
		return nil // it is over
	case now <= o.From:
		x.Orders = slices.DeleteFunc(x.Orders, func(o disruption.Order) bool { return o.ID == id })
		return nil
	}
	o.Until, o.EndedBy = now, by
	return nil
}
