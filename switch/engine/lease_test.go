package engine_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/liability"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// leased is a card with 100.00 in a scheme with a lease of three days.
func leased(t tb) *wallet {
	t.Helper()
	w := newWallet(t)
	w.policy.Lease = lease.Terms{Length: 3 * day, Margin: 5 * minute, RenewedBy: lease.All()}
	w.must(w.request(txn.Enrol, func(r *txn.Request) {
		r.Enrolment = txn.Enrolment{Apps: txn.AppTransit | txn.AppPurse | txn.AppIdentity}
	}))
	w.must(w.load(10_000))
	return w
}

func (w *wallet) balance() *txn.Request { return w.request(txn.Balance) }

func (w *wallet) verify(app txn.App) *txn.Request {
	return w.request(txn.Verify, func(r *txn.Request) { r.App = app })
}

// offlineTap is a record of a bus ride at an instant.
func (w *wallet) offlineTap(counter uint32, at txn.Millis) *txn.Request {
	return w.request(txn.BusBoarding, place(bus), fareGiven(200, 200), offline(counter), serviceAt(at))
}

// wantLease wants the lease that a decision tells and that the card keeps; told 0 is none.
func (w *wallet) wantLease(d txn.Decision, told, kept txn.Millis) {
	w.t.Helper()
	if c := w.card(); d.LeaseUntil != told || c.Lease.Until != kept {
		w.t.Fatalf("told %d, kept %d, want %d and %d", d.LeaseUntil, c.Lease.Until, told, kept)
	}
}

func TestContactsRenewTheLease(t *testing.T) {
	for name, ask := range map[string]func(*wallet) *txn.Request{
		"tap":      func(w *wallet) *txn.Request { return w.board("M1") },
		"entry":    func(w *wallet) *txn.Request { return w.entry("Futian") },
		"purchase": func(w *wallet) *txn.Request { return w.purchase(100) },
		"load":     func(w *wallet) *txn.Request { return w.load(100) },
		"verify":   func(w *wallet) *txn.Request { return w.verify(txn.AppIdentity) },
	} {
		w := leased(t)
		w.now += hour
		r := ask(w)
		d := w.must(r)
		w.wantLease(d, w.now+3*day, w.now+3*day)
		first := w.now
		w.now += minute
		again := w.do(r)
		w.wantLease(again, first+3*day, first+3*day) // a copy is no contact
		if !again.Replay {
			t.Errorf("%s: the copy was decided again", name)
		}
	}
}

// A balance writes only when less than half of the lease is left.
func TestBalanceRenewsWhenItMust(t *testing.T) {
	w := leased(t)
	began, version := w.now, w.version
	w.now += 36 * hour
	w.wantLease(w.must(w.balance()), began+3*day, began+3*day)
	if w.version != version {
		t.Fatal("a balance wrote the card although half of the lease was left")
	}
	w.now += minute
	w.wantLease(w.must(w.balance()), w.now+3*day, w.now+3*day)
	if w.version != version+1 || w.result.Settle {
		t.Fatalf("version %d, want %d and no record", w.version, version+1)
	}
}

func TestWhatRenewsNothing(t *testing.T) {
	t.Run("an off-line record", func(t *testing.T) {
		w := leased(t)
		began := w.now
		w.now += hour
		w.wantLease(w.must(w.offlineTap(1, w.now)), 0, began+3*day)
	})
	t.Run("a declined request", func(t *testing.T) {
		w := leased(t)
		began := w.now
		w.now += hour
		w.wantLease(w.refused(w.purchase(50_000), txn.InsufficientFunds), 0, began+3*day)
	})
	t.Run("what the scheme does not count", func(t *testing.T) {
		w := leased(t)
		began := w.now
		w.policy.Lease.RenewedBy = lease.SetOf(lease.Load)
		w.now += hour
		w.wantLease(w.must(w.board("M1")), began+3*day, began+3*day)
		w.now += 3 * day
		w.wantLease(w.must(w.board("M1")), txn.LeaseNone, began+3*day)
		w.wantLease(w.must(w.load(1)), w.now+3*day, w.now+3*day)
	})
	t.Run("a scheme without", func(t *testing.T) {
		w := leased(t)
		began := w.now
		w.policy.Lease = lease.Terms{}
		w.now += hour
		w.wantLease(w.must(w.board("M1")), 0, began+3*day)
		w.now += 9 * day
		if d := w.must(w.offlineTap(1, w.now)); d.LeaseEnded {
			t.Error("judged by a lease that the scheme has no more")
		}
	})
}

