package txn_test

import (
	"testing"
	"unicode"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// SY11 and SY16: nobody may hold a card back, so no reason asks a terminal to do it.
func TestNoReasonPicksTheCardUp(t *testing.T) {
	pickUp := map[string]bool{"04": true, "34": true, "38": true, "41": true, "43": true}
	for r := range 256 {
		if text := txn.Reason(r).Text(); pickUp[text.Field39] {
			t.Errorf("%s maps to field 39 %s", text.Code, text.Field39)
		}
	}
}

func TestEveryReasonHasItsTexts(t *testing.T) {
	codes := map[string]txn.Reason{}
	english := map[string]txn.Reason{}
	last := txn.ReasonNone
	for _, r := range txn.Reasons() {
		if r <= last {
			t.Errorf("%s stands out of precedence", r)
		}
		last = r
		text := r.Text()
		if other, ok := codes[text.Code]; ok || text.Code == "" || text.Code != r.String() {
			t.Errorf("reason %d: code %q, also of %d", r, text.Code, other)
		}
		if other, ok := english[text.English]; ok || text.English == "" {
			t.Errorf("%s: text %q, also of %s", r, text.English, other)
		}
		codes[text.Code], english[text.English] = r, r
		for _, c := range text.Code {
			if c != '_' && (c < 'a' || c > 'z') {
				t.Errorf("%s: code has %q", r, c)
			}
		}
		if len(text.Field39) != 2 || text.Field39 == "00" {
			t.Errorf("%s: field 39 %q", r, text.Field39)
		}
		han := false
		for _, c := range text.Chinese {
			han = han || unicode.Is(unicode.Han, c)
		}
		if !han {
			t.Errorf("%s: Chinese text %q", r, text.Chinese)
		}
		back, err := txn.ParseReason(text.Code)
		if err != nil || back != r {
			t.Errorf("%s: parsed as %s, %v", r, back, err)
		}
	}
}

func TestReasonsAtTheEdges(t *testing.T) {
	if text := txn.ReasonNone.Text(); text.Field39 != "00" || text.Code != "approved" {
		t.Errorf("approval: %+v", text)
	}
	if r, err := txn.ParseReason("approved"); err != nil || r != txn.ReasonNone {
		t.Errorf("approved: %v, %v", r, err)
	}
	for _, bad := range []string{"", "no_such", "CARD_FROZEN"} {
		if r, err := txn.ParseReason(bad); err == nil || r != txn.ReasonNone {
			t.Errorf("%q: %v, %v", bad, r, err)
		}
	}
	unknown := txn.Reason(9)
	if unknown.Valid() || unknown.Text().Field39 != "96" || unknown.String() != "reason(9)" {
		t.Errorf("a gap: %+v", unknown.Text())
	}
	if txn.Reason(255).Valid() {
		t.Error("255 is valid")
	}
	retryable := map[txn.Reason]bool{txn.DeadlinePassed: true, txn.StoreUnavailable: true,
		txn.ListStale: true}
	for _, r := range txn.Reasons() {
		if r.Retryable() != retryable[r] {
			t.Errorf("%s: retryable %v", r, r.Retryable())
		}
	}
}

// The numbers stand on disks: they never change.
func TestReasonNumbersAreFixed(t *testing.T) {
	for r, want := range map[txn.Reason]uint8{
		txn.IDReused: 10, txn.InvalidAmount: 15, txn.CardReplaced: 30, txn.CardFrozen: 32,
		txn.UnknownCard: 50, txn.ApplicationSuspended: 55, txn.OriginalUnknown: 80,
		txn.RefundTooLarge: 84, txn.CounterSeen: 100, txn.PassBack: 110, txn.FareMismatch: 114,
		txn.LimitExceeded: 140, txn.InsufficientFunds: 142, txn.ReleaseClosed: 170,
		txn.AlreadyListed: 172, txn.DeadlinePassed: 200, txn.ListStale: 202,
	} {
		if uint8(r) != want {
			t.Errorf("%s is %d, was %d", r, uint8(r), want)
		}
	}
}
