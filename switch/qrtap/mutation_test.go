package qrtap_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// FuzzCodePaysOnce: of a valid code and all that somebody makes of it, shown in any order and
// with new ids, one pays, once, its card alone.
func FuzzCodePaysOnce(f *testing.F) {
	r := newRig(f)
	other := r.code(r.card(20), morning)
	f.Add([]byte{0, 150, 1, 1, 1, 9}, uint8(0))
	f.Add([]byte{1, 1, 255, 2, 60, 7, 3, 120, 200}, uint8(2))
	f.Add([]byte{4, 196, 9}, uint8(1))
	cards, tries := 19, 0
	f.Fuzz(func(t *testing.T, ops []byte, when uint8) {
		own := *r
		own.t = t
		defer func() { r.counter = own.counter }()
		tries++
		n := tries%cards + 1
		own.clock.Add((3 * time.Minute).Milliseconds())
		own.do(n, txn.Load, func(q *txn.Request) { q.Amount = 200 })
		code := own.code(own.card(n), own.now().Time())
		shown := [][]byte{code, code}
		for ; len(ops) >= 3 && len(shown) < 8; ops = ops[3:] {
			b, at := bytes.Clone(code), int(ops[1])*2%len(code)
			switch ops[0] % 5 {
			case 0:
				b[at] ^= ops[2] | 1
			case 1: // the length
				b[1], b[2] = ops[1], ops[2]
			case 2:
				b = b[:at]
			case 3: // a part of another card's code
				copy(b[at:], other[at:min(len(other), at+int(ops[2]))])
			case 4:
				b = append(b[:at:at], append([]byte{ops[2]}, b[at:]...)...)
			}
			place := int(when) % (len(shown) + 1)
			shown = append(shown[:place:place], append([][]byte{b}, shown[place:]...)...)
		}
		var paid, charged int64
		for i, b := range shown {
			a := own.tap(b, "")
			if a.Outcome == "approved" {
				paid++
				if !bytes.Equal(b, code) {
					t.Errorf("what was made of a code pays: %x of %d", b, i)
				}
			}
			charged += int64(a.Charged)
		}
		if paid != 1 || charged != 200 {
			t.Errorf("%d of %d pay, %d fen", paid, len(shown), charged)
		}
	})
}
