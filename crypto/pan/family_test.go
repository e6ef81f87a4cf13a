package pan_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

func parse(t testing.TB, s string) pan.Number {
	t.Helper()
	n, err := pan.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTUnionNotation: 20 digits with the leading zero and 19 without are one card, one
// token, one freeze.
func TestTUnionNotation(t *testing.T) {
	tokens, err := pan.NewTokenizer(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"3104000000000000001", "3105999999999999999"} {
		with, without := parse(t, "0"+s), parse(t, s)
		if with != without || tokens.Token(with) != tokens.Token(without) || with.Digits() != s {
			t.Errorf("0%s and %s are two cards", s[:4], s[:4])
		}
	}
	// Another number of 20 digits keeps its zero.
	if got := parse(t, "03100000000000000001").Digits(); len(got) != 20 {
		t.Errorf("%d digits", len(got))
	}
}

func TestFamilyCheck(t *testing.T) {
	for _, c := range []struct {
		family pan.Family
		number string
		want   error
	}{
		{pan.TUnion, "3104000000000000001", nil},
		{pan.TUnion, "03105000000000000001", nil},
		{pan.TUnion, "310400000000000001", pan.ErrLength},
		{pan.TUnion, "3106000000000000001", pan.ErrPrefix},
		{pan.CJT166, "1000000000000001", nil},
		{pan.CJT166, "10000000000000017", pan.ErrLength},
		{pan.Bank, "6200000000000005", nil},
		{pan.Bank, "6200000000000006", pan.ErrCheckDigit},
		{pan.Bank, "620000000000004", pan.ErrLength},
		{pan.ECard, "12345678901234567890", nil},
		{pan.ECard, "123456789012345", pan.ErrLength},
		{pan.FamilyUnknown, "12345678", nil},
	} {
		err := c.family.Check(parse(t, c.number))
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%v %s: %v, want %v", c.family, c.number, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), c.number[4:]) {
			t.Errorf("the error shows the number: %v", err)
		}
	}
	if err := pan.ECard.Check(pan.Number{}); err == nil {
		t.Error("no number passes")
	}
}

func TestGuess(t *testing.T) {
	for s, want := range map[string]pan.Family{
		"3104000000000000001": pan.TUnion, "6200000000000005": pan.Bank,
		"6200000000000006": pan.CJT166, "1000000000000001": pan.CJT166, "12345678": pan.FamilyUnknown,
	} {
		if got := pan.Guess(parse(t, s)); got != want {
			t.Errorf("%s: %v, want %v", s, got, want)
		}
	}
}

// TestLuhn: exactly one last digit fits, and a wrong digit or two neighbours exchanged are
// found (but for 0 and 9, which the formula cannot tell).
func TestLuhn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.StringMatching(`[0-9]{15,18}`).Draw(t, "body")
		var good []string
		for d := range 10 {
			n, err := pan.Parse(body + fmt.Sprint(d))
			if err != nil {
				t.Fatal(err)
			}
			if n.Luhn() {
				good = append(good, n.Digits())
			}
		}
		if len(good) != 1 {
			t.Fatalf("%d check digits fit", len(good))
		}
		number := []byte(good[0])
		i := rapid.IntRange(0, len(number)-1).Draw(t, "at")
		was := number[i]
		number[i] = '0' + (was-'0'+byte(rapid.IntRange(1, 9).Draw(t, "plus")))%10
		if n, _ := pan.Parse(string(number)); n.Luhn() && len(n.Digits()) == len(number) {
			t.Fatal("a wrong digit was not found")
		}
	})
	if (pan.Number{}).Luhn() {
		t.Error("no number has a check digit")
	}
}

func TestFamilyNames(t *testing.T) {
	for f := pan.TUnion; f <= pan.ECard; f++ {
		if got, err := pan.ParseFamily(f.String()); got != f || err != nil {
			t.Errorf("%v: %v %v", f, got, err)
		}
	}
	if _, err := pan.ParseFamily("unknown"); err == nil {
		t.Error("unknown is a family")
	}
	if pan.Family(77).String() != "unknown" {
		t.Error("a family without a name")
	}
}

