package warehousetest

import (
	"fmt"
	"math/rand/v2"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Chain makes records as a switch would: positions without holes, epochs opened by their
// marker, balanced postings, request ids used once. The same seed makes the same records.
// Not safe for concurrent use.
type Chain struct {
	rng     *rand.Rand
	last    [txn.BucketCount]txn.Position
	date    [txn.BucketCount]txn.BusinessDate
	counter uint32
	at      txn.Millis
}

// Day is the business date at which every chain begins.
const Day txn.BusinessDate = 20260301

// NewChain returns a chain before its first record.
func NewChain(seed uint64) *Chain {
	c := &Chain{rng: rand.New(rand.NewPCG(seed, 1)), at: txn.MillisOf(Day.Time())}
	for b := range c.last {
		c.last[b].Bucket = txn.Bucket(b)
		c.date[b] = Day
	}
	return c
}

// Last returns the position of the last record made in the bucket.
func (c *Chain) Last(b txn.Bucket) txn.Position { return c.last[b] }

// place gives the record the next position of its bucket.
func (c *Chain) place(r txn.Record, b txn.Bucket) txn.Record {
	c.last[b].Seq++
	c.at++
	r.Version, r.Position, r.BusinessDate = txn.RecordVersion, c.last[b], c.date[b]
	r.ReceivedAt = c.at
	return r
}

// Epoch opens the next epoch of the bucket and returns its marker.
func (c *Chain) Epoch(b txn.Bucket) txn.Record {
	r := txn.Record{Kind: txn.EpochMarker, Outcome: txn.Approved, Previous: c.last[b]}
	r = c.place(r, b)
	if r.Previous.Epoch == 0 {
		r.BusinessDate = 0 // the store opens the first epoch before it has a date
	}
	c.last[b] = txn.Position{Bucket: b, Epoch: c.last[b].Epoch + 1}
	r.Position = c.last[b]
	return r
}

// CutOver closes the bucket's business date, sets the next, and returns the marker.
func (c *Chain) CutOver(b txn.Bucket) txn.Record {
	r := c.place(txn.Record{
		Kind: txn.DayMarker, Outcome: txn.Approved, ClosedDate: c.date[b], ServiceAt: c.at,
	}, b)
	c.date[b] = c.date[b].Next()
	return r
}

// Next returns a random transaction in the bucket, whose first epoch must be open.
func (c *Chain) Next(b txn.Bucket) txn.Record {
	c.counter++
	terminal, err := txn.ParseTerminalID(fmt.Sprintf("GATE%03d", c.rng.IntN(300)))
	if err != nil {
		panic("warehousetest: internal error: " + err.Error())
	}
	r := txn.Record{
		Request: txn.RequestID{Terminal: terminal, Boot: 7, Counter: c.counter},
		Card:    c.card(b), Last4: pan.Last4{'1', '1', '1', '7'}, CardVersion: c.rng.Uint64N(1000),
		Application: txn.AppTransit, Rider: txn.RiderStudent, Issuer: "SZT", STAN: c.counter % 1e6,
		Place: txn.Place{Operator: pick(c.rng, "M1", "M5", "BUS-E"), Line: "L4", MCC: "4111",
			Station: fmt.Sprintf("S%02d", c.rng.IntN(40)), Merchant: "100000000000001"},
		Currency: txn.CNY, ServiceAt: c.at - txn.Millis(c.rng.IntN(900)), ListEpoch: 3,
		BalanceAfter: txn.Minor(c.rng.IntN(20000)) - 1000, Liability: txn.LiabilityHolder,
	}
	switch n := c.rng.IntN(10); {
	case n == 0:
		r.Kind, r.Outcome, r.Reason = txn.Purchase, txn.Declined, txn.InsufficientFunds
	case n == 1:
		r.Kind, r.Outcome, r.Reason = txn.MetroEntry, txn.Declined, txn.CardFrozen
	case n == 2:
		c.load(&r)
	default:
		c.ride(&r)
	}
	return c.place(r, b)
}

// Bank returns what a bank answered to a random purchase in the bucket, whose first epoch must
// be open.
func (c *Chain) Bank(b txn.Bucket) txn.Record {
	r := c.Next(b)
	c.last[b].Seq-- // it takes the place of the other
	amount := txn.Minor(100 * (1 + c.rng.IntN(200)))
	bank := txn.Record{Request: r.Request, Card: r.Card, Last4: r.Last4, CardVersion: r.CardVersion,
		Kind: txn.BankPurchase, Application: txn.AppBank, Rider: r.Rider, Place: r.Place,
		Issuer: "ICBC", STAN: r.STAN, RRN: fmt.Sprintf("%012d", c.counter), Currency: txn.CNY,
		ServiceAt: r.ServiceAt, Settled: txn.SettlementDay{'0', '3', '0', '2'}}
	if c.rng.IntN(3) == 0 {
		bank.Outcome, bank.Reason = txn.Declined, txn.IssuerDeclined
		bank.Response = txn.ResponseCode{'N', '7'}
		return c.place(bank, b)
	}
	bank.Outcome, bank.Charged = txn.Approved, amount
	bank.Auth, bank.Response = txn.AuthCode{'0', '0', '7', '7', '1', '2'}, txn.ResponseCode{'0', '0'}
	bank.Postings = []txn.Posting{{Account: "issuer/ICBC", Amount: -amount},
		{Account: "merchant/1", Amount: amount}}
	return c.place(bank, b)
}

// card returns one of sixteen cards of the bucket.
func (c *Chain) card(b txn.Bucket) pan.Token {
	t := pan.Token{byte(b) << 2}
	t[1], t[15] = byte(c.rng.IntN(16)), 9
	return t
}

// load makes the record an approved load of the purse.
func (c *Chain) load(r *txn.Record) {
	amount := txn.Minor(100 * (1 + c.rng.IntN(200)))
	r.Kind, r.Outcome, r.Charged = txn.Load, txn.Approved, -amount
	r.Auth = txn.AuthCode{'A', 'B', '1', '2', '3', '4'}
	r.Postings = []txn.Posting{{Account: "cash/AGENT1", Amount: -amount}, {Account: "purse",
		Amount: amount}}
}

// ride makes the record an approved ride with random discounts.
func (c *Chain) ride(r *txn.Record) {
	full := txn.Minor(200 + 50*c.rng.IntN(20))
	r.Kind = pick(c.rng, txn.MetroExit, txn.BusBoarding)
	r.Outcome, r.FullFare, r.Charged = txn.Approved, full, full
	r.Offline, r.OfflineCounter, r.TAC = true, c.counter, txn.TACValid
	if c.rng.IntN(2) == 0 {
		r.Discounts = append(r.Discounts, txn.Discount{Cause: "rider", Amount: full / 2})
		r.Charged -= full / 2
	}
	if c.rng.IntN(4) == 0 {
		r.Discounts = append(r.Discounts, txn.Discount{Cause: "transfer", Amount: 40})
		r.Charged -= 40
	}
	if r.Kind == txn.MetroExit {
		r.EntryStation, r.EntryAt = "S01", r.ServiceAt-600_000
	}
	r.Postings = []txn.Posting{
		{Account: "purse", Amount: -r.Charged},
		{Account: txn.Account("operator/" + r.Place.Operator), Amount: r.Charged},
	}
}

// Batch returns n records spread over the buckets, opening epochs where none is open and
// now and then a further one.
func (c *Chain) Batch(n int) []txn.Record {
	records := make([]txn.Record, 0, n)
	for len(records) < n {
		b := txn.Bucket(c.rng.IntN(txn.BucketCount))
		switch {
		case c.last[b].Epoch == 0 || c.rng.IntN(500) == 0:
			records = append(records, c.Epoch(b))
		case c.counter%16 == 15:
			records = append(records, c.Bank(b))
		default:
			records = append(records, c.Next(b))
		}
	}
	return records
}

// CloseDay returns the markers that close the date of every bucket.
func (c *Chain) CloseDay() []txn.Record { return c.CloseBuckets(txn.BucketCount) }

// CloseBuckets returns the markers that close the date of the first n buckets.
func (c *Chain) CloseBuckets(n int) []txn.Record {
	var records []txn.Record
	for b := range txn.Bucket(n) {
		if c.last[b].Epoch == 0 {
			records = append(records, c.Epoch(b))
		}
		records = append(records, c.CutOver(b))
	}
	return records
}

// pick returns one of the values.
func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }
