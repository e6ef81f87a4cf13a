package sim

import (
	"encoding/json"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Tap is the body of a tap, alone or in a batch.
type Tap struct {
	ID          string     `json:"id"`
	Kind        string     `json:"kind"`
	Card        string     `json:"card"`
	ServiceTime string     `json:"service_time"`
	Station     string     `json:"station,omitempty"`
	Line        string     `json:"line,omitempty"`
	FullFare    *txn.Minor `json:"full_fare,omitempty"`
	Charged     *txn.Minor `json:"charged,omitempty"`
	Vehicle     string     `json:"vehicle,omitempty"`
	// What the terminal knows of the ride beside its fare: the class and the mode where they are
	// not those of the kind, the length, and the modes under which it served.
	Class    string   `json:"class,omitempty"`
	Metres   int64    `json:"metres,omitempty"`
	Mode     string   `json:"mode,omitempty"`
	Degraded []string `json:"degraded,omitempty"`
}

// Money is the body of a load, purchase, refund, reversal or balance query.
type Money struct {
	ID          string    `json:"id"`
	Card        string    `json:"card"`
	Amount      txn.Minor `json:"amount,omitempty"`
	Original    string    `json:"original,omitempty"`
	ServiceTime string    `json:"service_time"`
}

// serviceTime is how times are written: RFC 3339 with milliseconds and offset.
const serviceTime = "2006-01-02T15:04:05.000-07:00"

// zone is the scheme's local time, a fixed offset without daylight saving.
func zone() *time.Location { return time.FixedZone("", 8*60*60) }

// FormatTime writes an instant as the gate reads it.
func FormatTime(t time.Time) string { return t.Format(serviceTime) }

// paths are the calls by kind.
func pathOf(k txn.Kind) string {
	switch k {
	case txn.Load:
		return "/v1/loads"
	case txn.Purchase:
		return "/v1/purchases"
	case txn.Refund:
		return "/v1/refunds"
	case txn.Reversal:
		return "/v1/reversals"
	case txn.Balance:
		return "/v1/balances"
	default:
		return "/v1/taps"
	}
}

// encode writes the body of a step; base is when the morning began.
func (s *Step) encode(card string, base time.Time) []byte {
	at := FormatTime(base.Add(s.At).In(zone()))
	var v any
	if s.Kind.IsTap() {
		t := Tap{ID: s.ID.String(), Kind: s.Kind.String(), Card: card, ServiceTime: at}
		if s.Given {
			t.FullFare, t.Charged = &s.Full, &s.Amount
		}
		v = t
	} else {
		v = Money{ID: s.ID.String(), Card: card, Amount: s.Amount, ServiceTime: at,
			Original: s.OriginalID.String()}
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic("sim: internal error: body of a step: " + err.Error())
	}
	return b
}
