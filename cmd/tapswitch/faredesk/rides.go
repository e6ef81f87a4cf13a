package faredesk

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/ridedesk"
)

// rideCall is one request to the gate about a card's rides.
type rideCall struct {
	call.Client
	repeat string
	body   map[string]any
}

func (r *rideCall) add(c *cobra.Command) {
	r.Add(c)
	c.Flags().StringVar(&r.repeat, "repeat", "", "send an earlier request again: ID@TIME, as its error says")
}

func correctCommand() *cobra.Command {
	var r rideCall
	var operator string
	c := &cobra.Command{
		Use: "correct CARD STATION", Short: "Give back what a journey cost too much whose exit or entry is missing",
		Long: "Names the missing station of the card's last incomplete journey. What it cost more than " +
			"the ride to or from there goes back to the purse, once. CARD is a token of 32 hexadecimal " +
			"digits, or - for a number on standard input.",
		Example: "  tapswitch fare correct --operator METRO1 0123456789abcdef0123456789abcdef 'North Gate'",
		Args:    usage(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			r.body = map[string]any{"station": args[1]}
			if operator != "" {
				r.body["operator"] = operator
			}
			return r.send(c, "corrections", args[0])
		},
	}
	r.add(c)
	c.Flags().StringVar(&operator, "operator", "",
		"operator who was paid for the journey; without it finance places the money")
	return c
}

func passCommand() *cobra.Command {
	var r rideCall
	var operator string
	var amount int64
	c := &cobra.Command{
		Use: "sell-pass CARD PASS", Short: "Sell a pass, paid from the card's purse",
		Long: "Adds a pass of the tariff in force to the card and takes its price off the purse, once. " +
			"With --price it is sold at that price or not at all. CARD is a token of 32 hexadecimal digits, " +
			"or - for a number on standard input.",
		Example: "  tapswitch fare sell-pass --price 1500 0123456789abcdef0123456789abcdef 'day pass'",
		Args:    usage(cobra.ExactArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			r.body = map[string]any{"pass": args[1]}
			if amount != 0 {
				r.body["amount"] = amount
			}
			if operator != "" {
				r.body["operator"] = operator
			}
			return r.send(c, "passes", args[0])
		},
	}
	r.add(c)
	c.Flags().StringVar(&operator, "operator", "", "operator who is paid; without it finance places the money")
	c.Flags().Int64Var(&amount, "price", 0, "the price that the holder was told, in minor units")
	return c
}

// send sends the request, once, and prints the answer.
func (r *rideCall) send(c *cobra.Command, path, card string) error {
	if card == "-" {
		line, err := bufio.NewReader(io.LimitReader(c.InOrStdin(), 64)).ReadString('\n')
		if card = strings.TrimSpace(line); card == "" {
			return cli.WithCode(cli.ExitUsage, errors.Join(errors.New("no card number on standard input"), err))
		}
	} else if len(card) != 32 {
		return cli.WithCode(cli.ExitUsage, errors.New("CARD: want a token of 32 hexadecimal digits, or - and "+
			"the number on standard input"))
	}
	id, at, err := r.identify()
	if err != nil {
		return err
	}
	r.body["id"], r.body["service_time"], r.body["card"] = id, at, card
	var a rideAnswer
	err = r.Ask(c.Context(), call.Request{Method: http.MethodPost, Path: ridedesk.Prefix + path, Body: r.body}, &a)
	var refused *call.Refused
	switch {
	case call.Doubtful(err):
		return fmt.Errorf("%w\n  nobody knows whether it was done: send it again with --repeat %s@%s", err, id, at)
	case errors.As(err, &refused) && refused.Declined:
		return cli.WithCode(cli.ExitConflict, fmt.Errorf("refused: %w", err))
	case err != nil:
		return err
	}
	return r.print(c.OutOrStdout(), &a)
}

// identify returns the id and the service time of a new request, or of that to repeat.
func (r *rideCall) identify() (id, at string, err error) {
	if r.repeat != "" {
		id, at, ok := strings.Cut(r.repeat, "@")
		if !ok {
			return "", "", cli.WithCode(cli.ExitUsage, errors.New("--repeat: want ID@TIME"))
		}
		return id, at, nil
	}
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", "", fmt.Errorf("an id cannot be made: %w", err)
	}
	return fmt.Sprintf("%d-%d", binary.BigEndian.Uint32(b[:]), binary.BigEndian.Uint32(b[4:])),
		time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), nil
}

// rideAnswer is what the gate says.
type rideAnswer struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	Code    string `json:"code"`
	Message string `json:"message"`
	Charged int64  `json:"charged"`
	Balance int64  `json:"balance"`
	Replay  bool   `json:"replay"`
}

func (r *rideCall) print(out io.Writer, a *rideAnswer) error {
	if r.Form == cli.JSON {
		return cli.PrintJSON(out, a)
	}
	tab := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tab, "request\t%s\ncharged\t%d\nbalance\t%d\n", a.ID, a.Charged, a.Balance)
	if a.Replay {
		fmt.Fprintf(tab, "was done before\tyes\n")
	}
	return tab.Flush()
}
