package qrtap_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/qr"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/qrtap"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// morning is 21 November 2026, 08:00 in Shenzhen.
var morning = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)

const device = "GATE01"

type notListed struct{}

func (notListed) Mark(pan.Token) txn.Mark   { return txn.Mark{} }
func (notListed) Learn(pan.Token, txn.Mark) {}

// rig is the handler over a real engine and a kit's scheme; cards 1 to 20 have 50.00 each.
type rig struct {
	t       testing.TB
	kit     *qr.Kit
	engine  *engine.Engine
	store   *storetest.Memory
	o       qrtap.Options
	handler http.Handler
	clock   *atomic.Int64
	counter uint32
}

func profile() qr.Profile {
	return qr.Profile{AccountTypes: []byte{0}, Skew: 30 * time.Second}
}

func newRig(t testing.TB) *rig {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r := &rig{t: t, clock: new(atomic.Int64)}
	r.clock.Store(morning.UnixMilli())
	var err error
	r.kit, err = qr.NewKit(profile(), qr.NewSeedReader([]byte("qrtap")), morning)
	must(err)
	verifier, err := qr.NewVerifier(qr.Options{Profile: profile()})
	must(err)
	must(r.kit.Install(verifier))
	tokenizer, err := pan.NewTokenizer(make([]byte, 32))
	must(err)
	tariff, err := fare.Compile(fare.File{Version: "t", Bus: fare.BusFares{Default: 200}})
	must(err)
	r.store = storetest.NewMemory(storetest.MemoryOptions{Now: r.now})
	must(r.store.OpenEpoch(t.Context(), r.now()))
	r.engine, err = engine.New(engine.Options{Cards: r.store, Blacklist: notListed{},
		Policy: engine.DefaultPolicy(tariff), Now: r.now})
	must(err)
	r.o = qrtap.Options{Engine: r.engine, Tokenizer: tokenizer, Currency: txn.CNY, Now: r.now, Budget: 2000,
		Verifier: func() *qr.Verifier { return verifier },
		Device: func(q *http.Request) (txn.TerminalID, bool) {
			id, err := txn.ParseTerminalID(q.Header.Get("Tapswitch-Device"))
			return id, err == nil
		},
		Source: func(context.Context, txn.TerminalID) (qrtap.Source, error) {
			return qrtap.Source{Place: txn.Place{Operator: "bus", Line: "M1", Payee: "operator/bus"},
				Kinds: []txn.Kind{txn.BusBoarding}}, nil
		}}
	r.handler = qrtap.New(r.o)
	for n := 1; n <= 20; n++ {
		r.do(n, txn.Enrol, func(q *txn.Request) { q.Enrolment.Apps = txn.AppTransit | txn.AppPurse })
		r.do(n, txn.Load, func(q *txn.Request) { q.Amount = 5000 })
	}
	return r
}

func (r *rig) now() txn.Millis { return txn.Millis(r.clock.Load()) }

func (r *rig) token(n int) pan.Token {
	r.t.Helper()
	number, err := pan.Parse(r.kit.Spec(n).CardAccount)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.o.Tokenizer.Token(number)
}

// do asks the engine itself about card n.
func (r *rig) do(n int, kind txn.Kind, change func(*txn.Request)) {
	r.t.Helper()
	r.counter++
	q := &txn.Request{ID: txn.RequestID{Terminal: txn.TerminalID{'X'}, Boot: 1, Counter: r.counter},
		Kind: kind, Card: r.token(n), Currency: txn.CNY, ServiceAt: r.now(), ReceivedAt: r.now()}
	change(q)
	if a := r.engine.Authorize(context.Background(), q); a.Err != nil || a.Decision.Outcome != txn.Approved {
		r.t.Fatalf("%s: %+v", kind, a)
	}
}

