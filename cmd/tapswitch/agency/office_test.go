package agency

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/desk/finding"
	"github.com/tapswitch/tapswitch/switch/desk/foreign"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func tokenOf(t *testing.T, o *Options, number string) pan.Token {
	t.Helper()
	n, err := pan.Parse(number)
	if err != nil {
		t.Fatal(err)
	}
	return o.Tokenizer.Token(n)
}

// gateAsks decides a freeze or release as the gate asks it.
func gateAsks(t *testing.T, w Watched, kind txn.Kind, card pan.Token, counter uint32) txn.Reason {
	t.Helper()
	terminal, err := txn.ParseTerminalID("DESK")
	if err != nil {
		t.Fatal(err)
	}
	r := &txn.Request{ID: txn.RequestID{Terminal: terminal, Counter: counter}, Kind: kind, Card: card,
		Currency: txn.CNY, ServiceAt: wall(), ReceivedAt: wall(), Listing: txn.Listing{Actor: "zhao+li", Note: "by phone"}}
	if kind == txn.Freeze {
		r.Listing.Mark = txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	}
	a := w.Authorize(t.Context(), r)
	if a.Err != nil {
		t.Fatal(a.Err)
	}
	return a.Decision.Reason
}

// What an account closes, and what another city closes, is not opened by the gate's release;
// what the gate froze of another city's card outlives that city's word.
func TestTheGateOpensNothingOfOthers(t *testing.T) {
	a, o := opened(t, "handan")
	w := a.Watched(o.Engine)
	ours, theirs := tokenOf(t, o, "3104800000000001"), tokenOf(t, o, "3104800000000002")
	holder := a.Desk.HolderToken("110101199001011234")
	doc, _, err := a.Desk.AccountOf(t.Context(), holder)
	if err != nil {
		t.Fatal(err)
	}
	who := account.Who{Actor: account.Holder, Channel: account.AtAgency, ID: account.ResidentID}
	for i, step := range []account.Step{account.OpenAccount{Holder: holder, Who: who, Checked: true,
		Carrier: account.NewCarrier{Token: ours, Kind: account.Chip, Family: "t_union", Ready: true}},
		account.ReportLoss{Who: who, Form: account.Written, FormNo: "f-1", BankTold: true}} {
		got, err := a.Desk.Do(t.Context(), doc, account.Command{ID: account.CommandID{byte(i + 1)}, Made: wall(),
			By: account.Staff{ID: "wang", Outlet: "d1"}, Step: step})
		if err != nil || got.Outcome.Refusal != account.RefusalNone {
			t.Fatal(got.Outcome.Refusal, err)
		}
	}
	if got := gateAsks(t, w, txn.Release, ours, 1); got != txn.HeldElsewhere {
		t.Errorf("a card whose loss the desk took: %s", got)
	}
	if err := a.foreign.PutSource(t.Context(), foreign.Source{Name: "luoyang", Institution: "LUOYANG", City: "luoyang",
		Algorithm: foreign.Checksum}); err != nil {
		t.Fatal(err)
	}
	give := func(epoch int, cards ...string) foreign.Report {
		t.Helper()
		text := fmt.Sprintf("source,luoyang\nepoch,%d\nmade,%s\nexpires,%s\ncards,%d\n%s", epoch,
			wall().Time().UTC().Format(time.RFC3339), wall().Time().Add(time.Hour).UTC().Format(time.RFC3339), len(cards),
			strings.Join(cards, ""))
		sum := sha256.Sum256([]byte(text))
		r, err := a.foreign.Import(t.Context(), foreign.Offer{Source: "luoyang", Body: []byte(text), Proof: sum[:], By: "zhao"})
		if err != nil || r.Refusal != "" {
			t.Fatal(r, err)
		}
		return r
	}
	if r := give(1, "3104800000000001\n", "3104800000000002\n"); r.Frozen != 1 || len(r.Bad) != 1 {
		t.Errorf("%+v", r)
	}
	if got := gateAsks(t, w, txn.Release, theirs, 2); got != txn.HeldElsewhere {
		t.Errorf("another city's card: %s", got)
	}
	if got := gateAsks(t, w, txn.Freeze, theirs, 3); got != txn.ReasonNone {
		t.Errorf("%s", got)
	}
	give(2)
	entry, _, err := a.Desk.Entry(t.Context(), theirs)
	if err != nil || entry.Mark.Reason != txn.Lost {
		t.Errorf("bears %+v, %v", entry.Mark, err)
	}
	if got := gateAsks(t, w, txn.Release, theirs, 4); got != txn.ReasonNone {
		t.Errorf("nobody else holds it: %s", got)
	}
}

