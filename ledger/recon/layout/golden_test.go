package layout_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/encoding/simplifiedchinese"
	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/layout"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// samples are files as counterparties send them, by the layout that the binary carries for them.
func samples() map[string][]byte {
	return map[string][]byte{
		"clearing-fixed": join(clearing(5)),
		"bank-csv":       gb(statement + "合计,,1234.50,50.00,,,\n"),
		"camt053":        camt(entries, "109.50"),
	}
}

// golden compares text with a file of testdata.
func golden(t *testing.T, name string, text []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, want) {
		t.Errorf("%s changed:\n%s\nwant\n%s", path, text, want)
	}
}

// lines writes rows as JSON, one a line, with their places.
func lines(t testing.TB, rows []recon.Row) []byte {
	t.Helper()
	var b bytes.Buffer
	for i := range rows {
		text, err := json.Marshal(&rows[i])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%d %s\n", rows[i].Line, text)
	}
	return b.Bytes()
}

// TestGolden: the bytes of each sample and the rows that are read of it: fixed width in GB18030
// with a character of four bytes, CSV in GBK, and camt.053.
func TestGolden(t *testing.T) {
	for name, text := range samples() {
		golden(t, name+".sample", text)
		rows, err := read(file(example(t, name), text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		golden(t, name+".rows", lines(t, rows))
	}
	if !bytes.Contains(samples()["clearing-fixed"], []byte{0x82, 0x30, 0xf3, 0x37}) &&
		!bytes.Contains(samples()["clearing-fixed"], gb("㐀")) {
		t.Error("the sample has no character of four bytes")
	}
	if len(gb("㐀")) != 4 {
		t.Errorf("㐀 has %d bytes in GB18030", len(gb("㐀")))
	}
}

// TestCutAnywhereIsTold: a file that ends early is refused, wherever it was cut, unless all its
// money is there: no part is taken for the whole.
func TestCutAnywhereIsTold(t *testing.T) {
	for name, text := range samples() {
		l := example(t, name)
		good, err := read(file(l, text))
		if err != nil {
			t.Fatal(err)
		}
		count, sum := money(good)
		for at := range text {
			rows, err := read(file(l, text[:at]))
			if errors.Is(err, layout.ErrControl) || errors.Is(err, layout.ErrRefused) {
				continue
			}
			if n, of := money(rows); err != nil || n != count || of != sum {
				t.Fatalf("%s, cut at %d of %d: %d rows of %d, want %d of %d: %v", name, at, len(text), n, of, count,
					sum, err)
			}
		}
	}
}

// TestNoSingleByteMovesMoney: whatever byte of a file becomes whatever other one, the file is
// refused, or a line of it held back, or as many rows are read of as much money.
func TestNoSingleByteMovesMoney(t *testing.T) {
	for name, text := range samples() {
		l := example(t, name)
		good, err := read(file(l, text))
		if err != nil {
			t.Fatal(err)
		}
		count, sum := money(good)
		rapid.Check(t, func(rt *rapid.T) {
			damaged := bytes.Clone(text)
			at := rapid.IntRange(0, len(text)-1).Draw(rt, "byte")
			damaged[at] ^= byte(rapid.IntRange(1, 255).Draw(rt, "xor"))
			rows, err := read(file(l, damaged))
			if err != nil {
				if !errors.Is(err, layout.ErrControl) && !errors.Is(err, layout.ErrRefused) {
					rt.Fatalf("%s, byte %d: %v", name, at, err)
				}
				return
			}
			held := 0
			for _, r := range rows {
				if r.Marks&recon.Unreadable != 0 {
					held++
				}
			}
			if n, of := money(rows); held == 0 && (n != count || of != sum) {
				rt.Fatalf("%s, byte %d: %d rows of %d became %d of %d", name, at, count, sum, n, of)
			}
		})
	}
}

// money counts the rows that can be matched, and sums them.
func money(rows []recon.Row) (n int, sum int64) {
	for _, r := range rows {
		if r.Marks&recon.Unreadable == 0 {
			n, sum = n+1, sum+r.Amount
		}
	}
	return n, sum
}

// TestLinesInAnyOrderAreTheSameMoney: lines that come in another order are as many rows of as
// much money; what header and trailer say still holds.
func TestLinesInAnyOrderAreTheSameMoney(t *testing.T) {
	l := example(t, "clearing-fixed")
	rapid.Check(t, func(rt *rapid.T) {
		all := clearing(rapid.IntRange(0, 12).Draw(rt, "lines"))
		good, err := read(file(l, join(all)))
		if err != nil {
			rt.Fatal(err)
		}
		middle := rapid.Permutation(all[1:len(all)-1]).Draw(rt, "order")
		mixed := append([][]byte{all[0]}, append(middle, all[len(all)-1])...)
		rows, err := read(file(l, join(mixed)))
		if err != nil {
			rt.Fatal(err)
		}
		n, sum := money(rows)
		if count, of := money(good); n != count || sum != of {
			rt.Fatalf("%d rows of %d, want %d of %d", n, sum, count, of)
		}
	})
}

// TestAnyChineseTextSurvives: notes of any characters that GB18030 has come back as they were,
// cut off nowhere, in fixed width and in CSV.
func TestAnyChineseTextSurvives(t *testing.T) {
	fixed, table := example(t, "clearing-fixed"), example(t, "bank-csv")
	printable := func(r rune) bool {
		return unicode.IsPrint(r) && !unicode.IsSpace(r) && r != '"' && r != ',' && r != unicode.ReplacementChar
	}
	rapid.Check(t, func(rt *rapid.T) {
		note := string(rapid.SliceOfN(rapid.Rune().Filter(printable), 1, 9).Draw(rt, "note"))
		encoded, err := simplifiedchinese.GB18030.NewEncoder().Bytes([]byte(note))
		if err != nil || len(encoded) > 40 {
			rt.Skip("GB18030 does not hold it")
		}
		line := ride(1, "S22", "00", 100)
		copy(line[76:116], append(bytes.Clone(encoded), bytes.Repeat([]byte{' '}, 40-len(encoded))...))
		text := join([][]byte{[]byte("0020261120"), line, fmt.Appendf(nil, "99%010d%016d%016d", 1, 100, 0)})
		rows, err := read(file(fixed, text))
		if err != nil || len(rows) != 1 || rows[0].Text[recon.Note] != note {
			rt.Fatalf("%q: %v %v", note, rows, err)
		}
		if gbk, err := simplifiedchinese.GBK.NewEncoder().String(note); err == nil && !strings.HasPrefix(note, "'") {
			head := gb(statement[:strings.Index(statement, "\n")+1])
			text := append(head, []byte("2026-11-20,,1.00,,A1,,"+gbk+"\n")...)
			rows, err := read(file(table, append(text, gb("合计,,1.00,0.00,,,\n")...)))
			if err != nil || len(rows) != 1 || rows[0].Text[recon.Note] != note {
				rt.Fatalf("CSV %q: %+v %v", note, rows, err)
			}
		}
	})
}