func TestExtract(t *testing.T) {
	serial := []byte("\x01\x23\x45\x67\x89\xff\xff\xff\xff\xff")
	file := append(make([]byte, 10), "\x03\x10\x40\x00\x00\x00\x00\x00\x12\x34"...)
	for name, c := range map[string]struct {
		e    pan.Extractor
		file []byte
		want string
		err  error
	}{
		"t-union":      {pan.TUnionFile15, file, "3104000000000001234", nil},
		"cj/t 166":     {pan.CJT166File15, file, "4000000000001234", nil},
		"too short":    {pan.TUnionFile15, file[:19], "", pan.ErrFile},
		"empty":        {pan.TUnionFile15, nil, "", pan.ErrFile},
		"not t-union":  {pan.TUnionFile15, append(make([]byte, 10), "\x12\x34\x56\x78\x90\x12\x34\x56\x78\x90"...), "", pan.ErrPrefix},
		"filled":       {pan.Extractor{Length: 10}, serial, "0123456789", nil},
		"f inside":     {pan.Extractor{Length: 4}, []byte{0x12, 0xf3, 0x45, 0x67}, "", pan.ErrFile},
		"not bcd":      {pan.Extractor{Length: 4}, []byte{0x12, 0x3a, 0x45, 0x67}, "", pan.ErrFile},
		"few digits":   {pan.Extractor{Length: 4, Digits: 10}, []byte{1, 2, 3, 4}, "", pan.ErrFile},
		"little":       {pan.Extractor{Length: 4, Coding: pan.LittleEndian, Digits: 10}, []byte{0xd2, 2, 0x96, 0x49}, "1234567890", nil},
		"big":          {pan.Extractor{Length: 4, Coding: pan.BigEndian, Digits: 10}, []byte{0, 0, 0, 7}, "0000000007", nil},
		"long integer": {pan.Extractor{Length: 9, Coding: pan.BigEndian}, make([]byte, 9), "", pan.ErrFile},
		"ascii":        {pan.Extractor{Offset: 2, Length: 20, Coding: pan.ASCII}, []byte("..12345678901234567   "), "12345678901234567", nil},
		"ascii junk":   {pan.Extractor{Length: 8, Coding: pan.ASCII}, []byte("1234567x"), "", pan.ErrFile},
		"nothing":      {pan.Extractor{}, file, "", pan.ErrFile},
		"before":       {pan.Extractor{Offset: -1, Length: 4}, file, "", pan.ErrFile},
		"coding":       {pan.Extractor{Length: 8, Coding: 9}, file, "", pan.ErrFile},
	} {
		n, err := c.e.Extract(c.file)
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
		if err == nil && n.Digits() != c.want {
			t.Errorf("%s: %s, want %s", name, n.Digits(), c.want)
		}
	}
}

func FuzzExtract(f *testing.F) {
	f.Add([]byte("\x03\x10\x40\x00\x00\x00\x00\x00\x12\x34"), 0, 10, byte(0), 19)
	f.Add([]byte("12345678901234567   "), 0, 20, byte(3), 0)
	f.Fuzz(func(t *testing.T, file []byte, offset, length int, coding byte, digits int) {
		n, err := pan.Extractor{Offset: offset, Length: length, Coding: pan.Coding(coding),
			Digits: digits}.Extract(file)
		if err == nil && n.IsZero() {
			t.Error("neither number nor error")
		}
	})
}

func TestParseTrack2(t *testing.T) {
	for track, ok := range map[string]bool{
		"6200000000000005=30122010000012345678":             true,
		"6200000000000005D3012201":                          true,
		"6200000000000005=3013201":                          false, // month
		"6200000000000005=30122":                            false, // no service code
		"6200000000000005=3012201=1":                        false,
		"62000000x0000005=3012201":                          false,
		"6200000000000005":                                  false,
		"=3012201":                                          false,
		"6200000000000005=30122010000012345678901234567890": false,
	} {
		got, err := pan.ParseTrack2([]byte(track))
		if (err == nil) != ok || (err != nil && !errors.Is(err, pan.ErrTrack2)) {
			t.Errorf("%s: %v", track, err)
		}
		if ok && (got.Number.Digits() != track[:16] || string(got.Expiry[:]) != "3012" ||
			string(got.Service[:]) != "201") {
			t.Errorf("%s: %s %s", track, got.Expiry, got.Service)
		}
		if err != nil && strings.Contains(err.Error(), "620000") {
			t.Errorf("the error shows the number: %v", err)
		}
	}
}

