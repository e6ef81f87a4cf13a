package office

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/desk"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	service "github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/desk/api"
	"github.com/tapswitch/tapswitch/switch/desk/drill"
	"github.com/tapswitch/tapswitch/switch/desk/finding"
	"github.com/tapswitch/tapswitch/switch/desk/foreign"
	"github.com/tapswitch/tapswitch/switch/desk/intake"
	"github.com/tapswitch/tapswitch/switch/desk/share"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Test numbers that nobody has.
const (
	cardA = "3104800000000001"
	cardB = "3104800000000002"
	cardC = "3104800000000003"
)

// office is the desk's handler behind a front that says who asks, as the gate does. A token
// is a name and roles: li.lei/desk.
type office struct {
	t    *testing.T
	seed []byte
}

type marks struct{ set *blacklist.Set }

func (m marks) Mark(card pan.Token) txn.Mark        { return m.set.Get(card) }
func (m marks) Learn(card pan.Token, mark txn.Mark) { m.set.Put(card, mark) }

func now() txn.Millis { return txn.MillisOf(time.Now()) }

func newOffice(t *testing.T, city string) *office {
	t.Helper()
	o := &office{t: t, seed: bytes.Repeat([]byte{7}, ed25519.SeedSize)}
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tokenizer, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	ok(err)
	memory := storetest.NewMemory(storetest.MemoryOptions{Now: now})
	ok(memory.OpenEpoch(t.Context(), now()))
	tariff, err := fare.Compile(fare.File{Version: "test", Bus: fare.BusFares{Default: 200}})
	ok(err)
	e, err := engine.New(engine.Options{Cards: memory, Blacklist: marks{blacklist.NewSet()},
		Policy: engine.DefaultPolicy(tariff), Now: now})
	ok(err)
	policy, err := scheme.Load(city)
	ok(err)
	calendar, err := scheme.BuiltInCalendar()
	ok(err)
	d, err := service.New(service.Options{Cards: memory, List: memory, Registry: memory, Engine: e,
		Tokenizer: tokenizer, Scheme: service.City(policy, calendar), Now: now})
	ok(err)
	t.Cleanup(d.Close)
	options := api.Options{Desk: d, Policy: policy, Tokenizer: tokenizer, Engine: e, Days: guests{},
		Importer: intake.New(intake.Options{Engine: e, Registry: memory, Tokenizer: tokenizer, Now: now})}
	options.Foreign, err = foreign.New(foreign.Options{Engine: e, Registry: memory, List: memory,
		Tokenizer: tokenizer, Now: now, Local: func(context.Context, pan.Token) (foreign.Local, error) {
			return foreign.Local{}, nil
		}})
	ok(err)
	options.Drills, err = drill.New(drill.Options{Cards: memory, Registry: memory, Tokenizer: tokenizer,
		Books: deploy.Runbooks(), Now: now})
	ok(err)
	options.Share, err = share.New(share.Options{Desk: d, Policy: policy, Cards: memory, Registry: memory,
		Tokenizer: tokenizer})
	ok(err)
	options.Findings, err = finding.New(finding.Options{Registry: memory, City: city, Now: now})
	ok(err)
	handler := api.New(options)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, roles, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "/")
		r.Header.Set(api.HeaderActor, who)
		for role := range strings.SplitSeq(roles, ",") {
			r.Header.Add(api.HeaderRoles, role)
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	t.Setenv(call.URLEnv, front.URL)
	o.as("li.lei", "desk")
	return o
}

// as changes who types.
func (o *office) as(name, roles string) { o.t.Setenv(call.TokenEnv, name+"/"+roles) }

// run runs a command as the binary does.
func run(t *testing.T, c *cobra.Command, stdin string, args ...string) (out string, code int) {
	t.Helper()
	var b bytes.Buffer
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&b)
	c.SetErr(&b)
	c.SetArgs(args)
	err := c.ExecuteContext(t.Context())
	if err != nil {
		b.WriteString(err.Error())
	}
	return b.String(), cli.Code(err)
}

// guests is a ledger of two rides: another city's card, and one with a forged TAC.
type guests struct{}

