package szt

import (
	"context"
	"fmt"
	"strings"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// RepricedRowsMax is how many rows of one cause a repricing lists; it counts all.
const RepricedRowsMax = 50

// The causes of charges that the tariff does not explain.
const (
	CauseUnreadable   = "row_unreadable"            // the row cannot be read
	CauseEntry        = "entry_charged"             // an entry costs nothing
	CauseNotInForce   = "tariff_not_in_force"       // on the day of the tap
	CauseFullFare     = "full_fare_impossible"      // no table holds such a fare
	CauseAboveFull    = "charged_above_full_fare"   // whatever the discounts
	CauseNotGiven     = "transfer_not_given"        // the ride before is in the file, and in time
	CauseMarkNotGiven = "transfer_marked_not_given" // marked as a transfer, charged without
	CauseNoCategory   = "no_category_pays_this"     // nobody pays this amount
)

// Repriced holds the charges of a file against a tariff.
type Repriced struct {
	Tariff       string `json:"tariff"`
	Version      string `json:"version"`
	Rows         int    `json:"rows"`
	RejectedRows int    `json:"rejected_rows"`
	Duplicates   int    `json:"duplicates"`
	Entries      int    `json:"entries"` // taps that begin a ride and cost nothing
	// Charges are rides charged: exits, boardings, and what cannot be read. Explained are
	// those whose amount some category of the tariff pays, to the fen.
	Charges   int     `json:"charges"`
	Explained int     `json:"explained"`
	Share     float64 `json:"share"` // 1 for a file without charges
	// Charged and ExplainedCharged are the sums of the file.
	Charged          txn.Minor `json:"charged_minor"`
	ExplainedCharged txn.Minor `json:"explained_minor"`
	// StationPairs holds the full fares of whole metro rides against each other.
	StationPairs StationPairs `json:"station_pairs"`
	// By counts the explanations: the category, class and transfer.
	By          map[string]int      `json:"explained_by"`
	Differences map[string]*Unclear `json:"differences"`
}

// StationPairs counts the pairs of stations between which the file has a ride, and how many
// rides after the first had the same full fare or another.
type StationPairs struct {
	Pairs  int `json:"pairs"`
	Same   int `json:"same"`
	Differ int `json:"differ"`
}

// Unclear are the charges that one cause leaves without an explanation.
type Unclear struct {
	Count   int           `json:"count"`
	Charged txn.Minor     `json:"charged_minor"`
	Rows    []UnclearLine `json:"rows"` // the first of them
}

// UnclearLine is one such row; Want is what an ordinary rider would have paid. Reason says why
// there is no such amount: what of the row cannot be read, or why the tariff has no price.
type UnclearLine struct {
	Line     int       `json:"line"`
	FullFare txn.Minor `json:"full_fare_minor"`
	Charged  txn.Minor `json:"charged_minor"`
	Want     txn.Minor `json:"ordinary_minor"`
	Reason   string    `json:"reason,omitempty"`
}

// reprice is one run.
type reprice struct {
	tariff *price.Tariff
	out    *Repriced
	cards  map[string]*past
	pairs  map[[2]string]txn.Minor // full fares seen between two stations
	// second holds the rows of the last second, to find those that stand twice.
	second   map[uint64]bool
	secondAt int64
}

// past is what the file has shown of a card: its last ride, and an open journey.
type past struct {
	rode, open bool
	mode       price.Mode
	line       price.Name
	start, end txn.Millis
	entered    txn.Millis
	from       string
}

// Reprice holds every charge of a sorted file against the tariff. Full fares, classes apart,
// are the readers'; who the rider is the file does not say, so a charge is explained when
// some category pays exactly that. A transfer must follow from the card's last ride; the file
// is a window, so that the ride before may lie outside it.
func Reprice(ctx context.Context, file *Sorted, tariff *price.Tariff) (*Repriced, error) {
	p := reprice{tariff: tariff, cards: map[string]*past{}, pairs: map[[2]string]txn.Minor{},
		out: &Repriced{Tariff: tariff.Name(), Version: tariff.Version(), By: map[string]int{},
			Differences: map[string]*Unclear{}}}
	for i := range file.Rejects {
		r := &file.Rejects[i]
		p.out.RejectedRows++
		p.count(r.Charged)
		p.unclear(CauseUnreadable, UnclearLine{Line: r.Line, FullFare: r.FullFare,
			Charged: r.Charged, Reason: r.why()})
	}
	p.out.Rows = p.out.RejectedRows
	err := file.All(func(r *Row) error {
		p.row(r)
		return ctx.Err()
	})
	if err != nil {
		return nil, fmt.Errorf("repricing: %w", err)
	}
	p.out.Share = 1
	if p.out.Charges > 0 {
		p.out.Share = float64(p.out.Explained) / float64(p.out.Charges)
	}
	return p.out, nil
}

func (p *reprice) row(r *Row) {
	p.out.Rows++
	if p.twice(r) {
		p.out.Duplicates++
		return
	}
	card := p.cards[r.Card]
	if card == nil {
		card = &past{}
		p.cards[strings.Clone(r.Card)] = card
	}
	at := txn.Millis(r.At.UnixMilli())
	switch {
	case r.Kind != txn.MetroEntry:
		p.count(r.Charged)
		p.judge(r, card, at)
	case r.Charged != 0:
		p.count(r.Charged)
		p.unclear(CauseEntry, UnclearLine{Line: r.Line, FullFare: r.FullFare, Charged: r.Charged})
	default:
		p.out.Entries++
	}
	card.move(r, at)
}

// twice reports whether the file had the same row before: rows come in the order of time.
func (p *reprice) twice(r *Row) bool {
	if at := r.At.Unix(); at != p.secondAt || p.second == nil {
		p.second, p.secondAt = map[uint64]bool{}, at
	}
	d := r.digest()
	if p.second[d] {
		return true
	}
	p.second[d] = true
	return false
}

// move takes a tap into the card's past.
func (c *past) move(r *Row, at txn.Millis) {
	switch r.Kind {
	case txn.MetroEntry:
		c.open, c.entered, c.from = true, at, r.Station
		return
	case txn.MetroExit:
		c.mode, c.line, c.start = price.Metro, price.NameOf(r.Company), at
		if c.open {
			c.start = c.entered
		}
		c.open = false
	default:
		c.mode, c.line, c.start = price.Bus, lineOf(r), at
	}
	c.rode, c.end = true, at
}

// lineOf returns the line of a bus; without one the vehicle stands for it.
func lineOf(r *Row) price.Name {
	if r.Station == "" {
		return price.NameOf(r.Vehicle)
	}
	return price.NameOf(r.Station)
}

func (p *reprice) count(charged txn.Minor) {
	p.out.Charges++
	p.out.Charged += charged
}

func (p *reprice) unclear(cause string, line UnclearLine) {
	u := p.out.Differences[cause]
	if u == nil {
		u = &Unclear{}
		p.out.Differences[cause] = u
	}
	u.Count++
	u.Charged += line.Charged
	if len(u.Rows) < RepricedRowsMax {
		u.Rows = append(u.Rows, line)
	}
}

// explanation is one way to come to an amount.
type explanation struct {
	quote  price.Quote
	unseen bool // the ride before is not in the file
}

// judge finds the rider, class and transfer that make the amount of a row, or the cause why
// there is none.
func (p *reprice) judge(r *Row, card *past, at txn.Millis) {
	cause := CauseNoCategory
	line := UnclearLine{Line: r.Line, FullFare: r.FullFare, Charged: r.Charged}
	for class := price.Standard; class <= price.Business; class++ {
		for rider := txn.RiderOrdinary; rider.String() != "unknown"; rider++ {
			tap := p.tap(r, at)
			tap.Class, tap.Rider = class, rider
			quotes, why := p.quotes(r, card, &tap)
			for _, e := range quotes {
				if e.quote.Charged == r.Charged {
					p.stations(r, card, class)
					p.explained(r, &tap, e)
					return
				}
			}
			if class == price.Standard && rider == txn.RiderOrdinary {
				cause = p.cause(r, quotes, why)
				if len(quotes) > 0 {
					line.Want = quotes[0].quote.Charged
				} else {
					line.Reason = why.String()
				}
			}
		}
	}
	p.unclear(cause, line)
}

func (p *reprice) tap(r *Row, at txn.Millis) price.Tap {
	tap := price.Tap{Kind: price.Board, Mode: price.Bus, At: at, Line: lineOf(r),
		Operator: price.NameOf(r.Company), Given: r.FullFare}
	if r.Kind == txn.MetroExit {
		tap.Kind, tap.Mode, tap.Line = price.Exit, price.Metro, price.NameOf(r.Company)
		tap.Station = price.NameOf(r.Station)
	}
	return tap
}

// quotes returns what the rider of a tap may have been charged: with the last ride of the
// file, and where that lets no transfer follow, with one outside it. A row that is marked as
// a transfer had one.
func (p *reprice) quotes(r *Row, card *past, tap *price.Tap) ([]explanation, price.Reason) {
	var seen price.State
	if card.rode {
		p.tariff.Rode(&seen, card.mode, card.line, card.start, card.end)
	}
	q := p.price(seen, card, tap)
	if q.Reason != price.OK {
		return nil, q.Reason
	}
	var all []explanation
	if q.Transfer >= 0 {
		return append(all, explanation{q, false}), price.OK
	}
	start := tap.At
	if tap.Kind == price.Exit && card.open {
		start = card.entered
	}
	for _, mode := range []price.Mode{price.Bus, price.Metro} {
		unseen := seen
		p.tariff.Rode(&unseen, mode, price.NameOf("a line outside the file"), start, start)
		if u := p.price(unseen, card, tap); u.Transfer >= 0 {
			all = append(all, explanation{u, true})
		}
	}
	if len(all) == 0 || r.Transfer != "1" {
		all = append([]explanation{{q, false}}, all...)
	}
	return all, price.OK
}

// price prices a tap, after its entry if the file has one.
func (p *reprice) price(s price.State, card *past, tap *price.Tap) price.Quote {
	if tap.Kind == price.Exit && card.open {
		entry := price.Tap{Kind: price.Enter, Mode: tap.Mode, At: card.entered,
			Station: price.NameOf(card.from)}
		p.tariff.Price(&s, &entry)
	}
	return p.tariff.Price(&s, tap)
}

// stations holds the full fare of an ordinary ride against the first one between the same two
// stations. It is a figure and no cause: which way a ride took between them the file does not
// say, and an entry whose exit is missing makes a pair with the exit of the next ride. A
// station has one name with 站 at its end and one without.
func (p *reprice) stations(r *Row, card *past, class price.Class) {
	if r.Kind != txn.MetroExit || class != price.Standard || !card.open || card.from == "" ||
		r.Station == "" {
		return
	}
	a, b := strings.TrimSuffix(card.from, "站"), strings.TrimSuffix(r.Station, "站")
	pair := [2]string{strings.Clone(min(a, b)), strings.Clone(max(a, b))}
	full, ok := p.pairs[pair]
	switch {
	case !ok:
		p.pairs[pair] = r.FullFare
		p.out.StationPairs.Pairs++
	case full == r.FullFare:
		p.out.StationPairs.Same++
	default:
		p.out.StationPairs.Differ++
	}
}

// cause says why an ordinary rider's price is not that of the row.
func (p *reprice) cause(r *Row, quotes []explanation, why price.Reason) string {
	switch {
	case why == price.NotInForce:
		return CauseNotInForce
	case why != price.OK:
		return CauseFullFare
	case r.Charged > r.FullFare:
		return CauseAboveFull
	}
	for _, e := range quotes {
		undiscounted := e.quote.Charged + e.quote.Discounts[price.ByTransfer]
		if e.quote.Transfer < 0 || r.Charged != undiscounted {
			continue
		}
		if !e.unseen {
			return CauseNotGiven
		}
		return CauseMarkNotGiven
	}
	return CauseNoCategory
}

// explained counts an explanation by its parts.
func (p *reprice) explained(r *Row, tap *price.Tap, e explanation) {
	p.out.Explained++
	p.out.ExplainedCharged += r.Charged
	parts := []string{tap.Rider.String()}
	switch {
	case tap.Class != price.Standard:
		parts = []string{tap.Class.String()}
	case e.quote.Full == e.quote.Charged && e.quote.Rider < 0:
		parts = []string{"no discount"}
	case e.quote.Charged == 0:
		parts = []string{"free"}
	}
	switch {
	case e.quote.Transfer < 0:
	case e.unseen:
		parts = append(parts, "transfer from outside the file")
	default:
		parts = append(parts, "transfer")
	}
	if e.quote.Transfer >= 0 && r.Transfer != "1" {
		parts = append(parts, "not marked")
	}
	p.out.By[strings.Join(parts, ", ")]++
}
