package foreign

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// accountPurse is the ledger's account of what cards are owed.
const accountPurse txn.Account = "purse"

// Net is what one institution and this switch owe each other for one day: its cards paid here,
// and were loaded here.
type Net struct {
	Institution string           `json:"institution"`
	Day         txn.BusinessDate `json:"-"`
	Count       int              `json:"count"`
	// Used was taken from its purses here: the institution owes it to us.
	Used txn.Minor `json:"used"`
	// Given was put on them here, by loads, refunds and reversals: we owe it.
	Given txn.Minor `json:"given"`
	// Due is Used less Given: positive is owed to us.
	Due txn.Minor `json:"due"`
	// Declined are refusals, for the question why a guest could not ride.
	Declined int `json:"declined"`
}

// Netting adds up the records of other institutions' cards. It is not safe for concurrent use.
type Netting struct {
	of   map[string]bool
	rows map[string]*Net
}

// NewNetting nets with the institutions that are given.
func NewNetting(institutions []string) *Netting {
	n := &Netting{map[string]bool{}, map[string]*Net{}}
	for _, name := range institutions {
		n.of[name] = true
	}
	return n
}

// Add takes a settled record; one of our own cards or of a bank's is passed over. What counts
// is what the record moved into and out of the purse, so that the netting and the ledger
// cannot differ. The error is of an amount beyond all bounds.
func (n *Netting) Add(r *txn.Record) error {
	if !n.of[r.Issuer] || r.Kind.IsBank() || r.Kind.IsMarker() || r.Kind == txn.TransferOut ||
		r.Kind == txn.TransferIn {
		return nil
	}
	key := r.Issuer + "/" + r.BusinessDate.String()
	row := n.rows[key]
	if row == nil {
		row = &Net{Institution: r.Issuer, Day: r.BusinessDate}
		n.rows[key] = row
	}
	if r.Outcome != txn.Approved {
		row.Declined++
		return nil
	}
	moved := txn.Minor(0)
	for _, p := range r.Postings {
		if p.Account == accountPurse {
			moved += p.Amount
		}
	}
	if moved == 0 {
		return nil
	}
	row.Count++
	var err error
	if moved < 0 {
		row.Used, err = row.Used.Add(-moved)
	} else {
		row.Given, err = row.Given.Add(moved)
	}
	if err != nil {
		return fmt.Errorf("netting with %s: %w", r.Issuer, err)
	}
	row.Due = row.Used - row.Given
	return nil
}

// Rows returns the sums, by institution and day.
func (n *Netting) Rows() []Net {
	rows := make([]Net, 0, len(n.rows))
	for row := range maps.Values(n.rows) {
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b Net) int {
		return cmp.Or(cmp.Compare(a.Institution, b.Institution), cmp.Compare(a.Day, b.Day))
	})
	return rows
}

// CSV writes rows with a heading; amounts are minor units.
func CSV(rows []Net) []byte {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	_ = w.Write([]string{"institution", "day", "count", "used", "given", "due", "declined"}) // a buffer never fails
	for i := range rows {
		r := &rows[i]
		_ = w.Write([]string{r.Institution, r.Day.String(), strconv.Itoa(r.Count), amount(r.Used), amount(r.Given),
			amount(r.Due), strconv.Itoa(r.Declined)})
	}
	w.Flush()
	return out.Bytes()
}

func amount(m txn.Minor) string { return strconv.FormatInt(int64(m), 10) }
