package bankhost

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// Effect is what a host does to the answer of a request besides deciding it.
type Effect uint8

// The effects. All but LoseRequest carry the request out first, as the other end of a real
// fault would: the money has moved and the answer is what suffers.
const (
	None          Effect = iota
	Delay                // answers after DelayFrom to DelayTo
	Late                 // answers after LateAfter, which should be past the time-out
	Twice                // answers two times
	LoseRequest          // never sees the request
	LoseAnswer           // carries out and does not answer
	Garbage              // answers with bytes that are no message
	WrongSTAN            // answers with another field 11
	WrongTerminal        // answers with another field 41
	WrongRRN             // answers with another field 37
	WrongAmount          // answers with another field 4
	WrongMAC             // answers with a spoilt MAC; as None where there is no MAC
	Close                // closes the connection in place of the answer
	CloseInFrame         // closes it in the middle of the answer
	Stall                // answers, then reads nothing for StallFor
	ChangeKey            // changes the MAC key first; asks a terminal to sign on again
	effectEnd
)

// effectNames are the effects as in files and flags.
var effectNames = [effectEnd]string{"none", "delay", "late", "twice", "lose_request", "lose_answer",
	"garbage", "wrong_stan", "wrong_terminal", "wrong_rrn", "wrong_amount", "wrong_mac", "close",
	"close_in_frame", "stall", "change_key"}

// Effects returns all effects but None.
func Effects() []Effect {
	all := make([]Effect, 0, effectEnd-1)
	for e := None + 1; e < effectEnd; e++ {
		all = append(all, e)
	}
	return all
}

// ParseEffect reads what String prints.
func ParseEffect(s string) (Effect, error) {
	for i, name := range effectNames {
		if s == name {
			return Effect(i), nil
		}
	}
	return None, fmt.Errorf("effect %q: want one of %s", s, strings.Join(effectNames[:], ", "))
}

// String returns the name as in files and flags.
func (e Effect) String() string {
	if e < effectEnd {
		return effectNames[e]
	}
	return "effect " + strconv.Itoa(int(e))
}

// MarshalText returns String.
func (e Effect) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// UnmarshalText reads what ParseEffect reads.
func (e *Effect) UnmarshalText(text []byte) (err error) {
	*e, err = ParseEffect(string(text))
	return err
}

// Span is a duration that stands in files as text, "250ms".
type Span time.Duration