// card returns the phone of card n.
func (r *rig) card(n int) *qr.Card {
	r.t.Helper()
	c, err := r.kit.Issue(r.kit.Spec(n))
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

func (r *rig) code(c *qr.Card, at time.Time) []byte {
	r.t.Helper()
	b, err := c.Code(at)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// answer is what a test looks at.
type answer struct {
	ID, Outcome, Reason, Detail, Card, Record string
	ValidatorCode                             int `json:"validator_code"`
	FullFare                                  int64
	Charged, Balance                          int64
	Replay                                    bool
	Error                                     struct{ Code, Message string }
	Answers                                   []answer
}

func (r *rig) post(path, body string) (int, answer) {
	r.t.Helper()
	q := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	q.Header.Set("Tapswitch-Device", device)
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, q)
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		r.t.Fatalf("%s: %v", w.Body, err)
	}
	if strings.Contains(w.Body.String(), "310400000000") {
		r.t.Fatalf("the answer shows a card number: %s", w.Body)
	}
	return w.Code, a
}

// body is a tap at the switch's time with a new id; more are further fields.
func (r *rig) body(code string, more string) string {
	r.counter++
	return fmt.Sprintf(`{"id":"%s-1-%d","kind":"bus_boarding","code":"%s","service_time":"%s"%s}`, device,
		r.counter, code, r.now().Time().Format(time.RFC3339), more)
}

func (r *rig) tap(code []byte, more string) answer {
	r.t.Helper()
	status, a := r.post(qrtap.Prefix, r.body(base64.StdEncoding.EncodeToString(code), more))
	if status != http.StatusOK {
		r.t.Fatalf("%d %+v", status, a)
	}
	return a
}

