package console

import (
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Of a ride that was booked although the gate should have refused the card, finance reads why, and
// who bears it, in both languages.
func TestTheStoryOfARideAfterTheLease(t *testing.T) {
	words, err := readWords()
	if err != nil {
		t.Fatal(err)
	}
	r := &txn.Record{Outcome: txn.Approved, Kind: txn.BusBoarding, Reason: txn.LeaseEnded, Offline: true,
		TAC: txn.TACValid, Liability: txn.LiabilityOperator, FullFare: 200, Charged: 200, Currency: txn.CNY}
	for lang, want := range map[string][]string{
		english: {"It was approved.", "It should not have been served: The card was not on line for too long",
			"Charged: ¥2.00", "Borne by: "},
		chinese: {"终端本不应受理：此卡超过联机有效期"},
	} {
		f := &frame{Lang: lang, s: &Server{words: words}}
		story := strings.Join(f.story(r), " ")
		for _, part := range want {
			if !strings.Contains(story, part) {
				t.Errorf("%s: no %q in %s", lang, part, story)
			}
		}
	}
	r.Reason, r.Liability = txn.ReasonNone, txn.LiabilityNone
	f := &frame{Lang: english, s: &Server{words: words}}
	if story := strings.Join(f.story(r), " "); strings.Contains(story, "should not") {
		t.Errorf("a plain ride: %s", story)
	}
}