// MarshalText returns the duration as time.Duration prints it.
func (s Span) MarshalText() ([]byte, error) { return []byte(time.Duration(s).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (s *Span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = Span(d)
	return err
}

// RateMax is every request: rates are in 1/10,000.
const RateMax = 10_000

// Behaviour is how a host behaves. The zero Behaviour approves everything at once.
type Behaviour struct {
	// Decline is how many of 10,000 authorizations, sales and refunds are declined, with one
	// of Codes ("05" when there is none). Reversals, advices of completions and offline
	// sales, notices and balances never are: what has happened already is taken. Only the
	// Code of a rule refuses an advice.
	Decline int      `json:"decline,omitempty"`
	Codes   []string `json:"codes,omitempty"`
	// Rates say how many of 10,000 requests and reversals get an effect, the sum at most
	// 10,000. A repeat is drawn anew.
	Rates map[Effect]int `json:"rates,omitempty"`
	// DelayFrom and DelayTo bound a Delay, default 50 ms to 500 ms.
	DelayFrom Span `json:"delay_from,omitempty"`
	DelayTo   Span `json:"delay_to,omitempty"`
	// LateAfter is how late a Late answer is, default 35 s.
	LateAfter Span `json:"late_after,omitempty"`
	// StallFor is how long a Stall lasts, default 5 s.
	StallFor Span `json:"stall_for,omitempty"`
	// RefuseSignOn is how many of 10,000 sign-ons are refused, with SignOnCode (default 91).
	RefuseSignOn int    `json:"refuse_sign_on,omitempty"`
	SignOnCode   string `json:"sign_on_code,omitempty"`
	// KeyOrder is how the first KeyOrderTimes orders of a key are met (0: all of them); later
	// ones as KeyAnswered.
	KeyOrder      KeyOrder `json:"key_order,omitempty"`
	KeyOrderTimes int      `json:"key_order_times,omitempty"`
	// LoseReconciliations is how many 0500 are worked on and not answered, the first ones;
	// a repeat counts. ReconcileOff is added to the amount of debits that the host knows, so
	// that its totals differ.
	LoseReconciliations int   `json:"lose_reconciliations,omitempty"`
	ReconcileOff        int64 `json:"reconcile_off,omitempty"`
	// Rules come before the rates; the first that matches decides.
	Rules []Rule `json:"rules,omitempty"`
}

// KeyOrder is how a host meets an order of a key: an 0800 with network code 101 that brings
// none. Field 53 says which: 1 for PINs, else MACs.
type KeyOrder string

// The ways.
const (
	KeyOffered  KeyOrder = ""          // answers 00 and sends the key in an 0800 of its own
	KeyAnswered KeyOrder = "answer"    // the answer brings the key
	KeyWrongKCV KeyOrder = "wrong_kcv" // so it does, with the check value of another key
	KeyLate     KeyOrder = "late"      // so it does, after LateAfter
	KeyNever    KeyOrder = "never"     // there is no answer
	KeyRefused  KeyOrder = "refuse"    // the answer is 96
)

// keyOrders are all of them.
var keyOrders = []KeyOrder{KeyOffered, KeyAnswered, KeyWrongKCV, KeyLate, KeyNever, KeyRefused}

// Rule provokes one case exactly.
type Rule struct {
	// AmountEnds are the last digits of the amount in minor units, "" any amount.
	AmountEnds string `json:"amount_ends,omitempty"`
	// Prefix is how the card number begins, "" any card.
	Prefix string `json:"prefix,omitempty"`
	// Kind is the kind of transaction, "" every one but reversals.
	Kind string `json:"kind,omitempty"`
	// Times says to match only the first so many times that a request is seen, 0 every time.
	Times int `json:"times,omitempty"`
	// Code declines with this response code. A code is the answer for good, whatever Times
	// says: a repeat gets it again.
	Code string `json:"code,omitempty"`
	// Effect is what happens to the answer.
	Effect Effect `json:"effect,omitempty"`
}

// DefaultRules returns the table that a test provokes a case with by the last two digits of
// the amount; an effect happens the first time only, so that repeats and reversals succeed:
//
//	05 → code 51   14 → 14   41 → 41   54 → 54   55 → 55   61 → 61   91 → 91   96 → 96
//	70 delay          71 late        72 twice         73 lose_request  74 lose_answer
//	75 garbage        76 wrong_stan  77 wrong_terminal  78 wrong_rrn   79 wrong_amount
//	80 wrong_mac      81 close       82 close_in_frame  83 stall       84 change_key
func DefaultRules() []Rule {
	rules := []Rule{{AmountEnds: "05", Code: "51"}}
	for _, code := range []string{"14", "41", "54", "55", "61", "91", "96"} {
		rules = append(rules, Rule{AmountEnds: code, Code: code})
	}
	for i, e := range Effects() {
		rules = append(rules, Rule{AmountEnds: strconv.Itoa(70 + i), Effect: e, Times: 1})
	}
	return rules
}

// rulesMax is how many rules there may be: each request goes through them in order.
const rulesMax = 256

// ErrBehaviour is what every refusal of a Behaviour is.
var ErrBehaviour = errors.New("not a behaviour")

// rule is a Rule ready to match.
type rule struct {
	Rule
	ends, modulus int64
	kind          Kind
}

// plan is a Behaviour ready to use.
type plan struct {
	Behaviour
	bounds   [effectEnd]uint64 // upper bounds of the draw, cumulative
	rules    []rule
	byPrefix bool
}

// compile checks b and fills the defaults in.
func (b Behaviour) compile() (*plan, error) {
	p := &plan{Behaviour: b}
	setDefault(&p.DelayFrom, 50*time.Millisecond)
	setDefault(&p.DelayTo, max(500*time.Millisecond, time.Duration(p.DelayFrom)))
	setDefault(&p.LateAfter, 35*time.Second)
	setDefault(&p.StallFor, 5*time.Second)
	if len(p.Codes) == 0 {
		p.Codes = []string{"05"}
	}
	if p.SignOnCode == "" {
		p.SignOnCode = "91"
	}
	if p.DelayTo < p.DelayFrom || min(p.DelayFrom, p.LateAfter, p.StallFor) < 0 {
		return nil, fmt.Errorf("%w: delay from %v to %v, late %v, stall %v", ErrBehaviour,
			time.Duration(p.DelayFrom), time.Duration(p.DelayTo), time.Duration(p.LateAfter),
			time.Duration(p.StallFor))
	}
	if err := p.checkCodes(); err != nil {
		return nil, err
	}
	if !slices.Contains(keyOrders, p.KeyOrder) || p.KeyOrderTimes < 0 || p.LoseReconciliations < 0 {
		return nil, fmt.Errorf("%w: key_order %q: want one of answer, wrong_kcv, late, never, "+
			"refuse, and counts not below zero", ErrBehaviour, p.KeyOrder)
	}
	if err := p.compileRates(); err != nil {
		return nil, err
	}
	return p, p.compileRules()
}

func setDefault(s *Span, d time.Duration) {
	if *s == 0 {
		*s = Span(d)
	}
}

func (p *plan) checkCodes() error {
	for _, code := range append([]string{p.SignOnCode}, p.Codes...) {
		if !isRefusal(code) {
			return fmt.Errorf("%w: code %q is no refusal of two characters", ErrBehaviour, code)
		}
	}
	return nil
}

func isRefusal(code string) bool { return len(code) == 2 && !message.MeaningOf(code).Approved }

func (p *plan) compileRates() error {
	for _, rate := range []int{p.Decline, p.RefuseSignOn} {
		if rate < 0 || rate > RateMax {
			return fmt.Errorf("%w: rate %d is not 0 to %d", ErrBehaviour, rate, RateMax)
		}
	}
	sum := 0
	for _, e := range Effects() {
		rate := p.Rates[e]
		if rate < 0 || rate > RateMax {
			return fmt.Errorf("%w: rate %d of %v is not 0 to %d", ErrBehaviour, rate, e, RateMax)
		}
		sum += rate
		p.bounds[e] = uint64(sum)
	}
	if sum > RateMax {
		return fmt.Errorf("%w: the rates make %d of %d", ErrBehaviour, sum, RateMax)
	}
	return nil
}

func (p *plan) compileRules() error {
	if len(p.Rules) > rulesMax {
		return fmt.Errorf("%w: %d rules, allowed are %d", ErrBehaviour, len(p.Rules), rulesMax)
	}
	for i, from := range p.Rules {
		r := rule{Rule: from, modulus: 1}
		for _, c := range from.AmountEnds {
			r.modulus *= 10
			r.ends = r.ends*10 + int64(c-'0')
			if c < '0' || c > '9' || len(from.AmountEnds) > 12 {
				return fmt.Errorf("%w: rule %d: amount_ends is not up to 12 digits", ErrBehaviour,
					i+1)
			}
		}
		var ok bool
		if r.kind, ok = kindNamed(from.Kind); !ok && from.Kind != "" {
			return fmt.Errorf("%w: rule %d: kind %q", ErrBehaviour, i+1, from.Kind)
		}
		if from.Code != "" && !isRefusal(from.Code) || from.Effect >= effectEnd || from.Times < 0 {
			return fmt.Errorf("%w: rule %d: code, effect or times", ErrBehaviour, i+1)
		}
		p.byPrefix = p.byPrefix || from.Prefix != ""
		p.rules = append(p.rules, r)
	}
	return nil
}

// matches reports whether r is about the request, seen so many times before.
func (r *rule) matches(q *request, before uint32) bool {
	if r.kind == Unknown && q.kind == Reversal || r.kind != Unknown && r.kind != q.kind {
		return false
	}
	if r.Times > 0 && before >= uint32(r.Times) {
		return false
	}
	return q.amount%r.modulus == r.ends && (r.Prefix == "" || q.begins(r.Prefix))
}

// The salts that keep the draws of one request apart.
const (
	saltEffect uint64 = iota<<40 + 1<<32
	saltDecline
	saltCode
	saltDelay
	saltSignOn
	saltGarbage
	saltKey
	saltApproval
)

// intent is what the behaviour wants for a request.
type intent struct {
	code   string // "" leaves the decision to the book
	effect Effect
	delay  time.Duration
}

// intend says what happens to a request that has been seen so many times before.
func (p *plan) intend(q *request, seed uint64, before uint32) (in intent) {
	// The decision is drawn without before: a repeat must get the code of the first time. The
	// effect is drawn with it, or a lost answer would be lost for ever.
	base := q.key.hash() ^ seed
	ruled := false
	for i := range p.rules {
		r := &p.rules[i]
		if !r.matches(q, before) {
			continue
		}
		in.code, in.effect, ruled = r.Code, r.Effect, true
		break
	}
	if !ruled {
		in.effect = p.draw(mix(base^saltEffect+uint64(before)) % RateMax)
		if q.declinable() && int(mix(base^saltDecline)%RateMax) < p.Decline {
			in.code = p.Codes[mix(base^saltCode)%uint64(len(p.Codes))]
		}
	}
	switch in.effect {
	case Delay:
		width := uint64(p.DelayTo-p.DelayFrom) + 1
		in.delay = time.Duration(p.DelayFrom) +
			time.Duration(mix(base^saltDelay+uint64(before))%width)
	case Late:
		in.delay = time.Duration(p.LateAfter)
	}
	return in
}

// draw returns the effect for a number below 10,000.
func (p *plan) draw(n uint64) Effect {
	if n >= p.bounds[effectEnd-1] {
		return None
	}
	for e := None + 1; e < effectEnd; e++ {
		if n < p.bounds[e] {
			return e
		}
	}
	return None
}

// mix is the finisher of splitmix64: every bit of x moves every bit of the result.
func mix(x uint64) uint64 {
	x += 0x9E3779B97F4A7C15
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
