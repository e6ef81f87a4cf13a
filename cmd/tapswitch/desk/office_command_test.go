package desk

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/account"
)

// every calls visit with every command below c.
func every(c *cobra.Command, visit func(*cobra.Command)) {
	for _, sub := range c.Commands() {
		visit(sub)
		every(sub, visit)
	}
}

// Every command of the desk helps with an example that parses.
func TestEveryCommandHelps(t *testing.T) {
	every(Desk(), func(c *cobra.Command) {
		if c.Example == "" || c.Short == "" {
			t.Errorf("%s: no example, or no word on what it does", c.CommandPath())
		}
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		out, code := run(t, Desk(), "", args...)
		if code != 0 || !strings.Contains(out, "Examples:") || !strings.Contains(out, "--output") {
			t.Errorf("%s --help: code %d\n%s", c.CommandPath(), code, out)
		}
		for line := range strings.Lines(c.Example) {
			example(t, strings.TrimSpace(line))
		}
	})
}

// example checks that a line of an example names commands and flags that there are.
func example(t *testing.T, line string) {
	t.Helper()
	line, _, _ = strings.Cut(line, "#")
	args := strings.Fields(line)
	if len(args) < 2 || args[0] != "tapswitch" {
		return // the rest of a long line
	}
	root := Desk()
	c, rest, err := root.Find(args[2:])
	if err != nil {
		t.Errorf("%s: %v", line, err)
		return
	}
	for _, arg := range rest {
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		if strings.HasPrefix(arg, "--") && c.Flag(name) == nil &&
			c.InheritedFlags().Lookup(name) == nil {
			t.Errorf("%s: no flag --%s", line, name)
		}
	}
}

// Every advice is for a code that there is, in both languages.
func TestAdvice(t *testing.T) {
	codes := map[string]bool{"not_found": true, "role_not_permitted": true, "step_unknown": true,
		"body_invalid":    true,
		"account_unnamed": true, "store_unavailable": true, "notices_off": true, "lists_off": true,
		"receipts_off": true, "loss_unknown": true, "outlet_unknown": true}
	for _, r := range account.Refusals() {
		codes[r.String()] = true
	}
	for code, a := range adviceTexts {
		if !codes[code] || a.english == "" || a.chinese == "" {
			t.Errorf("%s: %+v", code, a)
		}
	}
	if advice("nothing_known", call.English) != "" {
		t.Error("advice about nothing")
	}
}

func TestSteps(t *testing.T) {
	o := newOffice(t, "handan")
	o.does("report_loss", "steps")
	o.does("form_no", "steps report_loss")
	o.does("as b017-1-42", "steps open_finding")
	o.refused(cli.ExitNotFound, "tapswitch desk steps", "steps nothing")
	var one stepInfo
	o.asks(&one, "steps confirm_release")
	if one.Step != "confirm_release" || len(one.Fields) != 2 {
		t.Errorf("%+v", one)
	}
	var all []stepInfo
	if o.asks(&all, "steps"); len(all) < 30 {
		t.Errorf("%d steps", len(all))
	}
}

// Any step with any field: settings win over the file, and what cannot be is refused before
// the gate is asked, without repeating it.
func TestDo(t *testing.T) {
	o := newOffice(t, "handan")
	account := o.enrol(holderA, cardA)
	at := " --account " + account
	file := o.file("loss.json", `{"who":{"actor":"holder","channel":"phone","id":"resident_id"},"form":"written"}`)
	o.refused(cli.ExitConflict, "channel_not_allowed", "do report_loss --file "+file+at)
	for line, want := range map[string]string{
		"do report_loss --set form":                     "want name=value",
		"do report_loss --set forms=written":            "no such field",
		"do report_loss --set bank_told=perhaps":        "true or false",
		"do confirm_release --set case=two":             "whole number",
		"do request_release --set carrier=" + cardA:     "standard input",
		"do report_loss --file nothing.json":            "--file",
		"do report_loss --file " + o.file("x", "[]"):    "one JSON object",
		"do report_loss --set form=oral --set form.x=1": "no such field",
	} {
		o.refused(cli.ExitUsage, want, line+at)
	}
	o.refused(cli.ExitNotFound, "no step", "do nothing"+at)
	o.refused(cli.ExitFailed, "body_invalid", "do report_loss --set form=spoken"+at)
	o.does("report_loss: done", "do report_loss --file "+file+" --set who.channel=agency --set "+
		"bank_told=true"+at)
	o.does("library", "do open_function --set app=library --set channel=agency --holder -", holderA)
	o.silent()
}

