package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
)

const (
	// pollRate is 10,000 devices that poll every 10 s.
	pollRate = 1000
	// pollTerminals sign the polls; each stands for many devices.
	pollTerminals, pollConnections = 64, 64
	currentPath                    = "/v1/lists/transit/current"
	deltaPath                      = "/v1/lists/transit/delta?from="
)

// polls measures what signed polls for news cost the switch: one that is idle otherwise, and
// one that is busy with taps, where the price of waking a sleeping process is paid already.
func polls(ctx context.Context, b *bench) error {
	return b.withSwitch(ctx, pollTerminals+pollConnections, func(r *rig) error {
		epoch, err := r.listEpoch(ctx)
		if err != nil {
			return err
		}
		r.settle(ctx, settleMost)
		b.sized("%d polls/s for %s, signed, over %d connections; nothing new; %d taps/s beside", pollRate,
			b.size.Open, pollConnections, besidePolls)
		b.note("Each poll is a signed GET of the delta from the present epoch. What the switch uses in the same " +
			"time without polls is taken off: the less of before and after.")
		for _, taps := range []float64{0, besidePolls} {
			without, _, err := r.pollFor(ctx, b.size.Open, taps, "")
			if err != nil {
				return err
			}
			done := b.profile(ctx, r, fmt.Sprintf("polls-%.0f", taps))
			with, result, err := r.pollFor(ctx, b.size.Open, taps, epoch)
			done()
			if err != nil {
				return err
			}
			after, _, err := r.pollFor(ctx, b.size.Open, taps, "")
			if err != nil {
				return err
			}
			used := with - min(without, after) // what enrolling left to be collected is in the first
			b.addPolls(taps, max(0, used.Seconds()/b.size.Open.Seconds()), result)
		}
		return nil
	}, "desk.city=handan")
}

// besidePolls is how many taps a second a busy switch has beside the polls.
const besidePolls = 5000

func (b *bench) addPolls(taps, cores float64, result *load.Result) {
	name := map[bool]string{false: "an idle switch", true: "a busy switch"}[taps > 0]
	b.Add(report.Of("10 000 devices that poll every 10 s, "+name, "% of a core", 100*cores).AtMost(5))
	b.Add(report.Of("processor time of a poll, "+name, "us", 1e6*cores/pollRate))
	b.Add(report.Of("poll, p50, "+name, "ms", ms(result.Quantile(0.5))))
	b.Add(report.Of("poll, p99, "+name, "ms", ms(result.Quantile(0.99))))
}

// pollFor runs taps and, with an epoch, polls for a time, and returns the processor time that
// the switch used.
func (s *rig) pollFor(ctx context.Context, took time.Duration, taps float64, epoch string) (
	used time.Duration, polled *load.Result, err error) {
	var group sync.WaitGroup
	var tapErr, pollErr error
	run := func(rate float64, wire load.Wire, requests *load.Requests) (*load.Result, error) {
		result, err := load.Run(ctx, load.Options{Addr: s.Addr, Connections: pollConnections, Rate: rate,
			Duration: took, Requests: requests, Wire: wire})
		if err == nil {
			err = result.AllGood()
		}
		return result, err
	}
	var tapping, polling *load.Requests
	if taps > 0 {
		busy := *s.fleet
		busy.terminals = s.fleet.terminals[pollTerminals:]
		tapping = busy.taps(int(taps * took.Seconds()))
	}
	if epoch != "" {
		polling = s.pollsOf(int(pollRate*took.Seconds()), epoch)
	}
	before := s.usage().cpu
	if tapping != nil {
		group.Go(func() { _, tapErr = run(taps, load.HTTP(approved), tapping) })
	}
	if polling != nil {
		group.Go(func() { polled, pollErr = run(pollRate, unchanged(), polling) })
	}
	if tapping == nil && polling == nil {
		select {
		case <-time.After(took):
		case <-ctx.Done():
		}
	}
	group.Wait()
	return s.usage().cpu - before, polled, errors.Join(tapErr, pollErr, ctx.Err())
}

// pollsOf returns n signed polls.
func (s *rig) pollsOf(n int, epoch string) *load.Requests {
	all := load.NewRequests(n, requestSize)
	for i := range n {
		t := s.fleet.terminals[i%pollTerminals]
		s.fleet.out = t.signed(s.fleet.out[:0], "GET", deltaPath+epoch, nil)
		all.Add(s.fleet.out)
	}
	return all
}

// settleMost is how long the switch may take to become idle before it is measured.
const settleMost = 15 * time.Second

// listEpoch asks for the present list.
func (s *rig) listEpoch(ctx context.Context) (string, error) {
	c, err := load.Dial(ctx, s.Addr, load.HTTP(""), callMax)
	if err != nil {
		return "", err
	}
	defer c.Close()
	answer, err := c.Do(s.fleet.terminals[0].signed(nil, "GET", currentPath, nil))
	if err != nil {
		return "", err
	}
	_, rest, ok := bytes.Cut(bytes.ToLower(answer), []byte("\r\n"+string(bytes.ToLower([]byte(list.EpochHeader)))+": "))
	epoch, _, end := bytes.Cut(rest, []byte("\r\n"))
	if !ok || !end {
		return "", fmt.Errorf("the switch tells no list epoch: %.300s", answer)
	}
	return string(epoch), nil
}

// unchanged is the wire of polls for which there is nothing new.
func unchanged() load.Wire {
	wire := load.HTTP("")
	framed := wire.Frame
	wire.Frame = func(buf []byte) (int, error) {
		if status := load.Status(buf); status != http.StatusNoContent && status != http.StatusNotModified {
			return framed(buf)
		}
		end := bytes.Index(buf, []byte("\r\n\r\n"))
		if end < 0 {
			return 0, nil
		}
		return end + 4, nil
	}
	wire.Judge = func(answer []byte) load.Verdict {
		if status := load.Status(answer); status == http.StatusNoContent || status == http.StatusNotModified {
			return load.Good
		}
		return load.Failed
	}
	return wire
}
