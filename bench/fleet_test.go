package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func testFleet(cards int) *fleet {
	key := bytes.Repeat([]byte{7}, 32)
	f := &fleet{cards: cards, zone: time.FixedZone("", 8*60*60)}
	for _, id := range []string{"T1", "T2", "T3"} {
		f.terminals = append(f.terminals, &terminal{id: id, signer: gate.NewSigner(id, key), boot: 5})
	}
	return f
}

// read takes a prepared request apart as a server would.
func read(t *testing.T, request []byte) (*http.Request, []byte) {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(request)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || int64(len(body)) != r.ContentLength {
		t.Fatalf("body of %d bytes, announced %d: %v", len(body), r.ContentLength, err)
	}
	return r, body
}

type tapBody struct {
	ID          string
	Kind, Card  string
	ServiceTime time.Time `json:"service_time"`
	FullFare    int       `json:"full_fare"`
	Charged     int
}

// Every prepared tap has its own id, the next counter of its terminal, a signature over
// what it says, and a later service time than the tap before.
func TestTaps(t *testing.T) {
	f := testFleet(1000)
	all := f.taps(30)
	ids, counters := map[string]bool{}, map[string]uint64{}
	last := time.Time{}
	for i := range all.Len() {
		r, body := read(t, all.At(i))
		var tap tapBody
		if err := json.Unmarshal(body, &tap); err != nil {
			t.Fatal(err)
		}
		id, err := txn.ParseRequestID(tap.ID)
		from := r.Header.Get(gate.HeaderTerminal)
		if err != nil || id.Terminal.String() != from || id.Boot != 5 || ids[tap.ID] {
			t.Errorf("tap %d: id %s of %s: %v", i, tap.ID, from, err)
		}
		ids[tap.ID] = true
		counter, _ := strconv.ParseUint(r.Header.Get(gate.HeaderCounter), 10, 64)
		if counter != counters[from]+1 {
			t.Errorf("tap %d: counter %d of %s follows %d", i, counter, from, counters[from])
		}
		counters[from] = counter
		stamp, _ := strconv.ParseInt(r.Header.Get(gate.HeaderTimestamp), 10, 64)
		want := f.terminals[i%3].signer.Sign(r.Method, r.URL.Path, body,
			gate.Stamp{At: txn.Millis(stamp), Counter: counter})
		if r.URL.Path != tapsPath || r.Header.Get(gate.HeaderSignature) != want {
			t.Errorf("tap %d of %s is not signed", i, r.URL.Path)
		}
		if tap.ServiceTime.Before(last) || tap.Kind != "bus_boarding" || tap.Charged != charged {
			t.Errorf("tap %d: %+v after %s", i, tap, last)
		}
		last = tap.ServiceTime
		if len(body) < 210 || len(body) > 280 {
			t.Errorf("tap %d has %d bytes; the prototypes' had 240", i, len(body))
		}
	}
}

// Cards come once in each turn, whatever their number.
func TestNextCard(t *testing.T) {
	for _, cards := range []int{1, 2, 1000, 7919, 2 * 7919, 100_000} {
		f := testFleet(cards)
		for range 2 {
			seen := make([]bool, cards)
			for range cards {
				i := f.nextCard()
				if seen[i] {
					t.Fatalf("of %d cards, card %d came twice in a turn", cards, i)
				}
				seen[i] = true
			}
		}
	}
}

func TestServiceTimes(t *testing.T) {
	f := testFleet(1)
	before := f.tick()
	for range 100 {
		if now := f.tick(); !now.After(before) {
			t.Fatalf("%s does not follow %s", now, before)
		} else {
			before = now
		}
	}
	f.served = time.Now().Add(-time.Hour)
	if late := time.Since(f.tick()); late > time.Minute {
		t.Errorf("service times are %s behind", late)
	}
	f.live = true
	if ahead := time.Until(f.tick()); ahead > 0 {
		t.Errorf("a live service time is %s ahead", ahead)
	}
}

