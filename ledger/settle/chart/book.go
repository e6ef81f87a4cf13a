package chart

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

var (
	// ErrOverflow reports a sum that int64 minor units do not hold.
	ErrOverflow = errors.New("sum out of range")
	// ErrUnbalanced reports entries that do not sum to zero.
	ErrUnbalanced = errors.New("debits and credits differ")
)

// AccountsMax is the most accounts of a Book: parties come from a registry, so more is a fault.
const AccountsMax = 1 << 20

// Balance is one line of a trial balance. Debit and Credit are the movements, both positive;
// Closing is Opening + Credit - Debit.
type Balance struct {
	Account  txn.Account  `json:"account"`
	Currency txn.Currency `json:"currency"`
	Opening  int64        `json:"opening"`
	Debit    int64        `json:"debit"`
	Credit   int64        `json:"credit"`
	Postings int64        `json:"postings"`
	Closing  int64        `json:"closing"`
}

type bookKey struct {
	account  txn.Account
	currency txn.Currency
}

// Book sums postings by account and currency. The zero Book is empty. Not safe for concurrent
// use.
type Book struct{ lines map[bookKey]*Balance }

func (b *Book) line(a txn.Account, c txn.Currency) (*Balance, error) {
	if b.lines == nil {
		b.lines = map[bookKey]*Balance{}
	}
	key := bookKey{a, c}
	l := b.lines[key]
	if l == nil {
		if len(b.lines) >= AccountsMax {
			return nil, fmt.Errorf("%w: more than %d accounts", ErrAccount, AccountsMax)
		}
		l = &Balance{Account: a, Currency: c}
		b.lines[key] = l
	}
	return l, nil
}

// Open sets what an account begins with.
func (b *Book) Open(a txn.Account, c txn.Currency, amount int64) error {
	l, err := b.line(a, c)
	if err != nil {
		return err
	}
	return into(&l.Opening, amount)
}

// Post adds one posting.
func (b *Book) Post(a txn.Account, c txn.Currency, amount int64) error {
	l, err := b.line(a, c)
	if err != nil {
		return err
	}
	l.Postings++
	if amount < 0 {
		if amount == math.MinInt64 {
			return fmt.Errorf("%w: %s", ErrOverflow, a)
		}
		return into(&l.Debit, -amount)
	}
	return into(&l.Credit, amount)
}

// into adds amount to a sum, which stays as it was when it would overflow.
func into(to *int64, amount int64) error {
	sum, err := Sum(*to, amount)
	if err == nil {
		*to = sum
	}
	return err
}

// Entry adds postings that belong together; they must sum to zero, else nothing is added.
func (b *Book) Entry(c txn.Currency, postings []txn.Posting) error {
	var sum int64
	for _, p := range postings {
		var err error
		if sum, err = Sum(sum, int64(p.Amount)); err != nil {
			return err
		}
	}
	if sum != 0 {
		return fmt.Errorf("%w: an entry of %d postings sums to %d", ErrUnbalanced, len(postings), sum)
	}
	for _, p := range postings {
		if err := b.Post(p.Account, c, int64(p.Amount)); err != nil {
			return err
		}
	}
	return nil
}

// Clone returns a book of the same balances that can be posted to on its own.
func (b *Book) Clone() *Book {
	c := &Book{lines: make(map[bookKey]*Balance, len(b.lines))}
	for key, l := range b.lines {
		line := *l
		c.lines[key] = &line
	}
	return c
}

// Of returns the closing balance of an account.
func (b *Book) Of(a txn.Account, c txn.Currency) int64 {
	l := b.lines[bookKey{a, c}]
	if l == nil {
		return 0
	}
	return l.Opening + l.Credit - l.Debit
}

// Trial returns the balances in order of currency and account. It fails with ErrUnbalanced when
// they do not sum to zero, and still returns them, so that they can be looked at.
func (b *Book) Trial() ([]Balance, error) {
	all := make([]Balance, 0, len(b.lines))
	for _, l := range b.lines {
		line := *l
		line.Closing = line.Opening + line.Credit - line.Debit
		all = append(all, line)
	}
	slices.SortFunc(all, func(x, y Balance) int {
		return cmp.Or(cmp.Compare(x.Currency, y.Currency), cmp.Compare(x.Account, y.Account))
	})
	sums := map[txn.Currency]int64{}
	for _, l := range all {
		sum, err := Sum(sums[l.Currency], l.Closing)
		if err != nil {
			return all, err
		}
		sums[l.Currency] = sum
	}
	for currency, sum := range sums {
		if sum != 0 {
			return all, fmt.Errorf("%w: the accounts of currency %d sum to %d", ErrUnbalanced, currency,
				sum)
		}
	}
	return all, nil
}

// Sum adds two amounts, or fails with ErrOverflow.
func Sum(a, b int64) (int64, error) {
	if b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b {
		return 0, fmt.Errorf("%w: %d + %d", ErrOverflow, a, b)
	}
	return a + b, nil
}
