package provision

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// now is the instant of the tests of rules.
const now = txn.Millis(1_800_000_000_000)

func TestDefaultParametersHold(t *testing.T) {
	text, err := json.Marshal(DefaultParameters())
	if err != nil {
		t.Fatal(err)
	}
	p, r := ReadParameters(text)
	if r != nil {
		t.Fatal(r)
	}
	if l, ok := p.Limit(ClassPurse, Stale); !ok || l.TapMax != 2000 {
		t.Errorf("%+v", l)
	}
	if _, ok := p.Limit(ClassPostPaid, Stale); ok {
		t.Error("post-paid is served with a stale list")
	}
}

// Each contradiction is refused with its field.
func TestParametersThatContradict(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Parameters)
		field  string
	}{
		"polls too seldom":          {func(p *Parameters) { p.ListPollS = 900 }, "list_fresh_s"},
		"never polls":               {func(p *Parameters) { p.ListPollS = 0 }, "list_poll_s"},
		"stale before fresh":        {func(p *Parameters) { p.ListStaleS = 900 }, "list_stale_s"},
		"stale for years":           {func(p *Parameters) { p.ListStaleS = monthS + 1 }, "list_stale_s"},
		"a lease of a moment":       {func(p *Parameters) { p.LeaseS = 59 }, "lease_s"},
		"a lease within a poll":     {func(p *Parameters) { p.LeaseS, p.ListPollS = 60, 61 }, "lease_s"},
		"batches above the queue":   {func(p *Parameters) { p.QueueMax = 499 }, "queue_max"},
		"batches above the switch":  {func(p *Parameters) { p.UploadMax = 5001 }, "upload_max"},
		"a clock left alone":        {func(p *Parameters) { p.ClockSkewS = 301 }, "clock_skew_s"},
		"a floor that never counts": {func(p *Parameters) { p.Floor = 10_001 }, "floor_fen"},
		"no pass-back":              {func(p *Parameters) { p.PassBackS = -1 }, "pass_back_s"},
		"a class twice":             {func(p *Parameters) { p.Limits[1].List = Fresh }, "limits[1]"},
		"another class":             {func(p *Parameters) { p.Limits[0].Class = "vip" }, "limits[0].class"},
		"another age":               {func(p *Parameters) { p.Limits[0].List = "old" }, "limits[0].list"},
		"a tap above the card":      {func(p *Parameters) { p.Limits[0].TapMax = 50_001 }, "limits[0].card_max_fen"},
		"a card above the gate":     {func(p *Parameters) { p.Limits[0].CardMax = 5_000_001 }, "limits[0].gate_max_fen"},
		"no taps":                   {func(p *Parameters) { p.Limits[0].CardTapsMax = 0 }, "limits[0].card_taps_max"},
		"less than nothing":         {func(p *Parameters) { p.Limits[0].TapMax = -1 }, "limits[0]"},
		"more when stale":           {func(p *Parameters) { p.Limits[1].CardTapsMax = 101 }, "limits[1]"},
		"stale but never fresh":     {func(p *Parameters) { p.Limits[2].List = Stale }, "limits[2]"},
		"money without a list":      {func(p *Parameters) { p.Limits[1].List = Unknown }, "limits[1].list"},
		"identity for money":        {func(p *Parameters) { p.Limits[3].GateMax = 1 }, "limits[3]"},
		"too many limits":           {func(p *Parameters) { p.Limits = make([]Limit, limitsMax+1) }, "limits"},
	} {
		p := DefaultParameters()
		c.change(&p)
		text, _ := json.Marshal(p)
		_, r := ReadParameters(text)
		if r == nil || r.Field != "parameters."+c.field || r.Reason == "" {
			t.Errorf("%s: %v", name, r)
		}
	}
}

