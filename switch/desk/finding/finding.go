package finding

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/sm"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Kind is what was found.
type Kind string

// The kinds.
const (
	PassBack         Kind = "pass_back"
	ImpossibleTravel Kind = "impossible_travel"
	ConcessionMisuse Kind = "concession_misuse"
	FrozenUsed       Kind = "frozen_used"
	ForgedTAC        Kind = "forged_tac"
	ClonedCounter    Kind = "cloned_counter"
	// ModeUnordered: a gate took taps under a degraded mode that nobody had ordered.
	ModeUnordered Kind = "mode_unordered"
)

// Kinds lists all of them.
func Kinds() []Kind {
	return []Kind{PassBack, ImpossibleTravel, ConcessionMisuse, FrozenUsed, ForgedTAC, ClonedCounter,
		ModeUnordered}
}

// Use is one use of the card, as it stands in the ledger.
type Use struct {
	Record    string     `json:"record"`
	Request   string     `json:"request"`
	Kind      string     `json:"kind"`
	Outcome   string     `json:"outcome"`
	Reason    string     `json:"reason"`
	Operator  string     `json:"operator"`
	Line      string     `json:"line"`
	Station   string     `json:"station"`
	Rider     string     `json:"rider"`
	TAC       string     `json:"tac"`
	Counter   uint32     `json:"counter"`
	ServiceAt txn.Millis `json:"service_at"`
}

// UsesMax bounds the uses that a finding names; the first ones are told.
const UsesMax = 8

// Finding is what was found about one card.
type Finding struct {
	Kind  Kind
	Card  pan.Token
	Last4 pan.Last4
	// At is the service time of the last use.
	At   txn.Millis
	Uses []Use
	Why  string
	// Lost says that a use came after the card was reported lost: it is not the holder's.
	Lost bool
}

// ID is the same whenever the same uses are found.
func (f *Finding) ID() string {
	parts := []string{string(f.Kind), f.Card.String()}
	for i := range f.Uses {
		parts = append(parts, f.Uses[i].Request+"@"+f.Uses[i].Record)
	}
	sum := sm.SM3([]byte(strings.Join(parts, "\n")))
	return hex.EncodeToString(sum[:16])
}

// Span is a time in which the card was reported lost; To is 0 while it is.
type Span struct{ From, To txn.Millis }

// Holder is what is known about the card's holder beside the ledger.
type Holder struct {
	Losses []Span
	// RiderUntil is the last instant of the concession; 0 for no end.
	RiderUntil txn.Millis
}

// Rules are by what uses are judged; zero fields judge nothing.
type Rules struct {
	Travel *Travel
	// ConcessionDayMax is how many rides a concession is for on one day.
	ConcessionDayMax int
	// Day returns the local day of an instant.
	Day func(txn.Millis) txn.BusinessDate
}

// Detect finds what the records of one card show, in the order of service. Records may come
// in any order and some twice; what is found depends on neither.
func Detect(records []txn.Record, h Holder, rules Rules) []Finding {
	d := &detector{h: h, rules: rules, counters: map[uint32]*txn.Record{},
		rides: map[txn.BusinessDate][]*txn.Record{}, counted: map[txn.BusinessDate]bool{}}
	sorted := make([]*txn.Record, 0, len(records))
	for i := range records {
		if r := &records[i]; !r.Kind.IsMarker() && !r.Kind.IsAgency() && r.Kind != txn.Freeze && r.Kind != txn.Release {
			sorted = append(sorted, r)
		}
	}
	slices.SortFunc(sorted, inOrder)
	sorted = slices.CompactFunc(sorted, func(a, b *txn.Record) bool {
		return a.Position == b.Position && a.Request == b.Request
	})
	for _, r := range sorted {
		d.look(r)
	}
	return d.found
}

func inOrder(a, b *txn.Record) int {
	switch {
	case a.ServiceAt != b.ServiceAt:
		return int(min(1, max(-1, a.ServiceAt-b.ServiceAt)))
	case a.Position.Before(b.Position):
		return -1
	case b.Position.Before(a.Position):
		return 1
	default:
		return strings.Compare(a.Request.String(), b.Request.String())
	}
}

// detector looks at the uses of one card, one after the other.
type detector struct {
	h        Holder
	rules    Rules
	found    []Finding
	entry    *txn.Record // the last entry that was approved
	tap      *txn.Record // the last tap at a station
	counters map[uint32]*txn.Record
	rides    map[txn.BusinessDate][]*txn.Record
	counted  map[txn.BusinessDate]bool
}