// A number in a command line is refused before anything is asked, and not repeated.
func TestNumbersStandInNoCommandLine(t *testing.T) {
	o := newOffice(t, "handan")
	for _, line := range []string{
		"find --card " + cardA, "find --holder " + holderA, "find --number " +
			"social_security=" + socialNo,
		"find --number bank_card=" + cardA, "find --account " + cardA, "report-loss --card " +
			"" + cardA,
		"open --card " + cardA, "open --holder " + holderA, "release --card - --carrier " + cardA,
		"replace make 2 --account 00112233445566778899aabbccddeeff --new " + cardB,
		"query --holder " + holderA, "liability " +
			"" + cardA, "receipt " + cardA + " 1", "find --number serial",
	} {
		out, code := o.types(line, cardC, cardC)
		if code != cli.ExitUsage || strings.Contains(out, cardA) || strings.Contains(out, holderA) {
			t.Errorf("%s: exit code %d, %s", line, code, out)
		}
	}
	o.refused(cli.ExitUsage, "nothing on standard input", "find --card -")
	o.refused(cli.ExitUsage, "longer than", "find --card -", strings.Repeat("9", numberMax+1))
	for _, line := range []string{"find", "find --card - --holder -", "report-loss", "find " +
		cardB,
		"confirm 1 " + cardB + " --card -", "cases " + cardB} {
		if out, code := o.types(line, cardA); code != cli.ExitUsage || strings.Contains(out,
			cardA) {
			t.Errorf("%s: exit code %d, %s", line, code, out)
		}
	}
	o.silent()
}

// Spaces that a clerk types between digits do not matter; the account is found by each of its
// numbers.
func TestFind(t *testing.T) {
	o := newOffice(t, "handan")
	var a done
	o.asks(&a, "open --checked --other social_security,serial --rider student --rider-source "+
		"school --unit U-7", holderA, cardA, socialNo, "S-17")
	for _, c := range [][2]string{{"find --card -", "3104 8000 0000 0001"}, {"find --holder -",
		holderA},
		{"find --number social_security=-", socialNo}, {"find --number serial=S-17", ""},
		{"find --number serial=-", "S-17"}, {"find --account " + a.Account, ""}, {"find --card " +
			a.Document.Carriers[0].Token, ""}} {
		o.does(a.Account, c[0], c[1])
	}
	o.does("student school", "find --account "+a.Account)
	o.does("do issue_card --set case=1", "do send_production --set case=1 --account "+a.Account)
	o.refused(cli.ExitNotFound, "account_unknown: no account bears this\n  check the number",
		"find --card -", cardB)
	o.silent()
}

// A command whose answer is lost says how to send it again, and it is done once.
func TestSentAgain(t *testing.T) {
	o := newOffice(t, "handan")
	account := o.enrol(holderA, cardA)
	o.break502 = true
	line := "report-loss --form-no f-1 --account " + account
	out := o.refused(cli.ExitFailed, "nobody knows whether it was done", line)
	_, again, _ := strings.Cut(out, "safe with ")
	o.does("done before, under the same id", line+" "+again)
	if n := len(o.account(account).Ended); n != 1 {
		t.Errorf("%d losses", n)
	}
	o.refused(cli.ExitConflict, "command_id_reused", strings.Replace(line, "f-1", "f-2",
		1)+" "+again)
	o.refused(cli.ExitUsage, "--id", line+" --id 17")
	o.refused(cli.ExitUsage, "--made", line+" --made 2026-03-02T09:00:00Z")
	o.refused(cli.ExitConflict, "command_from_future", line+" --received 2099-01-01T00:00:00Z")
}

