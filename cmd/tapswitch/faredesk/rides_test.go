package faredesk_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/ridedesk"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const cardToken = "0123456789abcdef0123456789abcdef"

// teller is an engine that says what it is told to, and keeps what it was asked.
type teller struct {
	asked  []txn.Request
	answer engine.Answer
}

func (b *teller) Authorize(_ context.Context, r *txn.Request) engine.Answer {
	b.asked = append(b.asked, *r)
	return b.answer
}

// gateOf serves the calls about rides to whoever has the token "secret".
func gateOf(t *testing.T, e *teller) string {
	t.Helper()
	tokenizer, err := pan.NewTokenizer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(ridedesk.New(ridedesk.Options{Engine: e, Tokenizer: tokenizer, Currency: txn.CNY,
		Now: func() txn.Millis { return 1 }, Roles: []string{"desk"},
		Operator: func(r *http.Request) (string, []string) {
			if r.Header.Get("Authorization") != "Bearer secret" {
				return "", nil
			}
			return "desk.one", []string{"desk"}
		}}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestRideCommands(t *testing.T) {
	e := &teller{answer: engine.Answer{Decision: txn.Decision{Outcome: txn.Approved, Charged: -400, BalanceAfter: 900}}}
	url := gateOf(t, e)
	t.Setenv(call.TokenEnv, "secret")
	out, code, err := run(t, "correct", "--url", url, "--operator", "M1", cardToken, "North Gate")
	if code != 0 || !strings.Contains(out, "-400") || len(e.asked) != 1 {
		t.Fatalf("code %d, %v: %s", code, err, out)
	}
	q := e.asked[0]
	if q.Kind != txn.Correction || q.Place.Station != "North Gate" || q.Place.Payee != "operator/M1" ||
		q.Card.String() != cardToken || q.ServiceAt < txn.MillisOf(time.Now())-60_000 {
		t.Errorf("asked %+v", q)
	}
	e.answer.Decision.Replay = true
	out, code, err = run(t, "sell-pass", "--url", url, "--price", "1500", "--operator", "M1",
		"--repeat", "7-8@2026-11-21T00:00:00Z", cardToken, "day pass")
	if code != 0 || !strings.Contains(out, "was done before") {
		t.Fatalf("code %d, %v: %s", code, err, out)
	}
	if q := e.asked[1]; q.ID.Boot != 7 || q.ID.Counter != 8 || q.Pass != "day pass" || q.Amount != 1500 ||
		q.ServiceAt != txn.MillisOf(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("asked %+v", q)
	}
	if out, code, _ := run(t, "sell-pass", "--url", url, "-o", "json", cardToken, "day pass"); code != 0 ||
		!strings.Contains(out, `"replay": true`) {
		t.Errorf("code %d: %s", code, out)
	}
}

func TestRideCommandsThatFail(t *testing.T) {
	e := &teller{answer: engine.Answer{Decision: txn.Decision{Outcome: txn.Declined, Reason: txn.InsufficientFunds}}}
	url := gateOf(t, e)
	t.Setenv(call.TokenEnv, "secret")
	check := func(name, want string, wantCode int, args ...string) {
		t.Helper()
		_, code, err := run(t, args...)
		if code != wantCode || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: code %d, %v; want %d, %q", name, code, err, wantCode, want)
		}
	}
	check("refused", "insufficient_funds", cli.ExitConflict, "sell-pass", "--url", url, cardToken, "ten")
	check("no card", "32 hexadecimal", cli.ExitUsage, "correct", "--url", url, "12", "A")
	check("nothing typed", "standard input", cli.ExitUsage, "correct", "--url", url, "-", "A")
	check("a wrong repeat", "--repeat", cli.ExitUsage, "correct", "--url", url, "--repeat", "3", cardToken, "A")
	check("a bad id", "body_invalid", cli.ExitFailed, "correct", "--url", url, "--repeat", "3@x", cardToken, "A")
	e.answer.Err = errors.New("no answer")
	check("in doubt", "--repeat ", cli.ExitUnavailable, "correct", "--url", url, cardToken, "A")
	check("nobody there", "--repeat ", cli.ExitUnavailable, "correct", "--url", "http://127.0.0.1:1", cardToken, "A")
	t.Setenv(call.TokenEnv, "wrong")
	check("a wrong token", "token_missing", cli.ExitFailed, "correct", "--url", url, cardToken, "A")
	check("no token file", "token file", cli.ExitUsage, "correct", "--url", url, "--token-file",
		filepath.Join(t.TempDir(), "none"), cardToken, "A")
}
