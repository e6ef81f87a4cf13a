package notice

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// onBothStores runs a test on the model store and on a real one.
func onBothStores(t *testing.T, test func(t *testing.T, s store.Store)) {
	t.Run("memory", func(t *testing.T) { test(t, newMemory(t)) })
	t.Run("local", func(t *testing.T) { test(t, newLocal(t)) })
}

// The life of a freeze with two parties: one in time, one late.
func TestLifeOfANotice(t *testing.T) {
	onBothStores(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s, nil)
		r.party(bank("icbc"))
		r.party(bank("abc"))
		r.clock.Add(2000)
		r.notify(freeze("F-1", 1))
		r.idle()
		if c := r.clockOf("F-1", "abc"); c.State != Sent || c.AcceptedToSent != 2000 ||
			c.Row.Tries != 1 || c.Basis != BySending {
			t.Errorf("after Notify: %+v", c)
		}
		received := r.now()
		r.ack("F-1", "icbc", received, received)
		r.ack("F-1", "abc", received, 0)
		for i := 1; i <= 4; i++ {
			r.pass(30 * time.Minute)
			if want := min(i, 3); r.alarmCount() != want {
				t.Errorf("%d alarms after %d min, want %d", r.alarmCount(), 30*i, want)
			}
		}
		if c := r.clockOf("F-1", "abc"); c.Row.Late {
			t.Error("late exactly at the end")
		}
		r.pass(time.Millisecond)
		if c := r.clockOf("F-1", "abc"); !c.Row.Late || !c.Overdue {
			t.Errorf("not late after it: %+v", c)
		}
		late, next, err := r.svc.LateParties(t.Context(), Period{startMS, startMS + 1e9}, "", 10)
		if err != nil || next != "" || len(late) != 1 || late[0].Row.Party != "abc" {
			t.Errorf("late parties: %+v, %q, %v", late, next, err)
		}
		r.ack("F-1", "abc", 0, r.now())
		r.checkFacts([]string{"created", "late abc", "completed"})
		if n := len(r.dueEver()); n != 0 {
			t.Errorf("%d due entries of a closed notice", n)
		}
	})
}

// dueEver returns all due entries.
func (r *rig) dueEver() []store.Due {
	was := r.clock.Swap(int64(startMS) * 2)
	defer r.clock.Store(was)
	return r.due()
}

// checkFacts compares the settled records.
func (r *rig) checkFacts(want []string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var got []string
	for _, f := range r.facts {
		if f.Created {
			got = append(got, "created")
		}
		for _, p := range f.Late {
			got = append(got, "late "+p)
		}
		if f.Completed {
			got = append(got, "completed")
		}
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("settled records %v, want %v", got, want)
	}
}

// A restart loses no clock: alarms and lateness come at the same instants.
func TestClocksSurviveARestart(t *testing.T) {
	r := newRig(t, newLocal(t), nil)
	r.party(bank("icbc"))
	r.notify(freeze("F-1", 1))
	r.idle()
	for range 3 {
		r.pass(29 * time.Minute)
		r.restart()
		r.pass(time.Minute)
		r.restart()
	}
	if r.alarmCount() != 3 {
		t.Errorf("%d alarms over restarts", r.alarmCount())
	}
	r.clock.Add(int64(31 * time.Minute / time.Millisecond))
	r.restart()
	r.tick()
	if c := r.clockOf("F-1", "icbc"); !c.Row.Late || c.Row.Tries != 1 {
		t.Errorf("after the window: %+v", c)
	}
}

// All parties of a scope, divided into several documents, and nobody else.
func TestEveryPartyConcerned(t *testing.T) {
	onBothStores(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s, nil)
		for i := range PartiesMax {
			r.party(bank(fmt.Sprintf("bank-%03d", i)))
		}
		library := bank("library")
		library.Scopes = []string{"library"}
		gone := bank("gone")
		gone.ActiveTo = startMS
		r.party(library)
		r.party(gone)
		n := freeze("F-1", 1)
		n.Scope = txn.AppTransit | txn.AppPurse
		r.notify(n)
		r.idle()
		st, err := r.svc.Status(t.Context(), "F-1")
		if err != nil || len(st.Clocks) != PartiesMax {
			t.Fatalf("%d clocks, %v", len(st.Clocks), err)
		}
		for _, c := range st.Clocks {
			if c.State != Sent || r.links.count("F-1/"+c.Row.Party) != 1 {
				t.Fatalf("%+v sent %d times", c, r.links.count("F-1/"+c.Row.Party))
			}
		}
		r.party(bank("one-too-many"))
		n.ID = "F-2"
		if err := r.svc.Notify(t.Context(), n); !errors.Is(err, ErrNotice) {
			t.Errorf("%d parties: %v", PartiesMax+1, err)
		}
		n.Only = []string{"bank-007"}
		r.notify(n)
		if st, _ := r.svc.Status(t.Context(), "F-2"); len(st.Clocks) != 1 {
			t.Errorf("%d clocks for one party", len(st.Clocks))
		}
		n.ID, n.Only = "F-3", []string{"nobody"}
		if err := r.svc.Notify(t.Context(), n); !errors.Is(err, ErrNoParty) {
			t.Errorf("an unknown party: %v", err)
		}
	})
}