func TestBatchesAndLoads(t *testing.T) {
	f := testFleet(50)
	f.free = true
	all := f.batches(3, 20)
	for i := range all.Len() {
		r, body := read(t, all.At(i))
		var b struct{ Taps []tapBody }
		if err := json.Unmarshal(body, &b); err != nil || len(b.Taps) != 20 {
			t.Fatalf("%d taps: %v", len(b.Taps), err)
		}
		if r.URL.Path != batchPath || b.Taps[7].Charged != 0 || b.Taps[7].FullFare != fullFare {
			t.Errorf("%s: %+v", r.URL.Path, b.Taps[7])
		}
	}
	fills, cards := f.loads(), map[string]bool{}
	for i := range fills.Len() {
		_, body := read(t, fills.At(i))
		var l struct {
			Card   string
			Amount int
		}
		if err := json.Unmarshal(body, &l); err != nil || l.Amount != purse {
			t.Fatalf("%s: %v", body, err)
		}
		cards[l.Card] = true
	}
	if len(cards) != 50 {
		t.Errorf("%d of 50 cards are filled", len(cards))
	}
}

func TestGivenCards(t *testing.T) {
	f := &fleet{numbers: []string{"31040000000000010", "31040000000000011"}}
	if f.card(0) != f.numbers[0] || f.card(3) != f.numbers[1] {
		t.Error("given card numbers are not used in turn")
	}
}

// answering serves HTTP requests with what reply returns for method, path and body.
func answering(t *testing.T, reply func(path, body string) (int, string)) string {
	t.Helper()
	var mu sync.Mutex
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		status, text := reply(r.URL.Path, string(body))
		mu.Unlock()
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	})}
	return serving(t, server)
}

func TestDeskRefusals(t *testing.T) {
	addr := answering(t, func(path, body string) (int, string) {
		switch {
		case strings.HasPrefix(path, "/v1/terminals/KNOWN"):
			return 200, `{}`
		case strings.HasPrefix(path, "/v1/terminals/"):
			return 201, `{"key":"0102"}`
		case strings.Contains(body, "senior"):
			return 200, `{"accepted":1,"declined":0,"failed":1}`
		case path == "/v1/cards:batch":
			return 200, `{"accepted":1,"declined":0,"failed":0}`
		default:
			return 403, `{"error":{"code":"role_not_permitted"}}`
		}
	})
	d, err := openDesk(t.Context(), addr, "secret")
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if term, err := d.register("NEW"); err != nil || term.id != "NEW" || term.boot == 0 {
		t.Errorf("%+v, %v", term, err)
	}
	if _, err := d.register("KNOWN"); !errors.Is(err, errDesk) {
		t.Errorf("a terminal without a key: %v", err)
	}
	f := testFleet(enrolMax + 1)
	if err := d.enrol(f, 0, enrolMax+1, "ordinary"); err != nil {
		t.Error(err)
	}
	if err := d.enrol(f, 0, 1, "senior"); !errors.Is(err, errDesk) {
		t.Errorf("cards that failed: %v", err)
	}
	_, err = d.call("GET", "/v1/nothing", nil)
	if !errors.Is(err, errDesk) || !strings.Contains(err.Error(), "role_not_permitted") {
		t.Errorf("%v", err)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Error("the token is told")
	}
}

// A benchmark of declined taps is none.
func TestCapacityDemandsApprovals(t *testing.T) {
	addr := answering(t, func(string, string) (int, string) {
		return 200, `{"outcome":"declined","reason":"card_expired"}`
	})
	b := tinyBench(t)
	_, err := b.capacity(t.Context(), turn{addr: addr, connections: 2, guess: 1000,
		wire: load.HTTP(approved), wanted: testFleet(10).taps})
	if err == nil || !strings.Contains(err.Error(), "card_expired") {
		t.Errorf("%v, want the decline", err)
	}
}
