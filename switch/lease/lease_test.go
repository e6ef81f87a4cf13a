package lease_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	minute txn.Millis = 60_000
	hour              = 60 * minute
	day               = 24 * hour
	noon   txn.Millis = 1_795_219_200_000
)

func terms() *lease.Terms {
	return &lease.Terms{Length: 3 * day, Margin: 5 * minute, RenewedBy: lease.All()}
}

func TestTermsThatMakeNoSense(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*lease.Terms)
		good   bool
	}{
		"good":              {func(*lease.Terms) {}, true},
		"none":              {func(t *lease.Terms) { *t = lease.Terms{} }, true},
		"shortest":          {func(t *lease.Terms) { t.Length, t.Margin = lease.LengthMin, 0 }, true},
		"longest":           {func(t *lease.Terms) { t.Length, t.Margin = lease.LengthMax, lease.MarginMax }, true},
		"too short":         {func(t *lease.Terms) { t.Length = lease.LengthMin - 1 }, false},
		"too long":          {func(t *lease.Terms) { t.Length = lease.LengthMax + 1 }, false},
		"below nothing":     {func(t *lease.Terms) { t.Length = -1 }, false},
		"margin back":       {func(t *lease.Terms) { t.Margin = -1 }, false},
		"margin too long":   {func(t *lease.Terms) { t.Margin = lease.MarginMax + 1 }, false},
		"margin of nothing": {func(t *lease.Terms) { t.Length = 0 }, false},
		"margin all of it":  {func(t *lease.Terms) { t.Length, t.Margin = hour, hour+1 }, false},
		"nothing renews":    {func(t *lease.Terms) { t.RenewedBy = 0 }, false},
	} {
		one := terms()
		c.change(one)
		if err := one.Check(); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestContacts(t *testing.T) {
	for k, want := range map[txn.Kind]lease.Contact{txn.MetroEntry: lease.Tap, txn.MetroExit: lease.Tap,
		txn.BusBoarding: lease.Tap, txn.Purchase: lease.Purchase, txn.Load: lease.Load,
		txn.Verify: lease.Verify, txn.Balance: lease.Balance, txn.Enrol: lease.Issue,
		txn.Freeze: lease.NoContact, txn.Release: lease.NoContact, txn.JourneyLapse: lease.NoContact,
		txn.Amend: lease.NoContact, txn.Refund: lease.NoContact, txn.BankPurchase: lease.NoContact} {
		r := &txn.Request{Kind: k}
		if got := lease.ContactOf(r); got != want {
			t.Errorf("%s: %s, want %s", k, got, want)
		}
		r.Offline = true
		if got := lease.ContactOf(r); got != lease.NoContact {
			t.Errorf("%s off line: %s", k, got)
		}
		r.Offline, r.Code = false, txn.Code{GeneratedAt: 1000}
		if got := lease.ContactOf(r); got != lease.NoContact {
			t.Errorf("%s by a code: %s", k, got)
		}
	}
	few := lease.SetOf(lease.Tap, lease.Balance, lease.NoContact)
	for c := lease.NoContact; c <= lease.Issue+1; c++ {
		if want := c == lease.Tap || c == lease.Balance; few.Has(c) != want {
			t.Errorf("%s in the set: %t", c, !want)
		}
		back, err := lease.ParseContact(c.String())
		if known := c >= lease.Tap && c <= lease.Issue; (err == nil) != known || known && back != c {
			t.Errorf("%s reads back as %s, %v", c, back, err)
		}
	}
}

// What a contact does to the lease.
func TestRenew(t *testing.T) {
	first := lease.Lease{Since: noon, Until: noon + 3*day}
	for name, c := range map[string]struct {
		from       lease.Lease
		now, valid txn.Millis
		want       lease.Lease
	}{
		"the first":       {lease.Lease{}, noon, 0, first},
		"in time":         {first, noon + day, 0, lease.Lease{Since: noon, Until: noon + 4*day}},
		"at its end":      {first, noon + 3*day, 0, lease.Lease{Since: noon, Until: noon + 6*day}},
		"a moment later":  {first, noon + 3*day + 1, 0, lease.Lease{Since: noon + 3*day + 1, Until: noon + 6*day + 1, Gaps: [lease.GapsMax]lease.Gap{{From: noon + 3*day, To: noon + 3*day + 1}}}},
		"a clock back":    {first, noon - hour, 0, first},
		"until it ends":   {first, noon + day, noon + 3*day + hour, lease.Lease{Since: noon, Until: noon + 3*day + hour}},
		"no longer valid": {first, noon + day, noon + day, first},
		"valid for less":  {first, noon + day, noon + 2*day, first},
	} {
		if got := c.from.Renew(terms(), c.now, c.valid, 0); got != c.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, c.want)
		}
	}
	if got := first.Renew(new(lease.Terms), noon+day, 0, 0); got != first {
		t.Errorf("without terms: %+v", got)
	}
	shorter := &lease.Terms{Length: hour, RenewedBy: lease.All()}
	if got := first.Renew(shorter, noon+day, 0, 0); got != first {
		t.Errorf("a shorter lease took back what the card was told: %+v", got)
	}
}