func (guests) Between(_ context.Context, _, _ txn.BusinessDate,
	yield func(*txn.Record) error) error {
	ride := txn.Record{Kind: txn.BusBoarding, Outcome: txn.Approved, Issuer: "LUOYANG",
		BusinessDate: 20260302, Card: pan.Token{5}, Last4: pan.Last4{'0', '0', '0', '5'},
		Postings: []txn.Posting{{Account: "purse", Amount: -250},
			{Account: "operator/M5", Amount: 250}}}
	if err := yield(&ride); err != nil {
		return err
	}
	ride.Issuer, ride.TAC, ride.Offline, ride.Postings = "", txn.TACWrong, true, nil
	ride.Request.Counter = 2
	return yield(&ride)
}

// Every command helps with an example.
func TestEveryCommandHelps(t *testing.T) {
	newOffice(t, "handan")
	for _, c := range desk.Desk(Commands).Commands() {
		for _, sub := range append(c.Commands(), c) {
			if sub.Example == "" || sub.Short == "" {
				t.Errorf("%s: no example, or no word on what it does", sub.CommandPath())
			}
		}
	}
}

// file writes a file and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wants runs a command and looks for texts in what it prints.
func (o *office) wants(stdin, args string, texts ...string) string {
	o.t.Helper()
	out, code := run(o.t, desk.Desk(Commands), stdin, strings.Fields(args)...)
	for _, text := range texts {
		if code != 0 || !strings.Contains(out, text) {
			o.t.Errorf("%s: code %d, no %q in\n%s", args, code, text, out)
		}
	}
	if strings.Contains(out, cardA) {
		o.t.Errorf("%s: a number is printed", args)
	}
	return out
}

// A list of freezes is imported by a command, dry first; lines that are not taken are named.
func TestImportCommand(t *testing.T) {
	o := newOffice(t, "handan")
	list := file(t, "f.csv", cardA+",lost\n"+cardB+",risk,transit\n")
	o.wants("", "import --dry-run "+list, "2 lines, 0 frozen: a dry run")
	o.wants("", "import --id old-1 "+list, "import old-1: 2 lines, 2 frozen", "0 refused")
	o.wants("", "import --id old-1 "+list+" -o json", `"resumed": 2`)
	out, code := run(t, desk.Desk(Commands), cardC+",stolen\n", "import", "-")
	if code == 0 || !strings.Contains(out, "reason_invalid") || strings.Contains(out, cardC) {
		t.Errorf("code %d\n%s", code, out)
	}
}

// A long list goes in parts, its head with each; what is refused is named by the line of the file.
func TestImportInParts(t *testing.T) {
	o := newOffice(t, "handan")
	var text strings.Builder
	text.WriteString("reason,note,card\n")
	for i := range 2*partLinesMax + 5 {
		reason := "lost"
		if i == partLinesMax+7 || i == 2*partLinesMax+3 {
			reason = "stolen"
		}
		fmt.Fprintf(&text, "%s,form %d of the old system,31048000%08d\n", reason, i, i)
	}
	list := file(t, "long.csv", text.String())
	for _, args := range [][]string{{"--dry-run"}, nil} {
		out, code := run(t, desk.Desk(Commands), "", append([]string{"import", list, "--id", "long",
			"-o", "json"}, args...)...)
		for _, want := range []string{`"lines": 20005`, `"refused": 2`, `"parts": 3`,
			`"line": 10009`, `"line": 20005`} {
			if code == 0 || !strings.Contains(out, want) {
				t.Errorf("%q: code %d, want %s in\n%s", args, code, want, out)
			}
		}
	}
	o.wants("", "import "+file(t, "x.csv", "card,reason\n"), "0 lines")
}

// More lines are refused than the gate lists: both forms of the answer say so.
func TestImportSaysThatNotAllAreListed(t *testing.T) {
	newOffice(t, "handan")
	var text strings.Builder
	for i := range 1200 {
		fmt.Fprintf(&text, "31048000%08d,stolen\n", i)
	}
	list := file(t, "bad.csv", text.String())
	for form, want := range map[string][]string{
		"json":  {`"refused": 1200`, `"refused_listed": 1000`},
		"table": {"1200 refused", "1000 of 1200 refused lines are listed"},
	} {
		out, code := run(t, desk.Desk(Commands), "", "import", list, "--id", "bad", "-o", form)
		for _, w := range want {
			if code == 0 || !strings.Contains(out, w) {
				t.Errorf("%s: code %d, want %q in\n%.400s", form, code, w, out)
			}
		}
	}
	out, _ := run(t, desk.Desk(Commands), "31048000000000018,stolen\n", "import", "-")
	if strings.Contains(out, "are listed") {
		t.Errorf("all are listed:\n%s", out)
	}
}

