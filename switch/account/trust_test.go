package account_test

import (
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// trusting is an open account in a scheme with trust flags, whose holder has consented.
func trusting(t *testing.T) *desk {
	t.Helper()
	rules := plain()
	rules.TrustMax = 5000
	rules.Purposes = append(rules.Purposes, account.PurposeRule{Purpose: account.TrustPurpose,
		Roles: []string{"credit_office"}, Consent: true})
	d := opened(t, rules)
	d.must(account.GiveConsent{Party: "credit_office", Purpose: account.TrustPurpose, Scope: txn.AppTransit,
		Until: 20261231})
	return d
}

func granted(widen txn.Minor) account.GrantTrust {
	return account.GrantTrust{Widen: widen, Purpose: account.TrustPurpose, Decision: "D-1", Until: 20260630}
}

func (d *desk) office(f func()) { d.as("credit_office.wang", "credit_office", f) }

// widened is what the cards were told last.
func (d *desk) widened() map[pan.Token]txn.Minor {
	told := map[pan.Token]txn.Minor{}
	for _, e := range d.booked {
		if e.Kind == account.Widen {
			told[e.Carrier] = e.Amount
		}
	}
	return told
}

// A flag reaches every card with a purse, those that come later too, and keeps who, what for,
// by which decision, on which consent and how long.
func TestTrustReachesEveryCard(t *testing.T) {
	d := trusting(t)
	d.office(func() { d.must(granted(2000)) })
	d.settle()
	want := account.Trust{Widen: 2000, Purpose: account.TrustPurpose, Source: "credit_office", Decision: "D-1",
		By: "credit_office.wang", Consent: 1, Since: d.now, Until: 20260630}
	if d.doc.Trust != want {
		t.Errorf("%+v", d.doc.Trust)
	}
	d.must(account.BindCarrier{Who: holder, Carrier: carrierOf(account.QR, second)})
	d.settle()
	told := d.widened()
	for _, card := range []pan.Token{chip, ecard, qr, second} {
		if told[card] != 2000 {
			t.Errorf("card %s was told %d", card, told[card])
		}
	}
	if _, there := told[bankCard]; there {
		t.Error("a bank card has no purse of ours")
	}
}

// What ends a flag: its day, its consent, its source, the account. Each card is told.
func TestTrustEnds(t *testing.T) {
	for name, end := range map[string]func(*desk){
		"day": func(d *desk) {
			d.now = at("2026-06-30 23:59")
			d.do(account.Tick{})
			if d.doc.Trust.Widen == 0 {
				d.t.Error("it ended before the end of its last day")
			}
			d.now = at("2026-07-01 00:00")
			if due, ok := d.doc.NextDue(d.rules); !ok || due != d.now {
				d.t.Errorf("due at %d, want %d", due, d.now)
			}
			d.must(account.Tick{})
		},
		"consent": func(d *desk) { d.must(account.WithdrawConsent{No: 1}) },
		"source": func(d *desk) {
			d.office(func() { d.must(account.WithdrawTrust{Decision: "D-2"}) })
		},
		"account": func(d *desk) {
			d.must(account.CompleteCancellation{Case: d.must(account.RequestCancellation{Who: holder}).Case})
		},
	} {
		d := trusting(t)
		d.office(func() { d.must(granted(2000)) })
		d.settle()
		d.booked = nil
		end(d)
		d.settle()
		if d.doc.Trust != (account.Trust{}) {
			t.Errorf("%s: %+v stands", name, d.doc.Trust)
		}
		if told, there := d.widened()[chip]; name != "account" && (told != 0 || !there) {
			t.Errorf("%s: the card was not told", name)
		}
	}
}

// Another flag never narrows the one in force, and one body does not touch another's.
func TestTrustNeverNarrows(t *testing.T) {
	d := trusting(t)
	d.office(func() {
		d.must(granted(2000))
		d.refused(granted(1999), account.TrustStands)
		shorter := granted(3000)
		shorter.Until = 20260629
		d.refused(shorter, account.TrustStands)
		d.must(granted(3000))
	})
	if d.doc.Trust.Widen != 3000 {
		t.Errorf("%+v", d.doc.Trust)
	}
	d.as("bank.li", "bank", func() { d.refused(account.WithdrawTrust{Decision: "D-3"}, account.NotTheOwner) })
	d.rules.Purposes[len(d.rules.Purposes)-1].Roles = []string{"credit_office", "bank"}
	d.must(account.GiveConsent{Party: "bank", Purpose: account.TrustPurpose, Scope: txn.AppAll})
	d.as("bank.li", "bank", func() { d.refused(granted(4000), account.NotTheOwner) })
}

func TestTrustRefusals(t *testing.T) {
	with := func(change func(*account.GrantTrust)) account.GrantTrust {
		s := granted(2000)
		change(&s)
		return s
	}
	for want, ways := range map[account.Refusal][]account.Step{
		account.AmountInvalid: {granted(0), granted(-1), granted(5001)},
		account.NoDecision:    {with(func(s *account.GrantTrust) { s.Decision = "" })},
		account.InvalidCommand: {with(func(s *account.GrantTrust) { s.Until = 0 }),
			with(func(s *account.GrantTrust) { s.Until = 20260301 }),
			with(func(s *account.GrantTrust) { s.Decision = long })},
		account.PurposeNotAllowed: {with(func(s *account.GrantTrust) { s.Purpose = "research" }),
			with(func(s *account.GrantTrust) { s.Purpose = "" })},
		// The consent ends in December.
		account.ConsentMissing: {with(func(s *account.GrantTrust) { s.Until = 20270101 })},
		account.NoTrust:        {account.WithdrawTrust{Decision: "D-2"}},
	} {
		for _, step := range ways {
			d := trusting(t)
			d.office(func() { d.refused(step, want) })
			if d.doc.Trust.Widen != 0 {
				t.Errorf("%s left %+v", want, d.doc.Trust)
			}
		}
	}
	d := trusting(t)
	d.refused(granted(2000), account.PurposeNotAllowed) // the desk is no such body
	d.office(func() {
		d.must(granted(2000))
		d.refused(account.WithdrawTrust{}, account.NoDecision)
		d.refused(account.WithdrawTrust{Decision: long}, account.InvalidCommand)
	})
	d = trusting(t)
	d.doc.Consents = slices.Clone(d.doc.Consents)
	d.doc.Consents[0].Scope = txn.AppPurse // not for rides
	d.office(func() { d.refused(granted(2000), account.ConsentMissing) })
	d.rules.TrustMax = 0
	d.office(func() { d.refused(granted(2000), account.NotOffered) })
}

// A flag takes the place of the oldest ended cases, also of an account that has as many as it can.
func TestTrustTakesThePlaceOfEndedCases(t *testing.T) {
	d := trusting(t)
	for range account.EndedMax {
		out := d.must(account.OpenComplaint{Who: holder})
		d.must(account.AnswerComplaint{Case: out.Case, Paper: letter, ProofNo: "P"})
	}
	d.office(func() { d.must(granted(2000)) })
	out := d.must(account.OpenComplaint{Who: holder})
	d.must(account.AnswerComplaint{Case: out.Case, Paper: letter, ProofNo: "P"})
	if len(d.doc.Ended) != account.EndedMax-account.EndedTrust || d.doc.EndedCase(out.Case) == nil {
		t.Errorf("%d ended cases are kept", len(d.doc.Ended))
	}
}

// A document that was written before there were trust flags is read as it was.
func TestDocumentsWithoutTrustStayAsTheyWere(t *testing.T) {
	d := trusting(t)
	before := d.doc.Append(nil)
	d.office(func() {
		d.must(granted(2000))
		with := d.doc.Append(nil)
		if back, err := account.Decode(with); err != nil || back.Trust != d.doc.Trust {
			t.Errorf("%v", err)
		}
		d.must(account.WithdrawTrust{Decision: "D-2"})
	})
	if back, err := account.Decode(before); err != nil || back.Trust != (account.Trust{}) {
		t.Errorf("%v", err)
	}
	nothing := append(slices.Clone(before), 0, 0, 0, 0, 0, 0, 0, 0)
	nothing[0]++ // the version with a flag
	if _, err := account.Decode(nothing); err == nil {
		t.Error("a flag of nothing was read")
	}
}
