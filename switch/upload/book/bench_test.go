//go:build unix

package book

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/gate/frame"
	"github.com/tapswitch/tapswitch/switch/store/local"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// BenchmarkTake takes gates' days of 5,000 records in, each durable on the local store, without
// TACs. An operation is a record; cpu-ns/op is the processor time of the process in Take, user and
// system, which a loaded machine changes less than the time that passes.
func BenchmarkTake(b *testing.B) {
	const cards, size, money = 50_000, 5000, 200_000
	now := func() txn.Millis { return txn.MillisOf(time.Now()) }
	s, err := local.Open(b.Context(), local.Options{Dir: b.TempDir(), Date: txn.DateOf(time.Now(), time.UTC, 0),
		OutboxMax: 1 << 24, HotStatesMax: 4 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	if err := s.OpenEpoch(b.Context(), now()); err != nil {
		b.Fatal(err)
	}
	tariff, err := fare.Compile(fare.File{Version: "bench", Bus: fare.BusFares{Default: 200}})
	if err != nil {
		b.Fatal(err)
	}
	e, err := engine.New(engine.Options{Cards: s, Blacklist: blacklist.Live(s.Listed()),
		Policy: engine.DefaultPolicy(tariff), Now: now, Shares: runtime.GOMAXPROCS(0)})
	if err != nil {
		b.Fatal(err)
	}
	tokenizer, err := pan.NewTokenizer(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		b.Fatal(err)
	}
	var list []*txn.Request
	for _, kind := range []txn.Kind{txn.Enrol, txn.Load} {
		for i := range cards {
			n, err := pan.Parse(number(i))
			if err != nil {
				b.Fatal(err)
			}
			list = append(list, &txn.Request{ID: txn.RequestID{Terminal: txn.TerminalID{'D'}, Boot: uint32(kind), Counter: uint32(i)},
				Kind: kind, Card: tokenizer.Token(n), Currency: txn.CNY, ServiceAt: now() - 3_600_000,
				Enrolment: txn.Enrolment{Apps: txn.AppAll}, Amount: money})
			if kind == txn.Enrol {
				list[len(list)-1].Amount = 0
			}
			if len(list) == size {
				e.AuthorizeAll(b.Context(), list)
				list = list[:0]
			}
		}
	}
	service, err := New(Options{Cards: s, Registry: s, Engine: e, Tokenizer: tokenizer,
		SealKey: bytes.Repeat([]byte{5}, 32), Currency: txn.CNY, Zone: 8 * hour, FutureMax: 300 * second,
		AgeMax: 40 * 24 * hour, Now: now, Log: slog.New(slog.DiscardHandler),
		Source: func(context.Context, txn.TerminalID) (Source, error) {
			return Source{Place: txn.Place{Operator: "BUS", Payee: "operator/BUS"}, Kinds: []txn.Kind{txn.BusBoarding}}, nil
		}})
	if err != nil {
		b.Fatal(err)
	}
	seq, batch := 0, uint32(0)
	frames := func() []byte {
		h := frame.Header{Terminal: "GATE07", Boot: 1, Batch: batch, BatchRecords: size, First: uint64(seq) + 1,
			SentAt: int64(now()), TotalRecords: uint64(seq + size), TotalSum: uint64(seq+size) * 190}
		batch++
		out := frame.Begin(nil, &h)
		at := now().Time().Add(8*time.Hour - time.Minute).Format("20060102150405")
		for range size {
			card, before := seq*7919%cards, seq/cards
			x := frame.Tap{Kind: "bus_boarding", TTI: 9, Card: frame.Digits(number(card)), PSAM: "010203040506",
				TermSeq: uint32(seq), Counter: uint16(before), Amount: 190, Fare: 200, Before: uint32(money - 190*before),
				At: at, Line: "M1", Station: "B-1"}
			seq++
			if out, err = x.Append(out); err != nil {
				b.Fatal(err)
			}
		}
		return frame.End(out)
	}
	next := frames()
	b.ReportAllocs()
	b.ResetTimer()
	var used time.Duration
	for done := 0; done < b.N; done += size {
		began := processorTime(b)
		f, err := frame.Parse(next)
		if err != nil {
			b.Fatal(err)
		}
		a, err := service.Take(b.Context(), device(), &f)
		if err != nil {
			b.Fatal(err)
		}
		used += processorTime(b) - began
		b.StopTimer()
		for i, fate := range a.Fates {
			if fate.State != upload.Accepted {
				b.Fatal(i, fate, fmt.Sprint(a.Gate))
			}
		}
		next = frames()
		b.StartTimer()
	}
	b.ReportMetric(float64(used)/float64(b.N), "cpu-ns/op")
}

// processorTime is what this process has used of the processors.
func processorTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
