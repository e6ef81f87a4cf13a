package warehouse

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Totals are the figures of one business date. Amounts are minor units of the currency
// in the same line (0 for lines that move nothing, such as markers).
type Totals struct {
	Date      txn.BusinessDate
	Rows      int64
	Kinds     []KindLine
	Discounts []DiscountLine
	Operators []OperatorLine
	Declines  []DeclineLine
	Accounts  []AccountLine
	Buckets   []BucketLine // always txn.BucketCount lines
	// Unbalanced counts records whose postings do not sum to zero; it must be 0.
	Unbalanced int64
	// Repeated counts request ids on more than one record of the date; it must be 0.
	// Records declined because their id was used before are not counted: they bear
	// the id of another by nature.
	Repeated int64
	// RepeatedIDs names them, at most RepeatedListMax, in order.
	RepeatedIDs []string
	// DeadLetters counts open dead letters that may belong to the date.
	DeadLetters int64
}

// KindLine sums the records of one kind and outcome.
type KindLine struct {
	Kind     string `json:"kind"`
	Outcome  string `json:"outcome"`
	Currency uint16 `json:"currency"`
	Count    int64  `json:"count"`
	FullFare int64  `json:"full_fare"`
	Charged  int64  `json:"charged"`
}

// DiscountLine sums one cause of discount within a kind and outcome.
type DiscountLine struct {
	Kind     string `json:"kind"`
	Outcome  string `json:"outcome"`
	Cause    string `json:"cause"`
	Currency uint16 `json:"currency"`
	Count    int64  `json:"count"`
	Amount   int64  `json:"amount"`
}

// OperatorLine sums the records of one operator; the amounts are those of approved
// records only.
type OperatorLine struct {
	Operator string `json:"operator"`
	Currency uint16 `json:"currency"`
	Approved int64  `json:"approved"`
	Declined int64  `json:"declined"`
	FullFare int64  `json:"full_fare"`
	Charged  int64  `json:"charged"`
}

// DeclineLine counts the records declined for one reason.
type DeclineLine struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// AccountLine sums the postings to one account: positive is credit.
type AccountLine struct {
	Account  string `json:"account"`
	Currency uint16 `json:"currency"`
	Count    int64  `json:"count"`
	Amount   int64  `json:"amount"`
}

// BucketLine is the extent of a date in one bucket.
type BucketLine struct {
	Bucket txn.Bucket
	Rows   int64
	// First and Last are zero when Rows is.
	First, Last txn.Position
	// Closed says that the marker that ends the date (or a later one) is held and
	// nothing is missing before it.
	Closed bool
}

// Complete reports whether nothing more can arrive for the date: it is closed in every
// bucket and no dead letter may belong to it.
func (t *Totals) Complete() bool {
	for i := range t.Buckets {
		if !t.Buckets[i].Closed {
			return false
		}
	}
	return len(t.Buckets) == txn.BucketCount && t.DeadLetters == 0
}

// Clean reports whether the figures contradict nothing: every record balances, the
// accounts of each currency sum to zero, and no request is booked twice.
func (t *Totals) Clean() bool {
	sums, err := t.PostingSums()
	if err != nil || t.Unbalanced != 0 || t.Repeated != 0 {
		return false
	}
	for _, sum := range sums {
		if sum != 0 {
			return false
		}
	}
	return true
}

// PostingSums returns the sum over all accounts by currency. Each must be zero.
func (t *Totals) PostingSums() (map[uint16]int64, error) {
	sums := make(map[uint16]int64)
	for _, a := range t.Accounts {
		sum, ok := AddInt64(sums[a.Currency], a.Amount)
		if !ok {
			return nil, fmt.Errorf("%w: accounts of currency %d", ErrOverflow, a.Currency)
		}
		sums[a.Currency] = sum
	}
	return sums, nil
}

// Sort brings all lists into their order and fills in buckets without records, so that
// equal data gives equal Totals whatever order it was gathered in.
func (t *Totals) Sort() {
	slices.SortFunc(t.Kinds, func(a, b KindLine) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Outcome, b.Outcome),
			cmp.Compare(a.Currency, b.Currency))
	})
	slices.SortFunc(t.Discounts, func(a, b DiscountLine) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Outcome, b.Outcome),
			cmp.Compare(a.Cause, b.Cause), cmp.Compare(a.Currency, b.Currency))
	})
	slices.SortFunc(t.Operators, func(a, b OperatorLine) int {
		return cmp.Or(cmp.Compare(a.Operator, b.Operator), cmp.Compare(a.Currency, b.Currency))
	})
	slices.SortFunc(t.Declines, func(a, b DeclineLine) int {
		return cmp.Compare(a.Reason,
			b.Reason)
	})
	slices.SortFunc(t.Accounts, func(a, b AccountLine) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Currency, b.Currency))
	})
	slices.Sort(t.RepeatedIDs)
	t.sortBuckets()
}

// sortBuckets makes one line for each bucket, in order.
func (t *Totals) sortBuckets() {
	all := make([]BucketLine, txn.BucketCount)
	for b := range all {
		all[b].Bucket = txn.Bucket(b)
	}
	for _, line := range t.Buckets {
		all[line.Bucket] = line
	}
	t.Buckets = all
}

// AddInt64 returns a+b and whether int64 holds it.
func AddInt64(a, b int64) (int64, bool) {
	if b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b {
		return 0, false
	}
	return a + b, true
}
