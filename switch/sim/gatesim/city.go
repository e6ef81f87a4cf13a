package gatesim

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The city: gates of metro stations, and of buses and trams between them, to which the same
// cards come. A metro gate lets out who is inside and lets in who is not. What a card pays is
// priced by the rides that its chip remembers, transfers between lines and modes with them.

// Kinds of record.
const (
	kindBoard = "bus_boarding"
	kindEntry = "metro_entry"
	kindExit  = "metro_exit"

	// nobody is why nothing happened at a gate to which no card could come.
	nobody = "nobody"

	// postsApart is the way from one station to the next in metres, rideLeast that of the
	// shortest ride: in and out at the same station.
	postsApart, rideLeast = 1300, 1000

	cityDir = "city"
)

// inCity reports whether a gate is one of the city's.
func (s *Setup) inCity(gate int) bool { return gate >= s.Gates-s.Metro }

// cardsOf is how many cards come to a gate.
func (s *Setup) cardsOf(gate int) int {
	if s.inCity(gate) {
		return s.Metro * s.Cards
	}
	return s.Cards
}

// cardOf is the number in the world of a card that comes to a gate.
func (s *Setup) cardOf(gate, card int) int {
	if s.inCity(gate) {
		return (s.Gates-s.Metro)*s.Cards + card
	}
	return gate*s.Cards + card
}

// stationOf is the number of the station that a gate of the city belongs to, from 0, and the mode
// by which one rides there. Every third gate is on a vehicle, a bus and a tram in turn.
func (s *Setup) stationOf(gate int) (station int, by price.Mode) {
	at := gate - (s.Gates - s.Metro)
	switch {
	case at%3 != 2:
		return at - at/3, price.Metro
	case at%2 == 0:
		return at / 3, price.Bus
	default:
		return at / 3, price.Tram
	}
}

// cityIdentity returns a gate of the city without its key: two lines of the metro, and a line of
// its own for each vehicle.
func (s *Setup) cityIdentity(gate int) Identity {
	id := Identity{ID: fmt.Sprintf("GS%06d%03d", s.Seed%seedsMax, gate+1)}
	if n, by := s.stationOf(gate); by == price.Metro {
		id.Line, id.Station = fmt.Sprintf("GM%d", n%2+1), fmt.Sprintf("GM Station %02d", n+1)
	} else {
		id.Line, id.Station = fmt.Sprintf("GV%d", n+1), fmt.Sprintf("GV%d Stop", n+1)
	}
	return id
}

// proves reports whether a chip's last debit is that of a record: GET TRANSACTION PROVE.
func (g *Gate) proves(c *chip, r *Record) bool {
	return c.Counter == r.Counter+1 && c.LastSeq == r.Seq &&
		(c.LastGate == uint16(g.o.Gate+1) || !g.o.World.inCity(g.o.Gate))
}

// torn reports whether the plan tears the debit at tap n, and whether the card was debited. A
// gate with cards of its own has no torn ones but those of its kills.
func (g *Gate) torn(n int) (torn, paid bool) {
	if g.o.World.inCity(g.o.Gate) {
		torn, paid, _ = g.script.torn(n)
	}
	return torn, paid
}

// visit serves whoever comes to a gate of the city at tap n.
func (g *Gate) visit(ctx context.Context, n int) error {
	card, c, err := g.comes(n)
	if err != nil {
		return err
	}
	if card < 0 {
		return g.note(&entry{Kind: entryPassed, Tap: n, Why: nobody})
	}
	for _, of := range [][]Record{g.book.Waiting, g.book.Doubts} {
		for i := range of {
			if of[i].Grey && of[i].Card == card && g.proves(&c, &of[i]) {
				return g.note(&entry{Kind: entryProof, Seq: of[i].Seq, TAC: c.LastTAC, Tap: n})
			}
		}
	}
	r := &Record{Tap: n, Card: card, At: g.clock(n)}
	if !g.ride(&c, r) {
		return g.note(&entry{Kind: entryPassed, Tap: n, Why: "no_fare"})
	}
	if c.LastGate != uint16(g.o.Gate+1) {
		c.LastAt = 0 // pass-back is a rule of one gate
	}
	return g.serve(ctx, &c, r)
}

// comes returns the card that is shown at tap n, -1 for none: one that was torn off just now,
// when its holder tries again, or one that can be here: not on its way yet, and not inside the
// metro where the gate is on a vehicle.
func (g *Gate) comes(n int) (int, chip, error) {
	if torn, _, again := g.script.torn(max(n-1, 0)); torn && again && n > 0 {
		for _, of := range [][]Record{g.book.Waiting, g.book.Doubts} {
			for i := range of {
				if of[i].Grey && of[i].Tap == n-1 {
					c, err := g.chips.load(of[i].Card)
					return of[i].Card, c, err
				}
			}
		}
	}
	_, by := g.o.World.stationOf(g.o.Gate)
	all, first := g.o.World.cardsOf(g.o.Gate), g.script.card(n)
	for i := range all {
		card := (first + i) % all
		c, err := g.chips.load(card)
		if err != nil {
			return -1, c, err
		}
		away := c.LastAt != 0 && g.clock(n) < c.LastAt+g.script.setup.Interval
		if !away && (by == price.Metro || !c.Rides.Journey.Open) {
			return card, c, nil
		}
	}
	return -1, chip{}, nil
}

