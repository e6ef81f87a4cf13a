package gate

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/switch/store/storetest"
)

// TestLostReplies cuts the connection before the answer of some taps is read; the terminal
// sends the same request again until it has an answer. Every ride is paid once.
func TestLostReplies(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	random := rand.New(rand.NewPCG(5, 6))
	const rides = 40
	lost := 0
	for range rides {
		body := r.tapBody(d, cardA)
		for random.IntN(3) == 0 {
			lost++
			c := r.dial()
			if _, err := io.WriteString(c, r.rawSigned(d, "/v1/taps", body)); err != nil {
				t.Fatal(err)
			}
			if random.IntN(2) == 0 { // it was executed, and nobody heard of it
				if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
			c.Close()
		}
		if a := r.send(d, "/v1/taps", body); a.field("outcome") != "approved" {
			t.Fatal(a)
		}
	}
	a := r.send(d, "/v1/balances", r.balanceBody(d))
	if want := float64(10000 - rides*200); a.field("balance") != want {
		t.Errorf("%d lost replies: balance %v, want %v", lost, a.field("balance"), want)
	}
}

// TestSameRequestFromManySides sends one request over many connections at once: all get
// the same answer, and it is executed once.
func TestSameRequestFromManySides(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	body := r.tapBody(d, cardA)
	var mu sync.Mutex
	answers := map[string]int{}
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			a := r.send(d, "/v1/taps", body)
			mu.Lock()
			defer mu.Unlock()
			answers[fmt.Sprint(a.status, a.field("auth_code"), a.field("balance"))]++
		})
	}
	wg.Wait()
	if len(answers) != 1 {
		t.Errorf("different answers: %v", answers)
	}
	if a := r.send(d, "/v1/balances", r.balanceBody(d)); a.field("balance") != 9800.0 {
		t.Errorf("executed more than once: %v", a)
	}
}

// TestFreezeAgainstTaps freezes a card in the middle of a stream of taps: a tap that was
// sent after the freeze had been answered is never approved.
func TestFreezeAgainstTaps(t *testing.T) {
	r := newRig(t, nil)
	gates := []*device{r.terminal("GATE01"), r.terminal("GATE02"), r.terminal("GATE03")}
	r.enrol(gates[0], cardA)
	desk := r.operator(RoleDesk)
	started, frozen := make(chan struct{}, len(gates)), make(chan struct{})
	var wg sync.WaitGroup
	for _, d := range gates {
		wg.Go(func() {
			for i := 0; ; i++ {
				after := false
				select {
				case <-frozen:
					after = true
				default:
				}
				a := r.send(d, "/v1/taps", r.tapBody(d, cardA))
				approved := a.field("outcome") == "approved"
				switch {
				case after && approved:
					t.Errorf("approved after the freeze: %v", a)
					return
				case after:
					return
				case i == 5:
					started <- struct{}{}
				}
			}
		})
	}
	for range gates {
		<-started
	}
	a := r.do("POST", "/v1/freezes", fieldsOf("card", cardA, "reason", "lost"), bearer(desk))
	if a.status != 200 {
		t.Error(a)
	}
	close(frozen)
	wg.Wait()
}

