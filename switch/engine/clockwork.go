package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// dueMax is how many due entries of a bucket one Tick takes on. What is beyond is the next
// Tick's, which goes on behind those that stay where they are: the transactions of a bank
// that cannot be told hold up neither journeys nor those of other banks.
const dueMax = 1000

// Clockwork does what time demands: it closes journeys that were never left, says which
// bank transactions, transfers, documents and notices are due, and cuts the business day
// over. Whoever owns it calls Tick about once a second; what is due after a restart is done
// at the first one. Several processes may tick at once, since every
// change is a compare-and-set; each calls Tick from one goroutine.
type Clockwork struct {
	engine *Engine
	clock  store.Clock
	days   Calendar
	banks  func([]BankDue)
	others map[byte]func([]store.Due)
	// stay is how many entries at the head of each bucket's queue the Ticks before have
	// seen and left there; 0 again once the end of the queue is reached. Only Tick uses it.
	stay [txn.BucketCount]int
}

// OnBank has f told of the bank transactions that are due, at every Tick until a commit
// moves or removes them. f must not block. Call it before the first Tick; a process without
// banks does not, and leaves them to one that has.
func (c *Clockwork) OnBank(f func([]BankDue)) { c.banks = f }

// OnDue has f told of the due entries whose key begins with owner, at every Tick until a
// commit moves or removes them. f must not block and must not keep the entries' keys longer
// than it needs. Call it before the first Tick; a process without the owner's part leaves
// its entries to one that has it.
func (c *Clockwork) OnDue(owner byte, f func([]store.Due)) {
	if c.others == nil {
		c.others = make(map[byte]func([]store.Due))
	}
	c.others[owner] = f
}

// Calendar says which business date an instant belongs to.
type Calendar struct {
	Zone *time.Location
	// CutOff is when a business day begins, after local midnight.
	CutOff time.Duration
}

// Date returns the business date of instant at.
func (c Calendar) Date(at txn.Millis) txn.BusinessDate {
	return txn.DateOf(at.Time(), c.Zone, c.CutOff)
}

// NewClockwork returns a Clockwork for e on its store's clock.
func NewClockwork(e *Engine, clock store.Clock, days Calendar) *Clockwork {
	return &Clockwork{engine: e, clock: clock, days: days}
}

// Ticked counts what a Tick did.
type Ticked struct {
	Lapsed  int // journeys closed
	Dropped int // due entries whose journey had ended
	CutOver int // buckets that began a new business date
}

// Tick does what is due. It goes on with the other buckets after an error and returns
// the first.
func (c *Clockwork) Tick(ctx context.Context) (Ticked, error) {
	var done Ticked
	first := c.cutOver(ctx, &done)
	now := c.engine.now()
	for b := range txn.Bucket(txn.BucketCount) {
		if err := c.lapse(ctx, b, now, &done); err != nil && first == nil {
			first = fmt.Errorf("due entries of %s: %w", b, err)
		}
	}
	return done, first
}

// cutOver begins the business date of the clock in every bucket that has not begun it. A
// clock that went back changes nothing: a date never does.
func (c *Clockwork) cutOver(ctx context.Context, done *Ticked) error {
	now := c.engine.now()
	date := c.days.Date(now)
	buckets, err := c.clock.Buckets(ctx)
	if err != nil {
		return fmt.Errorf("business dates: %w", err)
	}
	for _, b := range buckets {
		if b.Date >= date {
			continue
		}
		if err := c.clock.CutOver(ctx, b.Bucket, date, now); err != nil {
			return fmt.Errorf("cut-over of %s to %s: %w", b.Bucket, date, err)
		}
		done.CutOver++
	}
	return nil
}

// lapse closes the journeys of one bucket that are due. What fails is left for the next
// Tick and does not hold up the rest.
func (c *Clockwork) lapse(
	ctx context.Context, b txn.Bucket, now txn.Millis, done *Ticked,
) error {
	due, err := c.clock.DueBefore(ctx, b, now, store.Page{Skip: c.stay[b], Max: dueMax})
	if err != nil {
		return err
	}
	if len(due) < dueMax {
		c.stay[b] = 0
	}
	if len(due) == 0 {
		return nil
	}
	var failed error
	policy := c.engine.Policy()
	requests := make([]*txn.Request, 0, len(due))
	var banks []BankDue
	others := map[byte][]store.Due{}
	for _, entry := range due {
		if b, ok := parseBankKey(entry.Key); ok {
			b.At = entry.At
			banks = append(banks, b)
			continue
		}
		if owner := ownerOf(entry.Key); owner != 0 {
			others[owner] = append(others[owner], entry)
			continue
		}
		card, journey, err := parseLapseKey(entry.Key)
		if err != nil {
			failed = fmt.Errorf("%w: %q", err, entry.Key)
			continue
		}
		requests = append(requests, &txn.Request{
			Kind: txn.JourneyLapse, Card: card, Original: journey, Currency: policy.Currency,
			ServiceAt: now, ReceivedAt: now,
		})
	}
	if c.banks != nil && len(banks) > 0 {
		c.banks(banks)
	}
	for owner, entries := range others {
		if f := c.others[owner]; f != nil {
			f(entries)
		}
	}
	left := len(due)
	for _, a := range c.engine.AuthorizeAll(ctx, requests) {
		switch {
		case a.Err != nil:
			failed = a.Err
			continue
		case a.Decision.Reason.Retryable():
			failed = fmt.Errorf("journey not closed: %s", a.Decision.Reason)
			continue
		case a.Decision.Outcome == txn.Approved:
			done.Lapsed++
		default:
			done.Dropped++
		}
		left--
	}
	if len(due) == dueMax {
		c.stay[b] += left
	}
	return failed
}
