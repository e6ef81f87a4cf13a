package share

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// broker is an exchange platform that keeps messages in memory and gives again what was not
// done.
type broker struct {
	in   []Message
	done int
	out  []Message
	fail error
}

func (b *broker) Fetch(context.Context) (Message, error) {
	if b.done == len(b.in) {
		return Message{}, context.Canceled
	}
	return b.in[b.done], nil
}

func (b *broker) Done(context.Context, Message) error { b.done++; return nil }

func (b *broker) Publish(_ context.Context, m Message) error {
	if b.fail != nil {
		return b.fail
	}
	b.out = append(b.out, m)
	return nil
}

func exchange() Exchange {
	return Exchange{Inbound: map[string]Inbound{"city.civil.life": {"civil_affairs", JSON}},
		Outbound: map[string]Outbound{"city.transport.rides": {"transport_office", "dispute"}}}
}

// message is a delivery as the platform carries it.
func (r *rig) message(b *Batch) Message {
	d := r.delivery(b)
	return Message{Topic: "city.civil.life", Body: d.Body, At: r.now() - 400,
		Headers: map[string]string{SignatureHeader: hex.EncodeToString(d.Signature)}}
}

// SY8, ZZ11, WZ5: data comes and goes through the city's exchange platform by topics that
// are configuration, and how late each is is measured.
func TestDuty_SY8_ThroughTheExchangePlatform(t *testing.T) {
	r := newRig(t, "shiyan")
	r.civil()
	one := r.open(1)
	r.ride(1)
	r.no(r.share.PutConsumer(t.Context(), transport()))
	b := &broker{in: []Message{
		r.message(r.batch(1, Eligibility, Line{ID: idOf(1), On: "2026-03-01", Value: "senior"})),
		{Topic: "city.civil.life", Body: []byte("poison")},
		{Topic: "city.strangers"},
		r.message(r.batch(2, Eligibility, Line{ID: idOf(1), On: "2026-03-02", Value: "veteran"})),
	}}
	p, err := r.share.NewPlatform(exchange(), b)
	r.no(err)
	if err := p.Run(t.Context(), b); !errors.Is(err, context.Canceled) || b.done != 4 {
		t.Fatalf("%d messages done, %v", b.done, err)
	}
	if got := r.account(one).Rider.Category; got != txn.RiderVeteran {
		t.Fatalf("rider %s", got)
	}
	r.pass(700)
	for _, rec := range r.records() {
		if rec.Kind == txn.BusBoarding {
			r.no(p.Send(t.Context(), &rec))
		}
	}
	if len(b.out) != 1 || !strings.Contains(string(b.out[0].Body), `"station":"east"`) ||
		strings.Contains(string(b.out[0].Body), "balance") {
		t.Fatalf("%+v", b.out)
	}
	lags := map[string]Lag{}
	for _, l := range p.Lags() {
		lags[l.Topic] = l
	}
	if l := lags["city.civil.life"]; l.Count != 2 || l.Refused != 1 || l.MaxMS != 400 {
		t.Errorf("%+v", l)
	}
	if l := lags["city.transport.rides"]; l.Count != 1 || l.LastMS != 700 {
		t.Errorf("%+v", l)
	}
	if l := lags["city.strangers"]; l.Refused != 1 {
		t.Errorf("%+v", l)
	}
}

// A unit without an agreement in force is told nothing, and a platform that fails is told
// again.
func TestNothingGoesOutWithoutAnAgreement(t *testing.T) {
	r := newRig(t, "handan")
	b := &broker{}
	p, err := r.share.NewPlatform(exchange(), b)
	r.no(err)
	record := &txn.Record{Card: cardToken(1), Kind: txn.BusBoarding, ReceivedAt: r.now()}
	r.no(p.Send(t.Context(), record))
	if len(b.out) != 0 || p.Lags()[0].Refused != 1 {
		t.Fatalf("%+v", p.Lags())
	}
	r.no(r.share.PutConsumer(t.Context(), transport(func(c *Consumer) { c.Until = today })))
	r.no(p.Send(t.Context(), record))
	b.fail = errors.New("no leader")
	if err := p.Send(t.Context(), record); !errors.Is(err, b.fail) {
		t.Fatalf("%v", err)
	}
	b.fail = nil
	r.no(p.Send(t.Context(), record))
	if len(b.out) != 2 {
		t.Fatalf("%d messages", len(b.out))
	}
	r.pass(24 * 3600 * 1000)
	r.no(p.Send(t.Context(), record))
	if len(b.out) != 2 {
		t.Error("told after the last day of the agreement")
	}
	early := *record
	early.ReceivedAt = txn.MillisOf(transport().From.Time()) - dayMS
	before := r.noted("share transport_office")
	r.no(r.share.PutConsumer(t.Context(), transport()))
	r.no(p.Send(t.Context(), &early))
	r.no(p.Send(t.Context(), record))
	if len(b.out) != 3 || r.noted("share transport_office") != before+1 {
		t.Errorf("%d messages, %d audit records of a renewed agreement", len(b.out), r.noted("share")-before)
	}
}

