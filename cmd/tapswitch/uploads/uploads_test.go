package uploads

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/keyring/keyringtest"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// said is what a gate would answer, and what it was asked.
type said struct {
	status int
	body   string
	asked  string
}

func (s *said) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.asked = r.Method + " " + r.URL.RequestURI() + " " + r.Header.Get("Authorization") + " " + string(body)
	w.WriteHeader(s.status)
	_, _ = io.WriteString(w, s.body)
}

// run runs a command against a gate that answers so.
func run(t *testing.T, gate *said, args ...string) (string, error) {
	t.Helper()
	t.Setenv(call.TokenEnv, "secret")
	server := httptest.NewServer(gate)
	defer server.Close()
	c := Command()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(io.Discard)
	c.SilenceUsage, c.SilenceErrors = true, true
	c.SetArgs(append(args, "--url", server.URL))
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

// Each command sends one request and prints what it is answered.
func TestCommandsAsk(t *testing.T) {
	held := `{"held":[{"id":"0102-7-ab","terminal":"GATE07","reason":"dispute","last4":"0017","kind":"bus_boarding","amount":190}]}`
	cards := `{"cards":[{"card":"c4c2","last4":"0017","gaps":[{"from":7,"to":9}],"balance_off":-190,"breaks":1}]}`
	for _, c := range []struct {
		args   string
		answer string
		asked  string
		prints string
	}{
		{"show GATE07", `{"terminal":"GATE07"}`, "GET /v1/uploads/gates/GATE07 Bearer secret", "GATE07"},
		{"module 010203040506", `{"missing":3}`, "GET /v1/uploads/modules/010203040506", "missing"},
		{"held --after x", held, "GET /v1/uploads/held?after=x", "0102-7-ab  dispute  GATE07    *0017"},
		{"held -o json", held, "GET /v1/uploads/held", `"reason"`},
		{"gaps", cards, "GET /v1/uploads/cards Bearer", "7-9"},
		{"suspicious", cards, "GET /v1/uploads/cards?suspicious=1", "-190"},
		{"accept 0102-7-ab --reason seen", `{"accepted":true}`,
			`POST /v1/uploads/held/0102-7-ab Bearer secret {"accept":true,"reason":"seen"}`, "true"},
		{"reject 0102-7-ab --reason seen", `{"accepted":false}`, `{"accept":false,"reason":"seen"}`, "false"},
		{"retry", `{"decided":2}`, "POST /v1/uploads/retry", "2"},
	} {
		t.Run(c.args, func(t *testing.T) {
			gate := &said{status: 200, body: c.answer}
			out, err := run(t, gate, strings.Fields(c.args)...)
			if err != nil || !strings.Contains(gate.asked, c.asked) || !strings.Contains(out, c.prints) {
				t.Errorf("asked %q\nprinted %q\n%v", gate.asked, out, err)
			}
		})
	}
}

// An error answer becomes an exit code, with the gate's own words.
func TestErrorsHaveExitCodes(t *testing.T) {
	for status, code := range map[int]int{404: cli.ExitNotFound, 409: cli.ExitConflict, 422: cli.ExitFailed,
		503: cli.ExitUnavailable, 403: cli.ExitFailed} {
		_, err := run(t, &said{status: status, body: `{"error":{"code":"some_code","message":"some words"}}`}, "held")
		if cli.Code(err) != code || !strings.Contains(err.Error(), "some_code: some words") {
			t.Errorf("%d: exit code %d: %v", status, cli.Code(err), err)
		}
	}
	if _, err := run(t, &said{status: 200}, "accept", "x"); cli.Code(err) != cli.ExitUsage {
		t.Errorf("without a reason: %v", err)
	}
}

// The file of TAC keys names keys of the ring; what is wrong in it is told by entry.
func TestTACFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tac.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ring := newRing(t, dir)
	good := `[{"issuer":"01015840ffffffff","index":1,"keys":"city","versions":{"7":1},"cipher":"tdes",` +
		`"levels":["serial"],"truncation":"left4","tac_key":"fold"}]`
	write(good)
	if _, err := readTACFile(file, nil); !errors.Is(err, errRing) {
		t.Errorf("without a ring: %v", err)
	}
	keys, err := readTACFile(file, ring)
	if err != nil {
		t.Fatal(err)
	}
	id := purse.KeyID{Issuer: [8]byte{1, 1, 0x58, 0x40, 255, 255, 255, 255}, Version: 7, Index: 1}
	if keys.TACMaster(id) == nil {
		t.Error("the key is not found")
	}
	if id.Version = 8; keys.TACMaster(id) != nil {
		t.Error("an unknown version has a key")
	}
	for what, text := range map[string]string{
		"uploads.tac_file": `{`,
		"issuer":           strings.Replace(good, "01015840ffffffff", "01", 1),
		"cipher":           strings.Replace(good, "tdes", "rot13", 1),
		"factor":           strings.Replace(good, `"serial"`, `"shoe"`, 1),
		"unknown word":     strings.Replace(good, "left4", "left5", 1),
		"entry 1":          strings.Replace(good, `"fold"`, `"folds"`, 1),
	} {
		write(text)
		if _, err := readTACFile(file, ring); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := readTACFile(filepath.Join(dir, "none"), ring); err == nil {
		t.Error("a file that does not exist")
	}
}

func newRing(t *testing.T, dir string) *keyring.Ring {
	t.Helper()
	var parts [2]*keyring.Component
	for i := range parts {
		var err error
		if parts[i], _, err = keyring.NewComponent(nil); err != nil {
			t.Fatal(err)
		}
	}
	ring, err := keyring.CreateStore(filepath.Join(dir, "ring"), parts[0], parts[1],
		keyring.Options{Actor: keyring.Actor{Name: "wang", Second: "chen"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ring.Close)
	keyringtest.Import(t, ring, "purse_tac/city", keyring.TDES2, "0123456789ABCDEFFEDCBA9876543210")
	return ring
}

// The part serves with terminals as the gate registers them, and ends when it is closed.
func TestOpenServesRegisteredTerminals(t *testing.T) {
	now := func() txn.Millis { return txn.MillisOf(time.Now()) }
	memory := storetest.NewMemory(storetest.MemoryOptions{Now: now})
	tokenizer, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	master := bytes.Repeat([]byte{7}, 32)
	if _, err := gate.CreateTerminal(t.Context(), memory, master, gate.Terminal{ID: "GATE07", Operator: "BUS",
		Kinds: []string{"bus_boarding"}}); err != nil {
		t.Fatal(err)
	}
	source := SourceOf(memory)
	id, err := txn.ParseTerminalID("GATE07")
	if err != nil {
		t.Fatal(err)
	}
	s, err := source(t.Context(), id)
	if err != nil || s.Place.Payee != "operator/BUS" || len(s.Kinds) != 1 || s.Kinds[0] != txn.BusBoarding {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := source(t.Context(), txn.TerminalID{'X'}); err == nil {
		t.Error("a terminal that is not registered")
	}
	u, err := Open(Options{Cards: memory, Registry: memory, Policy: engine.Policy{Currency: txn.CNY},
		Tokenizer: tokenizer, MasterKey: master, Now: now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	q := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/uploads/gates/GATE07", nil)
	q.Header.Set(gate.HeaderDevice, "GATE07")
	u.ServeHTTP(w, q)
	var g struct{ Terminal string }
	if err := json.Unmarshal(w.Body.Bytes(), &g); err != nil || g.Terminal != "GATE07" {
		t.Errorf("%d %s %v", w.Code, w.Body, err)
	}
	if err := u.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := Open(Options{TACFile: "x"}); !errors.Is(err, errRing) {
		t.Errorf("TAC keys without a ring: %v", err)
	}
}