func TestNotifyTwice(t *testing.T) {
	r := newRig(t, newMemory(t), nil)
	r.party(bank("icbc"))
	n := freeze("F-1", 1)
	r.notify(n)
	n.Policy.Window = time.Hour // a policy may change between two calls
	r.notify(n)
	r.idle()
	if c := r.clockOf("F-1", "icbc"); r.links.count("") != 1 || c.Deadline-c.Start != 120*minuteMS {
		t.Errorf("sent %d times: %+v", r.links.count(""), c)
	}
	n.Card = card(2)
	if err := r.svc.Notify(t.Context(), n); !errors.Is(err, ErrOther) {
		t.Errorf("another card under the same id: %v", err)
	}
	// Side by side: one is made, and all say so.
	var work sync.WaitGroup
	for i := range 32 {
		work.Go(func() {
			if err := r.svc.Notify(t.Context(), freeze("F-2", 2)); err != nil {
				t.Errorf("call %d: %v", i, err)
			}
		})
	}
	work.Wait()
	r.idle()
	if got := r.links.count("F-2/icbc"); got != 1 {
		t.Errorf("sent %d times", got)
	}
}

func TestNotifyRefuses(t *testing.T) {
	r := newRig(t, newMemory(t), nil)
	f := func(edit func(*Notice)) {
		t.Helper()
		n := freeze("F-1", 1)
		edit(&n)
		if err := r.svc.Notify(t.Context(), n); !errors.Is(err, ErrNotice) {
			t.Errorf("%+v: %v", n, err)
		}
	}
	f(func(n *Notice) { n.ID = "" })
	f(func(n *Notice) { n.ID = "a/b" })
	f(func(n *Notice) { n.ID = strings.Repeat("x", IDMax+1) })
	f(func(n *Notice) { n.Kind = kindEnd })
	f(func(n *Notice) { n.Card = card(1); n.Card[0], n.Card[1], n.Card[2], n.Card[3] = 0, 0, 0, 0 })
	f(func(n *Notice) { n.Scope = 0 })
	f(func(n *Notice) { n.AcceptedAt = startMS + 5001 })
	f(func(n *Notice) { n.AcceptedAt = 0 })
	f(func(n *Notice) { n.Case = "a\nb" })
	f(func(n *Notice) { n.Supersedes = n.ID })
	f(func(n *Notice) { n.Policy.Window = -1 })
	f(func(n *Notice) { n.Policy.RetryFirst = 0 })
	f(func(n *Notice) { n.Policy.RetryMax = time.Second })
	f(func(n *Notice) { n.Policy.Alarms = []time.Duration{2, 1} })
	f(func(n *Notice) { n.Policy.Alarms = []time.Duration{1, 2, 3, 4, 5} })
	f(func(n *Notice) { n.Only = make([]string, PartiesMax+1) })
	n := freeze("F-1", 1)
	r.notify(n) // no parties: made, and closed at once
	if st, err := r.svc.Status(t.Context(), "F-1"); err != nil || !st.Closed {
		t.Errorf("%+v, %v", st, err)
	}
	r.stop()
	if err := r.svc.Notify(t.Context(), n); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := r.svc.Start(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Start after Close: %v", err)
	}
}

