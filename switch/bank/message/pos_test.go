package message

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// The lengths of field 60 that are seen on the wire: 8, 11, 13, 14, 17 and 19 digits.
func TestPrivate(t *testing.T) {
	for _, c := range []struct {
		digits string
		want   Private
	}{
		{"00000001", Private{Type: "00", Batch: "000001"}},
		{"00000001003", Private{Type: "00", Batch: "000001", Network: "003"}},
		{"2200000100060", Private{Type: "22", Batch: "000001", Network: "000", ReadCapability: "6",
			ICCondition: "0"}},
		{"22000001000601", Private{Type: "22", Batch: "000001", Network: "000", ReadCapability: "6",
			ICCondition: "0", Partial: "1"}},
		{"22000001000601156", Private{"22", "000001", "000", "6", "0", "1", "156", ""}},
		{"2200000100060115600", Private{"22", "000001", "000", "6", "0", "1", "156", "00"}},
		{"", Private{}},
	} {
		got, err := ParsePrivate(c.digits)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.digits, got, err)
		}
		if back, err := got.Digits(); err != nil || back != c.digits {
			t.Errorf("%s became %s, %v", c.digits, back, err)
		}
	}
	for _, bad := range []string{"0", "000", "0000000", "000000001", "0000000100"} {
		if _, err := ParsePrivate(bad); !errors.Is(err, ErrSubfield) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range []Private{{Type: "1"}, {Batch: "000001"}, {Type: "2x"}, {Type: "22", Rest: "0"},
		{Type: "00", Batch: "000001", Partial: "1"}} {
		if got, err := bad.Digits(); !errors.Is(err, ErrSubfield) {
			t.Errorf("%+v is %s", bad, got)
		}
	}
}

func TestOriginal(t *testing.T) {
	for _, digits := range []string{"000001000002", "0000010000020615",
		"00000100000206150100003060000"} {
		o, err := ParseOriginal(digits)
		if err != nil || o.Batch != "000001" || o.STAN != "000002" {
			t.Errorf("%+v, %v", o, err)
		}
		if back, err := o.Digits(); err != nil || back != digits {
			t.Errorf("%s became %s, %v", digits, back, err)
		}
	}
	elements := "0200" + "000002" + "0615083100" + "00003060000" + "00003080000"
	o, err := ParseOriginalElements(elements)
	if err != nil || o.MTI != "0200" || o.Sent != "0615083100" || o.Forwarder != "00003080000" {
		t.Errorf("%+v, %v", o, err)
	}
	if back, err := o.Digits(); err != nil || back != elements {
		t.Errorf("%s, %v", back, err)
	}
	for _, bad := range []string{elements[1:], elements + "0", "", elements[:31]} {
		if _, err := ParseOriginalElements(bad); !errors.Is(err, ErrSubfield) {
			t.Errorf("%d digits: %v", len(bad), err)
		}
	}
}

