package gatesim

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/disruption"
	"github.com/tapswitch/tapswitch/switch/gate/provision"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Options of one gate's run.
type Options struct {
	World *World
	// Gate is the number of the gate, from 0.
	Gate int
	// Addr is the switch; Dir is where the gate keeps its queue, cards and downloads.
	Addr, Dir string
	// Taps is the tap of the plan before which the gate stops. One that has been there already
	// only uploads.
	Taps int
	// Every is the machine's time between two taps, 0 for none.
	Every time.Duration
	// NoSync leaves it to the system when the disk is written: a kill loses nothing then, a
	// power cut may.
	NoSync bool
	// Undrained stops without uploading what waits.
	Undrained bool
	// DrainFor is how long the end waits for the network; 0 is a minute.
	DrainFor time.Duration
	// Form is the form of uploads; "" is FormFrame.
	Form Form

	city *chips // the cards that the gates of the city have in common
}

// Gate is one gate at work. It belongs to one goroutine.
type Gate struct {
	o      Options
	id     *Identity
	script *script
	dir    string

	queue  *queue
	book   *book
	chips  *chips
	master *purse.Master

	link      *link
	uplink    Uplink
	tokens    []pan.Token // of its cards
	listKeys  *list.Keys
	planKeys  *provision.Keys
	held      *held
	list      *list.List
	plan      *provision.Plan // parameters
	tariffs   *provision.Plan
	rules     rules
	given     txn.Minor // off line since the last contact
	polled    int       // tap of the last try to reach the switch, -1 for none
	uploaded  int       // tap of the last upload, -1 for none
	downUntil int       // the next try after a fault of the network
	did       Did
}

// Did counts what the gate did with its network in this life.
type Did struct {
	Polls     int `json:"polls"`
	FullLists int `json:"full_lists"`
	Deltas    int `json:"deltas"`
	Batches   int `json:"batches"`
	Repeats   int `json:"repeats"` // batches sent twice on purpose
	Faults    int `json:"network_faults"`
	// LastFault says what the last of them was.
	LastFault string `json:"last_fault,omitempty"`
	Asked     int    `json:"asked_on_line"`
	ClockSets int    `json:"clock_sets"`
	// Refused is the code of the last refusal of the gate itself, "" for none.
	Refused string `json:"refused,omitempty"`
}

// OpenGate makes a gate ready: it boots, looks what its queue holds, and asks the card of a
// torn tap. Close it in any case.
func OpenGate(o Options) (g *Gate, err error) {
	id := &o.World.Identities[o.Gate]
	g = &Gate{o: o, id: id, script: newScript(&o.World.Setup, o.Gate), polled: -1, uploaded: -1,
		dir: filepath.Join(o.Dir, id.ID), book: newBook()}
	if g.link, err = newLink(o.Addr, id); err != nil {
		return g, err
	}
	if g.queue, err = openQueue(g.dir, !o.NoSync, g.book.apply); err != nil {
		return g, fmt.Errorf("gate %s: %w", id.ID, err)
	}
	if g.chips, err = g.cards(); err != nil {
		return g, fmt.Errorf("gate %s: %w", id.ID, err)
	}
	if g.master, err = purse.NewMaster(TACScheme(), TestTACKey()); err != nil {
		return g, err
	}
	if err = g.trust(); err != nil {
		return g, fmt.Errorf("gate %s: %w", id.ID, err)
	}
	if err = g.boot(); err != nil {
		return g, fmt.Errorf("gate %s: %w", id.ID, err)
	}
	if err = g.restore(); err != nil {
		return g, err
	}
	return g, g.connect()
}

// cards opens the chips of the cards that are shown at the gate.
func (g *Gate) cards() (*chips, error) {
	w := g.o.World
	switch {
	case !w.inCity(g.o.Gate):
		return openChips(g.dir, w.Cards, w.Balance, !g.o.NoSync)
	case g.o.city == nil:
		return nil, fmt.Errorf("%w: a gate of the city runs with the others alone", ErrSetup)
	default:
		return g.o.city, nil
	}
}

