package storetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func concurrentTests() []test {
	return []test{
		{name: "OneWinnerPerVersion", run: oneWinnerPerVersion},
		{name: "SumConserved", run: sumConserved},
		{name: "FreezeAmongTaps", run: freezeAmongTaps},
		{name: "ReaderAmongWriters", run: readerAmongWriters},
	}
}

const contenders = 64

// oneWinnerPerVersion: of 64 who commit the same version of a card one is committed,
// the others learn the winner's state.
func oneWinnerPerVersion(w *world) {
	card := w.card()
	for version := range uint64(20) {
		commits := make([]*store.Commit, contenders)
		var all sync.WaitGroup
		for i := range commits {
			commits[i] = &store.Commit{Card: card, Version: version,
				State: fmt.Appendf(nil, "%d by %d", version, i), Record: recordOf(card, i)}
			all.Go(func() {
				if err := w.s.Commit(w.ctx, commits[i:i+1]); err != nil {
					w.Errorf("commit gave %v", err)
				}
			})
		}
		all.Wait()
		now, winners := w.load(card), 0
		for _, c := range commits {
			switch c.Status {
			case store.Committed:
				winners++
				w.same(store.Loaded{State: c.State, Version: version + 1}, now)
			case store.VersionConflict:
				w.same(now, c.Current)
			default:
				w.Errorf("status %s, error %v", c.Status, c.Err)
			}
		}
		if winners != 1 {
			w.Fatalf("version %d has %d winners", version, winners)
		}
	}
	if info := w.info(txn.BucketOf(card)); info.Last.Seq != 20 {
		w.Fatalf("20 winners left records up to %s", info.Last)
	}
}

// update changes the card's number by delta as the engine does, by compare-and-set until
// it succeeds, and returns the commit. A card's state is its number in 8 bytes.
func update(w *world, card pan.Token, delta uint64) (*store.Commit, error) {
	now, err := w.s.Load(w.ctx, card, nil)
	for err == nil {
		number := uint64(0)
		if len(now.State) == 8 {
			number = binary.BigEndian.Uint64(now.State)
		}
		c := &store.Commit{Card: card, Version: now.Version, Mark: now.Mark,
			State:  binary.BigEndian.AppendUint64(nil, number+delta),
			Record: recordOf(card, int(delta))}
		if err = w.s.Commit(w.ctx, []*store.Commit{c}); err != nil {
			return nil, err
		}
		if c.Status == store.Committed {
			return c, nil
		}
		if c.Status != store.VersionConflict && c.Status != store.MarkConflict {
			return nil, fmt.Errorf("status %s", c.Status)
		}
		now = c.Current
	}
	return nil, err
}

// sumConserved: 64 goroutines move amounts between four cards; nothing is lost, and
// there is a record for every change.
func sumConserved(w *world) {
	const rounds = 8
	cards := []pan.Token{w.cardIn(1), w.cardIn(1), w.cardIn(2), w.cardIn(63)}
	before := w.infos()
	var all sync.WaitGroup
	for i := range contenders {
		all.Go(func() {
			for k := range rounds {
				amount := uint64(i*rounds + k)
				from, to := cards[(i+k)%4], cards[(i+3*k+1)%4]
				_, err1 := update(w, from, -amount)
				_, err2 := update(w, to, amount)
				if err := errors.Join(err1, err2); err != nil {
					w.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	sum, versions := uint64(0), uint64(0)
	for _, l := range w.loadAll(cards) {
		sum += binary.BigEndian.Uint64(l.State)
		versions += l.Version
	}
	if sum != 0 || versions != 2*contenders*rounds {
		w.Fatalf("the sum is %d after %d changes, want 0 after %d", sum, versions,
			2*contenders*rounds)
	}
	records := 0
	for _, b := range []txn.Bucket{1, 2, 63} {
		records += int(w.info(b).Last.Seq - before[b].Last.Seq)
		w.bucketEntries(b)
	}
	if records != 2*contenders*rounds {
		w.Fatalf("%d changes left %d records", 2*contenders*rounds, records)
	}
}

// freezeAmongTaps: a freeze does not lose against a stream of taps, and once it has
// returned no tap that assumed the card to be free is committed.
func freezeAmongTaps(w *world) {
	card := w.card()
	var frozen, tapped atomic.Bool
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for version := uint64(0); ; {
				was := frozen.Load()
				c := &store.Commit{Card: card, Version: version, State: []byte("tap")}
				if err := w.s.Commit(w.ctx, []*store.Commit{c}); err != nil {
					w.Error(err)
					return
				}
				if c.Status == store.MarkConflict || c.Current.Mark != notFrozen {
					return
				}
				if c.Status == store.Committed && was {
					w.Errorf("a tap was committed at version %d after the freeze", version)
					return
				}
				tapped.Store(true)
				if version++; c.Status == store.VersionConflict {
					version = c.Current.Version
				}
			}
		})
	}
	w.eventually("taps under way", tapped.Load)
	freeze := &store.Commit{Card: card, AnyVersion: true, Reserve: true,
		List: &store.ListChange{Entry: entryOf(lost)}, Record: recordOf(card, 1)}
	err := w.s.Commit(w.ctx, []*store.Commit{freeze})
	frozen.Store(true)
	all.Wait()
	if w.check(err); freeze.Status != store.Committed {
		w.Fatalf("the freeze has status %s", freeze.Status)
	}
}

// readerAmongWriters: a reader that follows the outbox while many write sees every
// record of a bucket, in order.
func readerAmongWriters(w *world) {
	const b, each = 50, 25
	var all sync.WaitGroup
	for k := range uint64(16) {
		card := tokenOf(w.Name(), 1000+k)
		card[0] = b << 2
		all.Go(func() {
			for range each {
				if _, err := update(w, card, 1); err != nil {
					w.Error(err)
					return
				}
			}
		})
	}
	want := w.info(b).Last
	want.Seq = 16 * each
	w.sequence(w.readTo(want)[b])
	all.Wait()
	if last := w.info(b).Last; last != want {
		w.Fatalf("the last record is %s, want %s", last, want)
	}
}
