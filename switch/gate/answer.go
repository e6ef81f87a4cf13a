package gate

import (
	"strconv"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// answerTexts are the parts of answers that depend on the reason alone, made once.
type answerTexts struct {
	decision [256]string // from "outcome" to "message_zh", by reason
}

func newAnswerTexts() answerTexts {
	var a answerTexts
	for _, r := range append(txn.Reasons(), txn.ReasonNone) {
		w := r.Text()
		b := []byte(`,"outcome":"approved"`)
		if r != txn.ReasonNone {
			b = append(b[:0], `,"outcome":"declined","reason":"`...)
			b = append(append(b, w.Code...), '"')
		}
		b = append(append(b, `,"field39":"`...), w.Field39...)
		b = appendText(append(b, `","message":`...), w.English)
		b = appendText(append(b, `,"message_zh":`...), w.Chinese)
		a.decision[r] = string(b)
	}
	return a
}

// appendDecision appends the answer to a request of a terminal. Everything before
// "record" is the same in a replay.
func (s *Server) appendDecision(dst []byte, r *txn.Request, a *engine.Answer) []byte {
	d := &a.Decision
	dst = r.ID.Append(append(dst, `{"id":"`...))
	dst = append(append(dst, '"'), s.answers.decision[d.Reason]...)
	dst = strconv.AppendInt(append(dst, `,"full_fare":`...), int64(d.FullFare), 10)
	dst = strconv.AppendInt(append(dst, `,"charged":`...), int64(d.Charged), 10)
	dst = strconv.AppendInt(append(dst, `,"balance":`...), int64(d.BalanceAfter), 10)
	if d.AuthCode != (txn.AuthCode{}) {
		dst = append(append(dst, `,"auth_code":"`...), d.AuthCode[:]...)
		dst = append(dst, '"')
	}
	if !r.Offline { // else its holder has gone
		dst = appendDisplay(dst, d.Outcome)
	}
	dst = appendMasked(append(dst, `,"card":`...), r.Last4)
	dst = lease.AppendAnswer(appendRecord(dst, a), d)
	if d.Stale {
		dst = append(dst, `,"stale":true`...)
	}
	if d.Replay {
		dst = append(dst, `,"replay":true`...)
	}
	return append(dst, '}')
}

// appendDisplay appends what a terminal may do for holders who see or hear less well.
func appendDisplay(dst []byte, o txn.Outcome) []byte {
	sound := "refused"
	if o == txn.Approved {
		sound = "accepted"
	}
	return append(append(append(dst, `,"display":{"sound":"`...), sound...),
		`","large_text":true,"seconds":5}`...)
}

// appendRecord appends where the settled record stands, if one was written.
func appendRecord(dst []byte, a *engine.Answer) []byte {
	if a.Position == (txn.Position{}) {
		return dst
	}
	dst = appendPosition(append(dst, `,"record":"`...), a.Position)
	dst = append(dst, '"')
	if a.Date != 0 {
		dst = appendDate(append(dst, `,"business_date":"`...), a.Date)
		dst = append(dst, '"')
	}
	return dst
}

// appendPosition appends what Position.String returns.
func appendPosition(dst []byte, p txn.Position) []byte {
	b := byte(p.Bucket)
	dst = append(dst, 'b', '0'+b/100, '0'+b/10%10, '0'+b%10, '-')
	dst = strconv.AppendUint(dst, uint64(p.Epoch), 10)
	return strconv.AppendUint(append(dst, '-'), uint64(p.Seq), 10)
}

// appendDate appends what BusinessDate.String returns.
func appendDate(dst []byte, d txn.BusinessDate) []byte {
	year, month, day := d/10000, byte(d/100%100), byte(d%100)
	dst = append(dst, '0'+byte(year/1000%10), '0'+byte(year/100%10), '0'+byte(year/10%10),
		'0'+byte(year%10), '-')
	return append(dst, '0'+month/10, '0'+month%10, '-', '0'+day/10, '0'+day%10)
}

// appendMasked appends a card number as people may see it: "****1234".
func appendMasked(dst []byte, last4 pan.Last4) []byte {
	dst = append(dst, `"****`...)
	if last4[0] != 0 {
		dst = append(dst, last4[:]...)
	}
	return append(dst, '"')
}

// appendText appends s as a JSON string.
func appendText(dst []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[r>>4], hexDigits[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// appendTexts appends an array of strings.
func appendTexts(dst []byte, all []string) []byte {
	dst = append(dst, '[')
	for i, s := range all {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, s)
	}
	return append(dst, ']')
}

// appendMember appends a field whose value is a string, unless it is empty. A comma goes
// before it.
func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = appendText(append(dst, ','), name)
	return appendText(append(dst, ':'), value)
}

// appendError appends {"error":{…}} for r.
func appendError(dst []byte, r refusal.Value, id txn.RequestID) []byte {
	t := r.Text()
	dst = append(append(dst, `{"error":{"type":"`...), t.Kind...)
	dst = append(append(dst, `","code":"`...), t.Name...)
	dst = appendText(append(dst, `","message":`...), t.English)
	dst = appendText(append(dst, `,"message_zh":`...), t.Chinese)
	dst = appendMember(dst, "param", r.Param)
	if !id.IsZero() {
		dst = id.Append(append(dst, `,"request_id":"`...))
		dst = append(dst, '"')
	}
	if r.Code == refusal.CounterTooLow {
		dst = strconv.AppendUint(append(dst, `,"next_counter":`...), r.Next, 10)
	}
	dst = strconv.AppendBool(append(dst, `,"retryable":`...), t.Retryable)
	wait := 0
	if t.Retryable && t.Status >= 429 {
		wait = refusal.RetryAfterMS
	}
	dst = strconv.AppendInt(append(dst, `,"retry_after_ms":`...), int64(wait), 10)
	return append(dst, `}}`...)
}

// answerRefusal makes r the answer of x and counts it.
func (s *Server) answerRefusal(x *call, r refusal.Value) {
	number := noRoute
	if x.route != nil {
		number = x.route.number
	}
	s.observeRefusal(number, r)
	t := r.Text()
	x.status = t.Status
	x.out = appendError(x.out[:0], r, x.id)
	header := &x.http.Response.Header
	switch t.Status {
	case fasthttp.StatusMethodNotAllowed:
		header.Set(fasthttp.HeaderAllow, r.Allow)
	case fasthttp.StatusUnauthorized:
		header.Set(fasthttp.HeaderWWWAuthenticate, challenge(x.route))
	case fasthttp.StatusTooManyRequests, fasthttp.StatusServiceUnavailable:
		header.Set(fasthttp.HeaderRetryAfter, "1")
	}
}

// challenge names the way to authenticate, as RFC 9110 section 11.6.1 asks with a 401.
func challenge(r *route) string {
	if r.guard == guardTerminal {
		return "X-Tap-Signature"
	}
	return "Bearer"
}

// observeRefusal counts r, as the reason that it stands for where there is one.
func (s *Server) observeRefusal(number Route, r refusal.Value) {
	if r.Code == refusal.RequestRefused {
		s.observer.Decided(number, r.Reason)
		return
	}
	s.observer.Refused(number, r.Code)
}
