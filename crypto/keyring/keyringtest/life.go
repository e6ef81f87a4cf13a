package keyringtest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/mac"
)

// testLife takes a key through its states, and looks at what each refuses.
func testLife(t *testing.T, f *fixture) {
	info, err := f.ring.Import(keyring.ClearKey{Ref: Ref(t, "mac/link"), Algorithm: keyring.TDES2,
		Components: Parts(t, keyring.TDES2, KeyA)}, Two)
	no(t, err)
	ref := info.Ref
	state := func(s keyring.State, makes, verifies error) {
		t.Helper()
		got, err := f.ring.Info(ref)
		no(t, err)
		if got.State != s {
			t.Errorf("state %v, want %v", got.State, s)
		}
		_, err = f.ring.MAC(ref, mac.X919, nil, nil)
		want(t, err, makes)
		_, err = f.ring.VerifyMAC(ref, mac.X919, nil, nil)
		want(t, err, verifies)
	}
	state(keyring.Pending, keyring.ErrNotActive, keyring.ErrNotActive)
	want(t, f.ring.Retire(ref, time.Hour, Two), keyring.ErrState) // nothing to overlap with
	no(t, f.ring.Activate(ref, Two))
	state(keyring.Active, nil, nil)
	want(t, f.ring.Activate(ref, Two), keyring.ErrState)
	want(t, f.ring.Destroy(ref, Two), keyring.ErrState)
	no(t, f.ring.Retire(ref, time.Hour, Two))
	state(keyring.Retiring, keyring.ErrNotActive, nil)
	want(t, f.ring.Destroy(ref, Two), keyring.ErrState)
	want(t, f.ring.Activate(ref, Two), keyring.ErrState)
	f.clock.Add(time.Hour - 1)
	state(keyring.Retiring, keyring.ErrNotActive, nil)
	f.clock.Add(1)
	state(keyring.Retired, keyring.ErrExpired, keyring.ErrExpired)
	want(t, f.ring.Retire(ref, 0, Two), keyring.ErrState)
	no(t, f.ring.Destroy(ref, Two))
	state(keyring.Destroyed, keyring.ErrDestroyed, keyring.ErrDestroyed)
	want(t, f.ring.Activate(ref, Two), keyring.ErrDestroyed)
	if !f.backend.Device {
		want(t, f.ring.Destroy(ref, Two), keyring.ErrDestroyed)
	}
	_, err = f.ring.Import(keyring.ClearKey{Ref: ref, Algorithm: keyring.TDES2,
		Components: Parts(t, keyring.TDES2, KeyA)}, Two)
	want(t, err, keyring.ErrDuplicate) // a number is not used twice
	got, err := f.ring.Info(ref)
	if err != nil || got.KCV == "" || got.Destroyed.IsZero() || got.Activated.IsZero() {
		t.Errorf("what is known about a destroyed key: %+v, %v", got, err)
	}
}

// testRotation turns a key over with an overlap.
func testRotation(t *testing.T, f *fixture) {
	Import(t, f.ring, "mac/link", keyring.TDES2, KeyA)
	active := Ref(t, "mac/link")
	before, err := f.ring.MAC(active, mac.X919, nil, []byte("m"))
	no(t, err)
	want(t, f.ring.Rotate(active, time.Hour, Two), keyring.ErrUnknown) // nothing is pending
	_, err = f.ring.Import(keyring.ClearKey{Ref: active, Algorithm: keyring.TDES2,
		Components: Parts(t, keyring.TDES2, KeyB)}, Two)
	no(t, err)
	want(t, f.ring.Rotate(active, -1, Two), keyring.ErrState)
	want(t, f.ring.Rotate(active, 30*365*24*time.Hour, Two), keyring.ErrState)
	no(t, f.ring.Rotate(active, time.Hour, Two))
	after, err := f.ring.MAC(active, mac.X919, nil, []byte("m"))
	no(t, err)
	if bytes.Equal(before, after) {
		t.Error("version 0 still stands for the old key")
	}
	for _, c := range []struct {
		wait time.Duration
		err  error
	}{{0, nil}, {59 * time.Minute, nil}, {time.Minute, keyring.ErrExpired}} {
		f.clock.Add(c.wait)
		ok, err := f.ring.VerifyMAC(Ref(t, "mac/link/1"), mac.X919, []byte("m"), before)
		if !errors.Is(err, c.err) || ok != (c.err == nil) {
			t.Errorf("the old key after %v more: %v, %v, want %v", c.wait, ok, err, c.err)
		}
	}
	// Without an overlap the old one goes at once; a retiring one's overlap can be changed.
	_, err = f.ring.Generate(keyring.NewKey{Ref: active}, Two)
	no(t, err)
	no(t, f.ring.Rotate(Ref(t, "mac/link/3"), 0, Two))
	_, err = f.ring.VerifyMAC(Ref(t, "mac/link/2"), mac.X919, nil, nil)
	want(t, err, keyring.ErrNotActive)
}

