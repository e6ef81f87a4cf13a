package tally

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// firstDays is how many business dates the first period of a party goes back.
const firstDays = 7

// Records calls yield for the settled records of business dates, both included, once everything
// committed before the call is among them.
type Records func(ctx context.Context, from, to txn.BusinessDate, yield func(*txn.Record) error) error

// Clock tells the last record of every bucket; store.Clock does.
type Clock interface {
	// Buckets returns the numbering of every bucket. Safe for concurrent use.
	Buckets(ctx context.Context) ([]store.BucketInfo, error)
}

// Reconciler ends the periods of acquirers and banks.
type Reconciler struct {
	Registry store.Registry
	Clock    Clock
	Records  Records
	Calendar engine.Calendar
	Now      func() txn.Millis
	// Sure is when everything that a bank has not heard of has come out of the due queue after
	// a start; before, Tell adds up nothing new.
	Sure txn.Millis
}

// ErrNoLedger reports a process in which nobody can add up.
var ErrNoLedger = errors.New("this process has no ledger to add up")

// Claim is what the other side says of a period.
type Claim struct {
	STAN  uint32
	Sent  string
	Gross Gross
	// Agrees says that the claim's own net sum is what its totals make.
	Agrees bool
	// Date (MMDD) claims the records of a settlement date instead of those since the last
	// claim.
	Date string
}

// match reports whether a record is the party's.
type match func(*txn.Record) bool

// span is where the records of a period are to be found.
type span struct {
	from, to txn.BusinessDate
	holds    func(txn.Position) bool
}

func (r *Reconciler) count(ctx context.Context, s span, of match) (Gross, error) {
	a := adding{of: of}
	err := r.add(ctx, s, &a)
	return a.Gross(), err
}

// adding adds up a party's records but for what is open, which is carried.
type adding struct {
	Counter
	of      match
	open    Open
	carried []Carried
}

// add adds up a period.
func (r *Reconciler) add(ctx context.Context, s span, a *adding) error {
	if r.Records == nil {
		return ErrNoLedger
	}
	return r.Records(ctx, s.from, s.to, func(t *txn.Record) error {
		switch {
		case !a.of(t):
		case s.holds != nil && !s.holds(t.Position):
			a.Earlier(t)
		case t.Outcome == txn.Approved && a.open.holds(t) && len(a.carried) < carriedMax:
			a.carried = append(a.carried, carry(t))
			a.Earlier(t)
		default:
			a.Add(t)
		}
		return nil
	})
}

// since is the period from a cut until now.
func (r *Reconciler) since(ctx context.Context, c *Cut) (s span, marks Marks, err error) {
	buckets, err := r.Clock.Buckets(ctx)
	if err != nil {
		return s, marks, err
	}
	marks = MarksOf(buckets)
	// A record bears the date of its bucket, which is begun some time after the clock's.
	s.from = r.Calendar.Date(c.At - day)
	if c.Number == 0 {
		s.from = r.Calendar.Date(r.Now() - firstDays*day)
	}
	s.to = r.Calendar.Date(r.Now() + day)
	s.holds = func(p txn.Position) bool { return c.Holds(p, &marks) }
	return s, marks, nil
}

// day is one in milliseconds.
const day = txn.Millis(24 * time.Hour / time.Millisecond)

// Settle compares what an acquirer claims with the ledger and keeps both. A claim that is
// repeated gets what it got; one since the last claim ends the period.
func (r *Reconciler) Settle(ctx context.Context, party string, claim Claim, of match) (Batch, error) {
	for range triesMax {
		cut, version, err := LastCut(ctx, r.Registry, party)
		if err != nil {
			return Batch{}, err
		}
		if cut.Repeats(claim.STAN, claim.Sent) {
			b, ok, err := Find(ctx, r.Registry, party, cut.Number)
			if err == nil && ok {
				return b, nil
			}
			return Batch{}, errors.Join(fmt.Errorf("period %d of %s is not kept", cut.Number, party), err)
		}
		b, err := r.settle(ctx, &settling{party, claim, cut, version, of})
		if !errors.Is(err, ErrCut) {
			return b, err
		}
	}
	return Batch{}, ErrCut
}

// settling is one try of Settle, against a version of the cut.
type settling struct {
	party   string
	claim   Claim
	cut     Cut
	version uint64
	of      match
}

func (r *Reconciler) settle(ctx context.Context, try *settling) (Batch, error) {
	party, claim, cut := try.party, try.claim, try.cut
	s, marks, err := r.since(ctx, &cut)
	if err != nil {
		return Batch{}, err
	}
	if claim.Date != "" {
		date, err := r.dateOf(claim.Date)
		if err != nil {
			return Batch{}, err
		}
		s, marks = span{from: date, to: date}, cut.Marks // the running period goes on
	}
	ours, err := r.count(ctx, s, try.of)
	if err != nil {
		return Batch{}, err
	}
	b := Batch{Terminal: party, Number: cut.Number + 1, SettledAt: r.Now(), Theirs: claim.Gross.Net(),
		Ours: ours.Net(), TheirGross: &claim.Gross, OurGross: &ours, Date: claim.Date,
		Verdict: Unbalanced}
	if ours == claim.Gross && claim.Agrees {
		b.Verdict = Balanced
	}
	if err := Keep(ctx, r.Registry, party, b.Number, func(to *Batch) { *to = b }); err != nil {
		return b, err
	}
	next := Cut{Number: b.Number, At: cut.At, Marks: marks, STAN: claim.STAN, Sent: claim.Sent}
	if claim.Date == "" {
		next.At = b.SettledAt
	}
	return b, next.Put(ctx, r.Registry, party, try.version)
}

