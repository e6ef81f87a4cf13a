package iso

import (
	"context"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

const (
	// lookMax is how long nothing leaves at most before the player is asked again.
	lookMax = 50 * time.Millisecond
	// stanMax is the greatest trace number.
	stanMax = 999_999
	// outMax bounds what waits to be written on one connection; an open loop waits then.
	outMax = 4 << 20
)

// flight is a request without its answer.
type flight struct {
	due  time.Duration
	sent [10]byte
}

// player is the load.Player of a load: any number of requests on each connection, whose answers
// come in any order.
type player struct {
	o       *Load
	spec    *message.Spec
	writer  message.Writer
	frame   []byte
	framed  []byte // with its length
	request Request
	second  int64               // of request.Sent, since o.Begin
	flights []map[uint32]flight // by connection and trace number
	turn    int                 // connection of the next request of an open loop
	next    uint64
	total   uint64 // requests of an open loop
	flying  int
	stray   int64
	t       *load.Tally
}

func runLoad(ctx context.Context, o *Load, spec *message.Spec) (*Result, error) {
	p := &player{o: o, spec: spec, second: -1, t: load.NewTally(o.Warmup, o.Slice),
		total: uint64(o.Rate * o.Duration.Seconds()), request: Request{MAC: o.MAC}}
	for range o.Connections {
		p.flights = append(p.flights, map[uint32]flight{})
	}
	cost, err := load.Drive(ctx, load.DriveOptions{Addr: o.Addr, Connections: o.Connections,
		Buffer: bufferMax}, p)
	if err != nil {
		return nil, fmt.Errorf("iso %w (after %d requests)", err, p.next)
	}
	p.t.CPU, p.t.Sent = cost.CPU, int(p.next)
	return &Result{Result: *p.t.Finish(cost.Wall), Stray: p.stray}, nil
}

// ended reports whether all requests have been sent that will be.
func (p *player) ended(now time.Duration) bool {
	if p.o.Rate > 0 {
		return p.next >= p.total
	}
	return now >= p.o.Duration
}

// Send implements load.Player.
func (p *player) Send(l *load.Lines) (wait time.Duration, over bool, err error) {
	if p.o.Rate > 0 {
		wait, err = p.fillOpen(l)
	} else {
		wait, err = lookMax, p.fillClosed(l)
	}
	if err != nil {
		return 0, true, err
	}
	now := l.Now()
	switch {
	case p.flying == 0 && p.ended(now):
		return 0, true, nil
	case now > p.o.Duration+p.o.Drain:
		p.giveUp(now)
		return 0, true, nil
	}
	return wait, false, nil
}

// quota is how many requests of a closed loop are in flight on connection i.
func (p *player) quota(i int) int {
	quota := p.o.InFlight / p.o.Connections
	if i < p.o.InFlight%p.o.Connections {
		quota++
	}
	return quota
}

// fillClosed makes a request for each that was answered.
func (p *player) fillClosed(l *load.Lines) error {
	now := l.Now()
	if p.ended(now) {
		return nil
	}
	for i := range p.flights {
		for quota := p.quota(i); len(p.flights[i]) < quota; {
			if err := p.make(l, i, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// fillOpen makes what is due, in turns over the connections.
func (p *player) fillOpen(l *load.Lines) (time.Duration, error) {
	for now := l.Now(); p.next < p.total; {
		due := time.Duration(float64(p.next) / p.o.Rate * float64(time.Second))
		if due > now {
			if now = l.Now(); due > now {
				return due - now, nil
			}
		}
		i := p.turn
		if p.flying >= InFlightMax || l.Queued(i) > outMax {
			return lookMax, nil
		}
		p.turn = (i + 1) % l.Len()
		if err := p.make(l, i, due); err != nil {
			return 0, err
		}
	}
	return lookMax, nil
}

// make queues the next request on connection i.
func (p *player) make(l *load.Lines, i int, due time.Duration) error {
	r := &p.request
	r.N, r.STAN, r.Connection = p.next, uint32(p.next%stanMax)+1, i
	putDigits(r.RRN[:], p.next+1)
	if second := int64(due / time.Second); second != p.second {
		p.second = second
		p.o.Begin.Add(due).AppendFormat(r.Sent[:0], "0102150405")
	}
	var err error
	if p.frame, err = p.o.Make(&p.writer, p.frame[:0], p.spec, r); err != nil {
		return fmt.Errorf("load: request: %w", err)
	}
	if p.framed, err = p.o.Format.Framing.Append(p.framed[:0], p.frame); err != nil {
		return fmt.Errorf("load: request: %w", err)
	}
	l.Queue(i, p.framed)
	if old, lost := p.flights[i][r.STAN]; lost { // a whole lap without an answer
		p.t.Note(old.due, l.Now(), load.Failed)
		p.flying--
	}
	p.flights[i][r.STAN] = flight{due: due, sent: r.Sent}
	p.flying++
	p.next++
	return nil
}

// Receive implements load.Player.
func (p *player) Receive(l *load.Lines, i int, in []byte) (used int, err error) {
	now := l.Now()
	for {
		frame, size, err := p.o.Format.Framing.Next(in[used:])
		if err != nil {
			return 0, fmt.Errorf("load: answer: %w", err)
		}
		if size == 0 {
			return used, nil
		}
		used += size
		sum, err := message.Peek(p.spec, frame)
		if err != nil {
			return 0, fmt.Errorf("load: answer: %w", err)
		}
		if p.o.MAC != nil {
			if err := message.VerifySummary(p.spec, frame, &sum, p.o.MAC); err != nil {
				return 0, fmt.Errorf("load: answer: %w", err)
			}
		}
		p.match(p.flights[i], &sum, now)
	}
}

// match finds the request of an answer and judges it.
func (p *player) match(flights map[uint32]flight, sum *message.Summary, now time.Duration) {
	f, ok := flights[sum.STAN]
	if !ok || sum.Has(7) && sum.Sent != f.sent || !sum.MTI.IsResponse() {
		p.stray++
		return
	}
	delete(flights, sum.STAN)
	p.flying--
	verdict := load.Good
	if string(sum.Response[:]) != "00" {
		verdict = load.Refused
		if p.t.Sample == "" {
			p.t.Sample = fmt.Sprintf("type %s, response code %q", sum.MTI, sum.Response[:])
		}
	}
	p.t.Note(f.due, now, verdict)
}

// giveUp counts what was never answered, and what was due and never sent, as failed.
func (p *player) giveUp(now time.Duration) {
	if p.t.Sample == "" {
		p.t.Sample = "no answer within " + p.o.Drain.String()
	}
	for _, flights := range p.flights {
		for _, f := range flights {
			p.t.Note(f.due, now, load.Failed)
		}
	}
	for ; p.next < p.total; p.total-- {
		p.t.Note(p.o.Duration, now, load.Failed)
	}
}
