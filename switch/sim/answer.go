package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Answer is the gate's answer to a transaction.
type Answer struct {
	ID       string    `json:"id"`
	Outcome  string    `json:"outcome"`
	Reason   string    `json:"reason"`
	FullFare txn.Minor `json:"full_fare"`
	Charged  txn.Minor `json:"charged"`
	Balance  txn.Minor `json:"balance"`
	AuthCode string    `json:"auth_code"`
	Replay   bool      `json:"replay"`
	// LeaseUntil is until when the purse may be served off line, zero where nothing is told;
	// Lease is "none" where it may not be.
	LeaseUntil time.Time `json:"lease_until"`
	Lease      string    `json:"lease"`
	Error      *APIError `json:"error"`
}

// Approved reports whether the switch said so; nothing else is an approval.
func (a *Answer) Approved() bool { return a.Outcome == txn.Approved.String() && a.Error == nil }

// APIError is the error object of the gate.
type APIError struct {
	Type        string `json:"type"`
	Code        string `json:"code"`
	Message     string `json:"message"`
	Param       string `json:"param"`
	RequestID   string `json:"request_id"`
	Retryable   bool   `json:"retryable"`
	NextCounter uint64 `json:"next_counter"`
}

// Error returns code and message; neither holds a card number.
func (e *APIError) Error() string {
	text := e.Code + ": " + e.Message
	if e.Param != "" {
		text += " (" + e.Param + ")"
	}
	return text
}

// errAnswer reports an answer that cannot be read.
var errAnswer = errors.New("the switch's answer cannot be read")

// ParseAnswer reads the answer to one transaction, or the error in its place.
func ParseAnswer(body []byte) (Answer, error) {
	var a Answer
	if err := json.Unmarshal(body, &a); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", errAnswer, err)
	}
	if a.Outcome == "" && a.Error == nil {
		return Answer{}, fmt.Errorf("%w: no outcome in %d bytes", errAnswer, len(body))
	}
	return a, nil
}

// canonical returns the answer without the members that may differ between copies of one
// answer: whether it is a replay, where the record stands, and the purse's lease. The rest must be equal to
// the byte. The answer is a flat object; body is left as it is.
func canonical(body []byte) []byte {
	var out []byte
	for member := range members(body) {
		name, _, _ := cutName(member)
		switch name {
		case "replay", "record", "business_date", "lease_until", "lease":
		default:
			out = append(append(out, member...), ',')
		}
	}
	return out
}

// members yields the members of a flat JSON object as they stand.
func members(body []byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		start, quoted := 0, false
		for i := 0; i < len(body); i++ {
			switch c := body[i]; {
			case quoted && c == '\\':
				i++
			case c == '"':
				quoted = !quoted
			case quoted:
			case c == '{':
				start = i + 1
			case c == ',' || c == '}':
				if i > start && !yield(body[start:i]) {
					return
				}
				start = i + 1
			}
		}
	}
}

// cutName splits a member into name and value.
func cutName(member []byte) (name string, value []byte, ok bool) {
	first := -1
	for i, c := range member {
		if c != '"' {
			continue
		}
		if first >= 0 {
			return string(member[first:i]), member[i+1:], true
		}
		first = i + 1
	}
	return "", nil, false
}