// The gaps are kept as long as records from them may come, and no more than GapsMax.
func TestGapsAreRemembered(t *testing.T) {
	var l lease.Lease
	for i := range txn.Millis(7) {
		l = l.Renew(terms(), noon+i*4*day, 0, noon-day)
	}
	if l.Gaps[0] != (lease.Gap{From: noon + 23*day, To: noon + 24*day}) ||
		l.Gaps[lease.GapsMax-1] != (lease.Gap{From: noon + 11*day, To: noon + 12*day}) {
		t.Fatalf("%+v", l)
	}
	l = l.Renew(terms(), noon+25*day, 0, noon+16*day)
	if l.Gaps[1] != (lease.Gap{From: noon + 19*day, To: noon + 20*day}) || l.Gaps[2] != (lease.Gap{}) {
		t.Fatalf("gaps from before the window stay: %+v", l)
	}
}

// Which services are held against a gate.
func TestEnded(t *testing.T) {
	l := lease.Lease{Since: noon, Until: noon + 3*day,
		Gaps: [lease.GapsMax]lease.Gap{{From: noon - day, To: noon}, {From: noon - 9*day, To: noon - 5*day}}}
	for name, c := range map[string]struct {
		at   txn.Millis
		want bool
	}{
		"in force":               {noon + hour, false},
		"at the end":             {noon + 3*day, false},
		"in the margin":          {noon + 3*day + 5*minute, false},
		"after it":               {noon + 3*day + 5*minute + 1, true},
		"in the last gap":        {noon - hour, true},
		"in the gap's margin":    {noon - day + 5*minute, false},
		"as the gap ends":        {noon, false},
		"in the lease before it": {noon - 2*day, false},
		"in an earlier gap":      {noon - 6*day, true},
		"before all":             {noon - 20*day, false},
	} {
		if got := l.Ended(terms(), c.at); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if l.Ended(new(lease.Terms), noon+99*day) {
		t.Error("a scheme without a lease")
	}
	if (&lease.Lease{}).Ended(terms(), noon) {
		t.Error("a card that never had one: it may be from before the scheme had")
	}
}

// A contact that writes nothing else renews when less than half is left.
func TestMoves(t *testing.T) {
	l := lease.Lease{Since: noon, Until: noon + 3*day}
	for at, want := range map[txn.Millis]bool{noon: false, noon + 36*hour: false, noon + 36*hour + 1: true,
		noon + 9*day: true} {
		if got := l.Moves(terms(), at); got != want {
			t.Errorf("at %d h: %t", (at-noon)/hour, got)
		}
	}
}

// On an ISO 8583 link the same is a text, in whole seconds.
func TestWhatATextTells(t *testing.T) {
	for want, d := range map[string]txn.Decision{
		"":                    {LeaseEnded: true},
		"LEASE20261121000000": {LeaseUntil: 1_795_219_200_250},
		"LEASENONE":           {LeaseUntil: txn.LeaseNone},
	} {
		if got := string(lease.AppendText(nil, &d)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWhatAnAnswerTells(t *testing.T) {
	for want, d := range map[string]txn.Decision{
		"": {},
		`,"lease_until":"2026-11-21T00:00:00.250Z"`: {LeaseUntil: 1_795_219_200_250},
		`,"lease":"none"`: {LeaseUntil: txn.LeaseNone},
		`,"liability":"operator","liability_reason":"lease_ended"`: {LeaseEnded: true},
	} {
		if got := string(lease.AppendAnswer(nil, &d)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
