package faredesk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ridesMax bounds the rides of one what-if, which are held in memory: a day of a great city.
const ridesMax = 20_000_000

// Ledger is the warehouse of the configuration.
type Ledger interface {
	// Add gives a command the flags that choose the warehouse.
	Add(c *cobra.Command)
	// Open opens it for reading, beside a switch that may be running. The caller calls the
	// function once it has read; an error has the exit code of its cause.
	Open(ctx context.Context) (warehouse.Reader, func() error, error)
}

// WhatIf is what a past day would have brought under another tariff.
type WhatIf struct {
	Tariff string `json:"tariff"`
	Day    string `json:"day"`
	// Rides are those that both prices are known of; Ledger and Tariff sums are over them.
	Rides   int       `json:"rides"`
	Ledger  txn.Minor `json:"ledger_minor"`
	WouldBe txn.Minor `json:"would_be_minor"`
	// Dearer and Cheaper count the cards that would have paid more or less.
	Dearer  int `json:"cards_dearer"`
	Cheaper int `json:"cards_cheaper"`
	// Refused counts the rides that the tariff cannot price, by reason.
	Refused map[string]int `json:"refused"`
	// Unpriced is what the ledger charged for them: with Ledger it is all of the day's rides.
	Unpriced  txn.Minor                `json:"refused_ledger_minor"`
	Discounts map[string]txn.Minor     `json:"discounts_minor"`
	Riders    map[string]*WhatIfAmount `json:"riders"`
	Operators map[string]*WhatIfAmount `json:"operators"`
}

// WhatIfAmount is one line of a WhatIf.
type WhatIfAmount struct {
	Rides   int       `json:"rides"`
	Ledger  txn.Minor `json:"ledger_minor"`
	WouldBe txn.Minor `json:"would_be_minor"`
}

func whatIfCommand(ledger Ledger) *cobra.Command {
	var names []string
	var day, since string
	var form cli.Output
	c := &cobra.Command{
		Use: "what-if", Short: "Price a past day of the ledger with another tariff",
		Long: "Reads the rides of a business date from the ledger and prices them with a tariff, card by " +
			"card in order of time, reversed rides left out. Nothing is changed. Caps of weeks and months, " +
			"and tiers, see the rides from --since on. A ride of which a gate told one end late counts " +
			"once, on the day on which it was told: that day has the incomplete fare as given back.",
		Example: "  tapswitch fare what-if --day 2026-11-21 --tariff 2027.yaml -o json",
		Args:    usage(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			date, err := txn.ParseBusinessDate(day)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, fmt.Errorf("--day: %w", err))
			}
			from := date
			if since != "" {
				if from, err = txn.ParseBusinessDate(since); err != nil || from > date {
					return cli.WithCode(cli.ExitUsage, errors.New("--since: want a date up to --day"))
				}
			}
			book, err := load(names)
			if err != nil {
				return err
			}
			reader, done, err := ledger.Open(c.Context())
			if err != nil {
				return err
			}
			w, err := Reckon(c.Context(), reader, book, from, date)
			if err := errors.Join(err, done()); err != nil {
				return fmt.Errorf("what-if of %v: %w", date, err)
			}
			return w.write(c.OutOrStdout(), form)
		},
	}
	ledger.Add(c)
	form.Add(c)
	c.Flags().StringArrayVar(&names, "tariff", []string{"example"},
		"a tariff file, or shenzhen or example; may be repeated for versions")
	c.Flags().StringVar(&day, "day", "", "business date, YYYY-MM-DD; must be given")
	c.Flags().StringVar(&since, "since", "", "read rides from this date on, for caps of weeks and months")
	return c
}

// ridden is one ride of the ledger.
type ridden struct {
	tap      price.Tap
	entered  txn.Millis // 0: no entry is known
	entry    price.Name
	operator string
	charged  txn.Minor
	request  txn.RequestID
	counts   bool // of the day that is asked for

	original txn.RequestID // of a lapse and of a told end: the end that was known
	lacks    price.Lack    // what a told end completed, until it is joined to that
	returned txn.Minor     // of the incomplete fare, by a told end
	gaveUp   bool          // an entry, which charged the journey before it
	gone     bool          // joined to its told end
}

// Reckon prices the rides of day with the versions of book; those from since on go before, for
// what caps and tiers need to know.
func Reckon(
	ctx context.Context, ledger warehouse.Reader, book *tariff.Book, since, day txn.BusinessDate,
) (*WhatIf, error) {
	cards, err := readRides(ctx, ledger, since, day)
	if err != nil {
		return nil, err
	}
	w := &WhatIf{Tariff: book.Versions()[0].Name(), Day: day.String(), Refused: map[string]int{},
		Discounts: map[string]txn.Minor{}, Riders: map[string]*WhatIfAmount{},
		Operators: map[string]*WhatIfAmount{}}
	for _, rides := range cards {
		byTime := func(a, b ridden) int { return cmp.Compare(a.tap.At, b.tap.At) }
		slices.SortStableFunc(rides, byTime)
		rides = joined(rides)
		slices.SortStableFunc(rides, byTime)
		w.card(book, rides)
	}
	return w, nil
}