// A store that does not answer leaves the message to come again.
func TestMessageComesAgain(t *testing.T) {
	r := newRig(t, "handan")
	r.civil()
	b := &broker{in: []Message{r.message(r.batch(1, Death, Line{ID: idOf(1), On: "2026-03-01"}))}}
	p, err := r.share.NewPlatform(exchange(), b)
	r.no(err)
	r.no(r.memory.Close())
	if err := p.Run(t.Context(), b); !errors.Is(err, desk.ErrStore) || b.done != 0 {
		t.Errorf("%v, %d done", err, b.done)
	}
}

func TestTopicsAreChecked(t *testing.T) {
	r := newRig(t, "handan")
	for name, e := range map[string]Exchange{
		"a space":     {Inbound: map[string]Inbound{"a b": {"s", JSON}}},
		"no name":     {Inbound: map[string]Inbound{"": {"s", JSON}}},
		"long":        {Inbound: map[string]Inbound{strings.Repeat("a", topicMax+1): {"s", JSON}}},
		"no supplier": {Inbound: map[string]Inbound{"a": {"", JSON}}},
		"no format":   {Inbound: map[string]Inbound{"a": {"s", ""}}},
		"no purpose":  {Outbound: map[string]Outbound{"a": {"s", ""}}},
		"both ways": {Inbound: map[string]Inbound{"a": {"s", JSON}},
			Outbound: map[string]Outbound{"a": {"s", "dispute"}}},
	} {
		if _, err := r.share.NewPlatform(e, &broker{}); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.share.PutExchange(t.Context(), Exchange{Inbound: map[string]Inbound{"": {}}}); !errors.Is(err, ErrConfig) {
		t.Errorf("registered: %v", err)
	}
	r.no(r.share.PutExchange(t.Context(), exchange()))
	if e, err := r.share.Exchange(t.Context()); err != nil || e.Inbound["city.civil.life"].Supplier != "civil_affairs" {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := r.share.NewPlatform(exchange(), nil); !errors.Is(err, ErrConfig) {
		t.Errorf("no publisher: %v", err)
	}
	if _, err := r.share.NewPlatform(Exchange{}, nil); err != nil {
		t.Errorf("no topics: %v", err)
	}
}

// ZZ13, SY10: a person gets everything that is kept of him, has it corrected by its owner,
// and it is forgotten after the account's end and the scheme's period; a dry run says so
// before and changes nothing.
func TestDuty_ZZ13_RightsOfThePerson(t *testing.T) {
	r := newRig(t, "zhengzhou")
	one := r.open(1)
	r.ride(1)
	r.must(one, account.ReportLoss{Who: atDesk, Form: account.Written, FormNo: "f-1", BankTold: true})
	own := account.Query{Who: atDesk, Purpose: "own_records"}
	c, err := r.share.Copy(t.Context(), one, r.command(own))
	r.no(err)
	if c.Refusal != account.RefusalNone || len(c.Records) < 3 || len(c.Steps) < 3 || len(c.Freezes) != 1 ||
		len(c.Kept) != 6 || c.Truncated {
		t.Fatalf("refusal %s, %d records, %d steps, %d freezes, %d kinds", c.Refusal, len(c.Records), len(c.Steps),
			len(c.Freezes), len(c.Kept))
	}
	stranger := r.command(account.Query{Who: account.Who{Actor: account.Relative, Channel: account.AtAgency,
		ID: account.ResidentID}, Purpose: "curiosity"})
	if c, err := r.share.Copy(t.Context(), one, stranger); err != nil || c.Refusal != account.PurposeNotAllowed || c.Records != nil {
		t.Errorf("a stranger's copy: %+v, %v", c, err)
	}
	a, err := r.share.Correct(t.Context(), one, r.command(nil), Fix{Who: atDesk, Field: account.Telephone,
		Old: "13800000000", New: "13900000000"})
	if err != nil || a.Outcome.Refusal != account.RefusalNone {
		t.Fatal(a.Outcome.Refusal, err)
	}
	for _, rec := range r.records() {
		if strings.Contains(rec.Listing.Note, "13900000000") {
			t.Error("a person's datum is in the ledger")
		}
	}
	r.close(one, a.Outcome.Case)
	r.forgotten(one)
}

// close ends an account with its correction.
func (r *rig) close(token [16]byte, correction uint32) {
	r.t.Helper()
	cmd := r.command(account.CloseCorrection{Case: correction, Corrected: true})
	cmd.By.Role = "agency"
	a, err := r.desk.Do(r.t.Context(), token, cmd)
	if err != nil || a.Outcome.Refusal != account.RefusalNone {
		r.t.Fatal(a.Outcome.Refusal, err)
	}
	open := r.must(token, account.RequestCancellation{Who: atDesk})
	for _, affair := range []account.Affair{account.OpenFees, account.OpenCases} {
		cmd := r.command(account.WaiveAffair{Case: open.Outcome.Case, Affair: affair, Why: "test"})
		_, err := r.desk.Do(r.t.Context(), token, cmd)
		r.no(err)
	}
	r.must(token, account.CompleteCancellation{Case: open.Outcome.Case, Outlet: "d1"})
}

// forgotten runs the retention job before and after the period of one year.
func (r *rig) forgotten(token [16]byte) {
	r.t.Helper()
	run := func(dry bool) *Retention {
		rep, err := r.share.Retain(r.t.Context(), dry, "job")
		r.no(err)
		return rep
	}
	if rep := run(false); rep.Looked != 1 || rep.Erased != 0 || len(rep.Accounts) != 0 {
		r.t.Fatalf("before the period: %+v", rep)
	}
	r.pass(365 * dayMS)
	serial := r.desk.NumberToken(account.SerialNumber, "S-"+idOf(1))
	if rep := run(true); rep.Erased != 0 || len(rep.Accounts) != 1 || !rep.Accounts[0].Holder {
		r.t.Fatalf("dry: %+v", rep)
	}
	if _, _, err := r.desk.Find(r.t.Context(), serial); err != nil || r.account(token).Holder.IsZero() {
		r.t.Fatalf("a dry run changed something: %v", err)
	}
	if rep := run(false); rep.Erased != 1 {
		r.t.Fatalf("%+v", rep)
	}
	doc := r.account(token)
	if !doc.Holder.IsZero() || len(doc.Numbers) != 0 || doc.Gone(cardToken(1)) == nil {
		r.t.Fatalf("%+v", doc)
	}
	if _, _, err := r.desk.Find(r.t.Context(), serial); !errors.Is(err, desk.ErrNoAccount) {
		r.t.Errorf("still found by its serial: %v", err)
	}
	if mark := doc.MarkOf(cardToken(1)); !mark.Reason.Terminal() {
		r.t.Errorf("the dead number opened: %+v", mark)
	}
	if rep := run(false); rep.Erased != 0 {
		r.t.Errorf("twice: %+v", rep)
	}
	r.pass(5 * 365 * dayMS)
	if rep := run(false); rep.Erased != 1 || rep.LedgerBefore["transactions"] == "" {
		r.t.Errorf("after all periods: %+v", rep)
	}
	if rep := run(false); rep.Looked != 0 {
		r.t.Errorf("nothing is left to look at: %+v", rep)
	}
}

// An account that lives is never erased.
func TestTheLivingAreNotErased(t *testing.T) {
	r := newRig(t, "handan")
	one := r.open(1)
	if _, err := r.desk.Erase(t.Context(), one, desk.Erasure{Holder: true}, "job"); !errors.Is(err, desk.ErrNotErasable) {
		t.Errorf("%v", err)
	}
	if _, err := r.desk.Erase(t.Context(), cardToken(9), desk.Erasure{Holder: true}, "job"); !errors.Is(err, desk.ErrNoAccount) {
		t.Errorf("%v", err)
	}
	if rep, err := r.share.Retain(t.Context(), false, "job"); err != nil || rep.Looked != 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// What is collected is listed with its period and who may be told it.
func TestDuty_ZZ14_WhatIsCollectedIsListed(t *testing.T) {
	r := newRig(t, "zhengzhou")
	r.no(r.share.PutConsumer(t.Context(), transport()))
	r.no(r.share.PutConsumer(t.Context(), transport(func(c *Consumer) { c.Name, c.Until = "old_office", today-1 })))
	all, err := r.share.Collected(t.Context())
	r.no(err)
	for _, c := range all {
		if c.What == "" || c.WhatZH == "" || c.Days <= 0 || c.From == "" || c.Recipients[0] != "agency" {
			t.Errorf("%+v", c)
		}
		told := strings.Contains(strings.Join(c.Recipients, " "), "transport_office")
		if want := c.Data == "transactions" || c.Data == "holder_data"; told != want {
			t.Errorf("%s: recipients %v", c.Data, c.Recipients)
		}
		if strings.Contains(strings.Join(c.Recipients, " "), "old_office") {
			t.Error("an agreement that ended has recipients")
		}
	}
}
