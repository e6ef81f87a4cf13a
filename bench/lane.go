package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/local"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// tokenAt returns the i-th of a row of tokens that are spread as those of cards are.
func tokenAt(i uint64) (t pan.Token) {
	x := i*0x9e3779b97f4a7c15 + 0x7a705
	for at := 0; at < len(t); at += 8 {
		x ^= x >> 30
		x *= 0xbf58476d1ce4e5b9
		x ^= x >> 27
		x *= 0x94d049bb133111eb
		x ^= x >> 31
		binary.BigEndian.PutUint64(t[at:], x)
		x += 0x9e3779b97f4a7c15
	}
	return t
}

func clockNow() txn.Millis { return txn.MillisOf(time.Now()) }

func today() txn.BusinessDate { return txn.DateOf(time.Now(), time.UTC, 0) }

// newPolicy returns the policy of the engine's defaults with a flat fare.
func newPolicy() (engine.Policy, error) {
	tariff, err := fare.Compile(fare.File{Version: "bench", Bus: fare.BusFares{Default: fullFare}})
	if err != nil {
		return engine.Policy{}, fmt.Errorf("tariff: %w", err)
	}
	return engine.DefaultPolicy(tariff), nil
}

// lane is engine and local store in this process, without network.
type lane struct {
	store  *local.Store
	engine *engine.Engine
	from   txn.TerminalID
	count  uint32
	last   txn.Millis
}

// laneOutboxMax lets the outbox hold everything that a scenario makes.
const laneOutboxMax = 1 << 24

func openLane(ctx context.Context, dir string) (*lane, error) {
	s, err := openStore(ctx, dir)
	if err != nil {
		return nil, err
	}
	policy, err := newPolicy()
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	policy.BalanceMax = 1 << 40
	policy.LoadMax = 1 << 40
	e, err := engine.New(engine.Options{Cards: s, Blacklist: blacklist.Live(s.Listed()),
		Policy: policy, Now: clockNow, Shares: runtime.GOMAXPROCS(0)})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	l := &lane{store: s, engine: e}
	l.from, err = txn.ParseTerminalID("LANE")
	return l, err
}

func openStore(ctx context.Context, dir string) (*local.Store, error) {
	s, err := local.Open(ctx, local.Options{Dir: dir, Date: today(), OutboxMax: laneOutboxMax,
		HotStatesMax: 4 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	if err := s.OpenEpoch(ctx, clockNow()); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (l *lane) close() error { return l.store.Close() }

// sameTime is how many requests bear the same service time: a million of them must not
// reach into a future that the engine refuses.
const sameTime = 64

// request returns the next request of card i. Service times grow, so a card may come again
// after sameTime requests.
func (l *lane) request(kind txn.Kind, i int) *txn.Request {
	l.count++
	if l.last = max(l.last, clockNow()-60_000); l.count%sameTime == 0 {
		l.last++
	}
	return &txn.Request{
		ID: txn.RequestID{Terminal: l.from, Boot: 1, Counter: l.count}, Kind: kind,
		Card: tokenAt(uint64(i)), Last4: pan.Last4{'0', '0', '0', '1'}, Currency: txn.CNY,
		Place: txn.Place{Operator: "BENCH", Line: "M100", Acquirer: "ACQ1",
			Payee: "operator/BENCH", Funding: "acquirer/ACQ1"},
		ServiceAt: l.last, ReceivedAt: l.last,
	}
}

// taps returns n taps of cards in turn.
func (l *lane) taps(n, first, cards int) []*txn.Request {
	all := make([]*txn.Request, n)
	for i := range all {
		r := l.request(txn.BusBoarding, (first+i)%cards)
		r.FareGiven, r.FullFare, r.Amount = true, fullFare, charged
		all[i] = r
	}
	return all
}

// decide runs the requests as one list and demands approvals.
func (l *lane) decide(ctx context.Context, requests []*txn.Request) error {
	for _, a := range l.engine.AuthorizeAll(ctx, requests) {
		if a.Err != nil {
			return a.Err
		}
		if a.Decision.Outcome != txn.Approved {
			return fmt.Errorf("a request was declined: %s", a.Decision.Reason)
		}
	}
	return nil
}

// enrol opens n cards and fills their purses.
func (l *lane) enrol(ctx context.Context, n int) error {
	const list = 5000
	for first := 0; first < n; first += list {
		var open, fill []*txn.Request
		for i := first; i < min(n, first+list); i++ {
			o := l.request(txn.Enrol, i)
			o.Enrolment = txn.Enrolment{Apps: txn.AppTransit | txn.AppPurse}
			f := l.request(txn.Load, i)
			f.Amount = 1 << 30
			open, fill = append(open, o), append(fill, f)
		}
		for _, requests := range [][]*txn.Request{open, fill} {
			if err := l.decide(ctx, requests); err != nil {
				return fmt.Errorf("enrolling: %w", err)
			}
		}
	}
	return nil
}

// freezeAll lists n cards, as a store keeps them, without records in the outbox.
func freezeAll(ctx context.Context, s *local.Store, n int) error {
	const list = 4096
	commits := make([]*store.Commit, 0, list)
	change := store.ListChange{Entry: store.Entry{Since: clockNow(), Actor: "bench",
		Mark: txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}}}
	for i := range n {
		commits = append(commits, &store.Commit{Card: tokenAt(uint64(i)), AnyVersion: true,
			List: &change, Reserve: true})
		if len(commits) < list && i < n-1 {
			continue
		}
		if err := s.Commit(ctx, commits); err != nil {
			return fmt.Errorf("freezing: %w", err)
		}
		for _, c := range commits {
			if c.Status != store.Committed {
				return fmt.Errorf("freezing: %s", c.Status)
			}
		}
		commits = commits[:0]
	}
	return nil
}
