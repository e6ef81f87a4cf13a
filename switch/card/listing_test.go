package card_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var freezeReasons = []txn.FreezeReason{txn.NotFrozen, txn.Lost, txn.PreReported, txn.Suspended,
	txn.Risk, txn.Replaced, txn.Cancelled}

var scopes = []txn.App{txn.AppTransit, txn.AppPurse, txn.AppTransit | txn.AppSocial, txn.AppAll}

// strength orders the reasons by how little may undo them, written down a second time.
var strength = map[txn.FreezeReason]int{txn.NotFrozen: 0, txn.Suspended: 1, txn.PreReported: 2,
	txn.Risk: 3, txn.Lost: 4, txn.Cancelled: 5, txn.Replaced: 6}

// A second freeze never opens and never weakens; the order of two does not matter, and the
// same again changes nothing.
func TestMerge(t *testing.T) {
	for _, a := range marks() {
		for _, b := range marks() {
			m := card.Merge(a, b)
			if m.Scope&a.Scope != a.Scope || b.Reason != txn.NotFrozen && m.Scope&b.Scope != b.Scope {
				t.Errorf("%+v and %+v: %+v opens something", a, b, m)
			}
			if want := max(strength[a.Reason], strength[b.Reason]); strength[m.Reason] != want {
				t.Errorf("%+v and %+v: %+v", a, b, m)
			}
			if m.Reason.Terminal() && m.Scope != txn.AppAll {
				t.Errorf("%+v and %+v: terminal with scope %v", a, b, m.Scope.Names())
			}
			if again := card.Merge(m, b); again != m {
				t.Errorf("%+v again with %+v: %+v", m, b, again)
			}
			if a.Reason != txn.NotFrozen && b.Reason != txn.NotFrozen && card.Merge(b, a) != m {
				t.Errorf("%+v and %+v depend on their order", a, b)
			}
		}
	}
	if m := card.Merge(txn.Mark{}, txn.Mark{Reason: txn.Lost}); m.Scope != txn.AppAll {
		t.Errorf("a freeze without a scope: %+v", m)
	}
	if m := card.Merge(txn.Mark{}, txn.Mark{Scope: txn.AppAll}); m != (txn.Mark{}) {
		t.Errorf("a freeze without a reason: %+v", m)
	}
}

func marks() []txn.Mark {
	all := []txn.Mark{{}}
	for _, r := range freezeReasons[1:] {
		for _, s := range scopes {
			if r.Terminal() {
				s = txn.AppAll
			}
			all = append(all, txn.Mark{Reason: r, Scope: s})
		}
	}
	return all
}

func TestRelease(t *testing.T) {
	for _, r := range freezeReasons {
		want := txn.ReasonNone
		switch r {
		case txn.NotFrozen:
			want = txn.NotListed
		case txn.Replaced, txn.Cancelled:
			want = txn.ReleaseClosed
		}
		if got := card.Release(txn.Mark{Reason: r, Scope: txn.AppAll}); got != want {
			t.Errorf("%s: %s, want %s", r, got, want)
		}
	}
}

func TestRefusal(t *testing.T) {
	for _, r := range freezeReasons {
		for _, scope := range scopes {
			for _, app := range []txn.App{txn.AppTransit, txn.AppPurse, txn.AppBank} {
				want := txn.ReasonNone
				switch {
				case r == txn.NotFrozen || scope&app == 0:
				case r == txn.Replaced:
					want = txn.CardReplaced
				case r == txn.Cancelled:
					want = txn.CardCancelled
				default:
					want = txn.CardFrozen
				}
				if got := card.Refusal(txn.Mark{Reason: r, Scope: scope}, app); got != want {
					t.Errorf("%s, scope %v, %v: %s, want %s", r, scope.Names(), app.Names(), got, want)
				}
			}
		}
	}
}
