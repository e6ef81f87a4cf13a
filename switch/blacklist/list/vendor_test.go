package list_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math/bits"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// vendorList is a reader written from the package comment alone, as a maker of terminals
// would: it shares no line with the package.
type vendorList struct {
	header, body []byte
	adds, drops  [][]byte
}

func vendorMix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// vendorOpen checks hash and signature of a file.
func vendorOpen(t *testing.T, v vectors, name string) vendorList {
	t.Helper()
	file, err := hex.DecodeString(v.Files[name])
	if err != nil || string(file[:8]) != "TAPSLIST" || file[8] != 1 {
		t.Fatalf("%s is no list: %v", name, err)
	}
	size := binary.BigEndian.Uint64(file[120:])
	l := vendorList{header: file[:160], body: file[160 : 160+size]}
	if sum := sha256.Sum256(l.body); !bytes.Equal(sum[:], file[128:160]) {
		t.Fatalf("%s: hash", name)
	}
	trailer := file[160+size:]
	id := trailer[2 : 2+trailer[1]]
	public, err := hex.DecodeString(v.PublicKey)
	message := append([]byte("tapswitch list v1\x00"), l.header...)
	if err != nil || trailer[0] != 1 || string(id) != v.KeyID ||
		!ed25519.Verify(public, message, trailer[2+len(id):]) {
		t.Fatalf("%s: signature by %s", name, id)
	}
	return l
}

func (l *vendorList) keys() (keys [][]byte) {
	width := int(l.header[10])
	for at := 0; at < len(l.body); at += width {
		keys = append(keys, l.body[at:at+width])
	}
	return keys
}

func among(keys [][]byte, token []byte) bool {
	for _, k := range keys {
		if bytes.HasPrefix(token, k) {
			return true
		}
	}
	return false
}

func (l *vendorList) listed(token []byte) bool {
	switch {
	case among(l.adds, token):
		return true
	case among(l.drops, token):
		return false
	case l.header[9] == 1:
		return among(l.keys(), token)
	}
	u32 := func(at int) uint64 { return uint64(binary.BigEndian.Uint32(l.body[at:])) }
	segment, segments, slots := u32(8), u32(12), l.body[24:]
	h := vendorMix(binary.BigEndian.Uint64(token) + binary.BigEndian.Uint64(l.body))
	a, _ := bits.Mul64(h, segments*segment)
	b := (a + segment) ^ (h >> 18 & (segment - 1))
	c := (a + 2*segment) ^ (h & (segment - 1))
	want := h ^ h>>32
	if u32(20) == 8 {
		return slots[a]^slots[b]^slots[c] == byte(want)
	}
	slot := func(i uint64) uint16 { return binary.BigEndian.Uint16(slots[2*i:]) }
	return slot(a)^slot(b)^slot(c) == uint16(want)
}

// TestVendorReadsVectors: the package comment is enough to read every format, to follow a
// delta, and to prove the result.
func TestVendorReadsVectors(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	ask := func(l *vendorList, text string) bool {
		token, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return l.listed(token)
	}
	for name, delta := range map[string]string{"exact16": "delta16", "exact8": "delta8",
		"filter8": "delta8", "filter16": "delta8"} {
		l, d := vendorOpen(t, v, name), vendorOpen(t, v, delta)
		for _, c := range v.Cards {
			if !ask(&l, c) {
				t.Errorf("%s misses %s", name, c)
			}
		}
		// The delta follows: its base epoch and base checks are those of the list.
		if !bytes.Equal(d.header[56:64], l.header[48:56]) ||
			!bytes.Equal(d.header[104:120], l.header[88:104]) || d.header[10] != l.header[10] {
			t.Fatalf("%s does not follow %s", delta, name)
		}
		adds := binary.BigEndian.Uint32(d.header[80:])
		l.adds, l.drops = d.keys()[:adds], d.keys()[adds:]
		for _, c := range v.Later {
			if !ask(&l, c) {
				t.Errorf("%s misses %s after the delta", name, c)
			}
		}
		for _, c := range v.Cards {
			if ask(&l, c) != strings.Contains(strings.Join(v.Later, " "), c) {
				t.Errorf("%s tells %s wrongly after the delta", name, c)
			}
		}
		for _, c := range v.Others {
			if strings.HasPrefix(name, "exact") && ask(&l, c) {
				t.Errorf("%s has %s, which was never listed", name, c)
			}
		}
	}
}

// TestVendorProvesChecks: both checks add up as the package comment says.
func TestVendorProvesChecks(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"exact16", "exact16-later"} {
		l := vendorOpen(t, v, name)
		wide, narrow := uint64(0), uint64(0)
		for _, k := range l.keys() {
			hi, lo := binary.BigEndian.Uint64(k), binary.BigEndian.Uint64(k[8:])
			wide += vendorMix(hi + vendorMix(lo))
			narrow += vendorMix(hi)
		}
		if wide != binary.BigEndian.Uint64(l.header[88:]) || narrow != binary.BigEndian.Uint64(l.header[96:]) {
			t.Errorf("%s: checks %x %x", name, wide, narrow)
		}
	}
}
