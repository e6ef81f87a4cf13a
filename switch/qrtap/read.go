package qrtap

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/qr"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// asked is one tap as a gate sends it.
type asked struct {
	ID          string
	Kind        string
	Code        string // base64 or hexadecimal
	ServiceTime txn.Millis
	Line        string
	Station     string
	Vehicle     string
	FullFare    *int64
	Charged     *int64
	Business    bool
	Metres      int64
	Mode        string   // of transport; that of the kind without it
	Degraded    []string // modes under which the gate took the tap
	Offline     bool
	ListEpoch   uint64
}

// badInput is a request that a gate must not send again as it is.
type badInput struct {
	field, want string
}

func (e *badInput) Error() string { return "field " + e.field + ": want " + e.want }

// request makes the engine's request of a tap, but for what its code says.
func (s *Handler) request(in *asked, device txn.TerminalID, source *Source) (*txn.Request, error) {
	id, err := txn.ParseRequestID(in.ID)
	if err != nil || id.Terminal != device {
		return nil, &badInput{"id", "terminal-boot-counter, with the terminal that signs the request"}
	}
	kind, err := txn.ParseKind(in.Kind)
	if err != nil || !kind.IsTap() || !slices.Contains(source.Kinds, kind) {
		return nil, &badInput{"kind", "a tap that the terminal is registered for"}
	}
	switch {
	case in.ServiceTime <= 0:
		return nil, &badInput{"service_time", "an instant as 2006-01-02T15:04:05Z"}
	case (in.FullFare == nil) != (in.Charged == nil):
		return nil, &badInput{"charged", "full_fare and charged, or neither"}
	}
	ride, err := in.ride()
	if err != nil {
		return nil, err
	}
	r := &txn.Request{ID: id, Kind: kind, Place: source.Place, Currency: s.o.Currency,
		Ride: ride, Offline: in.Offline, ListEpoch: in.ListEpoch,
		ServiceAt: in.ServiceTime, ReceivedAt: s.o.Now()}
	if in.Charged != nil {
		r.FareGiven, r.FullFare, r.Amount = true, txn.Minor(*in.FullFare), txn.Minor(*in.Charged)
	}
	if !in.Offline && s.o.Budget > 0 {
		r.Deadline = r.ReceivedAt + s.o.Budget
	}
	return r, in.place(&r.Place)
}

// ride returns what the gate tells of the ride itself.
func (in *asked) ride() (txn.Ride, error) {
	mode, known := txn.ParseMode(in.Mode)
	switch {
	case in.Metres < 0 || in.Metres > txn.MetresMax:
		return txn.Ride{}, &badInput{"metres", "a length, or 0"}
	case in.Mode != "" && !known:
		return txn.Ride{}, &badInput{"mode", "bus, metro, rail, tram or ferry, or none"}
	}
	var under disruption.Flags
	for _, name := range in.Degraded {
		m, err := disruption.ParseMode(name)
		if err != nil {
			return txn.Ride{}, &badInput{"degraded", "names of degraded modes"}
		}
		under = under.With(m)
	}
	return txn.Ride{Mode: mode, Business: in.Business, Metres: in.Metres, Degraded: uint8(under)}, nil
}

// place puts where the tap was, as far as the gate tells it, into p.
func (in *asked) place(p *txn.Place) error {
	for _, n := range [...]struct {
		field, value string
		to           *string
	}{{"line", in.Line, &p.Line}, {"vehicle", in.Vehicle, &p.Station}, {"station", in.Station, &p.Station}} {
		if n.value == "" {
			continue
		}
		if !plain(n.value) {
			return &badInput{n.field, fmt.Sprintf("a name of at most %d bytes", NameMax)}
		}
		*n.to = n.value
	}
	return nil
}

// plain reports whether a name may go into the ledger: short, printable, and no card number.
func plain(name string) bool {
	digits := 0
	for _, c := range name {
		if c < ' ' || c == 0x7F || c == '\uFFFD' {
			return false
		}
		if c >= '0' && c <= '9' {
			digits++
		} else {
			digits = 0
		}
		if digits >= numberMin {
			return false
		}
	}
	return len(name) <= NameMax
}

// Decode reads a code as gates send it, base64 of either alphabet or hexadecimal; nil for a text
// that is neither.
func Decode(text string) []byte {
	if b, err := hex.DecodeString(text); err == nil {
		return b
	}
	text = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(text), "=")
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return b
}

// verify verifies the code of a tap. The error is a refusal.
func (s *Handler) verify(raw []byte, r *txn.Request) (*qr.Code, error) {
	v := s.o.Verifier()
	tap := qr.Tap{Now: r.ReceivedAt.Time(), AmountFen: int64(r.Amount)}
	if r.Offline {
		tap.Now = r.ServiceAt.Time()
	}
	c, err := v.Verify(raw, tap)
	if err == nil || r.Offline || authentic(err) || ReasonOf(err) != txn.CodeExpired {
		return c, err
	}
	// A certificate whose month is over: a copy of a request from before has its answer still.
	if _, then := v.VerifyChain(raw, r.ServiceAt.Time()); then == nil {
		return c, qr.CodeExpired
	}
	return c, err
}

// fill makes r a request about the card of a code, and reports whether the engine is to be asked:
// not, when nobody has signed what the code says.
func (s *Handler) fill(r *txn.Request, text string) (ask bool, why error) {
	c, err := s.verify(Decode(text), r)
	if err != nil && !authentic(err) {
		return false, err
	}
	number := c.Card()
	r.Card, r.Last4 = s.o.Tokenizer.Token(number), number.Last4()
	r.Code = txn.Code{GeneratedAt: txn.MillisOf(c.GeneratedAt()), Limit: txn.Minor(c.LimitFen())}
	if refused := ReasonOf(err); refused != txn.CodeOverLimit { // which the engine finds in its turn
		r.Code.Refused = refused
	}
	return true, err
}