func TestParties(t *testing.T) {
	o := newOffice(t, "handan")
	o.refused(cli.ExitFailed, "role_not_permitted", "parties put bus --kind operator")
	o.as("root", "admin")
	o.refused(cli.ExitFailed, "party_invalid", "parties put bus --kind operator")
	file := o.file("bus.json", `{"kind":"operator","scopes":["all"],"channel":"webhook",`+
		`"url":"https://bus.example/f","answer":"response","title":"Bus"}`)
	o.does("bus is told by webhook https://bus.example/f; it answers response",
		"parties put bus --file "+file)
	o.does("WARNING: its notices are not signed", "parties put bus --file "+file)
	o.does("NONE: not signed", "parties")
	o.does("https://bus.example/g", "parties put bus --webhook https://bus.example/g --from "+
		"2026-03-02T00:00:00+08:00 --file "+file)
	o.refused(cli.ExitUsage, "--to", "parties put bus --to tomorrow --file "+file)
	var key struct{ Secret string }
	if o.asks(&key, "parties key bus k1"); len(key.Secret) < 64 {
		t.Error("no secret")
	}
	o.as("li.lei", "desk")
	if out := o.does("https://bus.example/g", "parties -o json"); strings.Contains(out,
		key.Secret) {
		t.Error("the list shows a secret")
	}
	o.does("k1", "parties")
	o.as("root", "admin")
	o.does("bus", "parties remove bus")
	o.refused(cli.ExitNotFound, "party_unknown", "parties remove bus")
	o.as("li.lei", "desk")
	o.does("none", "parties")
	o.does("0 notices are open", "notices")
}

// What asks nobody needs no gate and no token.
func TestReceiptOffLine(t *testing.T) {
	o := newOffice(t, "handan")
	keys := o.keys()
	t.Setenv(call.TokenEnv, "")
	t.Setenv(call.URLEnv, "http://127.0.0.1:1")
	for line, want := range map[string]string{
		"receipt --verify --file x":                       "go together",
		"receipt --keys " + keys + " --file x":            "go together",
		"receipt --file nothing.json":                     "--file",
		"receipt":                                         "want ACCOUNT",
		"receipt 00112233445566778899aabbccddeeff one":    "CASE",
		"receipt-keys nothing.key":                        "SIGNING-FILE",
		"receipt-keys " + o.file("short.key", "00112233"): "32 bytes",
		"receipt --verify --keys " + o.file("k", "{}") + " --file " + o.file("r", "{}"): "receipt",
	} {
		if out, code := o.types(line); code == 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit code %d, want %q in %s", line, code, want, out)
		}
	}
	o.refused(cli.ExitFailed, "not a receipt", "receipt --file -", fmt.Sprint("{}"))
}

// A card of which one of the two parts knows nothing is still shown; one that none knows is
// not.
func TestCardStatus(t *testing.T) {
	o := newOffice(t, "handan")
	o.refused(cli.ExitNotFound, "card_unknown", "card status -", cardB)
	o.refused(cli.ExitNotFound, "card_unknown",
		"card status --token 00112233445566778899aabbccddeeff")
	o.refused(cli.ExitUsage, "CARD or --token", "card status")
	o.refused(cli.ExitUsage, "--token", "card status --token 17")
	account := o.enrol(holderA, cardA)
	// A bank's card has no card state of ours, and is found through its account.
	o.does("bank_pan", "do bind_carrier --set who.actor=holder --set who.channel=agency --set "+
		"who.id=resident_id "+
		"--set carrier.token=- --set carrier.kind=bank_pan --account "+account, cardB)
	o.does("bank_pan, in_production", "card status -", cardB)
	o.does("ACCOUNT "+account, "card status --token "+o.account(account).Carriers[0].Token)
	o.as("shop", "vendor")
	var state map[string]any
	if o.asks(&state, "card status -", cardA); state["desk"] != nil || state["known"] != true {
		t.Errorf("for one who may not see the desk: %v", state)
	}
	o.silent()
}