// A frozen, replaced or expiring card gets no lease, whatever else it is still approved for.
func TestNoLeaseForWhatIsFrozen(t *testing.T) {
	w := leased(t)
	began := w.now
	ride := w.board("M1")
	w.must(ride)
	w.must(w.freeze(txn.Suspended, txn.AppTransit))
	w.now += 2 * day
	w.wantLease(w.must(w.balance()), txn.LeaseNone, began+3*day)
	w.wantLease(w.must(w.verify(txn.AppIdentity)), txn.LeaseNone, began+3*day)
	w.wantLease(w.do(ride), txn.LeaseNone, began+3*day) // the copy of an approval
	w.must(w.freeze(txn.Lost, txn.AppAll))
	w.wantLease(w.refused(w.balance(), txn.CardFrozen), 0, began+3*day)
	w.must(w.request(txn.Release))
	w.wantLease(w.must(w.balance()), w.now+3*day, w.now+3*day)

	new := newWallet(t)
	new.policy.Lease = w.policy.Lease
	new.mark = txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}
	d := new.must(new.request(txn.Enrol, func(r *txn.Request) {
		r.Enrolment = txn.Enrolment{Apps: txn.AppAll, Account: pan.Token{1}}
	}))
	new.wantLease(d, txn.LeaseNone, 0)
}

// No lease outlasts the card.
func TestLeaseEndsWithTheCard(t *testing.T) {
	w := newWallet(t)
	w.policy.Lease = lease.Terms{Length: 3 * day, RenewedBy: lease.All()}
	w.must(w.request(txn.Enrol, func(r *txn.Request) {
		r.Enrolment = txn.Enrolment{Apps: txn.AppAll, ExpiresOn: 20261122}
	}))
	end := w.card().ExpiresAt
	w.wantLease(w.must(w.balance()), end, end)
	version := w.version
	w.now = end - minute
	w.wantLease(w.must(w.balance()), end, end)
	if w.version != version {
		t.Error("a lease that cannot move was written")
	}
}

// What a gate served after the end is booked, to the operator; in the lease a frozen card's
// record is open as before. The instant is that of the service, and a renewal in between does
// not heal what was served in the gap.
func TestOfflineRecordsAfterTheLease(t *testing.T) {
	w := leased(t)
	end := w.now + 3*day
	check := func(r *txn.Request, who txn.Liability, reason txn.Reason) {
		t.Helper()
		d := w.must(r)
		if rec := w.last(); rec.Liability != who || rec.Reason != reason || rec.Charged != 200 ||
			rec.Outcome != txn.Approved || d.LeaseEnded != (reason == txn.LeaseEnded) || d.Reason != txn.ReasonNone {
			t.Fatalf("borne by %s for %s: %+v", rec.Liability, rec.Reason, d)
		}
		again := w.do(r)
		if !again.Replay || again.LeaseEnded != d.LeaseEnded {
			t.Fatalf("the copy: %+v", again)
		}
	}
	w.now += 5 * day
	check(w.offlineTap(1, end-hour), txn.LiabilityNone, txn.ReasonNone)
	check(w.offlineTap(2, end+5*minute), txn.LiabilityNone, txn.ReasonNone)
	check(w.offlineTap(3, end+5*minute+1), txn.LiabilityOperator, txn.LeaseEnded)
	w.must(w.freeze(txn.Lost, txn.AppAll))
	check(w.offlineTap(4, end-minute), txn.LiabilityOpen, txn.ReasonNone)
	check(w.offlineTap(5, end+day), txn.LiabilityOperator, txn.LeaseEnded)
	w.must(w.request(txn.Release))
	w.must(w.balance())
	check(w.offlineTap(6, w.now), txn.LiabilityNone, txn.ReasonNone)
	check(w.offlineTap(7, end+day), txn.LiabilityOperator, txn.LeaseEnded) // in the gap
	check(w.offlineTap(8, end-day), txn.LiabilityNone, txn.ReasonNone)
}

// history is one card with what a bystander knows of it.
type history struct {
	*wallet
	t      *rapid.T
	told   txn.Millis      // the last end that an answer told
	spans  [][2]txn.Millis // leases as a bystander adds them up, apart from each other
	frozen txn.Millis      // since when, 0 for not
}

// TestLeaseInRandomHistories drives taps, loads, balances, freezes, releases and off-line records
// at random. Nothing is approved on line for a frozen card, no lease moves back or is renewed for
// a frozen card, and no service of a frozen card after its lease is borne by holder or agency,
// whichever boundary the scheme has and however the parties' clocks stand.
func TestLeaseInRandomHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{wallet: leased(t), t: t}
		h.policy.Lease.Length = rapid.SampledFrom([]txn.Millis{hour, day, 3 * day}).Draw(t, "length")
		end := h.card().Lease.Until // of the enrolment, under the terms of then
		h.told, h.spans = end, [][2]txn.Millis{{morning, end}}
		for n := range rapid.IntRange(1, 60).Draw(t, "steps") {
			h.now += rapid.SampledFrom([]txn.Millis{0, second, 20 * minute, hour, 13 * hour, day, 4 * day}).
				Draw(t, "pass")
			h.step(uint32(n) + 1)
		}
	})
}