// connect makes the gate's way of uploading.
func (g *Gate) connect() error {
	o := &g.o
	switch o.Form {
	case FormTaps:
		if o.World.inCity(o.Gate) {
			return fmt.Errorf("%w: records of the metro go up in frames only", ErrSetup)
		}
		g.uplink = &taps{g.link, o.World, o.Gate}
	case FormFrame, "":
		g.uplink = &frames{g.link, o.World, o.Gate, g.book.Boot, func() txn.Millis {
			return g.script.offset(g.book.Next, g.held.ClockSet)
		}, g.book}
	default:
		return fmt.Errorf("%w: form %.16q, want frame or taps", ErrSetup, o.Form)
	}
	return nil
}

// trust reads the public keys and the tokens of the world.
func (g *Gate) trust() error {
	keys, err := receipt.ParseKeys(g.o.World.Keys)
	if err != nil {
		return err
	}
	if g.listKeys, err = list.NewKeys(keys...); err != nil {
		return err
	}
	if g.planKeys, err = provision.NewKeys(keys...); err != nil {
		return err
	}
	for card := range g.o.World.cardsOf(g.o.Gate) {
		token, err := pan.ParseToken(g.o.World.Tokens[g.worldCard(card)])
		if err != nil {
			return fmt.Errorf("token of card %d: %w", card, err)
		}
		g.tokens = append(g.tokens, token)
	}
	return nil
}

// boot begins a life, and ends the tap that the last one left open: the card says whether it
// was debited.
func (g *Gate) boot() error {
	if err := g.note(&entry{Kind: entryLife, Boot: g.book.Boot + 1}); err != nil {
		return err
	}
	open := g.book.Open
	if open == nil {
		return nil
	}
	c, err := g.chips.load(open.Card)
	if err != nil {
		return err
	}
	if g.proves(&c, open) {
		return g.note(&entry{Kind: entryDone, Seq: open.Seq, TAC: c.LastTAC, Proved: true})
	}
	return g.note(&entry{Kind: entryVoid, Seq: open.Seq})
}

// note puts an entry into the queue and the book.
func (g *Gate) note(e *entry) error {
	if err := g.queue.append(e); err != nil {
		return err
	}
	return g.book.apply(e)
}

// Close frees the gate's files.
func (g *Gate) Close() error {
	var errs []error
	if g.queue != nil {
		errs = append(errs, g.queue.close())
	}
	if g.chips != nil && g.chips != g.o.city {
		errs = append(errs, g.chips.close())
	}
	if g.master != nil {
		g.master.Clear()
	}
	if g.link != nil {
		g.link.close()
	}
	return errors.Join(errs...)
}

// Run plays the plan up to Options.Taps and uploads what waits. It returns when that is done,
// ctx has ended, or the gate cannot keep what it does.
func (g *Gate) Run(ctx context.Context) error {
	for n := g.book.Next; n < g.o.Taps; n = g.book.Next {
		if err := g.step(ctx, n); err != nil {
			return fmt.Errorf("gate %s: tap %d: %w", g.id.ID, n, err)
		}
	}
	return g.finish(ctx)
}

// finish uploads what waits, unless it is not wanted.
func (g *Gate) finish(ctx context.Context) error {
	if g.o.Undrained {
		return nil
	}
	if err := g.drain(ctx); err != nil {
		return fmt.Errorf("gate %s: %w", g.id.ID, err)
	}
	return nil
}

