package tools

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// posSimOptions are what a terminal simulator is asked to do.
type posSimOptions struct {
	wire          wireFlags
	run           pos.Options
	bins          []string
	cards         int
	purses        []string
	city          bool
	mix           []string
	tpdu          string
	master        string
	file, keyName string
	json          bool
}

// POSSim is the command that is a number of terminals at work.
func POSSim() *cobra.Command {
	var o posSimOptions
	c := &cobra.Command{
		Use: "pos-sim", Short: "Let card terminals do a day's work",
		Long: "Terminals sign on, sell, void, refund, reserve and complete, reverse what is not " +
			"answered, settle and sign off, against a switch or a bank-sim with --spec cup_pos. " +
			"With --city, against a switch only, they also get their parameters, keys and " +
			"applications first, adjust sales, take tips, and load the purses of --purses. " +
			"Each keeps a book of its own and holds every answer against it; exit code 6 when " +
			"the two contradict each other, 1 when a terminal does not get through its " +
			"day.\n\n--terminals-file writes the terminals as the CSV file that the switch " +
			"reads; without --target nothing else is done. Faults are in 1/10,000 of the sales. " +
			"Card numbers are made up from --bins.",
		Example: "  tapswitch pos-sim --target :9200 --terminals 4 --bins 622260\n" +
			"  tapswitch pos-sim --target :8600 --terminals 4 --city --purses 3104000012345678901\n" +
			"  tapswitch pos-sim --terminals 50 --terminals-file terminals.csv --master-key-name tmk-test",
		Args: func(c *cobra.Command, args []string) error {
			return cli.WithCode(cli.ExitUsage, cobra.NoArgs(c, args))
		},
		RunE: func(c *cobra.Command, _ []string) error {
			return runPOSSim(c.Context(), &o, c.OutOrStdout())
		},
	}
	o.wire.add(c, "cup_pos", "binary2")
	o.add(c)
	return c
}

func (o *posSimOptions) add(c *cobra.Command) {
	flags, r := c.Flags(), &o.run
	flags.StringVar(&r.Target, "target", "", "host:port of the switch")
	flags.IntVar(&r.Terminals, "terminals", 1, "how many terminals")
	flags.IntVar(&r.FirstTerminal, "first-terminal", 1, "number of the first terminal")
	flags.IntVar(&r.Transactions, "transactions", 100, "how many transactions each makes")
	flags.Float64Var(&r.Rate, "rate", 0,
		"transactions a second of all terminals, 0 as fast as answered")
	flags.Uint64Var(&r.Seed, "seed", 1, "what decides the day")
	flags.StringSliceVar(&o.bins, "bins", []string{"622260"}, "first digits of the cards")
	flags.IntVar(&o.cards, "cards", 100, "how many cards come to the tills")
	flags.StringSliceVar(&o.mix, "mix", nil, "weights of kinds: purchase=50,void=5 …")
	flags.BoolVar(&o.city, "city", false, "a day with downloads, adjustments, tips and loads")
	flags.StringSliceVar(&o.purses, "purses", nil, "card numbers of the purses that are loaded")
	flags.Int64Var(&r.LoadMax, "load-max", 0, "largest load in minor units (default 10000)")
	flags.Int64Var(&r.TipPercent, "tip-percent", 0, "largest tip in percent (default 15)")
	flags.BoolVar(&r.Downloads, "downloads", false, "get parameters, keys and applications first")
	flags.StringVar(&r.Merchant, "merchant", "", "merchant of the terminals (15 characters)")
	flags.Int64Var(&r.AmountMin, "amount-min", 0, "smallest sale in minor units (default 100)")
	flags.Int64Var(&r.AmountMax, "amount-max", 0, "largest sale in minor units (default 50000)")
	flags.StringVar(&o.tpdu, "tpdu", "", "TPDU in hex (default 6000030000)")
	flags.StringVar(&o.master, "master-key", "", "test master key in hex; without it no MACs")
	flags.StringVar(&r.Network, "sign-on", "", "kind of sign-on: 001, 003 or 004 (default 003)")
	flags.StringVar(&r.PIN, "pin", "", "PIN of every card; with working keys sales carry it")
	flags.DurationVar(&r.Timeout, "timeout", 0, "wait for an answer (default 1m)")
	flags.DurationVar(&r.RetryDelay, "retry-delay", 0, "wait before a repeat (default 1s)")
	flags.IntVar(&r.RetriesMax, "retries", 0, "how many repeats (default 60)")
	flags.IntVar(&r.Faults.DropConnection, "drop-connection", 0,
		"rate of connections closed behind a request")
	flags.IntVar(&r.Faults.Repeat, "repeat", 0, "rate of answered requests sent again")
	flags.IntVar(&r.Faults.Duplicate, "duplicate", 0, "rate of requests sent two times at once")
	flags.StringVar(&o.file, "terminals-file", "", "write the terminals as CSV for the switch")
	flags.StringVar(&o.keyName, "master-key-name", "", "name of the master key in the CSV file")
	flags.BoolVar(&o.json, "json", false, "print the report as JSON")
}