func (h *history) step(n uint32) {
	before := h.card().Lease
	switch rapid.IntRange(0, 8).Draw(h.t, "what") {
	case 0:
		scope := rapid.SampledFrom([]txn.App{txn.AppAll, txn.AppTransit}).Draw(h.t, "scope")
		if h.do(h.freeze(txn.Lost, scope)).Outcome == txn.Approved {
			h.frozen = h.now
		}
	case 1:
		if h.do(h.request(txn.Release)).Outcome == txn.Approved {
			h.frozen = 0
		}
	case 2, 3, 4:
		h.late(n)
	default:
		h.contact()
	}
	after := h.card().Lease
	if after.Until < before.Until || h.mark != (txn.Mark{}) && after != before {
		h.t.Fatalf("the lease went from %+v to %+v, mark %+v", before, after, h.mark)
	}
}

// contact asks on line.
func (h *history) contact() {
	frozen := h.mark != (txn.Mark{})
	ask := rapid.SampledFrom([]func() *txn.Request{
		func() *txn.Request { return h.board("M1") }, func() *txn.Request { return h.load(500) },
		h.balance, func() *txn.Request { return h.verify(txn.AppPurse) },
		func() *txn.Request { return h.purchase(100) }}).Draw(h.t, "ask")
	d := h.do(ask())
	switch {
	case d.LeaseUntil > 0 && frozen, h.mark.Scope == txn.AppAll && d.Outcome == txn.Approved:
		h.t.Fatalf("a frozen card was approved, or told a lease: %+v", d)
	case frozen || d.Outcome != txn.Approved:
		return
	case d.LeaseUntil < h.told || d.LeaseUntil <= h.now:
		h.t.Fatalf("told %d after %d, at %d", d.LeaseUntil, h.told, h.now)
	}
	h.told = d.LeaseUntil
	if last := &h.spans[len(h.spans)-1]; h.now <= last[1] {
		last[1] = d.LeaseUntil
	} else {
		h.spans = append(h.spans, [2]txn.Millis{h.now, d.LeaseUntil})
	}
}

// late uploads a record of some hours or days ago and judges it under every boundary.
func (h *history) late(n uint32) {
	served := h.now - rapid.SampledFrom([]txn.Millis{0, minute, 3 * hour, day, 5 * day}).Draw(h.t, "ago")
	if d := h.do(h.offlineTap(n, served)); d.Outcome != txn.Approved {
		return // too old or a copy: nothing is booked
	}
	rec := h.last()
	known, good := h.inLease(served)
	if ended := rec.Reason == txn.LeaseEnded; known && ended == good {
		h.t.Fatalf("served at %d, ended %t, leases %v", served, ended, h.spans)
	}
	for _, boundary := range []account.Boundary{account.ReportAccepted, account.ReportEffective,
		account.FreezeActual, account.FreezeDue} {
		v := h.judge(&rec, boundary)
		over := h.frozen != 0 && served > h.told+h.policy.Lease.Margin
		if over && (v.Bears == txn.LiabilityHolder || v.Bears == txn.LiabilityAgency) {
			h.t.Fatalf("%s: served at %d, %d after the lease, borne by %s: %s", boundary, served,
				served-h.told, v.Bears, v.Why)
		}
	}
}

// inLease tells what the bystander says of an instant: in the margin after a lease, and before
// the gaps that a lease remembers, nothing.
func (h *history) inLease(at txn.Millis) (known, good bool) {
	oldest := max(0, len(h.spans)-lease.GapsMax)
	if at < h.spans[oldest][0] {
		return false, false
	}
	for _, s := range h.spans[oldest:] {
		switch {
		case at >= s[0] && at <= s[1]:
			return true, true
		case at > s[1] && at <= s[1]+h.policy.Lease.Margin:
			return false, false
		}
	}
	return true, false
}

// judge judges a record for a loss that was reported when the card was frozen, by a party whose
// clock stands anyhow.
func (h *history) judge(rec *txn.Record, boundary account.Boundary) liability.Verdict {
	r := &liability.Rules{Boundary: boundary, Before: liability.Holder, After: liability.LateParty,
		Otherwise: liability.Agency, Window: 2 * hour}
	f := &liability.Freeze{Accepted: h.frozen, Effective: h.frozen, Frozen: h.frozen}
	p := &liability.Party{Name: "transit", Kind: txn.LiabilityOperator}
	if rapid.Bool().Draw(h.t, "told") {
		p.Sent, p.Contract = h.frozen, "clause 7"
	}
	return liability.JudgeUse(r, f, p, liability.UseOf(rec))
}