// A release makes the freeze void before it is sent: no party gets them in the wrong order,
// not one that was down in between.
func TestReleaseSupersedesFreeze(t *testing.T) {
	onBothStores(t, func(t *testing.T, s store.Store) {
		r := newRig(t, s, nil)
		r.party(bank("down"))
		r.party(bank("up"))
		r.links.setFault(func(link string) error {
			if link == "down" {
				return errLink
			}
			return nil
		})
		r.notify(freeze("F-1", 1))
		r.idle()
		release := freeze("R-1", 1)
		release.Kind, release.Supersedes, release.AcceptedAt = Release, "F-1", r.now()
		r.notify(release)
		r.idle()
		r.links.setFault(nil)
		before := r.links.count("F-1/down")
		for range 10 {
			r.pass(5 * time.Minute)
		}
		if r.links.count("F-1/down") != before || r.links.count("R-1/down") < 2 {
			t.Errorf("freeze sent %d times after its release", r.links.count("F-1/down")-before)
		}
		if c := r.clockOf("F-1", "down"); c.State != Superseded {
			t.Errorf("freeze is %s", c.State)
		}
		if c := r.clockOf("R-1", "down"); c.State != Sent {
			t.Errorf("release is %s", c.State)
		}
	})
}

// 500 for an hour: every try is counted, the pauses grow, and the first good answer ends it.
func TestPartyFailsForAnHour(t *testing.T) {
	r := newRig(t, newMemory(t), nil)
	r.party(bank("icbc"))
	r.links.setFault(func(string) error { return errLink })
	r.notify(freeze("F-1", 1))
	r.idle()
	for range 60 {
		r.pass(time.Minute)
	}
	c := r.clockOf("F-1", "icbc")
	if c.State != Queued || c.Row.Tries < 12 || c.Row.Tries > 30 || c.Row.Failure != "link is down" {
		t.Errorf("after an hour: %+v", c)
	}
	if r.alarmCount() != 2 || r.alarms[0].Basis != NoClock {
		t.Errorf("alarms %+v", r.alarms)
	}
	r.links.setFault(nil)
	r.restart()
	r.pass(5 * time.Minute)
	if c = r.clockOf("F-1", "icbc"); c.State != Sent || c.AcceptedToSent < 60*minuteMS || c.Row.Late {
		t.Errorf("after it came back: %+v", c)
	}
}

func TestGivenUpAndRevived(t *testing.T) {
	r := newRig(t, newMemory(t), nil)
	r.party(bank("icbc"))
	r.links.setFault(func(string) error { return errLink })
	r.notify(freeze("F-1", 1))
	r.idle()
	r.pass(25 * time.Hour)
	if c := r.clockOf("F-1", "icbc"); c.State != Dead {
		t.Fatalf("%+v", c)
	}
	tries := r.links.count("")
	r.pass(25 * time.Hour)
	if r.links.count("") != tries {
		t.Error("tried after it was given up")
	}
	if err := r.svc.Sweep(t.Context()); err != nil || r.svc.Figures().Dead != 1 {
		t.Errorf("%v: %+v", err, r.svc.Figures())
	}
	r.links.setFault(nil)
	if refused, err := r.svc.Revive(t.Context(), "F-1", "icbc"); refused != Accepted || err != nil {
		t.Fatal(refused, err)
	}
	r.idle()
	if c := r.clockOf("F-1", "icbc"); c.State != Sent {
		t.Errorf("%+v", c)
	}
}

// A slow party delays nobody but itself.
func TestSlowPartyDelaysNobody(t *testing.T) {
	gate := make(chan struct{})
	r := newRig(t, newMemory(t), func(o *Options) { o.Timeout = time.Minute })
	r.links.setFault(func(link string) error {
		if link == "slow" {
			<-gate
		}
		return nil
	})
	r.party(bank("slow"))
	r.party(bank("quick"))
	for i := range 50 {
		r.notify(freeze(fmt.Sprintf("F-%d", i), i))
	}
	r.until("told", func() bool { return r.links.count("F-49/quick") == 1 })
	r.until("at work", func() bool { return r.links.count("") >= 50+perPartyDefault })
	slow := 0
	for i := range 50 {
		slow += r.links.count(fmt.Sprintf("F-%d/slow", i))
	}
	if slow != perPartyDefault {
		t.Errorf("%d tries to the slow party at once, want %d", slow, perPartyDefault)
	}
	// What is due meanwhile is not tried a second time side by side.
	r.clock.Add(int64(2 * time.Minute / time.Millisecond))
	r.svc.Due(t.Context(), r.due())
	close(gate)
	r.idle()
	for i := range 50 {
		if got := r.links.count(fmt.Sprintf("F-%d/slow", i)); got != 1 {
			t.Errorf("notice %d sent %d times", i, got)
		}
	}
}

