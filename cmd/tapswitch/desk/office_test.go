package desk

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/desk/api"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
)

// Test numbers that nobody has.
const (
	cardA    = "3104800000000001"
	cardB    = "3104800000000002"
	cardC    = "3104800000000003"
	holderA  = "110101199001011237"
	holderB  = "110101199001011245"
	holderC  = "110101199001011253"
	socialNo = "S110101X77"
)

// office is the desk's handler behind a front that says who asks, as the gate does. A token
// is a name and roles: li.lei/desk.
type office struct {
	t         *testing.T
	memory    *storetest.Memory
	engine    *engine.Engine
	desk      *desk.Service
	notices   *notice.Service
	lists     *list.Publisher
	tracker   *list.Tracker
	tokenizer *pan.Tokenizer
	handler   http.Handler
	seed      []byte
	said      string // everything that was printed
	break502  bool   // the answer of the next change is lost on its way
	counter   uint32

	mu    sync.Mutex
	ahead time.Duration // guarded by mu: the office's clock before the machine's
}

type marks struct{ set *blacklist.Set }

func (m marks) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m marks) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

// twoGates are the gates of the city.
type twoGates struct{}

func (twoGates) Devices(_ context.Context, yield func(list.Device) bool) error {
	for i, name := range []string{"GATE01", "GATE02"} {
		id, err := txn.ParseTerminalID(name)
		if err != nil || !yield(list.Device{Terminal: id, Operator: "bus", Line: []string{"4",
			"7"}[i], Active: true}) {
			return err
		}
	}
	return nil
}

func newOffice(t *testing.T, city string) *office {
	t.Helper()
	o := &office{t: t, seed: bytes.Repeat([]byte{7}, ed25519.SeedSize)}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	o.tokenizer, err = pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	ok(err)
	o.memory = storetest.NewMemory(storetest.MemoryOptions{Now: o.now})
	ok(o.memory.OpenEpoch(t.Context(), o.now()))
	tariff, err := fare.Compile(fare.File{Version: "test", Bus: fare.BusFares{Default: 200},
		Metro: fare.MetroFares{Default: 500}})
	ok(err)
	o.engine, err = engine.New(engine.Options{Cards: o.memory, Blacklist: marks{blacklist.NewSet()},
		Policy: engine.DefaultPolicy(tariff), Now: o.now})
	ok(err)
	o.open(city, ok)
	front := httptest.NewServer(http.HandlerFunc(o.front))
	t.Cleanup(front.Close)
	t.Setenv(call.URLEnv, front.URL)
	t.Setenv(OutletEnv, "d1")
	o.as("li.lei", "desk")
	return o
}

// open opens the desk with all its parts.
func (o *office) open(city string, ok func(error)) {
	o.t.Helper()
	policy, err := scheme.Load(city)
	ok(err)
	calendar, err := scheme.BuiltInCalendar()
	ok(err)
	signer, err := receipt.NewEd25519Signer("agency-1", ed25519.NewKeyFromSeed(o.seed))
	ok(err)
	o.notices, err = notice.New(notice.Options{Cards: o.memory, Registry: o.memory,
		Key: bytes.Repeat([]byte{3}, 32),
		Now: o.now, PlainHTTP: true})
	ok(err)
	ok(o.notices.Start(o.t.Context()))
	o.t.Cleanup(func() { _ = o.notices.Close(context.Background()) })
	clock := func() time.Time { return o.now().Time() }
	o.tracker = list.NewTracker(list.TrackerOptions{Directory: twoGates{}, Registry: o.memory,
		Node: "n1", Now: clock})
	o.lists, err = list.NewPublisher(list.Options{Source: o.memory, Registry: o.memory,
		Scheme: city, KeyID: "t1",
		Signer: signer, Now: clock, Published: o.tracker.Published})
	ok(err)
	ok(o.tracker.Refresh(o.t.Context()))
	ok(o.lists.Step(o.t.Context()))
	o.desk, err = desk.New(desk.Options{Cards: o.memory, List: o.memory, Registry: o.memory,
		Engine:    o.engine,
		Tokenizer: o.tokenizer, Scheme: desk.City(policy,
			calendar), Notices: o.notices, History: o, TrustMax: 5000, Now: o.now})
	ok(err)
	o.t.Cleanup(o.desk.Close)
	o.handler = api.New(api.Options{Desk: o.desk, Policy: policy, Tokenizer: o.tokenizer,
		Engine:  o.engine,
		Notices: o.notices, Lists: o.lists, Tracker: o.tracker, Signer: signer})
}

func (o *office) now() txn.Millis {
	o.mu.Lock()
	defer o.mu.Unlock()
	return txn.MillisOf(time.Now().Add(o.ahead))
}

func (o *office) pass(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ahead += d
}

// Records is the desk's history, over what the store settled.
func (o *office) Records(ctx context.Context, card pan.Token, _ txn.BusinessDate,
	yield func(*txn.Record) error) error {
	for shard := range o.memory.Shards() {
		entries, _, err := o.memory.Read(ctx, shard, store.Cursor{}, 10_000)
		if err != nil {
			return err
		}
		for _, e := range entries {
			r, err := txn.DecodeRecord(e.Record)
			if err != nil || r.Card != card {
				continue // a marker, or another card's
			}
			r.Position, r.BusinessDate = e.Position, e.Date
			if err := yield(&r); err != nil {
				return err
			}
		}
	}
	return nil
}

