package receipt_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/receipt"
)

// words draws a free text as a statement may hold it: any letters, no control characters, no
// long run of digits, also ones that need an escape or two UTF-16 units.
func words(t *rapid.T, name string) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune("abcXYZ 0\"\\/€公交𝄞\u2028ﬃ")), 1, 14, -1).
		Draw(t, name)
}

func moment(t *rapid.T, name string) time.Time {
	ms := rapid.Int64Range(0, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).UnixMilli()).
		Draw(t, name)
	return time.UnixMilli(ms).UTC()
}

// maybe is a moment or none.
func maybe(t *rapid.T, name string) time.Time {
	if rapid.Bool().Draw(t, "no "+name) {
		return time.Time{}
	}
	return moment(t, name)
}

func count(t *rapid.T, name string) uint64 {
	return rapid.Uint64Range(0, receipt.IntegerMax).Draw(t, name)
}

func drawHash(t *rapid.T, name string) (h [receipt.HashSize]byte) {
	copy(h[:], rapid.SliceOfN(rapid.Byte(), receipt.HashSize, receipt.HashSize).Draw(t, name))
	return h
}

func drawFreeze(t *rapid.T) *receipt.Freeze {
	f := &receipt.Freeze{Issuer: words(t, "issuer"), Number: words(t, "number"),
		IssuedAt: moment(t, "issued"), Reason: words(t, "reason"),
		Masked: rapid.SampledFrom([]string{"", "*", "****", "***12", "*****3456"}).Draw(t, "masked"),
		Scope:  []string{words(t, "scope")}, ReceivedAt: moment(t, "received"),
		ListEpoch: count(t, "epoch"), ListSeq: count(t, "sequence"), Actor: words(t, "actor"),
		Boundary: receipt.Boundary{Rule: words(t, "rule"), At: moment(t, "boundary")}}
	h := drawHash(t, "token")
	h[0] |= 1
	copy(f.Token[:], h[:])
	for range rapid.IntRange(0, 3).Draw(t, "parties") {
		f.Parties = append(f.Parties, receipt.Party{Name: words(t, "party"),
			ReceivedAt: maybe(t, "party received"), EffectiveAt: maybe(t, "party effective"),
			BoundaryAt: maybe(t, "party boundary")})
	}
	for range rapid.IntRange(0, 3).Draw(t, "gates") {
		total := count(t, "gates total")
		f.Gates = append(f.Gates, receipt.Coverage{At: moment(t, "gates at"), Total: total,
			Covered: rapid.Uint64Range(0, total).Draw(t, "gates covered")})
	}
	return f
}

func drawDay(t *rapid.T) *receipt.Day {
	date := moment(t, "date")
	d := &receipt.Day{Issuer: words(t, "issuer"), Chain: words(t, "chain"), Number: 1,
		BusinessDate: uint32(date.Year()*10000 + int(date.Month())*100 + date.Day()),
		IssuedAt:     moment(t, "issued"), Counts: receipt.Counts{Store: count(t, "store"),
			Stream: count(t, "stream"), Warehouse: count(t, "warehouse"), Settlement: count(t, "settled")}}
	if rapid.Bool().Draw(t, "not the first") {
		d.Number, d.Previous = rapid.Uint64Range(2, receipt.IntegerMax).Draw(t, "number"),
			drawHash(t, "previous")
		d.Previous[0] |= 1
	}
	for bucket := range rapid.Uint64Range(0, 4).Draw(t, "buckets") {
		for epoch := range rapid.Uint64Range(1, 2).Draw(t, "epochs") {
			first := rapid.Uint64Range(1, 1<<40).Draw(t, "first")
			n := rapid.Uint64Range(0, 1<<40).Draw(t, "records")
			d.Buckets = append(d.Buckets, receipt.Bucket{Bucket: bucket, Epoch: epoch, First: first,
				Last: first + n - 1, Count: n, Head: drawHash(t, "head")})
		}
	}
	if rapid.Bool().Draw(t, "with books") {
		d.Books = drawHash(t, "books")
	}
	names := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "Z", "é", "公", "taps"}),
		0, 5, rapid.ID[string]).Draw(t, "totals")
	slices.Sort(names)
	for _, name := range names {
		d.Totals = append(d.Totals, receipt.Total{Name: name, Count: count(t, "total"), AmountFen: rapid.
			Int64Range(-receipt.IntegerMax, receipt.IntegerMax).Draw(t, "amount")})
	}
	return d
}

