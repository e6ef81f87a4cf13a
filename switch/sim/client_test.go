package sim_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim"
)

// The signature of the API's description, computed once more by hand.
func TestSign(t *testing.T) {
	body := []byte(`{"id":"GATE01-3-42"}`)
	sum := sha256.Sum256(body)
	text := "POST\n/v1/taps\n" + hex.EncodeToString(sum[:]) + "\nGATE01\n1788163200000\n7"
	mac := hmac.New(sha256.New, []byte("key"))
	_, _ = mac.Write([]byte(text))
	got := sim.Sign([]byte("key"), sim.Signed{Method: "POST", Path: "/v1/taps",
		Terminal: "GATE01", TimestampMS: 1788163200000, Counter: 7}, body)
	if want := hex.EncodeToString(mac.Sum(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// step is what a scripted server does with one request.
type step func(w http.ResponseWriter, r *http.Request)

func answer(status int, body string) step {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func refusal(code string, retryable bool, more string) string {
	return fmt.Sprintf(`{"error":{"type":"x","code":%q,"message":"m","retryable":%v%s}}`, code,
		retryable, more)
}

// cut ends the connection without an answer.
func cut(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// scripted is a server that answers the n-th request with the n-th step, the last for ever.
type scripted struct {
	*httptest.Server
	steps []step

	mu       sync.Mutex // guards the fields below
	n        int
	counters []uint64
	bodies   []string
}

func newScripted(t *testing.T, steps ...step) *scripted {
	t.Helper()
	s := &scripted{steps: steps}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		do := s.steps[min(s.n, len(s.steps)-1)]
		s.n++
		counter, _ := strconv.ParseUint(r.Header.Get("X-Tap-Counter"), 10, 64)
		s.counters = append(s.counters, counter)
		s.bodies = append(s.bodies, string(body))
		s.mu.Unlock()
		do(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *scripted) client(t *testing.T, retryFor time.Duration) *sim.Client {
	t.Helper()
	c := sim.NewClient(sim.ClientOptions{Addr: strings.TrimPrefix(s.URL, "http://"),
		RetryFor: retryFor})
	t.Cleanup(c.Close)
	return c
}

const approved = `{"id":"G-1-1","outcome":"approved"}`

func TestClientRetries(t *testing.T) {
	for name, c := range map[string]struct {
		steps      []step
		tries      int
		unanswered int
		status     int
	}{
		"at once":            {[]step{answer(200, approved)}, 1, 0, 200},
		"declined is final":  {[]step{answer(200, `{"outcome":"declined"}`)}, 1, 0, 200},
		"cut, then answered": {[]step{cut, cut, answer(200, approved)}, 3, 2, 200},
		"unavailable": {[]step{answer(503, refusal("outcome_unknown", true, "")),
			answer(200, approved)}, 2, 0, 200},
		"a proxy's 502": {[]step{answer(502, "bad gateway"), answer(200, approved)}, 2, 0, 200},
		"overloaded":    {[]step{answer(429, "slow down"), answer(200, approved)}, 2, 0, 200},
		"contended": {[]step{answer(409, refusal("card_contended", true, "")),
			answer(200, approved)}, 2, 0, 200},
		"malformed is final": {[]step{answer(400, refusal("unknown_field", false, ""))}, 1, 0, 400},
		"id reused is final": {[]step{answer(422, refusal("request_id_reused", false, ""))},
			1, 0, 422},
		"wrong clock is final": {[]step{answer(401, refusal("clock_skew", true, ""))}, 1, 0, 401},
		"signature replayed": {[]step{answer(401, refusal("signature_replayed", false, "")),
			answer(200, approved)}, 2, 0, 200},
		"internal error is not": {[]step{answer(500, refusal("internal", false, ""))}, 1, 0, 500},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScripted(t, c.steps...)
			terminal := sim.NewTerminal("G", []byte("key"))
			r, err := s.client(t, 5*time.Second).Send(t.Context(), terminal, "/v1/taps", []byte("body"))
			if err != nil || r.Tries != c.tries || r.Unanswered != c.unanswered || r.Status != c.status {
				t.Errorf("%d tries, %d unanswered, status %d, %v", r.Tries, r.Unanswered, r.Status, err)
			}
			if (r.Refused != nil) != (c.status >= 400) {
				t.Errorf("refused: %v", r.Refused)
			}
			for i, body := range s.bodies {
				if body != "body" {
					t.Errorf("try %d sent %q", i, body)
				}
				if i > 0 && s.counters[i] <= s.counters[i-1] {
					t.Errorf("counters %v do not grow", s.counters)
				}
			}
		})
	}
}

// A counter below the server's floor is raised to where the server says.
func TestClientJumpsCounter(t *testing.T) {
	far := uint64(1) << 60
	s := newScripted(t, answer(401, refusal("counter_too_low", true,
		fmt.Sprintf(`,"next_counter":%d`, far))), answer(200, approved))
	terminal := sim.NewTerminal("G", []byte("key"))
	c := s.client(t, 5*time.Second)
	for range 2 {
		if _, err := c.Send(t.Context(), terminal, "/v1/taps", nil); err != nil {
			t.Fatal(err)
		}
	}
	if s.counters[1] != far || s.counters[2] != far+1 {
		t.Errorf("counters %v", s.counters)
	}
}

func TestClientGivesUp(t *testing.T) {
	s := newScripted(t, cut)
	terminal := sim.NewTerminal("G", []byte("key"))
	r, err := s.client(t, 200*time.Millisecond).Send(t.Context(), terminal, "/v1/taps", nil)
	if !errors.Is(err, sim.ErrGaveUp) || r.Tries < 2 || r.Tries != r.Unanswered {
		t.Errorf("%+v, %v", r, err)
	}
	r, err = s.client(t, -1).Send(t.Context(), terminal, "/v1/taps", nil)
	if !errors.Is(err, sim.ErrGaveUp) || r.Tries != 1 {
		t.Errorf("one try: %+v, %v", r, err)
	}
}

func TestClientStopsWithItsContext(t *testing.T) {
	s := newScripted(t, answer(503, refusal("not_ready", true, "")))
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := s.client(t, time.Minute).Operate(ctx, "token", http.MethodGet, "/v1/releases", nil)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A client that is pointed elsewhere while it tries reaches the new address.
func TestClientFollowsTheAddress(t *testing.T) {
	gone := newScripted(t, cut)
	back := newScripted(t, answer(200, approved))
	c := gone.client(t, 10*time.Second)
	var once sync.Once
	gone.steps = []step{func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() { c.SetAddr(strings.TrimPrefix(back.URL, "http://")) })
		cut(w, r)
	}}
	r, err := c.Send(t.Context(), sim.NewTerminal("G", nil), "/v1/taps", nil)
	if err != nil || r.Unanswered != 1 || back.n != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestParseAnswer(t *testing.T) {
	a, err := sim.ParseAnswer([]byte(`{"id":"G-1-1","outcome":"approved","charged":475,"balance":-3}`))
	if err != nil || !a.Approved() || a.Charged != 475 || a.Balance != -3 {
		t.Errorf("%+v, %v", a, err)
	}
	for _, body := range []string{"", "{}", "[]", `{"outcome":7}`, "<html>"} {
		if a, err := sim.ParseAnswer([]byte(body)); err == nil || a.Approved() {
			t.Errorf("%q was taken for an answer", body)
		}
	}
	a, err = sim.ParseAnswer([]byte(`{"outcome":"approved","error":{"code":"x"}}`))
	if err != nil || a.Approved() {
		t.Error("an answer with an error was taken for an approval")
	}
	if _, err := sim.ParseResults([]byte(`{"results":[{"outcome":"approved"}]}`), 2); err == nil {
		t.Error("one result for two entries was taken")
	}
}

func TestEach(t *testing.T) {
	var sum, most, now atomic.Int64
	err := sim.Each(t.Context(), 3, 100, func(_ context.Context, i int) error {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		sum.Add(int64(i))
		return nil
	})
	if err != nil || sum.Load() != 4950 || most.Load() > 3 {
		t.Errorf("sum %d, %d at once, %v", sum.Load(), most.Load(), err)
	}
	bad := errors.New("bad")
	var calls atomic.Int64
	err = sim.Each(t.Context(), 2, 1000, func(ctx context.Context, i int) error {
		calls.Add(1)
		if i == 10 {
			return bad
		}
		return nil
	})
	if !errors.Is(err, bad) || calls.Load() > 500 {
		t.Errorf("%d calls, %v", calls.Load(), err)
	}
	if err := sim.Each(t.Context(), 4, 0, nil); err != nil {
		t.Error(err)
	}
}

func TestRegisterTakesOverATerminal(t *testing.T) {
	key := strings.Repeat("ab", 32)
	s := newScripted(t, answer(200, `{"id":"G"}`), answer(200, `{"key":"`+key+`"}`))
	terminal, err := sim.Register(t.Context(), s.client(t, time.Second), "token",
		sim.TerminalSpec{ID: "G", Kinds: []string{"load"}})
	if err != nil || terminal.ID != "G" || s.n != 2 {
		t.Errorf("%v after %d calls, %v", terminal, s.n, err)
	}
	for name, steps := range map[string][]step{
		"refused":  {answer(403, refusal("role_not_permitted", false, ""))},
		"no key":   {answer(200, `{}`)},
		"bad key":  {answer(200, `{"key":"xyz"}`)},
		"no JSON":  {answer(200, `?`)},
		"rotation": {answer(200, `{}`), answer(404, refusal("terminal_not_found", false, ""))},
	} {
		_, err := sim.Register(t.Context(), newScripted(t, steps...).client(t, time.Second), "token",
			sim.TerminalSpec{ID: "G"})
		if err == nil || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEnrolAllCounts(t *testing.T) {
	s := newScripted(t, answer(200, `{"results":[{"outcome":"approved"},`+
		`{"outcome":"declined","reason":"card_exists"}]}`))
	cards := make([]sim.Enrolment, 2)
	n, err := sim.EnrolAll(t.Context(), s.client(t, time.Second), "token", cards)
	if err != nil || n.New != 1 || n.Known != 1 {
		t.Errorf("%+v, %v", n, err)
	}
	s = newScripted(t, answer(200, `{"results":[{"outcome":"approved"},{"error":{"code":"x"}}]}`))
	if _, err := sim.EnrolAll(t.Context(), s.client(t, time.Second), "token", cards); err == nil {
		t.Error("a card that was refused was not reported")
	}
}