// Every refusal has its reason and its validator's code, and moves nothing.
func TestRefusals(t *testing.T) {
	r := newRig(t)
	for refusal, want := range map[qr.Refusal]struct {
		reason txn.Reason
		code   int
	}{
		qr.Malformed: {txn.CodeMalformed, 0}, qr.UnknownCA: {txn.CodeNoCA, -101},
		qr.CAExpired: {txn.CodeExpired, -105}, qr.CertificateWrong: {txn.CodeCertificate, -102},
		qr.CertificateRevoked: {txn.CodeCertificate, -102}, qr.CertificateExpired: {txn.CodeExpired, -105},
		qr.IssuerMismatch:       {txn.CodeCertificate, -102},
		qr.IssuerSignatureWrong: {txn.CodeIssuerSignature, -103},
		qr.UserSignatureWrong:   {txn.CodeUserSignature, -104},
		qr.AuthorisationExpired: {txn.CodeExpired, -105}, qr.CodeExpired: {txn.CodeExpired, -105},
		qr.NotYetValid: {txn.CodeNotYetValid, 0}, qr.AmountOverLimit: {txn.CodeOverLimit, -106},
		qr.AccountTypeRefused: {txn.CodeAccountType, 0},
	} {
		if refusal.SDKCode() != want.code || qrtap.ValidatorCode(want.reason) != want.code {
			t.Errorf("%v: the validator's code is %d, of the reason %d, want %d", refusal, refusal.SDKCode(),
				qrtap.ValidatorCode(want.reason), want.code)
		}
		code, tap, err := r.kit.Refused(refusal, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, more := range []string{"", `,"offline":true`} {
			if refusal == qr.AmountOverLimit {
				more += fmt.Sprintf(`,"full_fare":%d,"charged":%[1]d`, tap.AmountFen)
			}
			a := r.tap(code, more)
			if a.Outcome != "declined" || a.Reason != want.reason.String() || a.ValidatorCode != want.code ||
				a.Detail != refusal.Error() || a.Charged != 0 || a.Record == "" != (refusal != qr.AmountOverLimit) {
				t.Errorf("%v %s: %+v", refusal, more, a)
			}
			if proven := refusal >= qr.AuthorisationExpired; !proven && (a.Balance != 0 || a.Card != "") {
				t.Errorf("%v tells of a card that nobody signed for: %+v", refusal, a)
			}
		}
	}
	if len(qr.Refusals()) != 14 {
		t.Errorf("%d refusals", len(qr.Refusals()))
	}
	if a := r.tap(r.code(r.card(1), morning), ""); a.Outcome != "approved" || a.Balance != 4800 {
		t.Errorf("after all that: %+v", a)
	}
}

func TestTapOnLine(t *testing.T) {
	r := newRig(t)
	phone := r.card(1)
	code := r.code(phone, morning)
	first := r.body(hex.EncodeToString(code), `,"line":"B7","vehicle":"BUS 12"`)
	for i, replay := range []bool{false, true} {
		status, a := r.post(qrtap.Prefix, first)
		if status != http.StatusOK || a.Outcome != "approved" || a.Charged != 200 || a.Balance != 4800 ||
			a.Replay != replay || a.Card != "****0001" || a.Record == "" != replay {
			t.Errorf("copy %d: %d %+v", i, status, a)
		}
	}
	if a := r.tap(code, ""); a.Reason != "qr_code_used" || a.Balance != 4800 {
		t.Errorf("again: %+v", a)
	}
	// A copy whose code has expired since has its answer still; another request has not.
	r.clock.Add((10 * time.Minute).Milliseconds())
	if _, a := r.post(qrtap.Prefix, first); a.Outcome != "approved" || !a.Replay {
		t.Errorf("a late copy: %+v", a)
	}
	if a := r.tap(code, ""); a.Reason != "qr_code_expired" || a.ValidatorCode != -105 {
		t.Errorf("expired: %+v", a)
	}
	if _, a := r.post(qrtap.Prefix, strings.Replace(first, "BUS 12", "BUS 13", 1)); a.Reason != "request_id_reused" {
		t.Errorf("the id again: %+v", a)
	}
	// An off-line record of the code that was used on line.
	if a := r.tap(code, `,"offline":true`); a.Reason != "qr_code_expired" {
		t.Errorf("off line, now: %+v", a)
	}
}

// A batch is verified at its service times; each code pays once, however often it is sent.
func TestBatch(t *testing.T) {
	r := newRig(t)
	var taps []string
	for n := 1; n <= 5; n++ {
		at := morning.Add(time.Duration(n) * time.Minute)
		r.counter++
		taps = append(taps, fmt.Sprintf(`{"id":"%s-1-%d","kind":"bus_boarding","code":"%s","service_time":"%s"}`,
			device, r.counter, base64.RawURLEncoding.EncodeToString(r.code(r.card(n), at)), at.Format(time.RFC3339)))
	}
	forged := r.code(r.card(6), morning)
	forged[len(forged)-1] ^= 1
	taps = append(taps, r.body(hex.EncodeToString(forged), ""), r.body("no code", ""), `{"id":"OTHER-1-1"}`)
	r.clock.Add((3 * 24 * time.Hour).Milliseconds())
	for i, replay := range []bool{false, true, true} {
		status, a := r.post(qrtap.Prefix+"/batches", `{"taps":[`+strings.Join(taps, ",")+`]}`)
		if status != http.StatusOK || len(a.Answers) != 8 {
			t.Fatalf("%d: %+v", status, a)
		}
		for _, one := range a.Answers[:5] {
			if one.Outcome != "approved" || one.Balance != 4800 || one.Replay != replay {
				t.Errorf("time %d: %+v", i, one)
			}
		}
		if b := a.Answers; b[5].ValidatorCode != -104 || b[6].Reason != "qr_code_malformed" || b[7].Outcome != "invalid" {
			t.Errorf("%+v", b[5:])
		}
	}
}

// The mode that a gate names prices the ride; this tariff knows buses only. A degraded mode that
// nobody ordered takes nothing from the tap.
func TestModesOfTaps(t *testing.T) {
	r := newRig(t)
	told := `,"mode":"bus","metres":1200,"degraded":["train_fault"]`
	if a := r.tap(r.code(r.card(1), morning), told); a.Outcome != "approved" || a.Charged != 200 {
		t.Errorf("a bus: %+v", a)
	}
	if a := r.tap(r.code(r.card(2), morning), `,"mode":"ferry"`); a.Reason != txn.UnknownFare.String() {
		t.Errorf("a ferry: %+v", a)
	}
}

func TestWhatIsNoTap(t *testing.T) {
	r := newRig(t)
	code := hex.EncodeToString(r.code(r.card(1), morning))
	good := r.body(code, "")
	for name, body := range map[string]string{
		"nothing":         "",
		"another gate":    strings.Replace(good, device, "GATE02", 1),
		"another kind":    strings.Replace(good, "bus_boarding", "metro_entry", 1),
		"no ride":         strings.Replace(good, "bus_boarding", "load", 1),
		"no time":         strings.Replace(good, `"service_time"`, `"x"`, 1),
		"half a fare":     strings.Replace(good, `}`, `,"charged":1}`, 1),
		"a card number":   strings.Replace(good, `}`, `,"station":"6200000000000005"}`, 1),
		"a long name":     strings.Replace(good, `}`, `,"line":"`+strings.Repeat("x", 49)+`"}`, 1),
		"no mode":         strings.Replace(good, `}`, `,"mode":"plane"}`, 1),
		"no such state":   strings.Replace(good, `}`, `,"degraded":["late"]}`, 1),
		"negative metres": strings.Replace(good, `}`, `,"metres":-1}`, 1),
		"too much":        good + strings.Repeat(" ", qrtap.BodyMax),
	} {
		if status, a := r.post(qrtap.Prefix, body); status != http.StatusBadRequest || a.Error.Code != "body_invalid" {
			t.Errorf("%s: %d %+v", name, status, a)
		}
	}
	many := `{"taps":[` + strings.Repeat(`{},`, qrtap.BatchMax) + `{}]}`
	for _, body := range []string{`{"taps":[]}`, many} {
		if status, _ := r.post(qrtap.Prefix+"/batches", body); status != http.StatusBadRequest {
			t.Errorf("batch of %d bytes: %d", len(body), status)
		}
	}
	if status, _ := r.post(qrtap.Prefix+"/else", good); status != http.StatusNotFound {
		t.Errorf("another path: %d", status)
	}
	q := httptest.NewRequest(http.MethodPost, qrtap.Prefix, strings.NewReader(good))
	w := httptest.NewRecorder()
	if r.handler.ServeHTTP(w, q); w.Code != http.StatusUnauthorized {
		t.Errorf("without a gate: %d", w.Code)
	}
	if a := r.tap(r.code(r.card(1), morning), ""); a.Balance != 4800 {
		t.Errorf("something was charged: %+v", a)
	}
}

type broken struct{}

func (broken) Authorize(context.Context, *txn.Request) engine.Answer {
	return engine.Answer{Err: engine.ErrInDoubt}
}

func TestOutcomeUnknown(t *testing.T) {
	r := newRig(t)
	r.o.Engine = broken{}
	r.handler = qrtap.New(r.o)
	body := r.body(hex.EncodeToString(r.code(r.card(1), morning)), "")
	if status, a := r.post(qrtap.Prefix, body); status != http.StatusServiceUnavailable || a.Error.Code != "outcome_unknown" {
		t.Errorf("%d %+v", status, a)
	}
	if _, a := r.post(qrtap.Prefix+"/batches", `{"taps":[`+body+`]}`); a.Answers[0].Outcome != "unknown" {
		t.Errorf("%+v", a)
	}
	r.o.Source = func(context.Context, txn.TerminalID) (qrtap.Source, error) {
		return qrtap.Source{}, errors.New("no registry")
	}
	r.handler = qrtap.New(r.o)
	if status, _ := r.post(qrtap.Prefix, body); status != http.StatusServiceUnavailable {
		t.Errorf("without the registry: %d", status)
	}
}

func TestLimitOfTheCode(t *testing.T) {
	r := newRig(t)
	spec := r.kit.Spec(2)
	spec.LimitFen = 199 // the switch's own fare is 2.00
	phone, err := r.kit.Issue(spec)
	if err != nil {
		t.Fatal(err)
	}
	if a := r.tap(r.code(phone, morning), ""); a.Reason != "qr_code_over_limit" || a.ValidatorCode != -106 {
		t.Errorf("%+v", a)
	}
}

// FuzzTap: whatever comes, the answer is JSON, shows no card, and forged codes charge nobody.
func FuzzTap(f *testing.F) {
	r := newRig(f)
	code := r.code(r.card(1), morning)
	f.Add(r.body(hex.EncodeToString(code), ""), []byte{})
	f.Add(r.body("%s", `,"offline":true`), code[:len(code)-1])
	f.Add(`{"taps":[`+r.body("%s", "")+`]}`, append([]byte{1}, code[1:]...))
	f.Fuzz(func(t *testing.T, body string, forged []byte) {
		path := qrtap.Prefix
		if len(body)%2 == 0 {
			path += "/batches"
		}
		own := *r
		own.t = t
		body = strings.Replace(body, "%s", hex.EncodeToString(forged), 1)
		if status, a := own.post(path, body); status >= 500 || a.Charged != 0 && !strings.Contains(body, hex.EncodeToString(code)) {
			t.Errorf("%d %+v", status, a)
		}
	})
}
