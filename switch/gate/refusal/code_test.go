package refusal_test

import (
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// TestCodesAreUnique: no two errors of the gate share a name.
func TestCodesAreUnique(t *testing.T) {
	seen := map[string]refusal.Code{}
	for _, code := range refusal.Codes() {
		if other, ok := seen[code.String()]; ok {
			t.Errorf("codes %d and %d are both %s", code, other, code)
		}
		seen[code.String()] = code
	}
}

// TestRetryable says which errors may be sent again as they are or signed anew; a terminal
// that repeats others would never end.
func TestRetryable(t *testing.T) {
	want := "request_timeout counter_too_low clock_skew releases_full registry_conflict " +
		"rate_limited overloaded not_ready outcome_unknown card_contended registry_unavailable"
	var got []string
	for _, code := range refusal.Codes() {
		if (refusal.Value{Code: code}).Text().Retryable && code != refusal.RequestRefused {
			got = append(got, code.String())
		}
	}
	if strings.Join(got, " ") != want {
		t.Errorf("retryable: %v", got)
	}
	for _, reason := range txn.Reasons() {
		if refusal.ReasonText(reason).Retryable != (refusal.ReasonText(reason).Status == 503) {
			t.Errorf("%s: retryable and status %d", reason, refusal.ReasonText(reason).Status)
		}
	}
}

// TestText: a code has its own line, a reason brings its sentences, and a decline that ends a
// call is a conflict.
func TestText(t *testing.T) {
	own := refusal.Field(refusal.MissingField, "id")
	if !own.IsSet() || (refusal.Value{}).IsSet() || own.Text().Name != "missing_field" ||
		own.Param != "id" || own.Text().Status != 400 {
		t.Errorf("%+v %+v", own, own.Text())
	}
	for reason, want := range map[txn.Reason]int{txn.CardFrozen: 409, txn.IDReused: 422,
		txn.StoreUnavailable: 503} {
		got := refusal.Value{Code: refusal.RequestRefused, Reason: reason}.Text()
		if got.Status != want || got.Name != reason.String() || got.Chinese == "" {
			t.Errorf("%s: %+v", reason, got)
		}
		if declined := refusal.Declines(reason); declined != (want == 409) {
			t.Errorf("%s is told as a decline: %v", reason, declined)
		}
	}
	if name := refusal.Code(255).String(); name != "unknown" {
		t.Errorf("a code that is none: %s", name)
	}
}
