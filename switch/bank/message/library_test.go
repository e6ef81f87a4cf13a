package message

import (
	"strings"
	"testing"

	"github.com/moov-io/iso8583"
	"pgregory.net/rapid"
)

// What this package packs in ASCII the library unpacks with its own spec of ISO 8583:1987 and
// its own codecs to the same fields, and the other way round. The library takes filling
// zeros away, so they do not count.
func TestLibraryReadsOurs(t *testing.T) {
	s := ascii(t)
	fields := []int{2, 4, 5, 7, 11, 12, 13, 14, 18, 32, 33, 35, 37, 38, 39, 41, 42, 48, 62, 63, 90}
	rapid.Check(t, func(rt *rapid.T) {
		m := New(s, FinancialRequest)
		theirs := iso8583.NewMessage(iso8583.Spec87)
		theirs.MTI("0200")
		for _, n := range rapid.SliceOfDistinct(rapid.SampledFrom(fields), rapid.ID[int]).Draw(rt, "n") {
			f := s.fields[n]
			value := contentOf(f, f.max-rapid.IntRange(0, f.max-f.min).Draw(rt, "less")%20,
				func(_, below int) int { return 1 + rapid.IntRange(0, min(below, 9)-1).Draw(rt, "c")%9 })
			if f.kind == AN || f.kind == ANS {
				value = []byte(strings.ReplaceAll(string(value), " ", "x"))
			}
			if err := m.SetBytes(n, value); err != nil {
				t.Fatalf("field %d: %v", n, err)
			}
			if err := theirs.Field(n, string(value)); err != nil {
				t.Fatalf("library: field %d: %v", n, err)
			}
		}
		frame, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		packed, err := theirs.Pack()
		if err != nil {
			t.Fatalf("library: %v", err)
		}
		if string(packed) != string(frame) {
			t.Fatalf("the library packs\n%s, we\n%s", packed, frame)
		}
		read := iso8583.NewMessage(iso8583.Spec87)
		if err := read.Unpack(frame); err != nil {
			t.Fatalf("library: %v", err)
		}
		for _, n := range m.Numbers() {
			got, err := read.GetString(n)
			want, _ := m.Text(n)
			if err != nil || strings.TrimLeft(got, "0") != strings.TrimLeft(want, "0") {
				t.Fatalf("field %d: the library reads %q, we %q, %v", n, got, want, err)
			}
		}
	})
}