// options completes what the flags have set.
func (o *posSimOptions) options() (r pos.Options, err error) {
	r = o.run
	if r.Spec, r.Framing, err = o.wire.read(); err != nil {
		return r, err
	}
	if r.Cards, err = pos.Cards(o.bins, o.cards, r.Seed); err != nil {
		return r, err
	}
	if r.MasterKey, err = parseTestKey("master-key", o.master); err != nil {
		return r, err
	}
	if o.tpdu != "" {
		raw, err := hex.DecodeString(o.tpdu)
		if err != nil || len(raw) != len(message.TPDU{}) {
			return r, fmt.Errorf("--tpdu %q: want 10 hex digits", o.tpdu)
		}
		r.TPDU = message.TPDU(raw)
	}
	for _, text := range o.purses {
		purse, err := pan.Parse(text)
		if err != nil {
			return r, fmt.Errorf("--purses: %w", err)
		}
		r.Purses = append(r.Purses, purse)
	}
	r.Mix, err = parseMix(o.mix)
	if o.city {
		r.Downloads = true
		if r.Mix == nil {
			r.Mix = pos.CityMix()
		}
	}
	return r, err
}

// parseMix reads kind=weight pairs; none are the default mix.
func parseMix(pairs []string) (pos.Mix, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	mix := pos.Mix{}
	for _, pair := range pairs {
		name, text, ok := strings.Cut(pair, "=")
		weight, err := strconv.Atoi(text)
		if !ok || err != nil {
			return nil, fmt.Errorf("--mix %q: want kind=weight", pair)
		}
		var kind pos.Kind
		if err := kind.UnmarshalText([]byte(name)); err != nil {
			return nil, fmt.Errorf("--mix: %w", err)
		}
		mix[kind] = weight
	}
	return mix, nil
}

// runPOSSim lets the terminals work and reports.
func runPOSSim(ctx context.Context, o *posSimOptions, out io.Writer) error {
	r, err := o.options()
	if err != nil {
		return cli.WithCode(cli.ExitUsage, err)
	}
	if o.file != "" {
		if err := writeTerminals(o.file, r, o.keyName); err != nil {
			return err
		}
		if r.Target == "" {
			return nil
		}
	}
	report, err := pos.Run(ctx, r)
	if err != nil {
		return cli.WithCode(cli.ExitUsage, err)
	}
	if o.json {
		err = cli.PrintJSON(out, report)
	} else {
		err = report.Print(out)
	}
	switch {
	case err != nil:
		return err
	case report.Contradicted():
		return cli.WithCode(cli.ExitBreaks,
			fmt.Errorf("%d answers contradict the books of the terminals",
				report.Total.Contradictions))
	case ctx.Err() != nil:
		return ctx.Err()
	case report.Failed() > 0:
		return cli.WithCode(cli.ExitFailed,
			fmt.Errorf("%d of %d terminals did not get through their day",
				report.Failed(), len(report.Terminals)))
	}
	return nil
}

func writeTerminals(path string, o pos.Options, keyName string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("terminals file: %w", err)
	}
	return errors.Join(pos.WriteTerminals(f, o, keyName), f.Close())
}
