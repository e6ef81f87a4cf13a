package settle

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// OperatorAccount is the class of the accounts that settlement pays out: "operator/M5".
const OperatorAccount = "operator/"

// Report is the totals of one business date. Lists are sorted and never nil.
type Report struct {
	BusinessDate string `json:"business_date"`
	// Complete: nothing more can arrive for the date. A report that is not complete is a
	// look at the day so far.
	Complete bool `json:"complete"`
	// Clean: every record balances, the accounts sum to zero, no request is booked twice.
	Clean       bool                     `json:"clean"`
	Rows        int64                    `json:"rows"`
	Kinds       []warehouse.KindLine     `json:"kinds"`
	Discounts   []warehouse.DiscountLine `json:"discounts"`
	Operators   []warehouse.OperatorLine `json:"operators"`
	Declines    []warehouse.DeclineLine  `json:"declines"`
	Accounts    []warehouse.AccountLine  `json:"accounts"`
	PostingSums []CurrencySum            `json:"posting_sums"`
	Settlement  []PartyLine              `json:"settlement"`
	Unbalanced  int64                    `json:"unbalanced_records"`
	Repeated    int64                    `json:"repeated_requests"`
	RepeatedIDs []string                 `json:"repeated_request_ids"`
	DeadLetters int64                    `json:"dead_letters"`
	Buckets     []BucketRange            `json:"buckets"`
}

// CurrencySum is the sum over all accounts in one currency; anything but zero is an error
// in the books.
type CurrencySum struct {
	Currency uint16 `json:"currency"`
	Amount   int64  `json:"amount"`
}

// PartyLine is what one party is owed (positive) or owes.
type PartyLine struct {
	Party    string `json:"party"`
	Currency uint16 `json:"currency"`
	Postings int64  `json:"postings"`
	Amount   int64  `json:"amount"`
}

// BucketRange is the extent of the date in one bucket.
type BucketRange struct {
	Bucket string `json:"bucket"`
	Rows   int64  `json:"rows"`
	First  string `json:"first"` // record id; empty without rows
	Last   string `json:"last"`
	Closed bool   `json:"closed"`
}

// NewReport makes the report of the figures. Its error is warehouse.ErrOverflow.
func NewReport(t warehouse.Totals) (Report, error) {
	t.Sort()
	sums, err := t.PostingSums()
	if err != nil {
		return Report{}, fmt.Errorf("cannot report the totals of %s: %w", t.Date, err)
	}
	r := Report{BusinessDate: t.Date.String(), Complete: t.Complete(), Clean: t.Clean(),
		Rows:  t.Rows,
		Kinds: orEmpty(t.Kinds), Discounts: orEmpty(t.Discounts), Operators: orEmpty(t.Operators),
		Declines: orEmpty(t.Declines), Accounts: orEmpty(t.Accounts),
		PostingSums: []CurrencySum{}, Settlement: settlement(t.Accounts), Unbalanced: t.Unbalanced,
		Repeated: t.Repeated, RepeatedIDs: orEmpty(t.RepeatedIDs), DeadLetters: t.DeadLetters,
		Buckets: []BucketRange{}}
	for currency, amount := range sums {
		r.PostingSums = append(r.PostingSums, CurrencySum{currency, amount})
	}
	slices.SortFunc(r.PostingSums, func(a, b CurrencySum) int {
		return cmp.Compare(a.Currency,
			b.Currency)
	})
	for _, b := range t.Buckets {
		line := BucketRange{Bucket: b.Bucket.String(), Rows: b.Rows, Closed: b.Closed}
		if b.Rows > 0 {
			line.First, line.Last = b.First.String(), b.Last.String()
		}
		r.Buckets = append(r.Buckets, line)
	}
	return r, nil
}

// orEmpty keeps null out of the JSON, so that a reader needs one case only.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// settlement returns what the postings give each operator. Accounts come sorted.
func settlement(accounts []warehouse.AccountLine) []PartyLine {
	lines := []PartyLine{}
	for _, a := range accounts {
		if party, ok := strings.CutPrefix(a.Account, OperatorAccount); ok {
			lines = append(lines, PartyLine{Party: party, Currency: a.Currency, Postings: a.Count,
				Amount: a.Amount})
		}
	}
	return lines
}

// Closed counts the buckets that have closed the date.
func (r *Report) Closed() int {
	n := 0
	for _, b := range r.Buckets {
		if b.Closed {
			n++
		}
	}
	return n
}

// decimals are the digits behind the point of the currencies that the scheme meets, ISO
// 4217; of others minor units are shown as they are.
func decimals(currency uint16) int {
	switch currency {
	case uint16(txn.CNY), 344, 446, 702, 840, 978: // CNY HKD MOP SGD USD EUR
		return 2
	default:
		return 0
	}
}

// money shows an amount with the decimals of its currency: "-12.05".
func money(amount int64, currency uint16) string {
	if decimals(currency) == 0 {
		return strconv.FormatInt(amount, 10)
	}
	sign, digits := "", strconv.FormatInt(amount, 10)
	if amount < 0 {
		sign, digits = "-", digits[1:]
	}
	for len(digits) < 3 {
		digits = "0" + digits
	}
	cut := len(digits) - 2
	return sign + digits[:cut] + "." + digits[cut:]
}