// Another city's list: its source is registered, its list taken with the signature, told and
// netted with.
func TestForeignCommands(t *testing.T) {
	o := newOffice(t, "zhengzhou")
	key := ed25519.NewKeyFromSeed(o.seed)
	o.as("root", "admin")
	public, _ := key.Public().(ed25519.PublicKey)
	o.wants("", "foreign put luoyang "+file(t, "l.json", fmt.Sprintf(
		`{"institution":"LUOYANG","city":"luoyang","algorithm":"ed25519","public_key":"%x"}`, public)), "luoyang")
	now := now().Time()
	list := fmt.Sprintf("source,luoyang\nepoch,42\nmade,%s\nexpires,%s\ncards,1\n%s\n",
		now.Format(time.RFC3339), now.Add(time.Hour).Format(time.RFC3339), cardB)
	path := file(t, "l.txt", list)
	if out, code := run(t, desk.Desk(Commands), "", "foreign", "import", "luoyang", path); code == 0 ||
		!strings.Contains(out, "proof_wrong") {
		t.Errorf("without its signature: %d %s", code, out)
	}
	proof := file(t, "l.sig", hex.EncodeToString(ed25519.Sign(key, []byte(list)))+"\n")
	o.wants("", "foreign import luoyang "+path+" --proof "+proof, "epoch 42 of luoyang: 1 cards held; 1 frozen now")
	o.wants("", "foreign", "LUOYANG", "42", "in force")
	o.as("wu", "finance")
	o.wants("", "netting --from 2026-03-01", "LUOYANG", "2.50", "LUOYANG in all: 2.50")
	o.wants("", "netting --csv", "LUOYANG,2026-03-02,1,250,0,250,0\n")
	o.as("root", "admin")
	if out, code := run(t, desk.Desk(Commands), "", "foreign", "remove", "luoyang"); code == 0 ||
		!strings.Contains(out, "source_refused") {
		t.Errorf("a source that holds a card: %d %s", code, out)
	}
}

// A drill goes by commands from its start to its end.
func TestDrillCommands(t *testing.T) {
	o := newOffice(t, "shiyan")
	o.wants("", "drill", "lost-store", "stale-list", "breach", "wrong-tariff", "bank-away", "yes")
	out := o.wants("", "drill start bank-away --people li,zhao", "open", "1. Have the bank cut")
	_, rest, _ := strings.Cut(out, "drill ")
	id, _, _ := strings.Cut(rest, ",")
	if out, code := run(t, desk.Desk(Commands), "", "drill", "finish", id, "--conclusion", "x"); code == 0 ||
		!strings.Contains(out, "nothing stands at step 1") {
		t.Errorf("%d %s", code, out)
	}
	for n := range 5 {
		o.wants("", fmt.Sprintf("drill step %s %d --finding fast", id, n+1), "passed", "fast")
	}
	o.wants("", "drill finish "+id+" --conclusion good", "passed", "finished")
	o.wants("", "drill show "+id, "good", "li,zhao")
}

// Evidence, units, suppliers, places and persons' rights have commands that reach their calls.
func TestSharingCommands(t *testing.T) {
	o := newOffice(t, "handan")
	o.as("root", "admin,finance,desk_confirm")
	o.wants("", "findings scan --from 2026-03-01", "found")
	o.wants("", "findings", "****0005", "open")
	o.wants("", "findings --verify", "verified", "true")
	o.wants("", "findings show 1 -o json", `"evidence"`)
	o.wants("", "findings decide 1 --state dismissed --why twin", "dismissed")
	o.wants("", "consumers put office "+file(t, "c.json", `{"title":"O","approval":"1","agreement":"S","from":"2020-01-01",
	 "until":"2099-12-31","role":"authority","purposes":["dispute"],"fields":["alive"]}`), "office")
	o.wants("", "consumers", "office")
	o.wants("", "suppliers", "suppliers")
	o.wants("", "places", "places")
	o.wants("", "acceptance", "terminals")
	o.wants("", "exchange put "+file(t, "e.json", `{"inbound":{},"outbound":{}}`), "exchange")
	o.wants("", "exchange", "lags")
	o.wants("", "retention", "dry")
	o.as("li.lei", "desk")
	o.as("root", "admin")
	o.wants("", "consumers remove office", "office")
	if out, code := run(t, desk.Desk(Commands), "", "suppliers", "deliver", "x", "-"); code == 0 || !strings.Contains(out, "signature") {
		t.Errorf("%d %s", code, out)
	}
}