// What was answered or made void while it waited is not sent any more.
func TestAnsweredWhileWaiting(t *testing.T) {
	gate := make(chan struct{})
	r := newRig(t, newMemory(t), func(o *Options) { o.Timeout, o.PerParty = time.Minute, 1 })
	r.links.setFault(func(string) error { <-gate; return nil })
	r.party(bank("slow"))
	r.notify(freeze("F-1", 1))
	r.until("at work", func() bool { return r.links.count("") == 1 })
	r.notify(freeze("F-2", 2))
	r.ack("F-2", "slow", r.now(), r.now()) // somebody called
	close(gate)
	r.idle()
	if r.links.count("F-1/slow") != 1 || r.links.count("F-2/slow") != 0 {
		t.Errorf("sent %d and %d times", r.links.count("F-1/slow"), r.links.count("F-2/slow"))
	}
}

// A head that reaches the store too late is not written: its parts may be given up by then.
func TestHeadTooLate(t *testing.T) {
	r := newRig(t, newMemory(t), nil)
	r.party(bank("icbc"))
	r.clock.Add(-createMax.Milliseconds() - 1) // the store's clock is so far ahead
	n := freeze("F-1", 1)
	n.AcceptedAt = r.now()
	if err := r.svc.Notify(t.Context(), n); err == nil {
		t.Error("written after its deadline")
	}
	r.idle()
	r.clock.Add(1)
	if r.links.count("") != 0 {
		t.Error("sent, and not written")
	}
	n.AcceptedAt = r.now()
	r.notify(n)
}

// A queue that is full leaves the rest in the due queue, and loses nothing.
func TestPartyQueueFull(t *testing.T) {
	gate := make(chan struct{})
	r := newRig(t, newMemory(t), func(o *Options) { o.Timeout = time.Minute })
	r.links.setFault(func(string) error { <-gate; return nil })
	r.party(bank("slow"))
	r.notify(freeze("F-1", 1))
	r.until("at work", func() bool { return r.links.count("") == 1 })
	r.svc.outlets.mu.Lock()
	slow := r.svc.outlets.parties["slow"]
	for i := range PartyQueueMax - 1 {
		slow.known[card(1_000_000+i)] = true
	}
	r.svc.outlets.mu.Unlock()
	r.notify(freeze("F-2", 2))
	r.svc.outlets.mu.Lock()
	for i := range PartyQueueMax - 1 {
		delete(slow.known, card(1_000_000+i))
	}
	r.svc.outlets.mu.Unlock()
	close(gate)
	r.idle()
	if r.links.count("F-2/slow") != 0 {
		t.Fatal("sent beyond the limit")
	}
	r.pass(2 * time.Minute)
	if r.links.count("F-2/slow") != 1 {
		t.Error("lost at the limit")
	}
}

// hook is a party's web server.
type hook struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

// newHook serves answer, and keeps what it got.
func newHook(t *testing.T, tls bool, answer http.HandlerFunc) *hook {
	h := &hook{}
	serve := http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		h.mu.Lock()
		h.requests, h.bodies = append(h.requests, q), append(h.bodies, string(body))
		h.mu.Unlock()
		answer(w, q)
	})
	if tls {
		h.Server = httptest.NewTLSServer(serve)
	} else {
		h.Server = httptest.NewServer(serve)
	}
	t.Cleanup(h.Close)
	return h
}

func (h *hook) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.requests)
}

// webhook is a party behind a hook.
func webhook(name, url string) Party {
	return Party{Name: name, Kind: "operator", Scopes: []string{"transit"}, Channel: "webhook",
		URL: url, Answer: "response"}
}

var secret = []byte("0123456789abcdef0123456789abcdef")

