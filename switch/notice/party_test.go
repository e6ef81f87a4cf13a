package notice

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
)

func TestPartyRefused(t *testing.T) {
	r := newRig(t, newMemory(t), func(o *Options) { o.PlainHTTP = false })
	f := func(edit func(*Party)) {
		t.Helper()
		p := webhook("metro", "https://metro.example/notices")
		edit(&p)
		if err := r.svc.Roster().Put(t.Context(), p); !errors.Is(err, ErrParty) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	f(func(p *Party) { p.Name = "" })
	f(func(p *Party) { p.Name = "Metro" })
	f(func(p *Party) { p.Name = "a/b" })
	f(func(p *Party) { p.Name = strings.Repeat("m", NameMax+1) })
	f(func(p *Party) { p.Kind = "friend" })
	f(func(p *Party) { p.Title = "two\nlines" })
	f(func(p *Party) { p.Clause = strings.Repeat("c", ClauseMax+1) })
	f(func(p *Party) { p.Answer = "" })
	f(func(p *Party) { p.Scopes = nil })
	f(func(p *Party) { p.Scopes = []string{"everything"} })
	f(func(p *Party) { p.ActiveFrom, p.ActiveTo = 2, 2 })
	f(func(p *Party) { p.Channel = "pigeon" })
	f(func(p *Party) { p.Channel = "none" })
	f(func(p *Party) { p.URL = "" })
	f(func(p *Party) { p.URL = "http://metro.example/" })
	f(func(p *Party) { p.URL = "https://user:secret@metro.example/" })
	f(func(p *Party) { p.URL = "https:///path" })
	f(func(p *Party) { p.URL = "https://metro.example/" + strings.Repeat("x", AddressMax) })
	f(func(p *Party) { p.Topic = "notices" })
	f(func(p *Party) { p.Channel, p.URL, p.Topic = "kafka", "", "notices" }) // proves no receipt
	f(func(p *Party) { p.Channel, p.URL, p.Contact = "manual", "", "desk" })
	if err := r.svc.Roster().Put(t.Context(), webhook("metro", "https://metro.example/n")); err != nil {
		t.Error(err)
	}
}

// No list, no value of the registry and no error shows a secret.
func TestSecretsStaySecret(t *testing.T) {
	s := newMemory(t)
	r := newRig(t, s, nil)
	roster := r.svc.Roster()
	r.party(bank("icbc"))
	if err := roster.SetKey(t.Context(), "icbc", "k1", secret); err != nil {
		t.Fatal(err)
	}
	all, err := roster.List(t.Context())
	if err != nil || len(all) != 1 || !reflect.DeepEqual(all[0].Keys, []string{"k1"}) {
		t.Fatalf("%+v, %v", all, err)
	}
	shown, _ := json.Marshal(all)
	value, _, _ := s.Get(t.Context(), partyPrefix+"icbc")
	shown = append(fmt.Append(shown, all, all[0], fmt.Sprintf("%#v", all)), value...)
	if bytes.Contains(shown, secret) || bytes.Contains(shown, []byte("MDEyMzQ1Njc4")) {
		t.Error("a secret is shown")
	}
	// A wrapped key is bound to its party: it cannot be moved to another.
	moved := bytes.ReplaceAll(value, []byte(`"icbc"`), []byte(`"evil"`))
	if err := s.Put(t.Context(), partyPrefix+"evil", moved, 0); err != nil {
		t.Fatal(err)
	}
	roster.forget()
	if _, err := roster.List(t.Context()); !errors.Is(err, store.ErrDamaged) {
		t.Errorf("a moved key: %v", err)
	}
}

func TestKeysOfAParty(t *testing.T) {
	r := newRig(t, newMemory(t), nil)
	roster := r.svc.Roster()
	r.party(bank("icbc"))
	set := func(id string, want error) {
		t.Helper()
		if err := roster.SetKey(t.Context(), "icbc", id, secret); !errors.Is(err, want) {
			t.Errorf("key %q: %v, want %v", id, err, want)
		}
	}
	set("k1", nil)
	set("k1", ErrKey)
	set("", ErrKey)
	set("a,b", ErrKey)
	set("k2", nil)
	set("k3", nil) // ends k1
	if err := roster.SetKey(t.Context(), "icbc", "k4", secret[:SecretMin-1]); !errors.Is(err, ErrKey) {
		t.Errorf("a short secret: %v", err)
	}
	if err := roster.SetKey(t.Context(), "nobody", "k1", secret); !errors.Is(err, ErrNoParty) {
		t.Errorf("nobody's key: %v", err)
	}
	if err := roster.DropKey(t.Context(), "icbc", "k1"); !errors.Is(err, ErrKey) {
		t.Errorf("dropped what had ended: %v", err)
	}
	r.party(bank("icbc")) // a change of the party leaves its keys
	p, err := roster.Get(t.Context(), "icbc")
	if err != nil || !reflect.DeepEqual(p.Keys, []string{"k3", "k2"}) {
		t.Errorf("keys %v, %v", p.Keys, err)
	}
	if _, err := roster.Get(t.Context(), "nobody"); !errors.Is(err, ErrNoParty) {
		t.Errorf("%v", err)
	}
}

func TestRosterFull(t *testing.T) {
	s := newMemory(t)
	r := newRig(t, s, nil)
	for i := range RosterMax {
		if err := s.Put(t.Context(), fmt.Sprintf("%sp%04d", partyPrefix, i), []byte("{}"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.svc.Roster().Put(t.Context(), bank("icbc")); !errors.Is(err, ErrRosterFull) {
		t.Errorf("%v", err)
	}
}

// A party that another process changed is known here within rosterAgeMax, and while the
// registry does not answer the last list holds.
func TestRosterAges(t *testing.T) {
	s := newMemory(t)
	r := newRig(t, s, nil)
	r.party(bank("icbc"))
	if _, err := r.svc.Roster().List(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := newRig(t, s, nil)
	other.party(bank("abc"))
	count := func() int {
		all, err := r.svc.Roster().List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if n := count(); n != 1 {
		t.Fatalf("%d parties at once", n)
	}
	r.clock.Add(rosterAgeMax.Milliseconds())
	if n := count(); n != 2 {
		t.Errorf("%d parties after %s", n, rosterAgeMax)
	}
	s.SetFault(func(storetest.Op) storetest.Fault { return storetest.NotApplied })
	r.clock.Add(rosterAgeMax.Milliseconds())
	if n := count(); n != 2 {
		t.Errorf("%d parties while the registry does not answer", n)
	}
}

func TestOptionsRefused(t *testing.T) {
	s := newMemory(t)
	f := func(edit func(*Options)) {
		t.Helper()
		o := Options{Cards: s, Registry: s, Key: testKey}
		edit(&o)
		if _, err := New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	f(func(o *Options) { o.Cards = nil })
	f(func(o *Options) { o.Registry = nil })
	f(func(o *Options) { o.Key = testKey[:KeyMin-1] })
	f(func(o *Options) { o.PerParty = PerPartyMax + 1 })
	f(func(o *Options) { o.Timeout = timeoutMax + 1 })
	f(func(o *Options) { o.SweepEvery = -1 })
}
