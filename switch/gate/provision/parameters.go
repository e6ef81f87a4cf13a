package provision

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Class is what a gate gives service on the strength of.
type Class string

// The classes of FAULTS section 5 that a gate serves by itself.
const (
	ClassPurse    Class = "purse"     // money on the card
	ClassPostPaid Class = "post_paid" // an account or a bank card, paid later
	ClassIdentity Class = "identity"  // no money
)

// Age is how old a gate's list of frozen cards is.
type Age string

// The ages.
const (
	Fresh   Age = "fresh"
	Stale   Age = "stale"
	Unknown Age = "unknown" // older, or there is none
)

// Parameters are what a gate works by besides tariff and list. Every field must be given.
type Parameters struct {
	// ListPollS is how often the gate asks for news of the list.
	ListPollS int64 `json:"list_poll_s"`
	// ListFreshS and ListStaleS are the ages up to which a list is fresh and stale.
	ListFreshS int64 `json:"list_fresh_s"`
	ListStaleS int64 `json:"list_stale_s"`
	// LeaseS is how long a purse is served off line after it was last seen on line, where the
	// switch did not tell an earlier end of its lease.
	LeaseS int64 `json:"lease_s"`
	// PassBackS is how long after a tap the same card is refused at the same gate.
	PassBackS int64 `json:"pass_back_s"`
	// UploadS is how often the gate uploads, UploadMax how many records at once, QueueMax how
	// many it keeps before it stops serving.
	UploadS   int64 `json:"upload_s"`
	UploadMax int64 `json:"upload_max"`
	QueueMax  int64 `json:"queue_max"`
	// ClockSkewS is the difference to the switch's clock at which the gate sets its own.
	ClockSkewS int64 `json:"clock_skew_s"`
	// Floor is the amount from which on a tap is asked on line, or refused.
	Floor txn.Minor `json:"floor_fen"`
	// Limits say what is served off line. What has no entry is not.
	Limits []Limit `json:"limits"`
}

// Limit bounds what a gate serves off line for one class while its list has one age.
type Limit struct {
	Class Class `json:"class"`
	List  Age   `json:"list"`
	// TapMax bounds one tap; CardMax and CardTapsMax what one card gets since it was last seen
	// on line, in all and in number; GateMax what the gate gives since it was last on line.
	TapMax      txn.Minor `json:"tap_max_fen"`
	CardMax     txn.Minor `json:"card_max_fen"`
	CardTapsMax int64     `json:"card_taps_max"`
	GateMax     txn.Minor `json:"gate_max_fen"`
}

// Bounds that hold for every city.
const (
	uploadBatchMax = 5000 // what the switch takes in one batch
	queueMost      = 1_000_000
	weekS          = 7 * 24 * 60 * 60
	monthS         = 30 * 24 * 60 * 60 // after it a record is too old to be accepted
	limitsMax      = 9
	amountMost     = txn.Minor(100_000_000)
)

// DefaultParameters are what a gate works by that has not been told: a careful city's.
func DefaultParameters() Parameters {
	return Parameters{ListPollS: 30, ListFreshS: 900, ListStaleS: 14_400, LeaseS: 259_200,
		PassBackS: 120, UploadS: 60, UploadMax: 500, QueueMax: 50_000, ClockSkewS: 30, Floor: 5000,
		Limits: []Limit{
			{ClassPurse, Fresh, 10_000, 50_000, 100, 5_000_000},
			{ClassPurse, Stale, 2_000, 10_000, 20, 1_000_000},
			{ClassPostPaid, Fresh, 2_000, 5_000, 10, 200_000},
			{ClassIdentity, Fresh, 0, 0, 1000, 0},
			{ClassIdentity, Stale, 0, 0, 1000, 0},
			{ClassIdentity, Unknown, 0, 0, 100, 0},
		}}
}

// ReadParameters reads parameters strictly: a field that is not known, twice or missing is
// refused.
func ReadParameters(content []byte) (Parameters, *Refusal) {
	var p Parameters
	given := map[string]json.RawMessage{}
	if err := json.Unmarshal(content, &given); err != nil {
		return p, invalid("parameters", "no JSON object: %v", err)
	}
	for _, name := range parameterNames() {
		if _, ok := given[name]; !ok {
			return p, invalid("parameters."+name, "missing")
		}
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return p, invalid("parameters", "%v", err)
	}
	return p, p.check()
}

func parameterNames() []string {
	return []string{"list_poll_s", "list_fresh_s", "list_stale_s", "lease_s", "pass_back_s",
		"upload_s", "upload_max", "queue_max", "clock_skew_s", "floor_fen", "limits"}
}