func TestWebhookIsSignedOverTLS(t *testing.T) {
	h := newHook(t, true, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) })
	pool := x509.NewCertPool()
	pool.AddCert(h.Certificate())
	r := newRig(t, newMemory(t), func(o *Options) { o.RootCAs, o.PlainHTTP = pool, false })
	r.party(webhook("metro", h.URL+"/hook"))
	if err := r.svc.Roster().SetKey(t.Context(), "metro", "k1", secret); err != nil {
		t.Fatal(err)
	}
	r.notify(freeze("F-1", 1))
	r.idle()
	if c := r.clockOf("F-1", "metro"); c.State != Received || c.Row.Proof != ProofResponse {
		t.Fatalf("%+v", c)
	}
	q, body := h.requests[0], h.bodies[0]
	if q.Header.Get(IdempotencyHeader) != "F-1/metro" || q.TLS.Version < 0x0303 {
		t.Errorf("headers %v", q.Header)
	}
	err := verify([]key{{"k1", secret}}, q.Header.Get(SignatureHeader), "", []byte(body),
		r.now().Time())
	if err != nil {
		t.Error(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"notice": "F-1", "kind": "freeze", "party": "metro",
		"card": card(1).String(), "last4": "0195", "reason": "lost", "case": "CASE-1",
		"list_epoch": 7.0, "accepted_at": "2026-05-28T20:26:40.000Z", "window_seconds": 7200.0,
		"acknowledge": "/v1/notices/F-1/parties/metro/ack", "clause": "HD19"} {
		if got[k] != want {
			t.Errorf("%s is %v, want %v", k, got[k], want)
		}
	}
}

// An old or unknown certificate, a redirect, an error and a hang are failures; what the
// answer says is not looked at.
func TestWebhookAnswers(t *testing.T) {
	hang := make(chan struct{})
	f := func(want State, tls bool, answer http.HandlerFunc) {
		t.Helper()
		h := newHook(t, tls, answer)
		r := newRig(t, newMemory(t), func(o *Options) { o.Timeout = 500 * time.Millisecond })
		r.party(webhook("metro", h.URL))
		r.notify(freeze("F-1", 1))
		r.idle()
		if c := r.clockOf("F-1", "metro"); c.State != want || c.Row.Tries != 1 {
			t.Errorf("%s after %d tries (%s), want %s", c.State, c.Row.Tries, c.Row.Failure, want)
		}
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
	}
	f(Received, false, status(200))
	f(Received, false, status(204))
	f(Received, false, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"effective_at":"garbage`+strings.Repeat("\x00", 1<<20))
	})
	f(Received, false, func(w http.ResponseWriter, _ *http.Request) { // slow after the status
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-hang
	})
	f(Queued, false, status(404))
	f(Queued, false, status(500))
	f(Queued, true, status(200)) // a certificate that nobody vouches for
	f(Queued, false, func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/" {
			http.Redirect(w, q, "/elsewhere", http.StatusTemporaryRedirect)
		}
	})
	f(Queued, false, func(http.ResponseWriter, *http.Request) { <-hang })
	f(Queued, false, func(w http.ResponseWriter, _ *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		_, _ = io.WriteString(c, "garbage\r\n\r\n")
		_ = c.Close()
	})
	f(Queued, false, func(w http.ResponseWriter, _ *http.Request) { // headers without end
		c, b, _ := w.(http.Hijacker).Hijack()
		_, _ = b.WriteString("HTTP/1.1 200 OK\r\n")
		for range 10_000 {
			if _, err := b.WriteString("X-More: and more and more\r\n"); err != nil {
				break
			}
		}
		_ = c.Close()
	})
	close(hang)
}

func TestChannelsThatAreMissing(t *testing.T) {
	r := newRig(t, newMemory(t), func(o *Options) { o.Links = nil })
	r.party(bank("icbc"))
	r.party(Party{Name: "platform", Kind: "platform", Scopes: []string{"all"}, Channel: "kafka",
		Topic: "notices", Answer: "informed"})
	r.notify(freeze("F-1", 1))
	r.idle()
	for _, name := range []string{"icbc", "platform"} {
		if c := r.clockOf("F-1", name); c.State != Queued || c.Row.Failure == "" {
			t.Errorf("%+v", c)
		}
	}
	// The next process has them: what is due goes out.
	topic := &fakeTopic{}
	r.o.Links, r.o.Publisher = r.links, topic
	r.restart()
	r.pass(time.Minute)
	if c := r.clockOf("F-1", "platform"); c.State != Sent || c.Basis != NoClock || len(topic.got) != 1 {
		t.Errorf("%+v, %d messages", c, len(topic.got))
	}
	if err := r.svc.Roster().Remove(t.Context(), "icbc"); err != nil {
		t.Fatal(err)
	}
	if err := r.svc.Roster().Remove(t.Context(), "icbc"); !errors.Is(err, ErrNoParty) {
		t.Errorf("removed twice: %v", err)
	}
}
