package vector_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/crypto/vector"
)

// ZS9, HD8: the card keeps the standards of city cards, of PBOC 2.0 and of UnionPay. Their
// cryptography is recomputed from vectors: the purse, the MACs of messages, PIN blocks, and
// the family of card numbers. The social-security card's own chip files are not read.
func TestDuty_ZS9_Standards(t *testing.T) {
	r := vector.CheckAll(own(t))
	for _, area := range []string{"epurse", "mac-cup-ecb", "pin-block", "card-data"} {
		if a := r.Areas[area]; a == nil || a.Passed == 0 || a.Failed+a.Unsupported != 0 {
			t.Errorf("%s: %+v", area, a)
		}
	}
	if r.Failed != 0 {
		t.Errorf("%d vectors failed", r.Failed)
	}
}