// testReopen closes the store and looks whether everything comes back.
func testReopen(t *testing.T, f *fixture) {
	Import(t, f.ring, "mac/link", keyring.TDES2, KeyA)
	Import(t, f.ring, "pin/zone/7", keyring.TDES2, KeyB)
	_, err := f.ring.Generate(keyring.NewKey{Ref: Ref(t, "data/x")}, Two)
	no(t, err)
	no(t, f.ring.Retire(Ref(t, "pin/zone/7"), time.Hour, Two))
	before, err := f.ring.MAC(Ref(t, "mac/link"), mac.X919, nil, []byte("m"))
	no(t, err)
	list, generation := f.ring.List(), f.ring.Generation()
	f.reopen(t)
	if got := f.ring.Generation(); got != generation {
		t.Errorf("generation %d, was %d", got, generation)
	}
	again := f.ring.List()
	for i := range list {
		list[i].Used, list[i].Failed = 0, 0
	}
	if got, expected := fmt.Sprintf("%+v", again), fmt.Sprintf("%+v", list); got != expected {
		t.Errorf("after opening again\n%s\nwas\n%s", got, expected)
	}
	after, err := f.ring.MAC(Ref(t, "mac/link"), mac.X919, nil, []byte("m"))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("another MAC after opening again, error %v", err)
	}
}

// testNames makes every management call without the names it needs.
func testNames(t *testing.T, f *fixture) {
	Import(t, f.ring, "mac/link", keyring.TDES2, KeyA)
	no(t, f.ring.Retire(Ref(t, "mac/link/1"), 0, Two))
	ref := Ref(t, "mac/link/1")
	calls := map[string]struct {
		two bool
		do  func(keyring.Actor) error
	}{
		"generate": {false, func(a keyring.Actor) error {
			_, err := f.ring.Generate(keyring.NewKey{Ref: Ref(t, "mac/new")}, a)
			return err
		}},
		"import": {true, func(a keyring.Actor) error {
			_, err := f.ring.Import(keyring.ClearKey{Ref: Ref(t, "mac/new"), Algorithm: keyring.TDES2,
				Components: Parts(t, keyring.TDES2, KeyB)}, a)
			return err
		}},
		"import_block": {true, func(a keyring.Actor) error {
			_, err := f.ring.ImportBlock(keyring.KeyBlock{}, a)
			return err
		}},
		"export_block": {true, func(a keyring.Actor) error {
			_, err := f.ring.ExportBlock(ref, ref, a)
			return err
		}},
		"activate":      {false, func(a keyring.Actor) error { return f.ring.Activate(ref, a) }},
		"rotate":        {false, func(a keyring.Actor) error { return f.ring.Rotate(ref, 0, a) }},
		"retire":        {false, func(a keyring.Actor) error { return f.ring.Retire(ref, 0, a) }},
		"destroy":       {true, func(a keyring.Actor) error { return f.ring.Destroy(ref, a) }},
		"change_master": {true, func(a keyring.Actor) error { return f.ring.ChangeMaster(nil, nil, a) }},
	}
	for name, call := range calls {
		for _, c := range []struct {
			actor keyring.Actor
			err   error
			one   bool // may be one person
		}{
			{keyring.Actor{}, keyring.ErrActor, false},
			{keyring.Actor{Second: "li"}, keyring.ErrActor, false},
			{keyring.Actor{Name: "wang\n", Second: "li"}, keyring.ErrActor, false},
			{keyring.Actor{Name: strings.Repeat("w", 65), Second: "li"}, keyring.ErrActor, false},
			{keyring.Actor{Name: "wang"}, keyring.ErrTwoPersons, true},
			{keyring.Actor{Name: "wang", Second: "Wang "}, keyring.ErrTwoPersons, true},
		} {
			if c.one && !call.two {
				continue
			}
			before := f.ring.Generation()
			if err := call.do(c.actor); !errors.Is(err, c.err) {
				t.Errorf("%s by %+v: %v, want %v", name, c.actor, err, c.err)
			}
			last := f.trail.Events()[len(f.trail.Events())-1]
			if last.Action != name || last.Outcome != keyring.OutcomeRefused || last.Reason == "error" {
				t.Errorf("%s by %+v: the trail ends with %+v", name, c.actor, last)
			}
			if f.ring.Generation() != before {
				t.Errorf("%s by %+v changed the store", name, c.actor)
			}
		}
	}
}

