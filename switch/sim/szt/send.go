package szt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// loadDesk is the terminal that loads the cards, and who runs it.
	loadDesk     = "SZT.LOAD"
	loadOperator = "replay"
	// loadUnit is what a card is loaded with at least, in fen; loadMax the most in one load
	// and balanceMax the most on a card, those of a switch with default settings.
	loadUnit   = 5_000
	loadMax    = 200_000
	balanceMax = 1_000_000
	// retryWait and retriesMax bound how often the undecided rows of a batch are sent again.
	retryWait  = 50 * time.Millisecond
	retriesMax = 100
)

// register makes the terminals of the window's readers known to the switch.
func (p *replay) register(ctx context.Context) error {
	var fresh []reader
	for i := range p.window {
		k := reader{p.window[i].Reader, p.window[i].Company}
		if _, ok := p.readers[k]; !ok {
			p.readers[k] = nil
			fresh = append(fresh, k)
		}
	}
	if p.desk == nil {
		desk, err := p.terminal(ctx, sim.TerminalSpec{ID: loadDesk, Operator: loadOperator,
			Kinds: []string{txn.Load.String()}})
		if err != nil {
			return err
		}
		p.desk = desk
	}
	var mu sync.Mutex // guards p.readers
	return p.registerAll(ctx, fresh, func(k reader, t *sim.Terminal) {
		mu.Lock()
		defer mu.Unlock()
		p.readers[k] = t
	})
}

// registerAll registers readers side by side, those of one number one after the other.
func (p *replay) registerAll(
	ctx context.Context, fresh []reader, done func(reader, *sim.Terminal),
) error {
	byNumber := map[string][]reader{}
	var numbers []string
	for _, k := range fresh {
		if len(byNumber[k.number]) == 0 {
			numbers = append(numbers, k.number)
		}
		byNumber[k.number] = append(byNumber[k.number], k)
	}
	return sim.Each(ctx, tapsAtOnce, len(numbers), func(ctx context.Context, i int) error {
		for _, k := range byNumber[numbers[i]] {
			t, err := p.reader(ctx, k)
			if err != nil {
				return err
			}
			done(k, t)
		}
		return nil
	})
}

// errOther reports a terminal id that belongs to another operator.
var errOther = errors.New("terminal of another operator")

// reader registers a reader under its number, or, where another operator has that, under
// the number and two letters made from the operator's name.
func (p *replay) reader(ctx context.Context, k reader) (*sim.Terminal, error) {
	spec := sim.TerminalSpec{ID: k.number, Operator: k.company, Kinds: []string{
		txn.MetroEntry.String(), txn.MetroExit.String(), txn.BusBoarding.String()}}
	t, err := p.terminal(ctx, spec)
	for try := uint64(0); errors.Is(err, errOther) && try < 26*26; try++ {
		h := fnv.New64a()
		_, _ = h.Write([]byte(k.company))
		n := (h.Sum64() + try) % (26 * 26)
		spec.ID = k.number + string([]byte{'a' + byte(n/26), 'a' + byte(n%26)})
		t, err = p.terminal(ctx, spec)
	}
	return t, err
}

// terminal registers spec, or takes over a terminal of the same operator that is there.
func (p *replay) terminal(ctx context.Context, spec sim.TerminalSpec) (*sim.Terminal, error) {
	path := "/v1/terminals/" + url.PathEscape(spec.ID)
	r, err := p.o.Client.Operate(ctx, p.o.Token, http.MethodGet, path, nil)
	switch {
	case err != nil:
		return nil, fmt.Errorf("terminal %s: %w", spec.ID, err)
	case r.Status == http.StatusNotFound:
		return sim.Register(ctx, p.o.Client, p.o.Token, spec)
	case r.Refused != nil:
		return nil, fmt.Errorf("terminal %s: %w", spec.ID, r.Refused)
	}
	var there struct {
		Operator string `json:"operator"`
	}
	if err := json.Unmarshal(r.Body, &there); err != nil {
		return nil, fmt.Errorf("terminal %s: %w", spec.ID, err)
	}
	if there.Operator != spec.Operator {
		return nil, fmt.Errorf("terminal %s: %w", spec.ID, errOther)
	}
	return sim.Rotate(ctx, p.o.Client, p.o.Token, spec.ID)
}