// front stands for the gate: it says who asks, and shows card states.
func (o *office) front(w http.ResponseWriter, r *http.Request) {
	who, roles, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "/")
	r.Header.Set(api.HeaderActor, who)
	for role := range strings.SplitSeq(roles, ",") {
		r.Header.Add(api.HeaderRoles, role)
	}
	switch {
	case r.URL.Path == "/v1/cards:lookup":
		var in struct{ Card string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		n, err := pan.Parse(in.Card)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		o.card(w, o.tokenizer.Token(n))
	case strings.HasPrefix(r.URL.Path, "/v1/cards/"):
		token, _ := pan.ParseToken(strings.TrimPrefix(r.URL.Path, "/v1/cards/"))
		o.card(w, token)
	case o.break502 && r.Method != http.MethodGet:
		o.break502 = false
		o.handler.ServeHTTP(httptest.NewRecorder(), r)
		w.WriteHeader(http.StatusBadGateway)
	default:
		o.handler.ServeHTTP(w, r)
	}
}

// card answers as the gate does for a card that it knows.
func (o *office) card(w http.ResponseWriter, token pan.Token) {
	loaded, err := o.memory.Load(context.Background(), token, nil)
	if err != nil || loaded.Version == 0 {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":{"code":"card_unknown","message":"no such card"}}`))
		return
	}
	_, _ = w.Write([]byte(`{"token":"` + token.String() + `","known":true,"card":"****` + "" +
		`","status":"active","balance":0}`))
}

// as changes who types.
func (o *office) as(name, roles string) { o.t.Setenv(call.TokenEnv, name+"/"+roles) }

// types runs a command line as a clerk types it; stdin are the lines of numbers.
func (o *office) types(line string, stdin ...string) (string, int) {
	o.t.Helper()
	var args []string
	for i, part := range strings.Split(line, "'") { // what stands in quotes is one word
		if i%2 == 1 {
			args = append(args, part)
		} else {
			args = append(args, strings.Fields(part)...)
		}
	}
	command := Card
	if args[0] != "card" {
		command = func() *cobra.Command { return Desk() }
		args = append([]string{"desk"}, args...)
	}
	out, code := run(o.t, command(), strings.Join(stdin, "\n"), args[1:]...)
	o.said += out
	return out, code
}

// does is types for what has to succeed and to say something.
func (o *office) does(wants, line string, stdin ...string) string {
	o.t.Helper()
	out, code := o.types(line, stdin...)
	if code != 0 || !strings.Contains(out, wants) {
		o.t.Fatalf("%s: exit code %d, want %q in\n%s", line, code, wants, out)
	}
	return out
}

// refused is types for what has to fail with a code and a word.
func (o *office) refused(code int, wants, line string, stdin ...string) string {
	o.t.Helper()
	out, got := o.types(line, stdin...)
	if got != code || !strings.Contains(out, wants) {
		o.t.Fatalf("%s: exit code %d, want %d and %q in\n%s", line, got, code, wants, out)
	}
	return out
}

// asks runs a command for JSON.
func (o *office) asks(v any, line string, stdin ...string) {
	o.t.Helper()
	out := o.does("", line+" -o json", stdin...)
	if err := json.Unmarshal([]byte(out), v); err != nil {
		o.t.Fatalf("%s: %v in\n%s", line, err, out)
	}
}

// enrol opens an account with a card and returns its token.
func (o *office) enrol(holder, card string) string {
	o.t.Helper()
	var a done
	o.asks(&a, "open --checked --ready", holder, card)
	return a.Account
}

// account looks an account up.
func (o *office) account(token string) *document {
	o.t.Helper()
	var f found
	o.asks(&f, "find --account "+token)
	return &f.Document
}

// tap sends a purchase on a card at a service time before now, and says whether it was taken.
func (o *office) tap(card string, kind txn.Kind, amount txn.Minor, before time.Duration) bool {
	o.t.Helper()
	n, err := pan.Parse(card)
	if err != nil {
		o.t.Fatal(err)
	}
	id, _ := txn.ParseTerminalID("GATE01")
	o.counter++
	now := o.now()
	r := &txn.Request{ID: txn.RequestID{Terminal: id, Boot: 1, Counter: o.counter}, Kind: kind,
		Card: o.tokenizer.Token(n), Amount: amount, Currency: txn.CNY,
		ServiceAt: now - txn.Millis(before.Milliseconds()), ReceivedAt: now, Offline: before > 0,
		Place: txn.Place{Operator: "bus", Line: "4", Payee: "operator/bus",
			Funding: "acquirer/SZT"}}
	a := o.engine.Authorize(o.t.Context(), r)
	if a.Err != nil {
		o.t.Fatal(a.Err)
	}
	return a.Decision.Outcome == txn.Approved
}

// publish makes the lists and lets a gate poll.
func (o *office) publish(gates ...string) {
	o.t.Helper()
	o.pass(2 * time.Second)
	if err := o.lists.Step(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
	epoch, _ := o.lists.Current()
	for _, name := range gates {
		id, _ := txn.ParseTerminalID(name)
		o.tracker.Polled(id, epoch, o.now())
	}
}

// silent fails the test when a number was printed.
func (o *office) silent() {
	o.t.Helper()
	for _, number := range []string{cardA, cardB, cardC, holderA, holderB, holderC, socialNo} {
		if strings.Contains(o.said, number) {
			o.t.Errorf("a command printed %s****", number[:4])
		}
	}
}

// file writes a file of the test.
func (o *office) file(name, text string) string {
	o.t.Helper()
	path := filepath.Join(o.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
	return path
}

// keys writes the file of trusted keys.
func (o *office) keys() string {
	o.t.Helper()
	seed := o.file("signing.key", hex.EncodeToString(o.seed)+"\n")
	return o.file("keys.json", o.does("agency-1", "receipt-keys "+seed))
}