func testDuplicates(t *testing.T, f *fixture) {
	Import(t, f.ring, "mac/link/4", keyring.TDES2, KeyA)
	_, err := f.ring.Generate(keyring.NewKey{Ref: Ref(t, "mac/link/4")}, Two)
	want(t, err, keyring.ErrDuplicate)
	info, err := f.ring.Generate(keyring.NewKey{Ref: Ref(t, "mac/link")}, Two)
	if err != nil || info.Ref.Version != 5 {
		t.Errorf("next version %d, error %v, want 5", info.Ref.Version, err)
	}
	for _, ref := range []keyring.Ref{{}, {Purpose: keyring.MessageMAC},
		{Purpose: 99, Scheme: "x"}, {Purpose: keyring.MessageMAC, Scheme: "a b"},
		{Purpose: keyring.MessageMAC, Scheme: strings.Repeat("x", 49)}} {
		_, err := f.ring.Generate(keyring.NewKey{Ref: ref}, Two)
		want(t, err, keyring.ErrRef)
		_, err = f.ring.Info(ref)
		want(t, err, keyring.ErrRef)
	}
	_, err = f.ring.Generate(keyring.NewKey{Ref: Ref(t, "pin/x"), Algorithm: keyring.DES}, Two)
	want(t, err, keyring.ErrAlgorithm)
	_, err = f.ring.Info(Ref(t, "mac/nobody"))
	want(t, err, keyring.ErrUnknown)
}

// testWeak imports what must be refused.
func testWeak(t *testing.T, f *fixture) {
	part := func(value string, a keyring.Algorithm) Part {
		b := Bytes(t, value)
		return Part{b, KCV(t, a, b)}
	}
	two := func(key string) []Part { return Split(t, keyring.TDES2, key) }
	wrong := two(KeyA)
	wrong[1].KCV = "000000"
	short := two(KeyA)
	short[0].KCV = short[0].KCV[:4]
	odd := []Part{part(KeyA, keyring.TDES2), part(KeyA[:31]+"1", keyring.TDES2)}
	for _, c := range []struct {
		name  string
		parts []Part
		kcv   keyring.KCV
		err   error
	}{
		{"one component", two(KeyA)[:1], "", keyring.ErrComponents},
		{"none", nil, "", keyring.ErrComponents},
		{"ten", slices.Repeat(two(KeyA), 5), "", keyring.ErrComponents},
		{"twice the same", []Part{two(KeyA)[0], two(KeyA)[0]}, "", keyring.ErrComponents},
		{"wrong KCV of a component", wrong, "", keyring.ErrKCV},
		{"short KCV", short, "", keyring.ErrKCV},
		{"wrong KCV of the key", two(KeyA), "AABBCC", keyring.ErrKCV},
		{"weak", two("0101010101010101fedcba9876543210"), "", block.ErrWeak},
		{"semi-weak", two("fedcba987654321001fe01fe01fe01fe"), "", block.ErrWeak},
		{"equal halves", two("0123456789abcdef0123456789abcdef"), "", block.ErrHalves},
		{"parity", odd, "", block.ErrParity},
		{"flat component", []Part{part(strings.Repeat("00", 16), keyring.TDES2),
			part(KeyA, keyring.TDES2)}, "", block.ErrWeak},
		{"length", []Part{part(KeyA, keyring.TDES2), {Value: make([]byte, 8)}}, "",
			block.ErrKeyLength},
	} {
		_, err := f.ring.Import(keyring.ClearKey{Ref: Ref(t, "pin/bad"), Algorithm: keyring.TDES2,
			Components: Components(c.parts), KCV: c.kcv}, Two)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		for _, p := range c.parts {
			if !bytes.Equal(p.Value, make([]byte, len(p.Value))) {
				t.Errorf("%s: a component was not zeroed", c.name)
			}
		}
	}
	if list := f.ring.List(); len(list) != 0 {
		t.Errorf("refused keys are there: %v", list)
	}
}