// check refuses the first field that is out of range, and what contradicts another.
func (p *Parameters) check() *Refusal {
	for _, f := range []struct {
		name          string
		value, lo, hi int64
	}{
		{"list_poll_s", p.ListPollS, 1, 3600}, {"list_fresh_s", p.ListFreshS, 2, weekS},
		{"list_stale_s", p.ListStaleS, 3, monthS}, {"lease_s", p.LeaseS, 60, monthS},
		{"pass_back_s", p.PassBackS, 0, 3600}, {"upload_s", p.UploadS, 1, 86_400},
		{"upload_max", p.UploadMax, 1, uploadBatchMax}, {"queue_max", p.QueueMax, 1, queueMost},
		{"clock_skew_s", p.ClockSkewS, 1, 300},
		{"floor_fen", int64(p.Floor), 0, int64(amountMost)},
		{"limits", int64(len(p.Limits)), 0, limitsMax},
	} {
		if f.value < f.lo || f.value > f.hi {
			return invalid("parameters."+f.name, "%d, want %d to %d", f.value, f.lo, f.hi)
		}
	}
	for _, c := range []struct {
		bad         bool
		field, text string
	}{
		{p.ListPollS >= p.ListFreshS, "list_fresh_s",
			"not above list_poll_s: the list would be stale between two polls"},
		{p.ListFreshS >= p.ListStaleS, "list_stale_s", "not above list_fresh_s"},
		{p.LeaseS < p.ListPollS, "lease_s", "below list_poll_s"},
		{p.QueueMax < p.UploadMax, "queue_max", "below upload_max"},
	} {
		if c.bad {
			return invalid("parameters."+c.field, "%s", c.text)
		}
	}
	return p.checkLimits()
}

func (p *Parameters) checkLimits() *Refusal {
	largest := txn.Minor(0)
	for i := range p.Limits {
		l := &p.Limits[i]
		field := fmt.Sprintf("parameters.limits[%d]", i)
		if r := l.check(field); r != nil {
			return r
		}
		for j := range i {
			if o := &p.Limits[j]; o.Class == l.Class && o.List == l.List {
				return invalid(field, "%s with a %s list stands in limits[%d] already", l.Class,
					l.List, j)
			}
		}
		largest = max(largest, l.TapMax)
	}
	if p.Floor > largest {
		return invalid("parameters.floor_fen",
			"%d is above every tap_max_fen (%d): it would never count", p.Floor, largest)
	}
	return p.checkOrder()
}

// checkOrder wants an older list never to allow more than a younger one.
func (p *Parameters) checkOrder() *Refusal {
	for i := range p.Limits {
		l := &p.Limits[i]
		younger := []Age{Fresh, Stale}
		for _, age := range younger[:max(0, slices.Index([]Age{Fresh, Stale, Unknown}, l.List))] {
			y, _ := p.Limit(l.Class, age)
			if l.TapMax > y.TapMax || l.CardMax > y.CardMax || l.CardTapsMax > y.CardTapsMax ||
				l.GateMax > y.GateMax {
				return invalid(fmt.Sprintf("parameters.limits[%d]", i),
					"allows more with a %s list than with a %s one", l.List, age)
			}
		}
	}
	return nil
}

func (l *Limit) check(field string) *Refusal {
	money := l.TapMax != 0 || l.CardMax != 0 || l.GateMax != 0
	switch {
	case !slices.Contains([]Class{ClassPurse, ClassPostPaid, ClassIdentity}, l.Class):
		return invalid(field+".class", "%.32q, want purse, post_paid or identity", l.Class)
	case !slices.Contains([]Age{Fresh, Stale, Unknown}, l.List):
		return invalid(field+".list", "%.32q, want fresh, stale or unknown", l.List)
	case l.Class == ClassIdentity && money:
		return invalid(field, "identity moves no money")
	case l.List == Unknown && l.Class != ClassIdentity:
		return invalid(field+".list", "no money is moved by a gate that does not know its list")
	case l.TapMax < 0 || l.GateMax > amountMost:
		return invalid(field, "amounts from 0 to %d", amountMost)
	case l.TapMax > l.CardMax:
		return invalid(field+".card_max_fen", "below tap_max_fen")
	case l.CardMax > l.GateMax:
		return invalid(field+".gate_max_fen", "below card_max_fen")
	case l.CardTapsMax < 1 || l.CardTapsMax > queueMost:
		return invalid(field+".card_taps_max", "%d, want 1 to %d", l.CardTapsMax, queueMost)
	}
	return nil
}

// Limit returns what is served off line for a class while the list has an age; ok is false
// when nothing is.
func (p *Parameters) Limit(c Class, a Age) (l Limit, ok bool) {
	for _, l := range p.Limits {
		if l.Class == c && l.List == a {
			return l, true
		}
	}
	return Limit{}, false
}

// AgeOf returns the age of a list that was last known to be complete so long ago; has is
// whether there is a list at all.
func (p *Parameters) AgeOf(has bool, since txn.Millis) Age {
	switch {
	case !has || since > txn.Millis(p.ListStaleS)*1000:
		return Unknown
	case since > txn.Millis(p.ListFreshS)*1000:
		return Stale
	default:
		return Fresh
	}
}