// step is what happens at tap n: what is due with the network, then the tap.
func (g *Gate) step(ctx context.Context, n int) error {
	if g.o.Every > 0 {
		timer := time.NewTimer(g.o.Every)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := g.contact(ctx, n); err != nil {
		return err
	}
	g.choose(g.clock(n))
	if g.o.World.inCity(g.o.Gate) {
		return g.visit(ctx, n)
	}
	return g.tap(ctx, n)
}

// clock is the gate's own time at tap n.
func (g *Gate) clock(n int) txn.Millis {
	return g.script.at(n) + g.script.offset(n, g.held.ClockSet)
}

// reachable reports whether the gate may try the network at tap n.
func (g *Gate) reachable(n int) bool { return !g.script.lost(n) && n >= g.downUntil }

// due reports whether so many seconds of the plan have passed between two taps.
func (g *Gate) due(last, n int, every int64) bool {
	return last < 0 || g.script.at(n)-g.script.at(last) >= txn.Millis(every)*1000
}

// tap serves the card that is shown at tap n, or does not.
func (g *Gate) tap(ctx context.Context, n int) error {
	card, at := g.script.card(n), g.clock(n)
	c, err := g.chips.load(card)
	if err != nil {
		return err
	}
	fare, ok := g.rules.fareOf(g.id, at)
	if !ok {
		return g.note(&entry{Kind: entryPassed, Tap: n, Why: "no_fare"})
	}
	return g.serve(ctx, &c, &Record{Tap: n, Card: card, Amount: fare, Fare: fare, At: at})
}

// moment is what the gate knows when a card is shown at tap n.
func (g *Gate) moment(n, card int, at txn.Millis) moment {
	place := disruption.Place{Line: g.id.Line, Station: g.id.Station, Terminal: g.id.ID}
	return moment{at: at, modes: disruption.FlagsAt(g.rules.orders, place, at), given: g.given,
		age:    g.rules.params.AgeOf(g.list != nil, g.script.at(n)-g.held.ListAt),
		listed: g.list != nil && g.list.Contains(g.tokens[card]), noList: g.list == nil,
		waiting: len(g.book.Waiting)}
}

// serve decides about a card, asks on line where it must, and debits it or does not. r says what
// is to be charged where nothing is waived.
func (g *Gate) serve(ctx context.Context, c *chip, r *Record) error {
	n, m := r.Tap, g.moment(r.Tap, r.Card, r.At)
	if r.Modes = m.modes; m.modes.Has(disruption.TrainFault) {
		r.Amount = 0
	}
	v := judge(&g.rules.params, c, m, r.Amount)
	if v.asks() && g.reachable(n) {
		switch told, good, err := g.askOnline(ctx, n, r.Card); {
		case err != nil:
			return err
		case good == yes:
			c.LeaseUntil, c.Taps, c.Total = leaseOf(&g.rules.params, &told, r.At), 0, 0
			m.seen = true
			v = judge(&g.rules.params, c, m, r.Amount)
		case good == no:
			v = refuseOnline
		}
	}
	if v != serve {
		return g.note(&entry{Kind: entryPassed, Tap: n, Why: string(v)})
	}
	return g.debit(c, r)
}

// worldCard is the number in the world of a card of this gate.
func (g *Gate) worldCard(card int) int { return g.o.World.cardOf(g.o.Gate, card) }

// debit takes the money off the chip: the intent first, then the chip, then the proof, each on
// the disk before the next.
func (g *Gate) debit(c *chip, r *Record) error {
	r.Seq, r.Boot, r.Counter = g.book.Seq+1, g.book.Boot, c.Counter
	r.Before, r.Tariff = txn.Minor(c.Balance), g.rules.tariff.Version()
	if g.list != nil {
		r.Epoch = uint64(g.list.Epoch())
	}
	if g.held.ClockSet >= 0 {
		r.Known, r.Offset = true, int32((r.At-g.script.at(r.Tap))/1000)
	}
	if err := g.note(&entry{Kind: entryIntent, Record: r}); err != nil {
		return err
	}
	torn, paid := g.torn(r.Tap)
	if torn && !paid {
		return g.note(&entry{Kind: entryGrey, Seq: r.Seq})
	}
	proof, err := g.o.World.tac(g.master, r, g.o.Gate)
	if err != nil {
		return err
	}
	c.Balance -= uint32(r.Amount)
	c.Counter++
	c.LastSeq, c.LastTAC, c.LastAt = r.Seq, proof, r.At
	c.Taps, c.Total, c.LastGate = c.Taps+1, c.Total+uint32(r.Amount), uint16(g.o.Gate+1)
	if err := g.chips.store(r.Card, c); err != nil {
		return err
	}
	g.given += r.Amount
	if torn {
		return g.note(&entry{Kind: entryGrey, Seq: r.Seq})
	}
	return g.note(&entry{Kind: entryDone, Seq: r.Seq, TAC: proof})
}
