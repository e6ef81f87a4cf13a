package share

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/sm"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// HD9, ZS7, ZZ11: a department's data comes in with source, lag, rejects and completeness,
// and has its effect on the accounts: a death opens the cancellation ex officio, a concession
// begins and ends, a name and an address go to the department that corrects them.
func TestDuty_HD9_DepartmentsSupplyData(t *testing.T) {
	r := newRig(t, "handan")
	r.civil()
	one, two := r.open(1), r.open(2)
	r.pass(60_000)
	rep := r.deliver(r.batch(1, Eligibility, Line{ID: idOf(1), On: "2026-02-20", Value: "senior", Until: "2027-02-20"},
		Line{ID: idOf(9), On: "2026-03-01", Value: "senior"}, Line{ID: idOf(2), On: "2026-03-09", Value: "senior"}))
	want := []Reject{{2, "person_unknown"}, {3, "date_in_future"}}
	if rep.Accepted != 1 || rep.Rejected != 2 || !slices.Equal(rep.Rejects, want) || rep.Lag != 90_000 ||
		rep.LagDays != 10 {
		t.Fatalf("%+v", rep)
	}
	if got := r.account(one).Rider; got != (account.Rider{Category: txn.RiderSenior, Source: "civil_affairs", Until: 20270220}) {
		t.Fatalf("rider %+v", got)
	}
	r.deliver(r.batch(2, Eligibility, Line{ID: idOf(1), On: "2026-03-01", Value: "ended"}))
	if got := r.account(one).Rider.Category; got != txn.RiderOrdinary {
		t.Fatalf("rider %s", got)
	}
	r.deliver(r.batch(4, Residence, Line{ID: idOf(1), On: "2026-03-01", Value: "a street"}))
	r.deliver(r.batch(5, NameChange, Line{ID: idOf(2), On: "2026-03-01", Value: "a name"}))
	r.deliver(r.batch(6, Death, Line{ID: idOf(2), On: "2026-03-01"}))
	if k := r.account(one).Cases; len(k) != 1 || k[0].Kind != account.CaseCorrection || k[0].Field != account.Address {
		t.Fatalf("%+v", k)
	}
	k := r.account(two).Cases
	if len(k) != 2 || k[0].Field != account.HolderName || k[0].Owner == "" || k[1].Kind != account.CaseCancellation ||
		k[1].Actor != account.Agency || k[1].Decision != "civil_affairs-6-1" {
		t.Fatalf("%+v", k)
	}
	for _, rec := range r.records() {
		if rec.Kind == txn.Fee {
			t.Error("supplied data cost a fee")
		}
	}
	figures, err := r.share.Suppliers(t.Context())
	if err != nil || len(figures) != 1 {
		t.Fatal(figures, err)
	}
	f := &figures[0]
	if f.Batches != 5 || f.Lines != 7 || f.Accepted != 5 || f.Rejected != 2 || !slices.Equal(f.Gaps, []uint64{3}) ||
		f.LagMS != 90_000 || f.Completeness() < 71 || f.Completeness() > 72 {
		t.Errorf("%+v", f)
	}
}

// A scheme whose text gives no right ex officio gets a case for a person instead.
func TestDeathWhereNobodyActsExOfficio(t *testing.T) {
	r := newRig(t, "zhoushan")
	r.civil()
	one := r.open(1)
	for seq := range uint64(2) {
		rep := r.deliver(r.batch(seq+1, Death, Line{ID: idOf(1), On: "2026-03-01"}))
		if rep.Accepted != 1 || rep.Unchanged != int(seq) {
			t.Fatalf("%+v", rep)
		}
	}
	if k := r.account(one).Cases; len(k) != 1 || k[0].Kind != account.CaseCorrection {
		t.Fatalf("%+v", k)
	}
}

// A batch that comes twice is one, and another under its number is refused.
func TestBatchTwice(t *testing.T) {
	r := newRig(t, "handan")
	r.civil()
	r.open(1)
	b := r.batch(1, Residence, Line{ID: idOf(1), On: "2026-03-01", Value: "a street"})
	first := r.deliver(b)
	r.pass(5000)
	again := r.deliver(b)
	if first.Replay || !again.Replay || again.Received != first.Received || again.Accepted != 1 {
		t.Errorf("%+v", again)
	}
	b.Lines[0].Value = "another street"
	if rep := r.deliver(b); rep.Refusal != BatchReused {
		t.Errorf("%+v", rep)
	}
}

// A crash in the middle of a batch is finished by the batch sent again, each line once.
func TestBatchAfterACrash(t *testing.T) {
	r := newRig(t, "handan")
	r.civil()
	one := r.open(1)
	b := r.batch(1, Residence, Line{ID: idOf(1), On: "2026-03-01", Value: "a street"})
	r.no(r.share.lines(t.Context(), b, &Report{Effects: map[string]int{}})) // and the report was lost
	if rep := r.deliver(b); rep.Accepted != 1 || rep.Rejected != 0 {
		t.Fatalf("%+v", rep)
	}
	if k := r.account(one).Cases; len(k) != 1 {
		t.Errorf("%d cases of one line", len(k))
	}
}