func FuzzParseTrack2(f *testing.F) {
	f.Add([]byte("6200000000000005=30122010000012345678"))
	f.Add([]byte("D"))
	f.Fuzz(func(t *testing.T, track []byte) {
		got, err := pan.ParseTrack2(track)
		if (err == nil) == got.Number.IsZero() {
			t.Errorf("number and error: %v", err)
		}
	})
}

const issuerTable = `prefix,family,id,name
3104,t_union,TU,T-Union
31051700,t_union,TU1700,Beijing
310517002011,t_union,TU1700S,"Beijing, suburban rail"
62,bank,UP,UnionPay
6200001,bank,B1,Test bank
`

func TestIssuers(t *testing.T) {
	table, err := pan.ReadIssuers(strings.NewReader(issuerTable))
	if err != nil || table.Len() != 5 {
		t.Fatal(table, err)
	}
	for number, want := range map[string]string{
		"3104999999999999999": "TU", "3105170000000000000": "TU1700", "3105170020110000000": "TU1700S",
		"03105170020110000000": "TU1700S", "3105170020100000000": "TU1700", "3105000000000000000": "",
		"6200000000000000": "UP", "6200001000000000": "B1", "12345678": "",
	} {
		is, ok := table.Find(parse(t, number))
		if is.ID != want || ok != (want != "") {
			t.Errorf("%s: %q %v, want %q", number, is.ID, ok, want)
		}
	}
	if _, ok := table.Find(pan.Number{}); ok {
		t.Error("no number has an issuer")
	}
	n := parse(t, "3105170020110000000")
	if allocs := testing.AllocsPerRun(100, func() { table.Find(n) }); allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestIssuersRefuse: the error names the line.
func TestIssuersRefuse(t *testing.T) {
	for line, says := range map[string]string{
		"62,bank,UP,again":               "belongs to",
		"6x,bank,A,a":                    "not digits",
		",bank,A,a":                      "0 characters",
		"123456789012345678901,bank,A,a": "21 characters",
		"7,bank,,a":                      "no issuer id",
		"7,tram,A,a":                     "card family",
		"7,bank,A":                       "wrong number of fields",
		`7,bank,"A,a`:                    "quote",
	} {
		_, err := pan.ReadIssuers(strings.NewReader(issuerTable + line + "\n"))
		if !errors.Is(err, pan.ErrIssuers) || !strings.Contains(err.Error(), "line 7") ||
			!strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", line, err)
		}
	}
	for _, head := range []string{"", "prefix,id,family,name\n"} {
		if _, err := pan.ReadIssuers(strings.NewReader(head)); err == nil {
			t.Errorf("%q is a table", head)
		}
	}
	if _, err := pan.NewIssuers([]pan.Issuer{{Prefix: "1", ID: "a", Family: 99}}); err == nil {
		t.Error("an unknown family is taken")
	}
}

// TestIssuersLongest compares with the obvious search.
func TestIssuersLongest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefixes := rapid.SliceOfNDistinct(rapid.StringMatching(`[12]{1,6}`), 0, 30, rapid.ID).Draw(t, "prefixes")
		var list []pan.Issuer
		for _, p := range prefixes {
			list = append(list, pan.Issuer{Prefix: p, ID: "i" + p, Family: pan.ECard})
		}
		table, err := pan.NewIssuers(list)
		if err != nil {
			t.Fatal(err)
		}
		s := rapid.StringMatching(`[123]{8,20}`).Draw(t, "number")
		want := ""
		for _, p := range prefixes {
			if strings.HasPrefix(s, p) && len(p) > len(want) {
				want = p
			}
		}
		n, err := pan.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		if is, ok := table.Find(n); ok != (want != "") || is.Prefix != want {
			t.Fatalf("%s: %q, want %q", s, is.Prefix, want)
		}
	})
}

func FuzzReadIssuers(f *testing.F) {
	f.Add(issuerTable)
	f.Fuzz(func(t *testing.T, s string) {
		table, err := pan.ReadIssuers(strings.NewReader(s))
		if (table == nil) == (err == nil) {
			t.Error("neither table nor error")
		}
	})
}

func BenchmarkFindIssuer(b *testing.B) {
	table, _ := pan.ReadIssuers(strings.NewReader(issuerTable))
	n := parse(b, "3105170020110000000")
	b.ReportAllocs()
	for b.Loop() {
		table.Find(n)
	}
}