// ride prices what the card does here, moves its rides on and says so in r; false without a fare.
func (g *Gate) ride(c *chip, r *Record) bool {
	station, by := g.o.World.stationOf(g.o.Gate)
	tap := price.Tap{Kind: price.Board, Mode: by, At: max(r.At, c.Rides.Last()),
		Rider: txn.RiderOrdinary, Operator: price.NameOf(Operator), Line: price.NameOf(g.id.Line),
		Station: price.NameOf(g.id.Station)}
	r.Kind, r.Mode = kindBoard, by.String()
	switch {
	case by != price.Metro:
	case c.Rides.Journey.Open:
		tap.Kind, r.Kind = price.Exit, kindExit
		tap.Class, r.FromAt = c.Rides.Journey.Class, c.Rides.Journey.At
		r.From = g.o.World.cityIdentity(g.o.World.gateAt(int(c.Station))).Station
		way := station - int(c.Station)
		r.Metres = uint32(rideLeast + postsApart*max(way, -way))
		tap.Metres = int64(r.Metres)
	default:
		tap.Kind, r.Kind, c.Station = price.Enter, kindEntry, uint16(station)
		if g.script.business(r.Tap) {
			tap.Class = price.Business
		}
	}
	r.Business = tap.Class == price.Business
	q := g.rules.tariff.Price(&c.Rides, &tap)
	r.Fare, r.Amount = q.Full, min(max(0, q.Charged), q.Full)
	return q.Reason == price.OK
}

// gateAt is the first gate of a metro station.
func (s *Setup) gateAt(station int) int { return s.Gates - s.Metro + station + station/2 }

// runCity plays all gates of the city in one goroutine, tap by tap in the plan's order, so that
// a card's taps come one after the other at whatever gates. It returns what they did.
func runCity(ctx context.Context, gates []int, o Options) (reports []*Report, err error) {
	dir := filepath.Join(o.Dir, cityDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("city: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("city: %w", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInUse, dir, err)
	}
	w := o.World
	o.city, err = openChipsOf(cityChipHalf, dir, w.cardsOf(w.Gates-1), w.Balance, !o.NoSync)
	if err != nil {
		return nil, fmt.Errorf("city: %w", err)
	}
	var open []*Gate
	for _, gate := range gates {
		own := o
		if own.Gate = gate; len(open) > 0 {
			own.Every = 0 // the first one sets the pace of all
		}
		g, failed := OpenGate(own)
		open = append(open, g)
		if err = failed; err != nil {
			break
		}
	}
	if err == nil {
		err = playCity(ctx, open)
		for _, g := range open {
			reports = append(reports, g.Report())
		}
	}
	for _, g := range open {
		err = errors.Join(err, g.Close())
	}
	return reports, errors.Join(err, o.city.close())
}

// playCity plays the taps, has every gate upload, and asks what became of torn records when all
// have.
func playCity(ctx context.Context, gates []*Gate) error {
	next := gates[0].o.Taps
	for _, g := range gates {
		next = min(next, g.book.Next)
	}
	for n := next; n < gates[0].o.Taps; n++ {
		for _, g := range gates {
			if g.book.Next > n {
				continue // it was here before a kill
			}
			if err := g.step(ctx, n); err != nil {
				return fmt.Errorf("gate %s: tap %d: %w", g.id.ID, n, err)
			}
		}
	}
	for _, g := range gates {
		if err := g.finish(ctx); err != nil {
			return err
		}
	}
	for _, g := range gates {
		if g.o.Undrained || len(g.book.Doubts) == 0 {
			continue
		}
		if err := g.settleDoubts(ctx); err != nil {
			return fmt.Errorf("gate %s: torn records: %w", g.id.ID, err)
		}
	}
	return nil
}

// settleDoubts sends torn records once more, and hears whether the cards' next records told.
func (g *Gate) settleDoubts(ctx context.Context) error {
	most := int(g.rules.params.UploadMax)
	for all := append([]Record(nil), g.book.Doubts...); len(all) > 0; all = all[min(most, len(all)):] {
		g.did.Batches++
		acks, err := g.uplink.Upload(ctx, all[:min(most, len(all))])
		if err == nil {
			err = g.note(&entry{Kind: entrySent, Acks: acks})
		}
		if err != nil {
			return err
		}
	}
	return nil
}