// Lines that are wrong are rejected by themselves, by number and reason and without a word
// of what they said.
func TestRejects(t *testing.T) {
	r := newRig(t, "handan")
	r.civil()
	one := r.open(1)
	r.must(one, account.SetRider{Rider: account.Rider{Category: txn.RiderDisabled, Source: "disabled_union"}})
	b := r.batch(1, Eligibility,
		Line{ID: idOf(1), On: "2026-03-01", Value: "senior"},
		Line{ID: idOf(1), On: "yesterday", Value: "senior"},
		Line{ID: idOf(1), Value: "senior"},
		Line{ID: "", On: "2026-03-01", Value: "senior"},
		Line{ID: idOf(1), On: "2026-03-01", Value: "king"},
		Line{ID: idOf(1), On: "2026-03-01", Value: "ordinary"},
		Line{ID: idOf(1), On: "2026-03-01", Value: "senior", Until: "soon"},
		Line{No: 1, ID: idOf(1), On: "2026-03-01", Value: "senior"},
		Line{No: 99, ID: idOf(1), On: "2026-03-01", Value: "senior"})
	b.Total = 12
	rep := r.deliver(b)
	want := []string{"other_source", "date_invalid", "date_invalid", "id_missing", "value_invalid", "value_invalid",
		"date_invalid", "line_duplicate", "line_number"}
	var got []string
	for _, reject := range rep.Rejects {
		got = append(got, reject.Reason)
	}
	if !slices.Equal(got, want) || rep.Missing != 5 || rep.Accepted != 0 {
		t.Errorf("%v, %d missing", got, rep.Missing)
	}
	rep = r.deliver(r.batch(2, Residence, Line{ID: idOf(1), On: "2026-03-01"}))
	text, err := json.Marshal(rep)
	if err != nil || rep.Rejects[0].Reason != "value_missing" || strings.Contains(string(text), idOf(1)) {
		t.Errorf("%s, %v", text, err)
	}
}

// A report names a bounded number of rejects and counts all.
func TestRejectsFull(t *testing.T) {
	r := newRig(t, "handan")
	r.civil()
	var lines []Line
	for range RejectsMax + 5 {
		lines = append(lines, Line{On: "2026-03-01"})
	}
	rep := r.deliver(r.batch(1, Death, lines...))
	if rep.Rejected != RejectsMax+5 || len(rep.Rejects) != RejectsMax {
		t.Errorf("%d rejected, %d named", rep.Rejected, len(rep.Rejects))
	}
}

// Nothing is taken without the supplier's own signature over what it agreed to supply.
func TestDeliveriesAreRefused(t *testing.T) {
	r := newRig(t, "handan")
	r.civil()
	good := r.delivery(r.batch(1, Death, Line{ID: idOf(1), On: "2026-03-01"}))
	signed := func(body string) Delivery {
		return Delivery{Supplier: "civil_affairs", Format: JSON, Body: []byte(body),
			Signature: ed25519.Sign(r.key, []byte(body))}
	}
	changed := func(change func(*Delivery)) Delivery { d := good; change(&d); return d }
	for name, c := range map[string]struct {
		d    Delivery
		want Refusal
	}{
		"unknown supplier": {changed(func(d *Delivery) { d.Supplier = "nobody" }), SupplierUnknown},
		"no supplier":      {changed(func(d *Delivery) { d.Supplier = "../x" }), SupplierUnknown},
		"no signature":     {changed(func(d *Delivery) { d.Signature = nil }), SignatureWrong},
		"changed":          {changed(func(d *Delivery) { d.Body = append(slices.Clone(d.Body), ' ') }), SignatureWrong},
		"not JSON":         {signed("{"), BatchInvalid},
		"a member more":    {signed(`{"supplier":"civil_affairs","extra":1}`), BatchInvalid},
		"two batches":      {signed(`{"supplier":"civil_affairs"}{}`), BatchInvalid},
		"no lines": {signed(`{"supplier":"civil_affairs","seq":1,"kind":"death","made":"2026-03-01T00:00:00Z"}`),
			BatchInvalid},
		"another's": {signed(`{"supplier":"police","seq":1,"kind":"death","made":"2026-03-01T00:00:00Z","total":1,
		  "lines":[{"no":1}]}`), BatchInvalid},
		"another kind": {signed(`{"supplier":"civil_affairs","seq":1,"kind":"wealth","made":"2026-03-01T00:00:00Z",
		  "total":1,"lines":[{"no":1}]}`), KindNotAgreed},
		"a long field": {signed(fmt.Sprintf(`{"supplier":"civil_affairs","seq":1,"kind":"death",
		  "made":"2026-03-01T00:00:00Z","total":1,"lines":[{"no":1,"id":%q}]}`, strings.Repeat("1", textMax+1))),
			BatchInvalid},
		"a format": {changed(func(d *Delivery) { d.Format = "xml" }), BatchInvalid},
	} {
		rep, err := r.share.Deliver(t.Context(), c.d)
		if err != nil || rep.Refusal != c.want {
			t.Errorf("%s: %s %q, %v, want %s", name, rep.Refusal, rep.Why, err, c.want)
		}
	}
	r.no(r.share.RemoveSupplier(t.Context(), "civil_affairs"))
	if rep, err := r.share.Deliver(t.Context(), good); err != nil || rep.Refusal != SupplierUnknown {
		t.Errorf("%+v, %v", rep, err)
	}
}