func (p *replay) terminalOf(r *Row) *sim.Terminal { return p.readers[reader{r.Reader, r.Company}] }

func (p *replay) terminalID(r *Row) txn.TerminalID {
	id, err := txn.ParseTerminalID(p.terminalOf(r).ID)
	if err != nil {
		panic("szt: internal error: terminal of a row that was checked: " + err.Error())
	}
	return id
}

// enrol opens the window's cards that have not been seen before.
func (p *replay) enrol(ctx context.Context) error {
	var fresh []sim.Enrolment
	for i := range p.window {
		card := p.window[i].Card
		if _, ok := p.purses[card]; ok {
			continue
		}
		p.purses[card] = 0
		fresh = append(fresh, sim.Enrolment{Number: digits(card),
			Apps: []string{"transit", "purse"}, Rider: txn.RiderOrdinary.String()})
	}
	n, err := sim.EnrolAll(ctx, p.o.Client, p.o.Token, fresh)
	p.report.Cards += n.New + n.Known
	return err
}

// digits returns the card number of a pseudonym that the parser has checked.
func digits(pseudonym string) string {
	n, err := Number(pseudonym)
	if err != nil {
		panic("szt: internal error: pseudonym that was checked: " + err.Error())
	}
	return n.Digits()
}

// topUp is a load that a card needs before its rows of the window.
type topUp struct {
	row    int // of the window, the first that charges the card
	number int
	amount txn.Minor
}

// load gives every card what its rows of the window will charge.
func (p *replay) load(ctx context.Context) error { return p.sendLoads(ctx, p.topUps()) }

// topUps returns the loads that the window's cards need and counts them in.
func (p *replay) topUps() []topUp {
	needs := map[string]*topUp{}
	var order []string
	for i := range p.window {
		if p.entries[p.base+i].state == duplicate || p.window[i].Charged == 0 {
			continue
		}
		card := p.window[i].Card
		if needs[card] == nil {
			needs[card] = &topUp{row: i}
			order = append(order, card)
		}
		needs[card].amount = min(needs[card].amount+p.window[i].Charged, balanceMax)
	}
	var loads []topUp
	for _, card := range order {
		n := needs[card]
		short := n.amount - p.purses[card]
		for short > 0 {
			amount := min(loadMax, (short+loadUnit-1)/loadUnit*loadUnit,
				balanceMax-p.purses[card])
			if amount <= 0 {
				break
			}
			loads = append(loads, topUp{n.row, n.number, amount})
			n.number++
			p.purses[card] += amount
			short -= amount
		}
	}
	return loads
}

// sendLoads sends loads side by side; two loads of one card commute.
func (p *replay) sendLoads(ctx context.Context, loads []topUp) error {
	var mu sync.Mutex // guards p.report
	return sim.Each(ctx, tapsAtOnce, len(loads), func(ctx context.Context, i int) error {
		l := loads[i]
		r := &p.window[l.row]
		digest := r.digest() + uint64(l.number)
		body, err := json.Marshal(sim.Money{
			ID:   fmt.Sprintf("%s-%d-%d", loadDesk, uint32(digest>>32), uint32(digest)),
			Card: digits(r.Card), Amount: l.amount, ServiceTime: sim.FormatTime(r.At),
		})
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		reply, err := p.o.Client.Send(ctx, p.desk, "/v1/loads", body)
		if err != nil {
			return fmt.Errorf("load for line %d: %w", r.Line, err)
		}
		if reply.Refused != nil {
			return fmt.Errorf("load for line %d: %w", r.Line, reply.Refused)
		}
		mu.Lock()
		defer mu.Unlock()
		p.report.Loads++
		return nil
	})
}

