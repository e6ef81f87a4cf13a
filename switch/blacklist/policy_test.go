package blacklist

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// TestPermit is the table of degraded mode, complete.
func TestPermit(t *testing.T) {
	rows := map[Class][3]Permission{ // store down with the replica FRESH, STALE, UNKNOWN
		PrepaidDebit: {Refuse, Refuse, Refuse},
		PostpaidTap:  {Limited, Refuse, Refuse},
		Credit:       {Refuse, Refuse, Refuse},
		Protection:   {Later, Later, Later},
		Inquiry:      {Marked, Marked, Marked},
		classEnd:     {Refuse, Refuse, Refuse},
	}
	if len(rows) != int(classEnd)+1 {
		t.Fatalf("the table has %d classes, want %d", len(rows), classEnd+1)
	}
	for c, want := range rows {
		for i, f := range []Freshness{Fresh, Stale, Unknown} {
			got, reason := Permit(c, f, false)
			if got != want[i] || (got == Refuse) != reason.Retryable() {
				t.Errorf("%s, %s, store down: %s with reason %s, want %s", c, f, got, reason,
					want[i])
			}
			up := Commit
			if c == classEnd {
				up = Refuse
			}
			if got, _ := Permit(c, f, true); got != up {
				t.Errorf("%s, %s, store up: %s, want %s", c, f, got, up)
			}
		}
	}
	if _, reason := Permit(PostpaidTap, Stale, false); reason != txn.ListStale {
		t.Errorf("a tap with a stale list is refused with %s", reason)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for c := range classEnd + 1 {
		seen[c.String()] = true
	}
	for p := range Marked + 1 {
		seen[p.String()] = true
	}
	for f := range Fresh + 1 {
		seen[f.String()] = true
	}
	if want := int(classEnd) + 1 + int(Marked) + 1 + int(Fresh) + 1; len(seen) != want {
		t.Errorf("%d different names, want %d: %v", len(seen), want, seen)
	}
	if got := (Marked + 1).String(); got != "unknown" {
		t.Errorf("a permission that is none is %q", got)
	}
}
