package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
)

// start times the start on a large blacklist and reads the memory of many active cards.
func start(ctx context.Context, b *bench) error {
	b.sized("%d frozen cards; then %d active cards without frozen ones",
		b.size.StartFrozen, b.size.ActiveCards)
	b.note("The list was written by an ordinary store and closed in order. Ready is when the " +
		"product, a process of its own, takes requests. Active cards were enrolled over HTTP, and " +
		"each has tapped once; memory is resident memory as the system tells it.")
	if err := b.startFrozen(ctx); err != nil {
		return err
	}
	return b.activeCards(ctx)
}

func (b *bench) startFrozen(ctx context.Context) error {
	dir := filepath.Join(b.dir, "frozen")
	b.say("freezing %d cards", b.size.StartFrozen)
	s, err := openStore(ctx, filepath.Join(dir, "store"))
	if err != nil {
		return err
	}
	if err := errors.Join(freezeAll(ctx, s, b.size.StartFrozen), s.Close()); err != nil {
		return err
	}
	var ready, memory []float64
	for range min(3, b.size.Rounds) {
		began := time.Now()
		c, err := b.startSwitch(ctx, dir)
		if err != nil {
			return err
		}
		ready = append(ready, time.Since(began).Seconds())
		memory = append(memory, float64(c.usage().rss)/(1<<20))
		b.say("ready after %.2f s with %.0f MiB", ready[len(ready)-1], memory[len(memory)-1])
		if err := c.stop(); err != nil {
			return err
		}
	}
	name := "start with " + report.Number(float64(b.size.StartFrozen)) + " frozen cards"
	took := report.Of(name+", to ready", "s", ready...)
	b.Add(took.AtMost(10))
	b.Add(report.Of(name+", resident", "MiB", memory...))
	return nil
}

// activeCards enrols cards, lets each tap once, and reads the memory.
func (b *bench) activeCards(ctx context.Context) error {
	dir := filepath.Join(b.dir, "active")
	c, err := b.startSwitch(ctx, dir)
	if err != nil {
		return err
	}
	u, err := b.useCards(ctx, c, dir)
	if err := errors.Join(err, c.stop()); err != nil {
		return err
	}
	name := report.Number(float64(b.size.ActiveCards)) + " active cards"
	b.Add(report.Of(name+", resident", "MiB", float64(u.rss)/(1<<20)).AtMost(512))
	b.Add(report.Of(name+", greatest resident", "MiB", float64(u.peak)/(1<<20)))
	return nil
}

func (b *bench) useCards(ctx context.Context, c *child, dir string) (usage, error) {
	secret, err := token(dir)
	if err != nil {
		return usage{}, err
	}
	d, err := openDesk(ctx, c.Addr, secret)
	if err != nil {
		return usage{}, err
	}
	defer d.close()
	f := &fleet{cards: b.size.ActiveCards, zone: time.FixedZone("", 8*60*60), free: true}
	t, err := d.register("ACTIVE")
	if err != nil {
		return usage{}, err
	}
	f.terminals = []*terminal{t}
	b.say("enrolling %d cards and one tap of each", b.size.ActiveCards)
	if err := d.enrol(f, 0, f.cards, "senior"); err != nil {
		return usage{}, err
	}
	const part = 50_000 // so that the prepared batches fit into memory
	for first := 0; first < f.cards; first += part {
		taps := min(part, f.cards-first)
		size := min(b.size.BatchTaps, taps)
		result, err := load.Run(ctx, load.Options{Addr: c.Addr, Connections: 1,
			Duration: time.Minute, Requests: f.batches(taps/size, size),
			Wire: load.HTTP(fmt.Sprintf(`"accepted":%d`, size))})
		if err != nil {
			return usage{}, err
		}
		if err := result.AllGood(); err != nil {
			return usage{}, err
		}
	}
	c.settle(ctx, b.size.Settle)
	return c.usage(), nil
}
