package qr

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"
)

// mutate changes a valid code as ops say, four bytes for each step: what, where, and with which
// value. Other is a valid code of another card.
func mutate(code, other, ops []byte) []byte {
	b := bytes.Clone(code)
	for ; len(ops) >= 4 && len(b) > 0; ops = ops[4:] {
		at := int(binary.BigEndian.Uint16(ops[1:])) % len(b)
		switch ops[0] % 8 {
		case 0: // one bit
			b[at] ^= 1 << (ops[3] % 8)
		case 1: // one byte
			b[at] = ops[3]
		case 2: // the length
			if len(b) >= atCertificate {
				binary.BigEndian.PutUint16(b[atLength:], uint16(ops[3])<<8|uint16(ops[1]))
			}
		case 3: // cut
			b = b[:at]
		case 4: // more bytes inside
			b = append(b[:at:at], append(bytes.Repeat(ops[3:4], int(ops[3])), b[at:]...)...)
		case 5: // a part of the other code, at its place
			end := min(at+int(ops[3]), len(b), len(other))
			if at < end {
				copy(b[at:end], other[at:end])
			}
		case 6: // bytes taken out
			b = append(b[:at:at], b[min(at+int(ops[3]), len(b)):]...)
		case 7: // two bytes change places
			to := int(ops[3]) % len(b)
			b[at], b[to] = b[to], b[at]
		}
	}
	return b
}

// allocated returns how many bytes f allocates, the least of a few tries: others allocate too.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// parseMax bounds what the parsing of one code may allocate, whatever its lengths say.
const parseMax = 8 << 10

// FuzzMutatedCode: what somebody made of a valid code is refused, unless it is that code, and no
// length in it decides how much is allocated.
func FuzzMutatedCode(f *testing.F) {
	k, v := benchKit(f, Options{})
	code, tap, err := k.Refused(0, 1)
	if err != nil {
		f.Fatal(err)
	}
	other, _, err := k.Refused(0, 2)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := v.Verify(code, tap); err != nil {
		f.Fatal(err)
	}
	for op := range byte(8) {
		f.Add([]byte{op, 0, 120, 7, op, 1, 30, 64}, false)
	}
	f.Add([]byte{2, 255, 0, 255}, true)
	f.Add([]byte{5, 0, 0, 255, 5, 0, 200, 255}, true)
	p := Profile{}
	f.Fuzz(func(t *testing.T, ops []byte, measured bool) {
		b := mutate(code, other, ops)
		if _, err := v.Verify(b, tap); err == nil && !bytes.Equal(b, code) && !bytes.Equal(b, other) {
			t.Errorf("%x of a valid code is valid", ops)
		}
		if c, err := p.Parse(b); err == nil && !bytes.Equal(c.Bytes(), b) {
			t.Errorf("%x parses to other bytes", b)
		}
		if !measured {
			return
		}
		if n := allocated(func() { _, _ = p.Parse(b) }); n > parseMax {
			t.Errorf("%x: parsing %d bytes allocates %d", ops, len(b), n)
		}
	})
}

// Every one of a valid code's bits counts: whichever is turned over, the code is refused.
func TestEveryBitCounts(t *testing.T) {
	k, v := benchKit(t, Options{})
	code, tap, err := k.Refused(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for bit := range 8 * len(code) {
		if bit%8 != bit/8%8 && time.Since(began) > 5*time.Second {
			continue // a slow machine looks at one bit of each byte
		}
		b := bytes.Clone(code)
		b[bit/8] ^= 1 << (bit % 8)
		if _, err := v.Verify(b, tap); err == nil {
			t.Errorf("bit %d of byte %d does not count", bit%8, bit/8)
		}
	}
}