// testUses looks at the counters and at what goes to the trail.
func testUses(t *testing.T, f *fixture) {
	Import(t, f.ring, "mac/link", keyring.TDES2, KeyA)
	ref, start := Ref(t, "mac/link"), len(f.trail.Events())
	sum, err := f.ring.MAC(ref, mac.X919, nil, nil)
	no(t, err)
	for i := range 5 {
		_, err := f.ring.VerifyMAC(ref, mac.X919, []byte{byte(i), 1}, sum)
		no(t, err)
	}
	_, err = f.ring.VerifyMAC(ref, mac.X919, nil, sum)
	no(t, err)
	for range 3 {
		want(t, f.ring.Encrypt(ref, nil, nil, nil), keyring.ErrPurpose)
	}
	got := fmt.Sprint(f.ring.Uses())
	if expected := "[{mac/link/1 mac 1 0} {mac/link/1 verify_mac 1 5} {mac/link/1 encrypt 0 3}]"; got != expected {
		t.Errorf("uses %s, want %s", got, expected)
	}
	if lines := f.trail.Lines()[start:]; !slices.Equal(lines, []string{
		"first_use done mac/link/1 mac", "verify_mac refused mac/link/1 mismatch",
		"encrypt refused mac/link/1 wrong_purpose"}) {
		t.Errorf("the trail got %q", lines)
	}
	f.clock.Add(time.Minute)
	_, err = f.ring.VerifyMAC(ref, mac.X919, nil, nil)
	no(t, err)
	events := f.trail.Events()
	if last := events[len(events)-1]; last.Reason != "mismatch" || last.Count != 6 {
		t.Errorf("after a minute: %+v, want the sixth mismatch", last)
	}
	info, err := f.ring.Info(ref)
	if err != nil || info.Used != 2 || info.Failed != 9 {
		t.Errorf("info has %d used, %d failed, error %v", info.Used, info.Failed, err)
	}
}

func testVerify(t *testing.T, f *fixture) {
	Import(t, f.ring, "mac/link", keyring.TDES2, KeyA)
	Import(t, f.ring, "pin/zone", keyring.AES128, KeyAES)
	no(t, f.ring.Retire(Ref(t, "pin/zone"), 0, Two))
	no(t, f.ring.Destroy(Ref(t, "pin/zone/1"), Two))
	p, err := f.ring.Verify()
	if err != nil || p.Keys != 2 || p.Checked != 1 || len(p.Problems) != 0 ||
		p.Generation != f.ring.Generation() || p.MasterKCV != f.ring.MasterKCV() {
		t.Errorf("report %+v, error %v", p, err)
	}
}

// testParallel uses keys while they are turned over. Run it with the race detector.
func testParallel(t *testing.T, f *fixture) {
	Import(t, f.ring, "mac/link", keyring.TDES2, KeyA)
	ref := Ref(t, "mac/link")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := f.ring.MAC(ref, mac.CUPTDES, nil, []byte("m")); err != nil {
					t.Errorf("while turning over: %v", err)
					return
				}
				_ = f.ring.List()
				_ = f.ring.Uses()
			}
		})
	}
	for range 4 {
		_, err := f.ring.Generate(keyring.NewKey{Ref: ref}, Two)
		no(t, err)
		no(t, f.ring.Rotate(ref, 0, Two))
	}
	close(stop)
	wg.Wait()
	for version := range uint32(4) {
		old := ref
		old.Version = version + 1
		no(t, f.ring.Destroy(old, Two))
	}
}

func testClosed(t *testing.T, f *fixture) {
	Import(t, f.ring, "mac/link", keyring.TDES2, KeyA)
	f.ring.Close()
	f.ring.Close()
	ref := Ref(t, "mac/link")
	_, err := f.ring.MAC(ref, mac.X919, nil, nil)
	want(t, err, keyring.ErrClosed)
	_, err = f.ring.Generate(keyring.NewKey{Ref: ref}, Two)
	want(t, err, keyring.ErrClosed)
	_, err = f.ring.Info(ref)
	want(t, err, keyring.ErrClosed)
	_, err = f.ring.Reload()
	want(t, err, keyring.ErrClosed)
	_, err = f.ring.Verify()
	want(t, err, keyring.ErrClosed)
	_, err = f.ring.ExportBlock(ref, ref, Two)
	want(t, err, keyring.ErrClosed)
	if f.ring.List() != nil || f.ring.Uses() != nil || f.ring.Generation() != 0 ||
		f.ring.MasterKCV() != "" {
		t.Error("a closed ring tells something")
	}
}