func (d *detector) look(r *txn.Record) {
	if r.TAC == txn.TACWrong {
		d.add(ForgedTAC, "the record's TAC is not the card's", r)
	}
	switch r.Reason {
	case txn.CardFrozen, txn.CardReplaced, txn.CardCancelled:
		d.add(FrozenUsed, "a frozen card was presented", r)
	case txn.PassBack:
		d.add(PassBack, "a second entry while a ride is open", d.entry, r)
	case txn.CardJustUsed:
		d.add(PassBack, "the card was used again at once in one place", d.entry, r)
	}
	d.told(r)
	if r.Liability == txn.LiabilityOpen || r.Reason == txn.LeaseEnded && d.lost(r) {
		d.add(FrozenUsed, "a frozen card was served off line", r)
	}
	d.counter(r)
	d.travel(r)
	d.concession(r)
	if r.Kind == txn.MetroEntry && r.Outcome == txn.Approved {
		d.entry = r
	}
}

// told reads what the switch noted in the record: what a terminal had done before it was asked.
func (d *detector) told(r *txn.Record) {
	for _, note := range r.Discounts {
		switch note.Cause {
		case txn.CausePassBack:
			d.add(PassBack, "a terminal let a second person through", d.entry, r)
		case txn.CauseUnordered:
			d.add(ModeUnordered, "the gate's degraded mode was ordered by nobody", r)
		}
	}
}

// counter looks for two transactions that claim one number of the card's offline counter.
func (d *detector) counter(r *txn.Record) {
	if !r.Offline {
		return
	}
	first := d.counters[r.OfflineCounter]
	switch {
	case first == nil && r.Reason == txn.CounterSeen:
		d.add(ClonedCounter, "the counter was used before by another transaction", r)
	case first == nil:
		d.counters[r.OfflineCounter] = r
	case first.ServiceAt != r.ServiceAt || first.Request.Terminal != r.Request.Terminal:
		d.add(ClonedCounter, "two transactions bear one counter", first, r)
	}
}

// travel looks for two taps that are farther apart than the time between allows.
func (d *detector) travel(r *txn.Record) {
	if d.rules.Travel == nil || !r.Kind.IsTap() || r.Place.Station == "" {
		return
	}
	last := d.tap
	d.tap = r
	if last == nil {
		return
	}
	need, known := d.rules.Travel.Least(last.Place.Station, r.Place.Station)
	if took := r.ServiceAt - last.ServiceAt; known && took < need {
		d.add(ImpossibleTravel, fmt.Sprintf("%d s between places that are %d s apart at least", took/1000,
			need/1000), last, r)
	}
}

// concession looks for rides at preference that are too many for one person, or after its end.
func (d *detector) concession(r *txn.Record) {
	if r.Rider == txn.RiderOrdinary || r.Outcome != txn.Approved || !r.Kind.IsTap() || r.Kind == txn.MetroExit {
		return
	}
	if d.h.RiderUntil != 0 && r.ServiceAt > d.h.RiderUntil {
		d.add(ConcessionMisuse, "a ride at preference after its end", r)
	}
	if d.rules.ConcessionDayMax == 0 || d.rules.Day == nil {
		return
	}
	day := d.rules.Day(r.ServiceAt)
	d.rides[day] = append(d.rides[day], r)
	if len(d.rides[day]) > d.rules.ConcessionDayMax && !d.counted[day] {
		d.counted[day] = true
		d.add(ConcessionMisuse, fmt.Sprintf("more than %d rides at preference on one day",
			d.rules.ConcessionDayMax), d.rides[day]...)
	}
}

func (d *detector) add(kind Kind, why string, uses ...*txn.Record) {
	f := Finding{Kind: kind, Why: why}
	for _, r := range uses {
		if r == nil {
			continue
		}
		f.Card, f.Last4, f.At = r.Card, r.Last4, max(f.At, r.ServiceAt)
		f.Lost = f.Lost || d.lost(r)
		if len(f.Uses) < UsesMax {
			f.Uses = append(f.Uses, useOf(r))
		}
	}
	d.found = append(d.found, f)
}

// lost reports whether a use came after a report of the loss.
func (d *detector) lost(r *txn.Record) bool {
	return slices.ContainsFunc(d.h.Losses, func(s Span) bool {
		return r.ServiceAt >= s.From && (s.To == 0 || r.ServiceAt < s.To)
	})
}

func useOf(r *txn.Record) Use {
	return Use{Record: r.Position.String(), Request: r.Request.String(), Kind: r.Kind.String(),
		Outcome: r.Outcome.String(), Reason: r.Reason.String(), Operator: r.Place.Operator,
		Line: r.Place.Line, Station: r.Place.Station, Rider: r.Rider.String(), TAC: r.TAC.String(),
		Counter: r.OfflineCounter, ServiceAt: r.ServiceAt}
}