func TestParametersAreReadStrictly(t *testing.T) {
	good, _ := json.Marshal(DefaultParameters())
	for name, text := range map[string]string{
		"none": "", "a list": "[]", "unknown": strings.Replace(string(good), "{", `{"vip":1,`, 1),
		"missing":      strings.Replace(string(good), `"lease_s":259200,`, "", 1),
		"a text":       strings.Replace(string(good), `"lease_s":259200`, `"lease_s":"x"`, 1),
		"a limit more": strings.Replace(string(good), `{"class"`, `{"more":1,"class"`, 1),
	} {
		if _, r := ReadParameters([]byte(text)); r == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestAgeOfAList(t *testing.T) {
	p := DefaultParameters()
	for since, want := range map[txn.Millis]Age{0: Fresh, 900_000: Fresh, 900_001: Stale,
		14_400_000: Stale, 14_400_001: Unknown} {
		if got := p.AgeOf(true, since); got != want {
			t.Errorf("after %d ms: %s", since, got)
		}
	}
	if p.AgeOf(false, 0) != Unknown {
		t.Error("no list is known")
	}
}

func tariff(version, scope string, at txn.Millis) Document {
	s, err := disruption.ParseScope(scope)
	if err != nil {
		panic(err)
	}
	return Document{Kind: KindTariff, Version: version, Scope: s, Effective: at, SHA256: version}
}

func published(t *testing.T, docs ...Document) *index {
	t.Helper()
	x := new(index)
	for _, d := range docs {
		if _, r := x.publish(d, now); r != nil {
			t.Fatal(r)
		}
	}
	return x
}

// The narrowest scope counts, and in it what took effect last; what comes next is what will
// take its place.
func TestWhatIsInForce(t *testing.T) {
	x := published(t, tariff("a1", "all", now+10), tariff("a2", "all", now+50),
		tariff("l1", "line:M1", now+20), tariff("s1", "station:North", now+30),
		tariff("t1", "terminal:G1", now+40), tariff("l2", "line:M1", now+60))
	gates := map[string]disruption.Place{
		"G1": {Line: "M1", Station: "North", Terminal: "G1"},
		"G2": {Line: "M1", Station: "North", Terminal: "G2"},
		"G3": {Line: "M1", Station: "East", Terminal: "G3"},
		"G4": {Line: "M2", Station: "South", Terminal: "G4"},
	}
	for gate, line := range map[string]string{ // in force and next at now + 0, 10, … 60
		"G1": "-/a1 a1/l1 l1/s1 s1/t1 t1/- t1/- t1/-",
		"G2": "-/a1 a1/l1 l1/s1 s1/- s1/- s1/- s1/-",
		"G3": "-/a1 a1/l1 l1/l2 l1/l2 l1/l2 l1/l2 l2/-",
		"G4": "-/a1 a1/a2 a1/a2 a1/a2 a1/a2 a2/- a2/-",
	} {
		var got []string
		for i := range txn.Millis(7) {
			name := func(d *Document) string {
				if d == nil {
					return "-"
				}
				return d.Version
			}
			at := now + 10*i
			got = append(got, name(x.at(KindTariff, gates[gate], at))+"/"+
				name(x.next(KindTariff, gates[gate], at)))
		}
		if strings.Join(got, " ") != line {
			t.Errorf("%s: %s, want %s", gate, strings.Join(got, " "), line)
		}
	}
	if x.at(KindParameters, gates["G1"], now+1000) != nil {
		t.Error("a tariff is taken for parameters")
	}
}

func TestPublishRefuses(t *testing.T) {
	x := published(t, tariff("a1", "all", now+10))
	for name, c := range map[string]struct {
		d           Document
		code, field string
	}{
		"in the past":              {tariff("a2", "all", now-1), "document_invalid", "effective_ms"},
		"this very moment":         {tariff("a2", "all", now), "document_invalid", "effective_ms"},
		"in the far future":        {tariff("a2", "all", now+AheadMax+1), "document_invalid", "effective_ms"},
		"the version, changed":     {tariff("a1", "all", now+11), "version_exists", "version"},
		"the version, elsewhere":   {tariff("a1", "line:M1", now+10), "version_exists", "version"},
		"the same instant, scope":  {tariff("a2", "all", now+10), "documents_contradict", "effective_ms"},
		"the version, older again": {tariff("a1", "all", now-1), "version_exists", "version"},
	} {
		_, r := x.publish(c.d, now)
		if r == nil || r.Code != c.code || r.Field != c.field || len(x.Documents) != 1 {
			t.Errorf("%s: %v", name, r)
		}
	}
	if again, r := x.publish(tariff("a1", "all", now+10), now+100); !again || r != nil {
		t.Errorf("the same document once more: %v %v", again, r)
	}
	if _, r := x.publish(tariff("a2", "line:M1", now+10), now); r != nil {
		t.Errorf("the same instant in another scope: %v", r)
	}
}

func TestDocumentsFull(t *testing.T) {
	x := new(index)
	for i := range DocumentsMax {
		if _, r := x.publish(tariff(fmt.Sprint("v", i), "all", now+1+txn.Millis(i)), now); r != nil {
			t.Fatal(r)
		}
	}
	_, r := x.publish(tariff("more", "all", now+10_000), now)
	if r == nil || r.Code != "documents_full" {
		t.Fatalf("one more: %v", r)
	}
	// Long after, all but what is in force can go.
	later := now + DocumentsMax + SupersededKeep + 1
	if _, r := x.publish(tariff("more", "all", later+1), later); r != nil || len(x.Documents) != 2 {
		t.Errorf("later: %v, %d documents", r, len(x.Documents))
	}
}

func TestWithdraw(t *testing.T) {
	x := published(t, tariff("a1", "all", now+10))
	if r := x.withdraw(KindParameters, "a1", now); r == nil || r.Code != "not_found" {
		t.Errorf("another kind: %v", r)
	}
	if r := x.withdraw(KindTariff, "a1", now+10); r == nil || r.Code != "document_in_effect" {
		t.Errorf("in effect: %v", r)
	}
	if r := x.withdraw(KindTariff, "a1", now+9); r != nil || len(x.Documents) != 0 {
		t.Errorf("in time: %v", r)
	}
}

func fault(id string, from, until txn.Millis) disruption.Order {
	return disruption.Order{ID: id, Mode: disruption.TrainFault, From: from, Until: until,
		Reason: "signal failure", By: "anna"}
}

func TestOrdersAreRefused(t *testing.T) {
	const hour = 3_600_000
	for name, c := range map[string]struct {
		change func(*disruption.Order)
		field  string
	}{
		"no mode":           {func(o *disruption.Order) { o.Mode = 0 }, "mode"},
		"no reason":         {func(o *disruption.Order) { o.Reason = "" }, "reason"},
		"a novel":           {func(o *disruption.Order) { o.Reason = strings.Repeat("x", 201) }, "reason"},
		"a card number":     {func(o *disruption.Order) { o.Reason = "card 3104 9900 0000 0001" }, "reason"},
		"yesterday":         {func(o *disruption.Order) { o.From = now - startSlack - 1 }, "from_ms"},
		"next year":         {func(o *disruption.Order) { o.From = now + disruption.AheadMax + 1 }, "from_ms"},
		"ends at its start": {func(o *disruption.Order) { o.Until = o.From }, "until_ms"},
		"a week":            {func(o *disruption.Order) { o.Until = o.From + 73*hour }, "until_ms"},
	} {
		o := fault("o1", now, now+hour)
		c.change(&o)
		x := new(index)
		if r := x.order(o, now); r == nil || r.Field != c.field || len(x.Orders) != 0 {
			t.Errorf("%s: %v", name, r)
		}
	}
	x := new(index)
	if r := x.order(fault("o1", now, now+hour), now); r != nil {
		t.Fatal(r)
	}
	if r := x.order(fault("o2", now+hour-1, now+2*hour), now); r == nil ||
		r.Code != "orders_contradict" {
		t.Errorf("the same mode twice: %v", r)
	}
	if r := x.order(fault("o3", now+hour, now+2*hour), now); r != nil {
		t.Errorf("one after the other: %v", r)
	}
}

func TestTwoPersonsWaiveMoney(t *testing.T) {
	x := new(index)
	if r := x.order(fault("o1", now, now+1000), now); r != nil {
		t.Fatal(r)
	}
	for _, c := range []struct {
		by   string
		at   txn.Millis
		code string
	}{
		{"anna", now, "second_person_needed"},
		{"ben", now + 1000 + disruption.ConfirmMax + 1, "order_too_old"},
		{"ben", now + 1, ""}, {"ben", now + 2, ""}, {"carl", now + 3, "order_confirmed"},
	} {
		r := x.confirm("o1", c.by, c.at)
		if (r == nil) != (c.code == "") || r != nil && r.Code != c.code {
			t.Errorf("%s at %d: %v", c.by, c.at, r)
		}
	}
	if o := x.orderOf("o1"); o.Second != "ben" || o.SecondAt != now+1 {
		t.Errorf("%+v", o)
	}
	if r := x.confirm("o9", "ben", now); r == nil || r.Code != "not_found" {
		t.Errorf("another: %v", r)
	}
}

func TestEndOfAnOrder(t *testing.T) {
	x := new(index)
	for _, id := range []string{"over", "holds", "comes"} {
		from := map[string]txn.Millis{"over": now, "holds": now + 100, "comes": now + 900}[id]
		if r := x.order(fault(id, from, from+50), now); r != nil {
			t.Fatal(r)
		}
	}
	at := now + 120
	for _, id := range []string{"over", "holds", "comes"} {
		if r := x.end(id, "ben", at); r != nil {
			t.Errorf("%s: %v", id, r)
		}
	}
	if x.orderOf("over").Until != now+50 || x.orderOf("holds").Until != at ||
		x.orderOf("holds").EndedBy != "ben" || x.orderOf("comes") != nil {
		t.Errorf("%+v", x.Orders)
	}
	if r := x.end("comes", "ben", at); r == nil || r.Code != "not_found" {
		t.Errorf("twice: %v", r)
	}
}

func TestOrdersFull(t *testing.T) {
	x := new(index)
	for i := range OrdersMax {
		if r := x.order(fault(fmt.Sprint(i), now+txn.Millis(i), now+txn.Millis(i)+1), now); r != nil {
			t.Fatal(r)
		}
	}
	if r := x.order(fault("more", now+9000, now+9001), now); r == nil || r.Code != "orders_full" {
		t.Errorf("one more: %v", r)
	}
	later := now + OrdersMax + OrderKeep + 1
	if r := x.order(fault("more", later, later+1), later); r != nil || len(x.Orders) != 1 {
		t.Errorf("later: %v, %d orders", r, len(x.Orders))
	}
}

func TestNamesOfVersions(t *testing.T) {
	for s, good := range map[string]bool{"2026-1": true, "a.b_C": true, "": false, "a/b": false,
		"a b": false, strings.Repeat("x", VersionMax+1): false} {
		if r := checkName("version", s, VersionMax); (r == nil) != good {
			t.Errorf("%q: %v", s, r)
		}
	}
}
