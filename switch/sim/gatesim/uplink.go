package gatesim

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Form is a form of uploads.
type Form string

// The forms.
const (
	// FormFrame is POST /v1/uploads: binary, with TACs and degraded modes.
	FormFrame Form = "frame"
	// FormTaps is POST /v1/taps:batch, which has no place for either.
	FormTaps Form = "taps"
)

// Uplink uploads records in one form. Implementations belong to the goroutine of their gate.
type Uplink interface {
	// Upload sends records, at most what the parameters name, in the order of their sequence
	// numbers, and returns the fate of those that the switch has decided about; one without an
	// answer is sent again later. An error means that nothing is known: some may be booked.
	Upload(ctx context.Context, records []Record) ([]ack, error)
}

// taps uploads as POST /v1/taps:batch. This form has no place for a TAC.
type taps struct {
	link  *link
	world *World
	gate  int
}

var _ Uplink = (*taps)(nil)

// tapBody is a tap as it is uploaded.
type tapBody struct {
	sim.Tap
	OfflineCounter uint16 `json:"offline_counter"`
	ListEpoch      uint64 `json:"list_epoch,omitempty"`
}

// requestID is what names a record at the switch for ever.
func requestID(gate string, r *Record) string { return fmt.Sprintf("%s-%d-%d", gate, r.Boot, r.Seq) }

// Upload implements Uplink.
func (u *taps) Upload(ctx context.Context, records []Record) ([]ack, error) {
	id := &u.world.Identities[u.gate]
	var body struct {
		Taps []tapBody `json:"taps"`
	}
	for i := range records {
		body.Taps = append(body.Taps, u.tap(&records[i]))
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("gate %s: upload: %w", id.ID, err)
	}
	a, err := u.link.ask(ctx, question{path: "/v1/taps:batch", body: text})
	if err != nil {
		return nil, err
	}
	results, err := sim.ParseResults(a.body, len(records))
	if err != nil {
		return nil, fmt.Errorf("gate %s: upload: %w", id.ID, err)
	}
	acks := make([]ack, 0, len(records))
	for i := range results {
		if f, reason, ok := fateOf(&results[i]); ok {
			acks = append(acks, ack{records[i].Seq, f, reason})
		}
	}
	return acks, nil
}

// tap is a record as it is uploaded.
func (u *taps) tap(r *Record) tapBody {
	id := &u.world.Identities[u.gate]
	t := sim.Tap{ID: requestID(id.ID, r), Kind: cmp.Or(r.Kind, kindBoard), Line: id.Line,
		Station: id.Station, Card: u.world.number(u.world.cardOf(u.gate, r.Card)).Digits(),
		ServiceTime: sim.FormatTime(r.At.Time().In(local())), FullFare: &r.Fare, Charged: &r.Amount,
		Metres: int64(r.Metres), Mode: r.Mode}
	if r.Business {
		t.Class = price.Business.String()
	}
	for _, m := range disruption.Modes() {
		if r.Modes.Has(m) {
			t.Degraded = append(t.Degraded, m.String())
		}
	}
	return tapBody{Tap: t, OfflineCounter: r.Counter, ListEpoch: r.Epoch}
}

// fateOf reads one answer; ok is false where the record must be sent again. A counter that was
// booked before is this record: a chip gives each number once.
func fateOf(a *sim.Answer) (f fate, reason string, ok bool) {
	switch {
	case a.Error != nil && (a.Error.Retryable || a.Error.Type == "unavailable"):
		return "", "", false
	case a.Error != nil && knows(a.Error.Code), knows(a.Reason):
		return fateKnown, "", true
	case a.Error != nil:
		return fateRejected, a.Error.Code, true
	case a.Approved() && a.Replay:
		return fateKnown, "", true
	case a.Approved():
		return fateAccepted, "", true
	default:
		return fateRejected, a.Reason, true
	}
}

func knows(code string) bool { return code == txn.CounterSeen.String() }

// isRefusal reports whether an error is the switch's no, and not the network's.
func isRefusal(err error) (*sim.APIError, bool) {
	var r *sim.APIError
	return r, errors.As(err, &r)
}
