package pos

import (
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/tlv"
)

// A list is taken apart at its names; what stands behind a name is skipped, and a list that is
// cut ends where it is cut.
func TestSplit(t *testing.T) {
	const key, app = "9f0605a0000003339f220101df050420351231", "9f0608a000000333010101"
	for text, want := range map[string][]string{
		"": nil, app: {app}, app + app: {app, app},
		key + key:     {"9f0605a0000003339f220101", "9f0605a0000003339f220101"},
		app + key[:9]: {app}, "9f220101": nil,
	} {
		raw, _ := hex.DecodeString(text[:len(text)/2*2])
		var got []string
		for _, name := range split(raw) {
			got = append(got, hex.EncodeToString(name))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestCheckKey(t *testing.T) {
	sum := sha1.Sum([]byte("RIDIDimodulus\x03"))
	key := []tlv.Element{{Tag: 0x9F06, Value: []byte("RIDID")}, {Tag: 0x9F22, Value: []byte("i")},
		{Tag: 0xDF02, Value: []byte("modulus")}, {Tag: 0xDF04, Value: []byte{3}},
		{Tag: 0xDF03, Value: sum[:]}}
	if err := checkKey(key); err != nil {
		t.Error(err)
	}
	key[2].Value = []byte("modulux")
	if checkKey(key) == nil {
		t.Error("a key with a wrong check value is taken")
	}
}

// What a row moves, and what can still be given back of it.
func TestRows(t *testing.T) {
	for _, c := range []struct {
		row         Row
		moves, left int64
	}{
		{Row{Kind: Purchase, State: Approved, Minor: 100}, 100, 100},
		{Row{Kind: Purchase, State: Declined, Minor: 100}, 0, 100},
		{Row{Kind: Purchase, State: Approved, Minor: 100, Amended: 20, Refunded: 30}, 100, 70},
		{Row{Kind: Purchase, State: Approved, Minor: 100, Amended: -20, Refunded: 30}, 100, 50},
		{Row{Kind: Refund, State: Approved, Minor: 100}, -100, 100},
		{Row{Kind: Void, State: Approved, Minor: 100}, -100, 100},
		{Row{Kind: PreAuthVoid, State: Approved, Minor: 100}, 0, 100},
		{Row{Kind: PreAuth, State: Approved, Minor: 100}, 0, 100},
		{Row{Kind: Tip, State: Approved, Minor: 110, Difference: 10}, 10, 110},
		{Row{Kind: Adjust, State: Approved, Minor: 90, Difference: -10}, -10, 90},
		{Row{Kind: Adjust, State: Unanswered, Minor: 90, Difference: -10}, 0, 90},
		{Row{Kind: CashLoad, State: Approved, Minor: 100}, 100, 100},
	} {
		if c.row.Moved() != c.moves || c.row.left() != c.left {
			t.Errorf("%+v moves %d and leaves %d", c.row, c.row.Moved(), c.row.left())
		}
	}
}

// What a terminal believes of its batch has adjustments in the sales and loads among them.
func TestTotals(t *testing.T) {
	term := &terminal{report: TerminalReport{Batch: "000001"}}
	for _, r := range []Row{{Kind: Purchase, Minor: 100, Amended: 15}, {Kind: Load, Minor: 50},
		{Kind: CashLoad, Minor: 30}, {Kind: Tip, Minor: 115, Difference: 15}, {Kind: Refund, Minor: 7},
		{Kind: Purchase, Minor: 9, Closed: true}} {
		r.State, r.Batch = Approved, "000001"
		term.rows = append(term.rows, &r)
	}
	if s := term.totals(); s.DebitAmount != 195 || s.DebitCount != 3 || s.CreditAmount != 7 ||
		s.CreditCount != 1 {
		t.Errorf("%+v", s)
	}
}
