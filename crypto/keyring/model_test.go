package keyring

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/mac"
)

// model is what a ring should do with the versions of one key, written down again as simply
// as it can be.
type model struct {
	now  time.Time
	keys []*modelKey
	tick int
}

type modelKey struct {
	state     State
	until     time.Time
	activated int
}

func (m *model) state(k *modelKey) State {
	if k.state == Retiring && !m.now.Before(k.until) {
		return Retired
	}
	return k.state
}

// active returns the version that was activated last, 0 for none.
func (m *model) active() int {
	best := 0
	for i, k := range m.keys {
		if k.state == Active && (best == 0 || k.activated >= m.keys[best-1].activated) {
			best = i + 1
		}
	}
	return best
}

func (m *model) retire(k *modelKey, overlap time.Duration) {
	k.state, k.until = Retired, time.Time{}
	if overlap > 0 {
		k.state, k.until = Retiring, m.now.Add(overlap)
	}
}

func (m *model) activate(version int) error {
	k := m.keys[version-1]
	if k.state == Destroyed {
		return ErrDestroyed
	}
	if k.state != Pending {
		return ErrState
	}
	k.state, k.activated = Active, m.tick
	return nil
}

func (m *model) rotate(version int, overlap time.Duration) error {
	if err := m.activate(version); err != nil {
		return err
	}
	for i, k := range m.keys {
		if k.state == Active && i+1 != version {
			m.retire(k, overlap)
		}
	}
	return nil
}

func (m *model) retireOne(version int, overlap time.Duration) error {
	k := m.keys[version-1]
	switch state := m.state(k); {
	case state == Destroyed:
		return ErrDestroyed
	case state == Retired, state == Pending && overlap > 0:
		return ErrState
	}
	m.retire(k, overlap)
	return nil
}

func (m *model) destroy(version int) error {
	k := m.keys[version-1]
	switch m.state(k) {
	case Destroyed:
		return ErrDestroyed
	case Pending, Retired:
		k.state = Destroyed
		return nil
	default:
		return ErrState
	}
}

// refusal returns what an operation with a version gives.
func (m *model) refusal(version int, makes bool) error {
	if version == 0 {
		if version = m.active(); version == 0 {
			return ErrUnknown
		}
	}
	switch k := m.keys[version-1]; {
	case k.state == Active:
		return nil
	case k.state == Destroyed:
		return ErrDestroyed
	case k.state == Retiring && !m.now.Before(k.until):
		return ErrExpired
	case k.state == Retiring && !makes:
		return nil
	default:
		return ErrNotActive
	}
}

// TestModel does random calls on a ring, on a second one of the same file, after reopening,
// and on the model: all must be the same after each.
func TestModel(t *testing.T) {
	a, b := twoComponents(t)
	rapid.Check(t, func(t *rapid.T) {
		m := &model{now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
		o := Options{Actor: two, Now: func() time.Time { return m.now }, disk: &memory{
			files: map[string][]byte{}}}
		r, err := CreateStore("/keys", a, b, o)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { r.Close() }()
		watcher, err := Open("/keys", b, a, o)
		if err != nil {
			t.Fatal(err)
		}
		defer watcher.Close()
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			m.tick++
			m.now = m.now.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
			step(t, r, m)
			if _, err := watcher.Reload(); err != nil {
				t.Fatal(err)
			}
			if rapid.IntRange(0, 9).Draw(t, "reopen") == 0 {
				o.Generation = r.Generation()
				r.Close()
				if r, err = Open("/keys", a, b, o); err != nil {
					t.Fatal(err)
				}
			}
			compareModel(t, r, m)
			compareModel(t, watcher, m)
		}
	})
}

