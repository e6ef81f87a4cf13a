package link

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// keys draws keys from so few values that they often meet.
func keys() *rapid.Generator[Key] {
	return rapid.Custom(func(t *rapid.T) Key {
		some := func(name string) byte { return rapid.ByteRange(0, 2).Draw(t, name) }
		return Key{Class: 1 + some("class"), STAN: 1 + uint32(some("stan")),
			RRN: [12]byte{some("rrn")}, Terminal: [8]byte{some("terminal")},
			Time: [10]byte{some("time")}, Rest: uint64(some("rest")),
			Said: [3]uint64{uint64(some("card")), uint64(some("code")), uint64(some("currency"))}}
	})
}

// If some answer fits two keys, they overlap, so they are never in flight together.
func TestNoAnswerFitsTwoKeysInFlight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, two, answer := keys().Draw(t, "one"), keys().Draw(t, "two"), keys().Draw(t, "answer")
		if one.Accepts(answer) && two.Accepts(answer) && !one.overlaps(two) {
			t.Fatalf("%+v fits %+v and %+v", answer, one, two)
		}
		if one.overlaps(two) != two.overlaps(one) || !one.overlaps(one) || !one.Accepts(one) {
			t.Fatalf("%+v and %+v", one, two)
		}
	})
}

func TestEveryFieldOfAKeyCounts(t *testing.T) {
	full := Key{Class: 2, STAN: 7, RRN: [12]byte{1}, Terminal: [8]byte{1}, Time: [10]byte{1},
		Rest: 1}
	for name, change := range map[string]func(*Key){
		"class":    func(k *Key) { k.Class++ },
		"STAN":     func(k *Key) { k.STAN++ },
		"RRN":      func(k *Key) { k.RRN[11]++ },
		"terminal": func(k *Key) { k.Terminal[7]++ },
		"time":     func(k *Key) { k.Time[9]++ },
		"rest":     func(k *Key) { k.Rest++ },
	} {
		other := full
		change(&other)
		if full.Accepts(other) || full.overlaps(other) {
			t.Errorf("%s does not count", name)
		}
	}
	// What only the answer carries does not.
	bare := Key{Class: 2, STAN: 7}
	if !bare.Accepts(full) || full.Accepts(bare) || !bare.overlaps(full) {
		t.Error("absent fields are compared")
	}
}

// An answer that names another card, processing code or currency answers nothing; one that
// names none does.
func TestAnswersSayTheSame(t *testing.T) {
	full := Key{Class: 2, STAN: 7, Said: [3]uint64{1, 2, 3}}
	for i := range full.Said {
		other, silent := full, full
		other.Said[i], silent.Said[i] = 9, 0
		if full.Accepts(other) {
			t.Errorf("%d: another one is accepted", i)
		}
		if !full.Accepts(silent) || !silent.Accepts(full) || !full.overlaps(other) {
			t.Errorf("%d: one that is not there is compared", i)
		}
	}
}

func TestWordsAreDistinct(t *testing.T) {
	all := []string{Down.String(), Connecting.String(), SigningOn.String(), Up.String(),
		Draining.String(), Unknown.String(), NotSent.String(), Answered.String(),
		SignOn.String(), Echo.String(), SignOff.String(), OtherManagement.String()}
	seen := make(map[string]bool)
	for _, w := range all {
		if w == "" || seen[w] {
			t.Errorf("%q stands for two things", w)
		}
		seen[w] = true
	}
	if k := (Key{Class: 4, STAN: 42, RRN: [12]byte{'R'}}).String(); !strings.Contains(k, "000042") {
		t.Errorf("key %q", k)
	}
	if Sent(0) != Unknown {
		t.Error("the zero value must be the careful one")
	}
}