// readRides gathers the approved rides by card, without those that were reversed.
func readRides(
	ctx context.Context, ledger warehouse.Reader, since, day txn.BusinessDate,
) (map[pan.Token][]ridden, error) {
	cards := map[pan.Token][]ridden{}
	reversed := map[txn.RequestID]bool{}
	n := 0
	err := ledger.Records(ctx, warehouse.Filter{From: since, To: day}, func(r *txn.Record) error {
		if r.Outcome != txn.Approved {
			return nil
		}
		if r.Kind == txn.Reversal {
			reversed[r.Original] = true
		}
		ride, ok := rideOf(r)
		if !ok {
			return nil
		}
		if n++; n > ridesMax {
			return fmt.Errorf("more than %d rides; choose a shorter time", ridesMax)
		}
		ride.counts = r.BusinessDate == day
		cards[r.Card] = append(cards[r.Card], ride)
		return nil
	})
	for card, rides := range cards {
		cards[card] = slices.DeleteFunc(rides, func(r ridden) bool { return reversed[r.request] })
	}
	return cards, err
}

// rideOf returns the ride that a record charges.
func rideOf(r *txn.Record) (ridden, bool) {
	ride := ridden{operator: r.Place.Operator, charged: r.Charged, request: r.Request,
		entered: r.EntryAt, entry: price.NameOf(r.EntryStation),
		tap: price.Tap{Kind: price.Board, Mode: modeOf(r), Rider: r.Rider, At: r.ServiceAt,
			Metres: r.Metres,
			Line:   price.NameOf(r.Place.Line), Station: price.NameOf(r.Place.Station),
			Operator: price.NameOf(r.Place.Operator), Given: r.FullFare}}
	if r.Business {
		ride.tap.Class = price.Business
	}
	ride.original, ride.returned = r.Original, returnedBy(r)
	switch r.Kind {
	case txn.BusBoarding:
		return ride, true
	case txn.MetroEntry:
		return entryOf(r, ride)
	case txn.MetroExit:
		ride.tap.Kind = price.Exit
		if !r.Original.IsZero() {
			ride.lacks = price.LacksExit
		}
	case txn.JourneyLapse:
		ride.tap.Kind = price.Lapse
	default:
		return ride, false
	}
	return ride, true
}

// modeOf returns the means of transport of a record; the tariff numbers them alike, from 0.
func modeOf(r *txn.Record) price.Mode { return price.Mode(r.Mode.For(r.Kind) - txn.ModeBus) }

// card prices the rides of one card.
func (w *WhatIf) card(book *tariff.Book, rides []ridden) {
	var s price.State
	var before, after txn.Minor
	var at txn.Millis
	for i := range rides {
		r := &rides[i]
		t, ok := book.At(r.tap.At)
		if !ok {
			w.refuse(r, price.NotInForce.String())
			continue
		}
		if r.tap.Kind == price.Enter {
			w.refuse(r, noOriginal)
			continue
		}
		if r.entered != 0 {
			enter := r.entryTap()
			enter.At = min(max(r.entered, at), r.tap.At)
			t.Price(&s, &enter)
		}
		q := t.Price(&s, &r.tap)
		at = max(at, r.tap.At)
		if q.Reason != price.OK {
			w.refuse(r, q.Reason.String())
			continue
		}
		if r.lacks != price.LacksNothing {
			q.Charged -= r.incomplete(book)
		}
		if r.counts {
			before, after = before+r.charged, after+q.Charged
			w.add(r, &q)
		}
	}
	if after > before {
		w.Dearer++
	} else if after < before {
		w.Cheaper++
	}
}

func (w *WhatIf) refuse(r *ridden, why string) {
	if r.counts {
		w.Refused[why]++
		w.Unpriced += r.charged
	}
}

func (w *WhatIf) add(r *ridden, q *price.Quote) {
	w.Rides++
	w.Ledger += r.charged
	w.WouldBe += q.Charged
	for c := range price.Causes {
		if d := q.Discounts[c]; d != 0 {
			w.Discounts[price.Cause(c).String()] += d
		}
	}
	count := func(lines map[string]*WhatIfAmount, key string) {
		if lines[key] == nil {
			lines[key] = &WhatIfAmount{}
		}
		lines[key].Rides++
		lines[key].Ledger += r.charged
		lines[key].WouldBe += q.Charged
	}
	count(w.Riders, r.tap.Rider.String())
	count(w.Operators, r.operator)
}

func (w *WhatIf) write(out io.Writer, form cli.Output) error {
	if form == cli.JSON {
		return cli.PrintJSON(out, w)
	}
	tab := tabwriter.NewWriter(out, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tab, "%s\tRIDES\tLEDGER\tWOULD BE\tCHANGE\t\n", w.Day)
	line := func(name string, a *WhatIfAmount) {
		fmt.Fprintf(tab, "%s\t%d\t%d\t%d\t%+d\t\n", name, a.Rides, a.Ledger, a.WouldBe, a.WouldBe-a.Ledger)
	}
	line("all", &WhatIfAmount{w.Rides, w.Ledger, w.WouldBe})
	for _, lines := range []map[string]*WhatIfAmount{w.Riders, w.Operators} {
		for _, name := range slices.Sorted(maps.Keys(lines)) {
			line(name, lines[name])
		}
	}
	fmt.Fprintf(tab, "cards that pay more\t%d\t\ncards that pay less\t%d\t\n", w.Dearer, w.Cheaper)
	for _, why := range slices.Sorted(maps.Keys(w.Refused)) {
		fmt.Fprintf(tab, "no price: %s\t%d\t\n", why, w.Refused[why])
	}
	if w.Unpriced != 0 {
		fmt.Fprintf(tab, "charged for rides without a price\t\t%d\t\n", w.Unpriced)
	}
	return tab.Flush()
}
