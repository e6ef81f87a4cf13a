package clearing

import (
	"cmp"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// bpsUnit is what basis points are parts of.
const bpsUnit = 10_000

// divide returns amount * parts / whole and the remainder, both with the sign of amount. The
// product has 128 bits. whole is positive, parts not negative.
func divide(amount, parts, whole int64) (quotient, remainder int64, err error) {
	sign, a := int64(1), amount
	if a < 0 {
		sign, a = -1, -a
	}
	hi, lo := bits.Mul64(uint64(a), uint64(parts))
	if a < 0 || hi >= uint64(whole) {
		return 0, 0, fmt.Errorf("%w: %d * %d / %d", chart.ErrOverflow, amount, parts, whole)
	}
	q, r := bits.Div64(hi, lo, uint64(whole))
	if q > math.MaxInt64 {
		return 0, 0, fmt.Errorf("%w: %d * %d / %d", chart.ErrOverflow, amount, parts, whole)
	}
	return sign * int64(q), sign * int64(r), nil
}

// portion returns amount * parts / whole, rounded half away from zero.
func portion(amount, parts, whole int64) (int64, error) {
	q, r, err := divide(amount, parts, whole)
	switch {
	case err != nil:
		return 0, err
	case r >= whole-r && r > 0:
		return chart.Sum(q, 1)
	case -r >= whole+r && r < 0:
		return chart.Sum(q, -1)
	}
	return q, nil
}

// Compute returns the fee on base, which count records make up; a negative base gives the same
// fee back. No records, no fee.
func (f *Fee) Compute(base, count int64) (int64, error) {
	if count == 0 {
		return 0, nil
	}
	if base < 0 {
		fee, err := f.Compute(-base, count)
		return -fee, err
	}
	fee, err := portion(base, f.BPS, bpsUnit)
	if err != nil {
		return 0, err
	}
	var below int64
	for _, tier := range f.Tiers {
		band := base - below
		if tier.UpTo > 0 {
			band = min(base, tier.UpTo) - below
		}
		if band <= 0 {
			break
		}
		part, err := portion(band, tier.BPS, bpsUnit)
		if err != nil {
			return 0, err
		}
		if fee, err = chart.Sum(fee, part); err != nil {
			return 0, err
		}
		below = tier.UpTo
	}
	fixed, _, err := divide(f.Fixed, count, 1)
	if err != nil {
		return 0, err
	}
	if fee, err = chart.Sum(fee, fixed); err != nil {
		return 0, err
	}
	fee = max(fee, f.Min)
	if f.Max > 0 {
		fee = min(fee, f.Max)
	}
	return fee, nil
}

// Share divides amount by weights. The shares sum to amount. What does not divide goes to
// residual, or where that is empty or has no weight, a unit each to the largest remainders, of
// equal ones to the first.
func Share(amount int64, weights []Weight, residual txn.Account) ([]int64, error) {
	var whole int64
	for _, w := range weights {
		whole += w.Parts
	}
	if whole <= 0 {
		return nil, fmt.Errorf("%w: weights sum to %d", ErrTerms, whole)
	}
	shares, left := make([]int64, len(weights)), amount
	type rest struct {
		index     int
		remainder int64
	}
	rests := make([]rest, len(weights))
	for i, w := range weights {
		q, r, err := divide(amount, w.Parts, whole)
		if err != nil {
			return nil, err
		}
		shares[i], rests[i] = q, rest{i, max(r, -r)}
		left -= q
	}
	if i := slices.IndexFunc(weights, func(w Weight) bool { return w.Account == residual }); i >= 0 {
		shares[i] += left
		return shares, nil
	}
	slices.SortStableFunc(rests, func(a, b rest) int { return cmp.Compare(b.remainder, a.remainder) })
	unit := int64(1)
	if left < 0 {
		unit = -1
	}
	for i := 0; left != 0; i++ {
		shares[rests[i].index] += unit
		left -= unit
	}
	return shares, nil
}
