package card_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Which cards may have a lease, and until when at most.
func TestPurseValid(t *testing.T) {
	const now txn.Millis = 1000
	good := card.State{Status: card.Active, Apps: txn.AppTransit | txn.AppPurse}
	for name, c := range map[string]struct {
		change func(*card.State)
		mark   txn.Mark
		until  txn.Millis
		ok     bool
	}{
		"good":               {ok: true},
		"inactive":           {change: func(s *card.State) { s.Status = card.Inactive }},
		"a guest":            {change: func(s *card.State) { s.Status = card.Guest }},
		"replaced":           {change: func(s *card.State) { s.Life.Successor = pan.Token{1} }},
		"no purse":           {change: func(s *card.State) { s.Apps = txn.AppIdentity | txn.AppBank }},
		"frozen":             {mark: txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}},
		"transit suspended":  {mark: txn.Mark{Reason: txn.Suspended, Scope: txn.AppTransit}},
		"bank frozen":        {mark: txn.Mark{Reason: txn.Risk, Scope: txn.AppBank}, ok: true},
		"expired":            {change: func(s *card.State) { s.ExpiresAt = now }},
		"expires":            {change: func(s *card.State) { s.ExpiresAt = now + 1 }, until: now + 1, ok: true},
		"served past expiry": {change: func(s *card.State) { s.ExpiresAt, s.Life.ServedUntil = 5, now+9 }, until: now + 9, ok: true},
	} {
		s := good
		if c.change != nil {
			c.change(&s)
		}
		if until, ok := s.PurseValid(c.mark, now); until != c.until || ok != c.ok {
			t.Errorf("%s: until %d, %t, want %d, %t", name, until, ok, c.until, c.ok)
		}
	}
}

// A stored lease that cannot be one is refused, and so is one by a reader that knows no leases:
// the part has a bit of its own.
func TestDamagedLeaseIsRefused(t *testing.T) {
	s := card.State{Status: card.Active, Lease: lease.Lease{Since: 1, Until: 2}}
	good := s.Append(nil)
	var back card.State
	if err := back.Decode(good); err != nil || back.Lease != s.Lease {
		t.Fatal(err, back.Lease)
	}
	for name, b := range map[string][]byte{
		"cut":          good[:len(good)-1],
		"longer":       append(good[:len(good):len(good)], 0),
		"empty":        append(good[:len(good)-3:len(good)-3], 0, 0, 0),
		"an empty gap": append(good[:len(good)-1:len(good)-1], 1, 0, 0, 0),
		"five gaps": append(good[:len(good)-1:len(good)-1], 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1, 1, 2, 1,
			0),
	} {
		if err := back.Decode(b); err == nil {
			t.Errorf("%s: read as %+v", name, back.Lease)
		}
	}
}