// ErrDate reports a settlement date that is none.
var ErrDate = errors.New("not a settlement date")

// dateOf is the business date that MMDD means: the one nearest to now.
func (r *Reconciler) dateOf(mmdd string) (txn.BusinessDate, error) {
	now := r.Now().Time()
	for _, year := range [...]int{now.Year(), now.Year() - 1, now.Year() + 1} {
		at, err := time.ParseInLocation("20060102", fmt.Sprintf("%04d%s", year, mmdd), r.Calendar.Zone)
		if err == nil && at.Sub(now).Abs() < 183*24*time.Hour {
			return txn.BusinessDate(at.Year()*10_000 + int(at.Month())*100 + at.Day()), nil
		}
	}
	return 0, fmt.Errorf("%w: %q", ErrDate, mmdd)
}

// Asking is what Tell needs of the party.
type Asking struct {
	// Of reports whether a record is the party's.
	Of func(*txn.Record) bool
	// Open is what the party has not heard of; nil for nothing.
	Open func() Open
	// Number gives the message of totals its trace number and time.
	Number func() (stan uint32, sent string, err error)
}

// Tell returns what a bank is to be told of the period since the last one, durably before it is
// sent: the same again, with another count of Tries, until Told. What is open counts in a later
// period.
func (r *Reconciler) Tell(ctx context.Context, party string, ask Asking) (Telling, error) {
	cut, version, err := LastCut(ctx, r.Registry, party)
	if err != nil {
		return Telling{}, err
	}
	if cut.Telling == nil {
		if err := r.sure(ctx); err != nil {
			return Telling{}, err
		}
		a := &adding{of: ask.Of}
		if ask.Open != nil {
			a.open = ask.Open()
		}
		if cut.Telling, err = r.tell(ctx, party, &cut, a); err != nil {
			return Telling{}, err
		}
		if cut.Telling.STAN, cut.Telling.Sent, err = ask.Number(); err != nil {
			return Telling{}, err
		}
	}
	cut.Telling.Tries++
	return *cut.Telling, cut.Put(ctx, r.Registry, party, version)
}

// sure waits until it is known after a start what is open.
func (r *Reconciler) sure(ctx context.Context) error {
	timer := time.NewTimer(time.Duration(r.Sure-r.Now()) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("what the bank has not heard of is not known yet: %w", ctx.Err())
	}
}

// tell adds up a period that a bank has not been told of.
func (r *Reconciler) tell(ctx context.Context, party string, cut *Cut, a *adding) (*Telling, error) {
	s, marks, err := r.since(ctx, cut)
	if err != nil {
		return nil, err
	}
	t := &Telling{At: r.Now(), Marks: marks}
	a.OfBank = true
	for i := range cut.Carried {
		if record := cut.Carried[i].record(); a.open.holds(record) {
			a.carried = append(a.carried, cut.Carried[i])
		} else {
			a.Add(record)
		}
	}
	if err := r.add(ctx, s, a); err != nil {
		return nil, err
	}
	t.Ours, t.Carried = a.Gross(), a.carried
	return t, r.addUndone(ctx, party, t, cut.At)
}

// Reply is what a bank answers to a Telling.
type Reply struct {
	// Said is field 66, "" where there is none.
	Said string
	// Gross are the bank's totals; Known is false where it names none.
	Gross         Gross
	Known, Agrees bool
}

// Told ends the period that a bank was told of, and keeps what it answered.
func (r *Reconciler) Told(ctx context.Context, party string, t Telling, reply Reply) (Batch, error) {
	cut, version, err := LastCut(ctx, r.Registry, party)
	if err != nil {
		return Batch{}, err
	}
	if cut.Telling == nil || cut.Telling.STAN != t.STAN || cut.Telling.Sent != t.Sent {
		return Batch{}, ErrCut
	}
	b := Batch{Terminal: party, Number: cut.Number + 1, SettledAt: t.At, Ours: t.Ours.Net(),
		OurGross: &t.Ours, Said: reply.Said, Carried: len(t.Carried), Verdict: Unbalanced}
	if reply.Known {
		b.Theirs, b.TheirGross = reply.Gross.Net(), &reply.Gross
	}
	same := !reply.Known || reply.Agrees && reply.Gross == t.Ours
	switch {
	case reply.Said == "3" || reply.Said == "" && !reply.Known:
		b.Verdict = Failed
	case same && (reply.Said == "1" || reply.Said == ""):
		b.Verdict = Balanced
	}
	if err := Keep(ctx, r.Registry, party, b.Number, func(to *Batch) { *to = b }); err != nil {
		return b, err
	}
	// Before the cut: after a fault in between the bank is told the same totals again.
	if err := r.dropUndone(ctx, &t); err != nil {
		return b, err
	}
	next := Cut{Number: b.Number, At: t.At, Marks: t.Marks, STAN: t.STAN, Sent: t.Sent,
		Carried: t.Carried}
	if err := next.Put(ctx, r.Registry, party, version); err != nil {
		return b, err
	}
	if err := r.explain(ctx, party); err != nil { // it was undone while the bank was told
		return b, err
	}
	kept, _, err := Find(ctx, r.Registry, party, b.Number)
	return kept, err
}
