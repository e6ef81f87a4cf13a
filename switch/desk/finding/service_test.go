package finding

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// days are the records of a test, on one day.
type days []txn.Record

func (d days) Between(_ context.Context, _, _ txn.BusinessDate, yield func(*txn.Record) error) error {
	for i := range d {
		if err := yield(&d[i]); err != nil {
			return err
		}
	}
	return nil
}

type rig struct {
	t        *testing.T
	registry store.Registry
	s        *Service
	holder   Holder
	key      ed25519.PrivateKey
}

func newRig(t *testing.T) *rig {
	t.Helper()
	memory := storetest.NewMemory(storetest.MemoryOptions{Now: func() txn.Millis { return nine }})
	r := &rig{t: t, registry: memory, key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))}
	signer, err := receipt.NewEd25519Signer("evidence-1", r.key)
	if err != nil {
		t.Fatal(err)
	}
	r.s, err = New(Options{Registry: memory, City: "shiyan", Now: func() txn.Millis { return nine + 600*minute },
		Signer: signer, Rules: rules(t),
		About: func(context.Context, pan.Token) (Holder, error) { return r.holder, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) scan(records ...txn.Record) (found, made int) {
	r.t.Helper()
	found, made, err := r.s.Scan(r.t.Context(), days(records), 20260302, 20260302)
	if err != nil {
		r.t.Fatal(err)
	}
	return found, made
}

func (r *rig) verified(want uint64) {
	r.t.Helper()
	if n, err := r.s.Verify(r.t.Context()); err != nil || n != want {
		r.t.Fatalf("%d pieces of evidence, %v, want %d", n, err, want)
	}
}

func (r *rig) decide(n uint64, a Act) Refusal {
	r.t.Helper()
	refusal, err := r.s.Decide(r.t.Context(), n, a)
	if err != nil {
		r.t.Fatal(err)
	}
	return refusal
}

var filing = Act{State: Filed, By: "wang", Body: "public_security", Decision: "2026-17", Why: "lent for gain"}

// HD12, ZS13, SY12: a card is for personal use. Pass-back, impossible travel and concession
// misuse are found and sealed; nothing is done to the card by it.
func TestDuty_HD12_PersonalUseIsFoundAndBarsNobody(t *testing.T) {
	r := newRig(t)
	r.holder = Holder{RiderUntil: nine + 20*minute}
	before, err := r.registry.Keys(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	records := []txn.Record{use(1, txn.MetroEntry, 0, at("east"), senior),
		use(2, txn.MetroEntry, 1, at("west"), declined(txn.PassBack)), use(3, txn.BusBoarding, 40, senior)}
	if found, made := r.scan(records...); found != 3 || made != 3 {
		t.Fatalf("found %d, made %d", found, made)
	}
	if found, made := r.scan(records...); found != 3 || made != 0 {
		t.Fatalf("the same days again: found %d, made %d", found, made)
	}
	r.verified(3)
	all, err := r.s.List(t.Context(), 0, 10)
	if err != nil || len(all) != 3 {
		t.Fatalf("%d listed, %v", len(all), err)
	}
	for _, l := range all {
		if l.State.State != Open {
			t.Errorf("evidence %d is %s without a person", l.Evidence.Number, l.State.State)
		}
	}
	after, err := r.registry.Keys(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range after[len(before):] {
		if !strings.HasPrefix(key, "finding/") {
			t.Errorf("a finding wrote %s", key)
		}
	}
}

// SY13, ZZ14, HD31, ZS23, WZ21, SY12, SY17: evidence is sealed; a person files it against
// the holder; what a thief did with a lost card is never the holder's.
func TestDuty_SY13_EvidenceIsSealedAndFiledByAPerson(t *testing.T) {
	r := newRig(t)
	r.holder = Holder{Losses: []Span{{From: nine + 30*minute, To: nine + 90*minute}}}
	wrong := func(r *txn.Record) { r.TAC = txn.TACWrong }
	found, made := r.scan(use(1, txn.Purchase, 10, offline(1), wrong), // the holder's time
		use(2, txn.BusBoarding, 31, declined(txn.CardFrozen)),                      // a thief's
		use(3, txn.Purchase, 95, offline(9)), use(4, txn.Purchase, 99, offline(9))) // after the release
	if found != 3 || made != 3 {
		t.Fatalf("found %d, made %d", found, made)
	}
	all, err := r.s.List(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range all {
		n := l.Evidence.Number
		want := Refusal("")
		if l.Evidence.Kind == FrozenUsed {
			want = NotTheHolder
		}
		if got := r.decide(n, filing); got != want || l.Evidence.Lost != (want != "") {
			t.Errorf("%s: %q, want %q", l.Evidence.Kind, got, want)
		}
		_, stepRefusal := l.Evidence.Step(account.Lent)
		if l.Evidence.Lost && stepRefusal != NotTheHolder {
			t.Errorf("a finding of liability against the holder for a thief's use: %q", stepRefusal)
		}
		sealed, _, err := r.s.Get(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		public := r.key.Public().(ed25519.PublicKey)
		if err := sealed.Check(func(m, s []byte) bool { return ed25519.Verify(public, m, s) }); err != nil {
			t.Error(err)
		}
		if bytes.Contains(sealed.Body, []byte("31048")) {
			t.Error("evidence holds a card number")
		}
	}
}

// A person's decisions in their order, and what is incomplete.
func TestDecisions(t *testing.T) {
	r := newRig(t)
	r.scan(use(1, txn.Purchase, 1, offline(1), func(r *txn.Record) { r.TAC = txn.TACWrong }))
	without := func(change func(*Act)) Act { a := filing; change(&a); return a }
	for i, c := range []struct {
		act  Act
		want Refusal
	}{
		{without(func(a *Act) { a.By = "" }), Incomplete},
		{without(func(a *Act) { a.Why = "" }), Incomplete},
		{without(func(a *Act) { a.Body = "" }), Incomplete},
		{without(func(a *Act) { a.Decision = "" }), Incomplete},
		{without(func(a *Act) { a.Why = strings.Repeat("x", 600) }), Incomplete},
		{without(func(a *Act) { a.State = "gone" }), NotNow},
		{without(func(a *Act) { a.State = Withdrawn }), NotNow},
		{filing, ""},
		{filing, NotNow},
		{without(func(a *Act) { a.State = Dismissed }), NotNow},
		{without(func(a *Act) { a.State = Withdrawn }), ""},
		{without(func(a *Act) { a.State = Dismissed }), ""},
	} {
		if got := r.decide(1, c.act); got != c.want {
			t.Errorf("%d: %q, want %q", i, got, c.want)
		}
	}
	for range ActsMax {
		r.decide(1, without(func(a *Act) { a.State = Dismissed }))
	}
	if got := r.decide(1, filing); got != TooManyActs {
		t.Errorf("%q", got)
	}
	c, err := r.s.State(t.Context(), 1)
	if err != nil || len(c.Steps) != ActsMax || c.Steps[0].By != "wang" || c.Steps[0].At == 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := r.s.Decide(t.Context(), 9, filing); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown evidence: %v", err)
	}
	for _, refusal := range []Refusal{NotTheHolder, Incomplete, NotNow, TooManyActs} {
		if en, zh := refusal.Text(); en == "" || zh == "" {
			t.Errorf("%s has no text", refusal)
		}
	}
}

// What was sealed cannot be changed, moved or taken out unseen.
func TestTamperingIsSeen(t *testing.T) {
	for name, tamper := range map[string]func(*Sealed) *Sealed{
		"changed": func(s *Sealed) *Sealed {
			s.Body = bytes.Replace(s.Body, []byte("GATE02"), []byte("GATE09"), 1)
			return s
		},
		"changed with its hash": func(s *Sealed) *Sealed {
			s.Body = bytes.Replace(s.Body, []byte("GATE02"), []byte("GATE09"), 1)
			s.Hash = hashOf(s.Body)
			return s
		},
		"spaces": func(s *Sealed) *Sealed {
			s.Body = append(s.Body, ' ')
			s.Hash = hashOf(s.Body)
			return s
		},
		"renumbered": func(s *Sealed) *Sealed {
			s.Body = bytes.Replace(s.Body, []byte(`"number":2`), []byte(`"number":1`), 1)
			s.Hash = hashOf(s.Body)
			return s
		},
		"taken out": func(*Sealed) *Sealed { return nil },
	} {
		r := newRig(t)
		for n := range 3 {
			r.scan(use(n+1, txn.BusBoarding, txn.Millis(n), declined(txn.CardFrozen)))
		}
		r.verified(3)
		value, version, err := r.registry.Get(t.Context(), chainKey(2))
		if err != nil {
			t.Fatal(err)
		}
		var s Sealed
		if err := json.Unmarshal(value, &s); err != nil {
			t.Fatal(err)
		}
		value = nil
		if changed := tamper(&s); changed != nil {
			if value, err = json.Marshal(changed); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.registry.Put(t.Context(), chainKey(2), value, version); err != nil {
			t.Fatal(err)
		}
		if n, err := r.s.Verify(t.Context()); !errors.Is(err, ErrEvidence) || n > 2 {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

// A chain that was cut short is seen by its head.
func TestHeadIsVerified(t *testing.T) {
	r := newRig(t)
	r.scan(use(1, txn.BusBoarding, 1, declined(txn.CardFrozen)))
	r.scan(use(2, txn.BusBoarding, 2, declined(txn.CardFrozen)))
	h, version, err := r.s.head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.Number--
	if err := r.s.put(t.Context(), headKey, h, version); err != nil {
		t.Fatal(err)
	}
	if _, err := r.s.Verify(t.Context()); !errors.Is(err, ErrEvidence) {
		t.Errorf("%v", err)
	}
}

// crashing fails one write, before or after it was done.
type crashing struct {
	store.Registry
	left  int
	after bool
}

var errCrash = errors.New("the process died")

func (c *crashing) Put(ctx context.Context, key string, value []byte, version uint64) error {
	if c.left--; c.left != 0 {
		return c.Registry.Put(ctx, key, value, version)
	}
	if c.after {
		if err := c.Registry.Put(ctx, key, value, version); err != nil {
			return err
		}
	}
	return errCrash
}

// A death at any write leaves a chain that the next writer goes on with, each finding once.
func TestDeathAtEveryWrite(t *testing.T) {
	for _, after := range []bool{false, true} {
		for step := 1; step <= 3; step++ {
			r := newRig(t)
			real := r.registry
			r.scan(use(1, txn.BusBoarding, 1, declined(txn.CardFrozen)))
			r.s.o.Registry = &crashing{real, step, after}
			two := []txn.Record{use(2, txn.BusBoarding, 2, declined(txn.CardFrozen))}
			if _, _, err := r.s.Scan(t.Context(), days(two), 0, 0); !errors.Is(err, errCrash) {
				t.Fatalf("step %d: %v", step, err)
			}
			r.s.o.Registry = real
			r.scan(use(3, txn.BusBoarding, 3, declined(txn.CardFrozen)))
			r.scan(two...)
			r.verified(3)
		}
	}
}

// Many writers make one chain.
func TestWritersShareAChain(t *testing.T) {
	r := newRig(t)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for n := range 5 {
				rec := use(1+w*5+n, txn.BusBoarding, txn.Millis(n), declined(txn.CardFrozen))
				if _, _, err := r.s.Scan(t.Context(), days{rec}, 0, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	r.verified(20)
}

// A scan that would not fit says so and seals nothing.
func TestScanFull(t *testing.T) {
	r := newRig(t)
	r.s.o.ScanMax = 2
	records := days{use(1, txn.BusBoarding, 1, declined(txn.CardFrozen)), use(2, txn.BusBoarding, 2),
		use(3, txn.BusBoarding, 3)}
	if _, _, err := r.s.Scan(t.Context(), records, 0, 0); err == nil {
		t.Error("three records in two places")
	}
	r.verified(0)
	r.scan(records[:2]...)
	r.verified(1)
}

// Travel times are registered, and judged by from the next scan on.
func TestRegisteredTravelTimes(t *testing.T) {
	r := newRig(t)
	r.s.o.Rules.Travel = nil
	records := []txn.Record{use(1, txn.MetroEntry, 0, at("north")), use(2, txn.MetroEntry, 3, at("south"))}
	if found, _ := r.scan(records...); found != 0 {
		t.Fatal("found by no table")
	}
	table := TravelTable{SlackSeconds: 30, Legs: []Leg{{"north", "south", 10}}}
	for range 2 {
		if err := r.s.PutTravel(t.Context(), table); err != nil {
			t.Fatal(err)
		}
	}
	if found, made := r.scan(records...); found != 1 || made != 1 {
		t.Errorf("found %d, made %d", found, made)
	}
	for _, bad := range []TravelTable{{Legs: []Leg{{"a", "a", 1}}}, {Legs: make([]Leg, RegisteredLegsMax+1)}} {
		if err := r.s.PutTravel(t.Context(), bad); !errors.Is(err, ErrTravel) {
			t.Errorf("%d legs: %v", len(bad.Legs), err)
		}
	}
}

func TestOptionsAndNumbers(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a service of nothing")
	}
	for _, text := range []string{"", "0", "-1", "x", "99999999999999999999"} {
		if _, err := ParseNumber(text); err == nil {
			t.Errorf("%q is a number", text)
		}
	}
	if n, err := ParseNumber("17"); n != 17 || err != nil {
		t.Error(n, err)
	}
}
