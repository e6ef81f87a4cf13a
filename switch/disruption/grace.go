package disruption

import "github.com/tapswitch/tapswitch/switch/txn"

// Stop is one end of a journey. An end that nobody tapped is the zero Stop.
type Stop struct {
	Place Place
	At    txn.Millis
}

// Tapped reports whether there was a tap.
func (s *Stop) Tapped() bool { return s.At != 0 }

// Journey is what is known of a ride through the paid area.
type Journey struct {
	Entry, Exit Stop
	// GivenUp is when a journey without an exit was closed: by the next entry, or because it
	// lapsed. It bounds the time in which the rider may have left.
	GivenUp txn.Millis
}

// Grace is what must not be charged. The zero value is none.
type Grace struct {
	// Incomplete: the missing tap is not charged; a fare that is known without it is.
	Incomplete bool
	// Overtime: the time in the paid area is not charged.
	Overtime bool
	// Order is the id of the first order that gives the grace, for the record.
	Order string
}

// Forgive returns the grace that confirmed orders give a journey.
//
// A journey that began or ended under any mode is not charged as incomplete. Where it ended is
// not known when the exit is missing; a mode under which doors stand open (train fault,
// emergency release) therefore forgives every journey that was under way while it held,
// wherever it held: the doubt is not the rider's. Overtime is forgiven under every mode that
// held at either end, and where time is waived or trains failed also when it held in between.
func Forgive(orders []Order, j Journey) (g Grace) {
	for i := range orders {
		o := &orders[i]
		if !o.Confirmed() {
			continue
		}
		incomplete, overtime := o.forgives(&j)
		if (incomplete || overtime) && g.Order == "" {
			g.Order = o.ID
		}
		g.Incomplete, g.Overtime = g.Incomplete || incomplete, g.Overtime || overtime
	}
	return g
}

// forgives is Forgive for one order.
func (o *Order) forgives(j *Journey) (incomplete, overtime bool) {
	began := j.Entry.Tapped() && o.Holds(j.Entry.At) && o.Scope.Covers(j.Entry.Place)
	ended := j.Exit.Tapped() && o.Holds(j.Exit.At) && o.Scope.Covers(j.Exit.Place)
	from, until := j.span()
	touched := from != 0 && o.overlaps(from, until)
	if !j.complete() {
		walkedOut := o.Mode.opensDoors() && touched && !j.Exit.Tapped()
		return began || ended || walkedOut, false
	}
	waits := o.Mode == TimeWaived || o.Mode == TrainFault
	return false, began || ended || waits && touched && o.crosses(j)
}

func (j *Journey) complete() bool { return j.Entry.Tapped() && j.Exit.Tapped() }

// span returns the first and the last instant at which the rider was, or may have been, in the
// paid area.
func (j *Journey) span() (from, until txn.Millis) {
	switch {
	case j.complete():
		return j.Entry.At, j.Exit.At
	case j.Exit.Tapped():
		return j.Exit.At, j.Exit.At
	case j.Entry.Tapped():
		return j.Entry.At, max(j.Entry.At, j.GivenUp)
	default:
		return 0, 0
	}
}

// crosses reports whether the order concerns a place that the journey is known to have
// touched: its lines, or the whole network.
func (o *Order) crosses(j *Journey) bool {
	return o.Scope.Covers(j.Entry.Place) || o.Scope.Covers(j.Exit.Place)
}
