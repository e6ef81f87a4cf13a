package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// progressEvery is how often a plain log of the progress gets a line.
const progressEvery = 2 * time.Second

// barEvery is how often a bar is drawn anew.
const barEvery = 100 * time.Millisecond

// progress shows how far something is: bars on a terminal, plain lines elsewhere. Safe for
// concurrent use.
type progress struct {
	out  io.Writer
	bars *mpb.Progress // nil when out is no terminal
}

func newProgress(f *os.File) *progress {
	p := &progress{out: f}
	if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		p.bars = mpb.New(mpb.WithOutput(f), mpb.WithWidth(60))
		p.out = p.bars
	}
	return p
}

// say writes a line, above the bars where there are some.
func (p *progress) say(format string, args ...any) {
	fmt.Fprintf(p.out, format+"\n", args...)
}

// close leaves the last state of the bars on the screen.
func (p *progress) close() {
	if p.bars != nil {
		p.bars.Wait()
	}
}

// progressBar is one thing under way.
type progressBar struct {
	p     *progress
	name  string
	total int
	bar   *mpb.Bar
	every time.Duration
	most  atomic.Int64
	next  atomic.Int64 // when it is shown again, in nanoseconds
}

// bar begins something of total steps; 0 when it is not known how many.
func (p *progress) bar(name string, total int) *progressBar {
	b := &progressBar{p: p, name: name, total: total, every: progressEvery}
	if p.bars != nil {
		b.every = barEvery
		b.bar = p.bars.AddBar(int64(total),
			mpb.PrependDecorators(decor.Name(name, decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.CountersNoUnit("%d/%d"), decor.Name(" "),
				decor.AverageETA(decor.ET_STYLE_GO)))
	}
	b.next.Store(time.Now().Add(b.every).UnixNano())
	return b
}

// set tells how many steps are done; a smaller number than before changes nothing.
func (b *progressBar) set(n int) {
	for {
		most := b.most.Load()
		if int64(n) <= most {
			return
		}
		if b.most.CompareAndSwap(most, int64(n)) {
			break
		}
	}
	now := time.Now().UnixNano()
	next := b.next.Load()
	if now < next || !b.next.CompareAndSwap(next, now+b.every.Nanoseconds()) {
		return
	}
	if b.bar != nil {
		b.bar.SetCurrent(b.most.Load())
		return
	}
	b.line(n)
}

func (b *progressBar) line(n int) {
	if b.total == 0 {
		b.p.say("%s: %d", b.name, n)
		return
	}
	b.p.say("%s: %d of %d (%d %%)", b.name, n, b.total, 100*n/b.total)
}

// done ends the bar where it stands.
func (b *progressBar) done() {
	n := b.most.Load()
	if b.bar != nil {
		b.bar.SetCurrent(n)
		b.bar.SetTotal(-1, true) // where it stands
		return
	}
	b.line(int(n))
}