// send sends a wave: single rows as taps, several of one reader as batches.
func (p *replay) send(ctx context.Context, w wave) error {
	// Lists are sorted, the longest first.
	single, _ := slices.BinarySearchFunc(w, 1, func(rows []int, n int) int { return n - len(rows) })
	if err := sim.Each(ctx, batchesAtOnce, single, func(ctx context.Context, i int) error {
		for part := range slices.Chunk(w[i], batchRows) {
			if err := p.sendBatch(ctx, part); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return sim.Each(ctx, tapsAtOnce, len(w)-single, func(ctx context.Context, i int) error {
		return p.sendTap(ctx, w[single+i][0])
	})
}

// tap is the body of a row.
func (p *replay) tap(row int) sim.Tap {
	r, e := &p.window[row], &p.entries[p.base+row]
	t := sim.Tap{ID: e.id.String(), Kind: r.Kind.String(), Card: digits(r.Card),
		ServiceTime: sim.FormatTime(r.At), FullFare: &r.FullFare, Charged: &r.Charged,
		Vehicle: r.Vehicle}
	if r.Kind == txn.BusBoarding {
		t.Line = r.Station
	} else {
		t.Station = r.Station
	}
	return t
}

func (p *replay) sendTap(ctx context.Context, row int) error {
	body, err := json.Marshal(p.tap(row))
	if err != nil {
		return fmt.Errorf("line %d: %w", p.window[row].Line, err)
	}
	reply, err := p.o.Client.Send(ctx, p.terminalOf(&p.window[row]), "/v1/taps", body)
	switch {
	case errors.Is(err, sim.ErrGaveUp):
		p.settle(row, nil)
		return nil
	case err != nil:
		return err
	case reply.Refused != nil:
		p.settle(row, &sim.Answer{Error: reply.Refused})
		return nil
	}
	a, err := sim.ParseAnswer(reply.Body)
	if err != nil {
		return fmt.Errorf("line %d: %w", p.window[row].Line, err)
	}
	p.settle(row, &a)
	return nil
}

// sendBatch sends rows of one reader until all are decided, or for long enough.
func (p *replay) sendBatch(ctx context.Context, rows []int) error {
	for try := 0; len(rows) > 0; try++ {
		answers, err := p.tryBatch(ctx, rows)
		if err != nil && !errors.Is(err, sim.ErrGaveUp) {
			return err
		}
		var again []int
		for i, row := range rows {
			switch {
			case err != nil:
				p.settle(row, nil)
			case answers[i].Error != nil && answers[i].Error.Retryable && try < retriesMax:
				again = append(again, row)
			default:
				p.settle(row, &answers[i])
			}
		}
		rows = again
		if len(rows) > 0 {
			if err := sleep(ctx, retryWait); err != nil {
				return err
			}
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *replay) tryBatch(ctx context.Context, rows []int) ([]sim.Answer, error) {
	taps := make([]sim.Tap, len(rows))
	for i, row := range rows {
		taps[i] = p.tap(row)
	}
	first := &p.window[rows[0]]
	body, err := json.Marshal(struct {
		Taps []sim.Tap `json:"taps"`
	}{taps})
	if err != nil {
		return nil, fmt.Errorf("batch from line %d: %w", first.Line, err)
	}
	reply, err := p.o.Client.Send(ctx, p.terminalOf(first), "/v1/taps:batch", body)
	if err != nil {
		return nil, err
	}
	if reply.Refused != nil {
		return nil, fmt.Errorf("batch from line %d: %w", first.Line, reply.Refused)
	}
	answers, err := sim.ParseResults(reply.Body, len(rows))
	if err != nil {
		return nil, fmt.Errorf("batch from line %d: %w", first.Line, err)
	}
	return answers, nil
}

// settle keeps what became of a row; a nil answer is none. Each row is settled by one
// goroutine, rows of one card one after the other.
func (p *replay) settle(row int, a *sim.Answer) {
	e := &p.entries[p.base+row]
	if e.state == duplicate {
		return // absorbed by its id; the ledger says whether it really was
	}
	switch {
	case a == nil || a.Error != nil && a.Error.Retryable:
		e.state = unanswered
	case a.Error != nil:
		e.state = refused
		p.note(e.line, a.Error.Code)
	default:
		e.state = answered
		if a.Reason != "" {
			e.reason, _ = txn.ParseReason(a.Reason) // an unknown one shows as not in the ledger
		}
		p.spend(row, a)
	}
}
