package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/switch/store"
)

// batchConnections is how many batches are under way at once: what the gate works on.
const batchConnections = 4

// batch measures lists: over HTTP as JSON, through the engine, and the store alone.
func batch(ctx context.Context, b *bench) error {
	taps := b.size.BatchTaps
	b.sized("batches of %d taps, %d cards, %d rounds of %d batches", taps, b.size.Cards,
		b.size.Rounds, b.size.Batches)
	b.note("The target is that of a binary upload without TAC; the upload of this version is " +
		"JSON, so the engine's list, which is all of it but the parsing of a frame, is held " +
		"against it. The reference is TigerBeetle's own benchmark on such a machine, 345 000/s.")
	l, err := openLane(ctx, filepath.Join(b.dir, "lane"))
	if err != nil {
		return err
	}
	defer l.close()
	if err := l.enrol(ctx, b.size.Cards); err != nil {
		return err
	}
	var lists, stores []float64
	var s series
	err = b.withSwitch(ctx, batchConnections, func(r *rig) error {
		for round := range b.size.Rounds {
			r.settle(ctx, b.size.Settle)
			perSecond, err := b.batchEngine(ctx, l, round)
			if err != nil {
				return err
			}
			lists = append(lists, perSecond)
			if perSecond, err = b.batchStore(ctx, l, round); err != nil {
				return err
			}
			stores = append(stores, perSecond)
			if err := b.batchHTTP(ctx, r, &s); err != nil {
				return err
			}
			b.say("round %d of %d: HTTP %.0f, engine %.0f, store %.0f records/s", round+1,
				b.size.Rounds, s.rates[round], lists[round], stores[round])
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.Add(report.Of("taps:batch over HTTP (JSON)", "records/s", s.rates...))
	b.Add(report.Of("taps:batch over HTTP, p50 of a batch", "ms", s.p50...))
	b.Add(report.Of("taps:batch over HTTP, processor time a tap", "µs", s.cost...))
	b.Add(report.Of("lists through the engine, durable", "records/s", lists...).AtLeast(345_000))
	b.Add(report.Of("lists into the store, durable", "records/s", stores...))
	b.Plots = append(b.Plots, report.Plot{Kind: report.PlotBars, Y: "records/s",
		Title: "Records a second in batches", Bars: []report.Bar{
			report.BarOf("over HTTP", "JSON", report.Of("", "", s.rates...)),
			report.BarOf("in process", "engine", report.Of("", "", lists...)),
			report.BarOf("in process", "store", report.Of("", "", stores...)),
		}})
	return nil
}

// batchHTTP sends prepared batches over a few connections.
func (b *bench) batchHTTP(ctx context.Context, r *rig, s *series) error {
	requests := r.fleet.batches(b.size.Batches, b.size.BatchTaps)
	before := r.usage().cpu
	result, err := load.Run(ctx, load.Options{Addr: r.Addr, Connections: batchConnections,
		Duration: 5 * time.Minute, Requests: requests,
		Wire: load.HTTP(fmt.Sprintf(`"accepted":%d`, b.size.BatchTaps))})
	if err != nil {
		return err
	}
	if err := result.AllGood(); err != nil {
		return err
	}
	s.add(result, (r.usage().cpu-before)/time.Duration(b.size.BatchTaps))
	last := len(s.rates) - 1
	s.rates[last] *= float64(b.size.BatchTaps)
	return nil
}

// batchEngine decides and commits lists of taps.
func (b *bench) batchEngine(ctx context.Context, l *lane, round int) (float64, error) {
	const lists = 8 // made beforehand, so that making them is not counted
	done, took := 0, time.Duration(0)
	for done < b.size.Batches {
		n := min(lists, b.size.Batches-done)
		first := (round*b.size.Batches + done) * b.size.BatchTaps
		taps := l.taps(n*b.size.BatchTaps, first, b.size.Cards)
		began := time.Now()
		for i := range n {
			if err := l.decide(ctx, taps[i*b.size.BatchTaps:(i+1)*b.size.BatchTaps]); err != nil {
				return 0, err
			}
		}
		took += time.Since(began)
		done += n
	}
	return float64(done*b.size.BatchTaps) / took.Seconds(), nil
}

// batchStore commits states and records of the size of HOTPATH's prototypes.
func (b *bench) batchStore(ctx context.Context, l *lane, round int) (float64, error) {
	const stateBytes, recordBytes, apart = 192, 300, 1 << 30
	state, record := make([]byte, stateBytes), make([]byte, recordBytes)
	list := make([]store.Commit, b.size.BatchTaps)
	commits := make([]*store.Commit, len(list))
	began := time.Now()
	for i := range b.size.Batches {
		first := uint64(apart + (round*b.size.Batches+i)*len(list))
		for k := range list {
			list[k] = store.Commit{Card: tokenAt(first + uint64(k)), State: state, Record: record}
			commits[k] = &list[k]
		}
		if err := l.store.Commit(ctx, commits); err != nil {
			return 0, err
		}
		for k := range list {
			if list[k].Status != store.Committed {
				return 0, errors.New("a commit of the store: " + list[k].Status.String())
			}
		}
	}
	return float64(b.size.Batches*len(list)) / time.Since(began).Seconds(), nil
}