// TestAnyStatement: whatever can be said is said, signed and read back the same, and its
// encoding is what an independent encoder of RFC 8785 makes of it.
func TestAnyStatement(t *testing.T) {
	by, list := signers(t)
	for i := range list {
		list[i].NotBefore, list[i].NotAfter = time.Time{}, time.Time{}
	}
	keys := trust(t, list...)
	rapid.Check(t, func(r *rapid.T) {
		var s receipt.Statement = drawDay(r)
		if rapid.Bool().Draw(r, "freeze") {
			s = drawFreeze(r)
		}
		signer := by[rapid.IntRange(0, 1).Draw(r, "algorithm")]
		b, err := receipt.Canonical(s)
		if err != nil {
			r.Fatal(err)
		}
		if want := reference(r, b); want != string(b) {
			r.Fatalf("%s\nthe reference says\n%s", b, want)
		}
		got, err := keys.Verify(seal(t, s, signer))
		if err != nil || !reflect.DeepEqual(got, s) {
			r.Fatalf("%+v became %+v, %v", s, got, err)
		}
	})
}

// reference decodes JSON by the standard library and encodes it by RFC 8785, with other means
// than the package: it sorts by the big-endian bytes of UTF-16, and lets encoding/json escape.
func reference(t interface{ Fatal(...any) }, b []byte) string {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return referenceValue(v)
}

func referenceValue(v any) string {
	switch v := v.(type) {
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int { return strings.Compare(units(a), units(b)) })
		for i, name := range names {
			names[i] = referenceText(name) + ":" + referenceValue(v[name])
		}
		return "{" + strings.Join(names, ",") + "}"
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = referenceValue(item)
		}
		return "[" + strings.Join(items, ",") + "]"
	case string:
		return referenceText(v)
	}
	return fmt.Sprint(v)
}

func units(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		b.WriteByte(byte(u >> 8))
		b.WriteByte(byte(u))
	}
	return b.String()
}

func referenceText(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return err.Error()
	}
	out := strings.TrimSuffix(b.String(), "\n")
	return strings.NewReplacer(`\u2028`, "\u2028", `\u2029`, "\u2029").Replace(out)
}

// TestEveryFieldIsSigned changes each field of each statement by reflection, down to the last
// list item: a field that is added to the struct and forgotten in the encoding shows here.
func TestEveryFieldIsSigned(t *testing.T) {
	for _, fresh := range []func() receipt.Statement{
		func() receipt.Statement { return freeze() },
		func() receipt.Statement { d := day(); d.Number, d.Previous[0] = 2, 1; return d },
	} {
		base, err := receipt.Canonical(fresh())
		if err != nil {
			t.Fatal(err)
		}
		changed := 0
		for i := 0; ; i++ {
			s := fresh()
			name, ok := change(reflect.ValueOf(s).Elem(), "", &[]int{i}[0])
			if !ok {
				break
			}
			b, err := receipt.Canonical(s)
			if err == nil && bytes.Equal(b, base) {
				t.Errorf("%s: %s does not count", s.Kind(), name)
			}
			if err == nil {
				changed++
			}
		}
		if changed < 20 {
			t.Errorf("only %d fields of %s could be changed alone", changed, fresh().Kind())
		}
	}
}

// change alters the leaf number *n of v and returns its name; false when there is none.
func change(v reflect.Value, name string, n *int) (string, bool) {
	switch v.Kind() {
	case reflect.Struct:
		if at, ok := v.Addr().Interface().(*time.Time); ok {
			return name, leaf(n, func() { *at = at.Add(time.Millisecond).UTC() })
		}
		for i := range v.NumField() {
			if found, ok := change(v.Field(i), name+"."+v.Type().Field(i).Name, n); ok {
				return found, true
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if found, ok := change(v.Index(i), fmt.Sprintf("%s[%d]", name, i), n); ok {
				return found, true
			}
		}
	case reflect.String:
		return name, leaf(n, func() { v.SetString("*" + v.String()) })
	case reflect.Int64:
		return name, leaf(n, func() { v.SetInt(v.Int() + 1) })
	default:
		return name, leaf(n, func() { v.SetUint(v.Uint() + 1) })
	}
	return "", false
}

// leaf counts down and does it at zero.
func leaf(n *int, do func()) bool {
	*n--
	if *n >= 0 {
		return false
	}
	do()
	return true
}