func TestSecurity(t *testing.T) {
	for digits, want := range map[string]Security{
		"2600000000000000": {2, 6, false}, "2610000000000000": {2, 6, true},
		"2410000000000000": {2, 4, true}, "0400000000000000": {0, 4, false}} {
		got, err := ParseSecurity(digits)
		if err != nil || got != want || got.Digits() != digits {
			t.Errorf("%s: %+v, %v", digits, got, err)
		}
	}
	for _, bad := range []string{"", "26", "2620000000000000"} {
		if _, err := ParseSecurity(bad); !errors.Is(err, ErrSubfield) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A settlement goes there and back (DOMAIN.md 2.5), and what does not fit is refused.
func TestSettlement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) Totals {
			amount, count := rapid.Int64Range(0, AmountMax), rapid.IntRange(0, countMax)
			return Totals{amount.Draw(t, name), count.Draw(t, name), amount.Draw(t, name),
				count.Draw(t, name), Verdict(rapid.IntRange(0, 3).Draw(t, name))}
		}
		s := Settlement{draw("domestic"), draw("foreign")}
		digits, err := s.Digits()
		if err != nil || len(digits) != 62 {
			t.Fatalf("%s, %v", digits, err)
		}
		if back, err := ParseSettlement(digits); err != nil || back != s {
			t.Fatalf("%+v, %v", back, err)
		}
	})
	golden := "0000000002500010000000000000000" + strings.Repeat("0", 31)
	s, err := ParseSettlement(golden)
	if err != nil || s.Domestic != (Totals{DebitAmount: 250, DebitCount: 1}) {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"", golden[1:], "+" + golden[1:], golden[:30] + "4" + golden[31:],
		golden[:61] + "x"} {
		if _, err := ParseSettlement(bad); !errors.Is(err, ErrSubfield) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, bad := range []Totals{{DebitAmount: -1}, {CreditAmount: AmountMax + 1}, {DebitCount: 1000},
		{CreditCount: -1}, {Verdict: 4}} {
		if _, err := (Settlement{Foreign: bad}).Digits(); !errors.Is(err, ErrSubfield) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestUpload(t *testing.T) {
	number, err := pan.Parse("6225000000000000005")
	if err != nil {
		t.Fatal(err)
	}
	row := UploadRow{Type: "01", STAN: 2, PAN: number, Amount: 250}
	for n := range uploadRowsMax + 1 {
		rows := make([]UploadRow, n)
		for i := range rows {
			rows[i] = row
		}
		digits, err := UploadDigits(rows)
		if err != nil || len(digits) != 2+40*n || len(digits) > 322 {
			t.Fatalf("%d rows: %d digits, %v", n, len(digits), err)
		}
		back, err := ParseUpload(digits)
		if err != nil || len(back) != n {
			t.Fatalf("%d rows became %d, %v", n, len(back), err)
		}
		for _, got := range back {
			if got != row {
				t.Errorf("%+v", got)
			}
		}
	}
	if _, err := UploadDigits(make([]UploadRow, uploadRowsMax+1)); !errors.Is(err, ErrSubfield) {
		t.Error("nine rows fit")
	}
	if _, err := UploadDigits([]UploadRow{{Type: "01"}}); !errors.Is(err, ErrSubfield) {
		t.Error("a row without a card fits")
	}
	for _, bad := range []string{"", "0", "01", "99" + strings.Repeat("0", 40), "02" +
		strings.Repeat("0", 40), "01" + strings.Repeat("0", 40), "-1"} {
		if _, err := ParseUpload(bad); !errors.Is(err, ErrSubfield) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestBalances(t *testing.T) {
	text := "1002156C000000012345" + "1001156D000000000001"
	all, err := ParseBalances(text)
	if err != nil || len(all) != 2 || all[0].Minor != 12345 || all[1].Minor != -1 {
		t.Fatalf("%+v, %v", all, err)
	}
	if back, err := BalanceText(all); err != nil || back != text {
		t.Errorf("%s, %v", back, err)
	}
	for _, bad := range []string{"1", "1002156X000000012345", "1002156C-00000012345"} {
		if _, err := ParseBalances(bad); !errors.Is(err, ErrSubfield) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := BalanceText([]Balance{{"10", "02", "15", 1}}); !errors.Is(err, ErrSubfield) {
		t.Error("a currency of two characters")
	}
}

// The three layouts of keys in a sign-on answer (DOMAIN.md 3.4).
func TestWorkingKeys(t *testing.T) {
	check := [4]byte{0xAA, 0xBB, 0xCC, 0xDD}
	key := func(b byte, n int) WrappedKey {
		return WrappedKey{Key: bytes.Repeat([]byte{b}, n), Check: check}
	}
	for _, c := range []struct {
		size int
		keys WorkingKeys
	}{
		{24, WorkingKeys{PIN: key(1, 8), MAC: key(2, 8)}},
		{40, WorkingKeys{PIN: key(1, 16), MAC: key(2, 8)}},
		{40, WorkingKeys{PIN: key(1, 16), MAC: key(2, 16)}},
		{60, WorkingKeys{PIN: key(1, 16), MAC: key(2, 8), Track: key(3, 16)}},
	} {
		data, err := c.keys.Bytes()
		if err != nil || len(data) != c.size {
			t.Fatalf("%d bytes, want %d, %v", len(data), c.size, err)
		}
		back, err := ParseWorkingKeys(data)
		if err != nil {
			t.Fatal(err)
		}
		for i, pair := range [][2]WrappedKey{{back.PIN, c.keys.PIN}, {back.MAC, c.keys.MAC},
			{back.Track, c.keys.Track}} {
			if !bytes.Equal(pair[0].Key, pair[1].Key) || pair[0].Check != pair[1].Check {
				t.Errorf("%d bytes: key %d differs", c.size, i+1)
			}
		}
		text := fmt.Sprintf("%v %+v %x %#v", back, back, back, back.PIN)
		if strings.Contains(text, "0101") {
			t.Error("a key is printed:", text)
		}
	}
	for _, n := range []int{0, 23, 25, 57, 61} {
		if _, err := ParseWorkingKeys(make([]byte, n)); !errors.Is(err, ErrSubfield) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := (WorkingKeys{PIN: key(1, 8), MAC: key(2, 16)}).Bytes(); !errors.Is(err, ErrSubfield) {
		t.Error("a double MAC key beside a single PIN key")
	}
	if serial, ok := ParseSequence([]byte("Sequence No2312345678")); serial != "2312345678" || !ok {
		t.Error(serial, ok)
	}
	for _, bad := range []string{"", "Sequence", "sequence No1", "Sequence No\x00"} {
		if _, ok := ParseSequence([]byte(bad)); ok {
			t.Errorf("%q is a serial", bad)
		}
	}
}

func TestNotice(t *testing.T) {
	for _, n := range []Notice{{Code: "001"}, {"CUP", "发卡方", "银联", "受理方 提示"},
		{Code: "VIS", Host: "hello"}} {
		data, err := n.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseNotice(data); err != nil || back != n {
			t.Errorf("%+v became %+v, %v", n, back, err)
		}
	}
	if n, err := ParseNotice([]byte("CUPshort")); err != nil || n.Issuer != "short" {
		t.Errorf("%+v, %v", n, err)
	}
	for _, bad := range []string{"", "CU", "\x00\x00\x00", strings.Repeat("x", 104)} {
		if _, err := ParseNotice([]byte(bad)); !errors.Is(err, ErrSubfield) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	long := Notice{Code: "CUP", Issuer: strings.Repeat("长", 11)}
	if _, err := long.Bytes(); !errors.Is(err, ErrSubfield) {
		t.Error("22 bytes in 20")
	}
}

// Whatever stands in the private fields, taking them apart neither panics nor loops, and what
// is taken apart goes back together.
func FuzzSubfields(f *testing.F) {
	f.Add([]byte("22000001000601"))
	f.Add([]byte("0106225000000000000005000000000250"))
	f.Add([]byte("CUP\xb7\xa2\xbf\xa8\xb7\xbd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := string(data)
		if p, err := ParsePrivate(text); err == nil {
			if back, err := p.Digits(); err == nil && back != text {
				t.Fatalf("field 60 became %d characters", len(back))
			}
		}
		_, _ = ParseOriginal(text)
		_, _ = ParseOriginalElements(text)
		_, _ = ParseSecurity(text)
		if s, err := ParseSettlement(text); err == nil {
			if back, err := s.Digits(); err != nil || back != text {
				t.Fatalf("settlement: %v", err)
			}
		}
		if rows, err := ParseUpload(text); err == nil && len(rows) > uploadRowsMax {
			t.Fatal("too many rows")
		}
		_, _ = ParseBalances(text)
		_, _ = ParseSequence(data)
		_, _ = ParseNotice(data)
		if keys, err := ParseWorkingKeys(data); err == nil {
			if back, err := keys.Bytes(); err != nil || !bytes.Equal(back, data) {
				t.Fatalf("keys: %v", err)
			}
		}
	})
}