// TestDeskFaults fails every operation of the store under every call of the desk: the
// answer is an error that may be tried again, and never a success.
func TestDeskFaults(t *testing.T) {
	calls := []struct {
		method, path, body string
		role               Role
		op                 storetest.Op
		code               string
	}{
		{"POST", "/v1/cards", fieldsOf("card", cardB, "apps", []string{"all"}, "rider", "ordinary"),
			RoleDesk, storetest.OpLoad, "outcome_unknown"},
		{"POST", "/v1/cards:lookup", fieldsOf("card", cardA), RoleViewer, storetest.OpLoad,
			"store_unavailable"},
		{"POST", "/v1/freezes", fieldsOf("card", cardA, "reason", "risk"), RoleDesk,
			storetest.OpLoad, "outcome_unknown"},
		{"POST", "/v1/releases", fieldsOf("card", cardA, "note", "n"), RoleDesk,
			storetest.OpEntry, "store_unavailable"},
		{"POST", "/v1/releases", fieldsOf("card", cardA, "note", "n"), RoleDesk,
			storetest.OpKeys, "registry_unavailable"},
		{"POST", "/v1/releases", fieldsOf("card", cardA, "note", "n"), RoleDesk,
			storetest.OpPut, "registry_unavailable"},
		{"GET", "/v1/releases", "", RoleViewer, storetest.OpKeys, "registry_unavailable"},
		{"POST", "/v1/releases/r-1/confirm", "", RoleDeskConfirm, storetest.OpGet,
			"registry_unavailable"},
		{"PUT", "/v1/terminals/T1", fieldsOf("kinds", []string{"load"}), RoleVendor,
			storetest.OpPut, "registry_unavailable"},
		{"PUT", "/v1/terminals/T1", fieldsOf("kinds", []string{"load"}), RoleVendor,
			storetest.OpGet, "registry_unavailable"},
		{"GET", "/v1/terminals/T1", "", RoleViewer, storetest.OpGet, "registry_unavailable"},
		{"POST", "/v1/terminals/T1:rotate", "", RoleVendor, storetest.OpGet,
			"registry_unavailable"},
		{"POST", "/v1/terminals/T1:revoke", "", RoleVendor, storetest.OpGet,
			"registry_unavailable"},
	}
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	r.desk(RoleDesk, "POST", "/v1/freezes", fieldsOf("card", cardA, "reason", "lost"))
	for _, c := range calls {
		r.operator(c.role)
		r.setFault(func(op storetest.Op) storetest.Fault {
			if op == c.op {
				return storetest.NotApplied
			}
			return storetest.NoFault
		})
		a := r.desk(c.role, c.method, c.path, c.body)
		r.setFault(nil)
		if a.status != 503 || a.code() != c.code || a.field("retryable") != true {
			t.Errorf("%s %s with a failing %s: %v", c.method, c.path, c.op, a)
		}
	}
}

// TestFreezeInDoubt: a freeze that was applied and not confirmed is told as unknown, holds,
// and is found by the repeat.
func TestFreezeInDoubt(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	committed := false
	r.setFault(func(op storetest.Op) storetest.Fault {
		switch {
		case op == storetest.OpCommit:
			committed = true
			return storetest.AppliedUnreported
		case op == storetest.OpLoad && committed:
			return storetest.NotApplied
		}
		return storetest.NoFault
	})
	body := fieldsOf("card", cardA, "reason", "lost")
	expect(t, r.desk(RoleDesk, "POST", "/v1/freezes", body), 503, "outcome_unknown")
	r.setFault(nil)
	expect(t, r.send(d, "/v1/taps", r.tapBody(d, cardA)), 200, "card_frozen")
	if a := r.desk(RoleDesk, "POST", "/v1/freezes", body); a.field("already") != true {
		t.Error(a)
	}
}

// TestConfirmInDoubt: the card was released and the mark on the release could not be
// written; the release cannot be used a second time for another freeze.
func TestConfirmInDoubt(t *testing.T) {
	r := newRig(t, nil)
	freeze := fieldsOf("card", cardA, "reason", "lost")
	r.desk(RoleDesk, "POST", "/v1/freezes", freeze)
	a := r.desk(RoleDesk, "POST", "/v1/releases", fieldsOf("card", cardA, "note", "n"))
	path := "/v1/releases/" + a.field("release").(string) + "/confirm"
	r.operator(RoleDeskConfirm)
	r.setFault(func(op storetest.Op) storetest.Fault {
		if op == storetest.OpPut {
			return storetest.NotApplied
		}
		return storetest.NoFault
	})
	if a := r.desk(RoleDeskConfirm, "POST", path, ""); a.status != 200 {
		t.Fatal(a)
	}
	r.setFault(nil)
	expect(t, r.desk(RoleDeskConfirm, "POST", path, ""), 409, "release_not_pending")
	r.skew.Store(5000)
	r.desk(RoleDesk, "POST", "/v1/freezes", freeze)
	expect(t, r.desk(RoleDeskConfirm, "POST", path, ""), 409, "release_not_pending")
	if !strings.Contains(r.log.String(), "could not be marked") {
		t.Error("nobody was told")
	}
}