// The parties of the policy are registered at start, once; one that is there stays, and one that
// the policy has otherwise is named.
func TestPartiesOfThePolicyAreRegistered(t *testing.T) {
	a := open(t, "handan")
	roster := a.Notices.Roster()
	all, err := roster.List(t.Context())
	if err != nil || len(all) != len(a.Policy.Parties) {
		t.Fatalf("%d parties, %v", len(all), err)
	}
	for i := range all {
		if all[i].Channel != notice.Manual.String() || all[i].Contact != withoutAddress || all[i].Clause != "HD7" {
			t.Errorf("%+v", all[i])
		}
	}
	own := notice.Party{Name: "transit", Kind: "operator", Scopes: []string{"transit"}, Channel: "kafka", Topic: "t",
		Answer: "explicit"}
	if err := roster.Put(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	if err := roster.Remove(t.Context(), "finance"); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if err := a.enrolParties(t.Context(), slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	if p, err := roster.Get(t.Context(), "transit"); err != nil || p.Topic != "t" || len(p.Scopes) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := roster.Get(t.Context(), "finance"); err != nil {
		t.Error(err)
	}
	if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "the policy wants webhook") {
		t.Errorf("%s", text)
	}
}

// The doctor names what a person has to look at.
func TestExamineStanding(t *testing.T) {
	at := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	path := serving(t, map[string]any{partiesPath: []notice.Party{
		{Name: "transit", Kind: "operator", Channel: "kafka", Topic: "x"},
		{Name: "hrss", Kind: "department", Channel: "manual", Contact: withoutAddress}},
		standingPath: standing{Drills: []string{"breach"}, Stale: []string{"luoyang"}}})
	all := Examine(t.Context(), Examination{City: "handan", Now: at, RunFile: path, Brokers: true})
	for name, want := range map[string]string{"desk drills": "overdue: breach", "desk foreign lists": "luoyang",
		"desk party transit": "the policy wants webhook", "desk party hrss": "no address"} {
		if f := found(all, name); !f.Advice || f.OK || !strings.Contains(f.Got, want) || f.Fix == "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := found(all, "desk foreign imports"); !f.OK {
		t.Errorf("%+v", f)
	}
}

// daily is a ledger that notes which days are asked for.
type daily struct {
	asked []txn.BusinessDate
	fails error
}

func (d *daily) Between(_ context.Context, from, to txn.BusinessDate, _ func(*txn.Record) error) error {
	if from != to {
		return errors.New("more than a day at once")
	}
	if d.fails != nil {
		return d.fails
	}
	d.asked = append(d.asked, from)
	return nil
}

// Every day that has ended is looked through once, by the due queue, those of a time when no
// process ran too; a night that failed comes again.
func TestEveryDayIsLookedThrough(t *testing.T) {
	now := txn.Millis(1772413200000) // 2026-03-02 09:00 in China
	zone := time.FixedZone("", 8*3600)
	memory := storetest.NewMemory(storetest.MemoryOptions{Now: func() txn.Millis { return now }})
	if err := memory.OpenEpoch(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	findings, err := finding.New(finding.Options{Registry: memory, City: "handan", Now: func() txn.Millis { return now }})
	if err != nil {
		t.Fatal(err)
	}
	days := &daily{}
	n := &nightly{cards: memory, findings: findings, days: days, token: pan.Token{1}, now: func() txn.Millis { return now },
		today: func() txn.BusinessDate { return txn.DateOf(now.Time(), zone, 0) },
		midnight: func(d txn.BusinessDate) txn.Millis {
			return txn.MillisOf(time.Date(int(d)/10000, time.Month(int(d)/100%100), int(d)%100, 0, 0, 0, 0, zone))
		}, log: slog.New(slog.DiscardHandler), wake: make(chan struct{}, 1)}
	for range 2 { // a second start changes nothing
		if err := n.plan(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// pass lets time pass and does what is then due, as the clockwork has it.
	pass := func(d time.Duration) (woken bool) {
		t.Helper()
		now += txn.Millis(d.Milliseconds())
		due, err := memory.DueBefore(t.Context(), txn.BucketOf(n.token), now, store.Page{Max: 10})
		if err != nil {
			t.Fatal(err)
		}
		n.due(due)
		n.due(due)
		select {
		case <-n.wake:
			if err := n.look(t.Context()); (err != nil) != (days.fails != nil) {
				t.Fatal(err)
			}
			return true
		default:
			return false
		}
	}
	if pass(17 * time.Hour) { // 02:00
		t.Error("before its hour")
	}
	days.fails = errors.New("the ledger is away")
	if !pass(time.Hour) || pass(9*time.Minute) || !pass(time.Minute) {
		t.Error("a night that failed does not come again after ten minutes")
	}
	days.fails = nil
	pass(10 * time.Minute)
	pass(72 * time.Hour)
	pass(time.Hour)
	if got := fmt.Sprint(days.asked); got != "[2026-03-02 2026-03-03 2026-03-04 2026-03-05]" {
		t.Errorf("looked through %s", got)
	}
}

// A gate counts as soon as it is registered, by the list that stands in the registry.
func TestANewGateCountsAtOnce(t *testing.T) {
	_, o := opened(t, "handan")
	directory := &terminals{registry: o.Store}
	count := func() (n int) {
		t.Helper()
		if err := directory.Devices(t.Context(), func(list.Device) bool { n++; return true }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	put := func(name, value string) {
		t.Helper()
		if err := o.Store.Put(t.Context(), "terminal/"+name, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := count(); n != 0 {
		t.Fatal(n)
	}
	put("G1", `{"kinds":["bus_boarding"]}`)
	put("P1", `{"kinds":["load"]}`)
	if n := count(); n != 1 {
		t.Errorf("%d gates", n)
	}
	put("G2", `{"kinds":["metro_entry"]}`)
	if n := count(); n != 2 {
		t.Errorf("%d gates", n)
	}
}