// CSV and JSON say the same; what is no batch of either is refused.
func TestFormatsAgree(t *testing.T) {
	want := &Batch{Supplier: "civil_affairs", Seq: 7, Kind: Eligibility, Made: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
		Total: 3, Lines: []Line{{1, "110", "2026-03-01", "senior", "2027-01-01"}, {3, "111", "2026-02-01", "ended", ""}}}
	text := "\xef\xbb\xbfsupplier,seq,kind,made,total\ncivil_affairs,7,eligibility,2026-03-01T00:00:00Z,3\n" +
		"no,id,on,value,until\n1,110,2026-03-01,senior,2027-01-01\n3,111,2026-02-01,ended,\n"
	got, err := ReadBatch(CSV, []byte(text))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	body, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err = ReadBatch(JSON, body); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, bad := range []string{"", "a,b\n", strings.Replace(text, "until", "end", 1), strings.Replace(text, ",7,", ",x,", 1),
		strings.Replace(text, "\n3,111", "\nx,111", 1), strings.Replace(text, ",3\nno", ",1\nno", 1)} {
		if _, err := ReadBatch(CSV, []byte(bad)); err == nil {
			t.Errorf("%q is a batch", bad)
		}
	}
	if _, err := ReadBatch(JSON, make([]byte, BatchBytesMax+1)); err == nil {
		t.Error("a batch beyond the limit")
	}
	many := &Batch{Supplier: "a", Seq: 1, Made: want.Made, Total: LinesMax + 1, Lines: make([]Line, LinesMax+1)}
	if many.check() == nil {
		t.Error("more lines than a batch has")
	}
}

func FuzzReadBatch(f *testing.F) {
	f.Add("json", []byte(`{"supplier":"a","seq":1,"made":"2026-03-01T00:00:00Z","total":1,"lines":[{"no":1}]}`))
	f.Add("csv", []byte("supplier,seq,kind,made,total\na,7,death,2026-03-01T00:00:00Z,1\nno,id,on,value,until\n1,1,,,\n"))
	f.Fuzz(func(t *testing.T, form string, body []byte) {
		if b, err := ReadBatch(Format(form), body); err == nil && (len(b.Lines) == 0 || b.Total < len(b.Lines) || b.Seq == 0) {
			t.Errorf("%+v", b)
		}
	})
}

// A supplier signs with SM2 or Ed25519; what is no key of either is refused.
func TestSuppliersAreChecked(t *testing.T) {
	r := newRig(t, "handan")
	key, err := sm.GenerateKey(rand.Reader)
	r.no(err)
	point := key.Public().Point()
	p := Supplier{Name: "police", Kinds: []Kind{Residence}, Algorithm: SM2, PublicKey: hex.EncodeToString(point[:]),
		Every: time.Hour}
	r.no(r.share.PutSupplier(t.Context(), p))
	r.open(1)
	b := r.batch(1, Residence, Line{ID: idOf(1), On: "2026-03-01", Value: "a street"})
	b.Supplier = "police"
	body, err := json.Marshal(b)
	r.no(err)
	signature, err := key.Sign(rand.Reader, body)
	r.no(err)
	rep, err := r.share.Deliver(t.Context(), Delivery{Supplier: "police", Format: JSON, Body: body, Signature: signature[:]})
	if err != nil || rep.Accepted != 1 {
		t.Fatalf("%+v, %v", rep, err)
	}
	for range 2 {
		figures, err := r.share.Suppliers(t.Context())
		if err != nil || figures[0].Late != (r.now() > morning) {
			t.Errorf("%+v, %v", figures, err)
		}
		r.pass(3600_001)
	}
	for name, change := range map[string]func(*Supplier){
		"a name":      func(p *Supplier) { p.Name = "a b" },
		"a kind":      func(p *Supplier) { p.Kinds = []Kind{"wealth"} },
		"no kind":     func(p *Supplier) { p.Kinds = nil },
		"an interval": func(p *Supplier) { p.Every = -1 },
		"hex":         func(p *Supplier) { p.PublicKey = "zz" },
		"a point":     func(p *Supplier) { p.PublicKey = strings.Repeat("00", 64) },
		"a length":    func(p *Supplier) { p.Algorithm = Ed25519 },
		"algorithm":   func(p *Supplier) { p.Algorithm = "rsa" },
	} {
		bad := p
		change(&bad)
		if err := r.share.PutSupplier(t.Context(), bad); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range SuppliersMax {
		_ = r.memory.Put(context.Background(), fmt.Sprintf("%ss%d", supplierPrefix, n), []byte("{}"), 0)
	}
	p.Name = "one_more"
	if err := r.share.PutSupplier(t.Context(), p); !errors.Is(err, ErrConfig) {
		t.Errorf("one supplier too many: %v", err)
	}
}