// TestConfirmRace: many second persons confirm at once; the card is released once, and
// everybody is told something true.
func TestConfirmRace(t *testing.T) {
	r := newRig(t, nil)
	r.desk(RoleDesk, "POST", "/v1/freezes", fieldsOf("card", cardA, "reason", "lost"))
	a := r.desk(RoleDesk, "POST", "/v1/releases", fieldsOf("card", cardA, "note", "n"))
	path := "/v1/releases/" + a.field("release").(string) + "/confirm"
	var tokens []string
	for i := range 8 {
		tokens = append(tokens, r.person(fmt.Sprintf("second%d", i), RoleDeskConfirm))
	}
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	for _, token := range tokens {
		wg.Go(func() {
			a := r.do("POST", path, "", bearer(token))
			mu.Lock()
			defer mu.Unlock()
			got[fmt.Sprint(a.status, " ", a.code())]++
		})
	}
	wg.Wait()
	if got["200 "] != 1 || got["200 "]+got["409 release_not_pending"]+got["409 card_not_frozen"] != 8 {
		t.Errorf("got %v", got)
	}
}

// TestTerminalsUnderChange rotates and changes terminals while they send: no request that
// is signed with a valid key is refused, and the race detector sees nothing.
func TestTerminalsUnderChange(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	vendor := r.operator(RoleVendor)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if a := r.send(d, "/v1/balances", r.balanceBody(d)); a.status != 200 {
					t.Errorf("refused: %v", a)
					return
				}
			}
		})
	}
	body := fieldsOf("operator", "M5", "kinds", allKinds())
	for range 20 {
		if a := r.do("PUT", "/v1/terminals/GATE01", body, bearer(vendor)); a.status != 200 {
			t.Error(a)
		}
	}
	if a := r.do("POST", "/v1/terminals/GATE01:rotate", "", bearer(vendor)); a.status != 200 {
		t.Error(a) // the old key stays valid for a while
	}
	close(done)
	wg.Wait()
}

// TestDisconnectWhileDeciding: a client that goes away does not stop its request; sent
// again it gets the stored answer.
func TestDisconnectWhileDeciding(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	r.enrol(d, cardA)
	held, let := make(chan struct{}, 1), make(chan struct{})
	r.setFault(func(op storetest.Op) storetest.Fault {
		if op == storetest.OpCommit {
			select {
			case held <- struct{}{}:
				<-let
			default:
			}
		}
		return storetest.NoFault
	})
	body := r.tapBody(d, cardA)
	c := r.dial()
	if _, err := io.WriteString(c, r.rawSigned(d, "/v1/taps", body)); err != nil {
		t.Fatal(err)
	}
	<-held
	c.Close()
	close(let)
	eventually(t, "the request is done", func() bool {
		return r.observer.count("approved") == 3 // enrolment, load and tap
	})
	a := r.send(d, "/v1/taps", body)
	if a.field("replay") != true || a.field("balance") != 9800.0 {
		t.Errorf("got %v", a)
	}
}

// TestKeepAlive answers many requests over one connection, good and bad in turn; a refusal
// that read its body does not close it.
func TestKeepAlive(t *testing.T) {
	r := newRig(t, nil)
	d := r.terminal("GATE01")
	c := r.dial()
	defer c.Close()
	b := bufio.NewReader(c)
	for i := range 50 {
		request := r.rawSigned(d, "/v1/balances", r.balanceBody(d))
		want := 200
		switch i % 4 {
		case 1:
			request, want = "GET /nowhere HTTP/1.1\r\nHost: g\r\n\r\n", 404
		case 2:
			request, want = r.rawSigned(d, "/v1/balances", `{"x":1}`), 400
		case 3:
			request, want = r.rawSigned(d, "/v1/balances", strings.Repeat(" ", bodyMax+1)), 413
		}
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(b, nil)
		if err != nil || response.StatusCode != want || response.Close {
			t.Fatalf("request %d: %+v, %v, want %d", i, response, err, want)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
	}
}
