package share

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ZS7, ZS8, HD32, WZ9, SY10, SY11, ZZ13: a unit without approval and an agreement in force
// is refused; with one it is told the agreed fields for the agreed purpose, and every access
// is in the audit trail.
func TestDuty_ZS8_NoDataWithoutAnAgreement(t *testing.T) {
	r := newRig(t, "zhoushan")
	person := r.open(1)
	r.ride(1)
	query := func(a Ask) Told {
		told, err := r.share.Query(t.Context(), a, r.id(), person)
		r.no(err)
		return told
	}
	if got := query(ask()).Refusal; got != ConsumerUnknown {
		t.Fatalf("a unit without an agreement: %s", got)
	}
	for want, c := range map[Refusal]Consumer{
		AgreementEnded:   transport(func(c *Consumer) { c.Until = today - 1 }),
		AgreementNotYet:  transport(func(c *Consumer) { c.From = today + 1 }),
		PurposeNotAgreed: transport(func(c *Consumer) { c.Role, c.Purposes = "supervisor", []string{"supervision"} }),
	} {
		r.no(r.share.PutConsumer(t.Context(), c))
		if got := query(ask()).Refusal; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	r.no(r.share.PutConsumer(t.Context(), transport()))
	wider := ask()
	wider.Fields = []string{"kind", "balance"}
	if got := query(wider).Refusal; got != FieldNotAgreed {
		t.Errorf("a field beyond the agreement: %s", got)
	}
	before := r.noted("query")
	told := query(ask())
	if told.Refusal != RefusalNone || len(told.Records) == 0 || told.Person["alive"] != true {
		t.Fatalf("%+v", told)
	}
	for _, row := range append(told.Records, told.Person) {
		for name := range row {
			if !slices.Contains(transport().Fields, name) {
				t.Errorf("told %s", name)
			}
		}
	}
	if got := r.noted("query"); got != before+1 {
		t.Errorf("%d audit records of one query", got-before)
	}
	r.no(r.share.RemoveConsumer(t.Context(), "transport_office"))
	if got := query(ask()).Refusal; got != ConsumerUnknown {
		t.Errorf("after its removal: %s", got)
	}
}

// HD32, ZZ13: use for another purpose needs the holder's consent, which ends when it is
// withdrawn; an export leaves out whoever did not consent.
func TestDuty_HD32_AnotherUseNeedsConsent(t *testing.T) {
	r := newRig(t, "zhengzhou")
	one, two := r.open(1), r.open(2)
	r.ride(1)
	r.ride(2)
	r.no(r.share.PutConsumer(t.Context(), transport(func(c *Consumer) {
		c.Role, c.Purposes = "supervisor", []string{"research"}
	})))
	research := ask()
	research.Purpose = "research"
	told, err := r.share.Query(t.Context(), research, r.id(), one)
	if err != nil || told.Refusal != ByAccount || told.Account != account.ConsentMissing {
		t.Fatalf("%+v, %v", told, err)
	}
	r.must(one, account.GiveConsent{Party: "transport_office", Purpose: "research", Scope: txn.AppAll})
	if told, err := r.share.Query(t.Context(), research, r.id(), one); err != nil || told.Refusal != RefusalNone {
		t.Fatalf("%+v, %v", told, err)
	}
	export := func() (Tally, string) {
		var text strings.Builder
		tally, refusal, err := r.share.Export(t.Context(), research, Extent{ledger{r}, today, today}, func(line []byte) error {
			fmt.Fprintf(&text, "%s\n", line)
			return nil
		})
		if err != nil || refusal != RefusalNone {
			t.Fatal(refusal, err)
		}
		return tally, text.String()
	}
	tally, text := export()
	if tally.Lines == 0 || tally.Lines != tally.Withheld {
		t.Errorf("%+v: one of two consented", tally)
	}
	if strings.Contains(text, cardToken(1).String()) || strings.Contains(text, two.String()) {
		t.Error("a token of the switch leaves it")
	}
	r.must(one, account.WithdrawConsent{No: r.account(one).Consents[0].No})
	if tally, _ := export(); tally.Lines != 0 {
		t.Errorf("%+v after the withdrawal", tally)
	}
	if n, err := r.share.Accesses(t.Context(), "transport_office"); n != 2 || err != nil || r.noted("share") != 2 {
		t.Errorf("%d accesses, %d audit records, %v", n, r.noted("share"), err)
	}
}

// A pseudonym is the same for a unit and another for the next.
func TestPseudonymsDoNotJoin(t *testing.T) {
	r := newRig(t, "handan")
	card := cardToken(1)
	a, b := r.share.pseudonym("a", card), r.share.pseudonym("b", card)
	if a == b || a != r.share.pseudonym("a", card) || strings.Contains(a+b, card.String()) {
		t.Errorf("%s %s", a, b)
	}
}

// A stream ends with its agreement, and within seconds of the unit's removal.
func TestStreamEndsWithItsAgreement(t *testing.T) {
	r := newRig(t, "handan")
	record := &txn.Record{Card: cardToken(1), Kind: txn.BusBoarding}
	open := func() *Stream {
		r.no(r.share.PutConsumer(t.Context(), transport(func(c *Consumer) { c.Until = today })))
		s, refusal, err := r.share.OpenStream(t.Context(), ask(), "stream")
		if err != nil || refusal != RefusalNone {
			t.Fatal(refusal, err)
		}
		return s
	}
	line := func(s *Stream) Refusal {
		_, refusal, err := s.Line(t.Context(), record)
		r.no(err)
		return refusal
	}
	s := open()
	if got := line(s); got != RefusalNone {
		t.Fatal(got)
	}
	r.no(r.share.RemoveConsumer(t.Context(), "transport_office"))
	r.pass(recheckEvery)
	if got := line(s); got != ConsumerUnknown {
		t.Errorf("after the removal: %s", got)
	}
	s = open()
	r.pass(24 * 3600 * 1000)
	if got := line(s); got != AgreementEnded {
		t.Errorf("after the last day: %s", got)
	}
}

// An export whose receiver fails tells so; the audit record stands already.
func TestExportThatFails(t *testing.T) {
	r := newRig(t, "handan")
	r.open(1)
	r.ride(1)
	r.no(r.share.PutConsumer(t.Context(), transport()))
	full := errors.New("disk full")
	_, _, err := r.share.Export(t.Context(), ask(), Extent{ledger{r}, today, today}, func([]byte) error { return full })
	if !errors.Is(err, full) || r.noted("share") != 1 {
		t.Errorf("%v, %d audit records", err, r.noted("share"))
	}
}

// What cannot be registered, and that no operator is nobody.
func TestConsumersAreChecked(t *testing.T) {
	r := newRig(t, "handan")
	for name, c := range map[string]Consumer{
		"no name":         transport(func(c *Consumer) { c.Name = "" }),
		"a long name":     transport(func(c *Consumer) { c.Name = strings.Repeat("a", 25) }),
		"a path":          transport(func(c *Consumer) { c.Name = "a/b" }),
		"no approval":     transport(func(c *Consumer) { c.Approval = "" }),
		"no agreement":    transport(func(c *Consumer) { c.Agreement = "" }),
		"no end":          transport(func(c *Consumer) { c.Until = 0 }),
		"an early end":    transport(func(c *Consumer) { c.Until = c.From - 1 }),
		"no purpose":      transport(func(c *Consumer) { c.Purposes = nil }),
		"no such purpose": transport(func(c *Consumer) { c.Purposes = []string{"advertising"} }),
		"another role":    transport(func(c *Consumer) { c.Role = "viewer" }),
		"no such field":   transport(func(c *Consumer) { c.Fields = []string{"name"} }),
	} {
		if err := r.share.PutConsumer(t.Context(), c); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.no(r.share.PutConsumer(t.Context(), transport()))
	r.no(r.share.PutConsumer(t.Context(), transport(func(c *Consumer) { c.Title = "again" })))
	all, err := r.share.Consumers(t.Context())
	if err != nil || len(all) != 1 || all[0].Title != "again" {
		t.Errorf("%+v, %v", all, err)
	}
	nobody := ask()
	nobody.Operator = ""
	if told, err := r.share.Query(t.Context(), nobody, r.id(), r.open(1)); err != nil || told.Refusal == RefusalNone {
		t.Errorf("%+v, %v", told, err)
	}
}

// One unit more than there is room for is refused; one that is there can be changed.
func TestConsumersFull(t *testing.T) {
	r := newRig(t, "handan")
	for n := range ConsumersMax {
		value, err := json.Marshal(transport())
		r.no(err)
		r.no(r.memory.Put(t.Context(), fmt.Sprintf("%su%d", consumerPrefix, n), value, 0))
	}
	if err := r.share.PutConsumer(t.Context(), transport()); !errors.Is(err, ErrConfig) {
		t.Errorf("%v", err)
	}
	r.no(r.share.PutConsumer(t.Context(), transport(func(c *Consumer) { c.Name = "u7" })))
}

// Every refusal has a code of its own and words.
func TestRefusalsHaveTexts(t *testing.T) {
	seen := map[string]bool{}
	for f := range refusalEnd {
		text := f.Text()
		if text.Code == "" || text.English == "" || text.Chinese == "" || seen[text.Code] {
			t.Errorf("%d: %+v", f, text)
		}
		seen[text.Code] = true
	}
	if refusalEnd.String() != "unknown" {
		t.Error(refusalEnd.String())
	}
}

// A store that does not answer is a fault, and nothing is told.
func TestStoreInTrouble(t *testing.T) {
	r := newRig(t, "handan")
	person := r.open(1)
	r.no(r.share.PutConsumer(t.Context(), transport()))
	r.no(r.memory.Close())
	if _, err := r.share.Query(t.Context(), ask(), r.id(), person); !errors.Is(err, desk.ErrStore) {
		t.Errorf("query: %v", err)
	}
	if _, _, err := r.share.OpenStream(t.Context(), ask(), "x"); !errors.Is(err, desk.ErrStore) {
		t.Errorf("stream: %v", err)
	}
	if _, err := r.share.Consumers(t.Context()); !errors.Is(err, desk.ErrStore) {
		t.Errorf("list: %v", err)
	}
	if _, err := New(Options{}); err == nil {
		t.Error("a service of nothing")
	}
}