// step does one call on both.
func step(t *rapid.T, r *Ring, m *model) {
	ref := Ref{Purpose: MessageMAC, Scheme: "link"}
	what := rapid.SampledFrom([]string{"generate", "activate", "rotate", "retire",
		"destroy"}).Draw(t, "call")
	if what == "generate" || len(m.keys) == 0 {
		info, err := r.Generate(NewKey{Ref: ref}, two)
		if err != nil || int(info.Ref.Version) != len(m.keys)+1 {
			t.Fatalf("generate: %v, %v", info.Ref, err)
		}
		m.keys = append(m.keys, &modelKey{})
		return
	}
	version := rapid.IntRange(1, len(m.keys)).Draw(t, "version")
	overlap := time.Duration(rapid.IntRange(0, 2).Draw(t, "hours")) * time.Hour
	ref.Version = uint32(version)
	// A clock that stands makes two activations at once; the higher version wins then.
	var got, want error
	switch what {
	case "activate":
		got, want = r.Activate(ref, two), m.activate(version)
	case "rotate":
		got, want = r.Rotate(ref, overlap, two), m.rotate(version, overlap)
	case "retire":
		got, want = r.Retire(ref, overlap, two), m.retireOne(version, overlap)
	case "destroy":
		got, want = r.Destroy(ref, two), m.destroy(version)
	}
	if !errors.Is(got, want) {
		t.Fatalf("%s %v: %v, want %v", what, ref, got, want)
	}
	m.sameTime(r)
}

// sameTime gives keys that were activated at the same time the same number.
func (m *model) sameTime(r *Ring) {
	list := r.List()
	times := slices.Clone(list)
	slices.SortFunc(times, func(a, b Info) int { return a.Activated.Compare(b.Activated) })
	for i, k := range m.keys {
		k.activated = slices.IndexFunc(times, func(x Info) bool {
			return x.Activated.Equal(list[i].Activated)
		})
	}
}

func compareModel(t *rapid.T, r *Ring, m *model) {
	list := r.List()
	if len(list) != len(m.keys) {
		t.Fatalf("%d keys, want %d", len(list), len(m.keys))
	}
	for i, k := range m.keys {
		if list[i].State != m.state(k) {
			t.Fatalf("version %d is %v, want %v", i+1, list[i].State, m.state(k))
		}
		v := r.table.Load().byRef[list[i].Ref]
		if (len(v.key.open()) == 0) != (k.state == Destroyed) {
			t.Fatalf("version %d, %v: material of %d bytes", i+1, k.state, len(v.key.open()))
		}
	}
	for version := range len(m.keys) + 1 {
		ref := Ref{MessageMAC, "link", uint32(version)}
		_, err := r.MAC(ref, mac.X919, nil, nil)
		if want := m.refusal(version, true); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Fatalf("MAC with version %d: %v, want %v", version, err, want)
		}
		_, err = r.VerifyMAC(ref, mac.X919, nil, nil)
		if want := m.refusal(version, false); !errors.Is(err, want) || (err == nil) != (want == nil) {
			t.Fatalf("verify with version %d: %v, want %v", version, err, want)
		}
	}
	if info, err := r.Info(Ref{Purpose: MessageMAC, Scheme: "link"}); err == nil &&
		int(info.Ref.Version) != m.active() {
		t.Fatalf("active is %v, want %d", info.Ref, m.active())
	}
	p, err := r.Verify()
	if err != nil || len(p.Problems) != 0 {
		t.Fatalf("report %+v, %v", p, err)
	}
}

// TestOrder lists keys of several purposes.
func TestOrder(t *testing.T) {
	r := emptyRing(t, Options{})
	for _, s := range []string{"pin/b/2", "pin/b/1", "pin/a/9", "mac/z/1", "purse_load/x/1"} {
		must(r.Generate(NewKey{Ref: must(ParseRef(s))(t)}, two))(t)
	}
	if got := fmt.Sprint(refs(r.List())); got != "[purse_load/x/1 mac/z/1 pin/a/9 pin/b/1 pin/b/2]" {
		t.Errorf("order %s", got)
	}
	all := r.List()
	if !slices.IsSortedFunc(all, func(a, b Info) int {
		return cmp.Or(cmp.Compare(a.Ref.Purpose, b.Ref.Purpose), cmp.Compare(a.Ref.Scheme, b.Ref.Scheme))
	}) {
		t.Error("not in order")
	}
}

func refs(list []Info) (out []Ref) {
	for _, i := range list {
		out = append(out, i.Ref)
	}
	return out
}
