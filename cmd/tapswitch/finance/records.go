package finance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// recordsMax is how many records one listing shows unless it is told otherwise: a busy day has
// millions, and who wants those reads the warehouse.
const recordsMax = 1000

// Line is one record of the listing. Amounts are minor units; what a bank gave stands as
// it gave it.
type Line struct {
	Record         string    `json:"record"`
	BusinessDate   string    `json:"business_date"`
	Request        string    `json:"request,omitempty"`
	Kind           string    `json:"kind"`
	Outcome        string    `json:"outcome"`
	Reason         string    `json:"reason,omitempty"`
	Card           string    `json:"card,omitempty"`
	Last4          string    `json:"last4,omitempty"`
	Issuer         string    `json:"issuer,omitempty"`
	RRN            string    `json:"rrn,omitempty"`
	Auth           string    `json:"auth,omitempty"`
	Response       string    `json:"response,omitempty"`
	SettlementDate string    `json:"settlement_date,omitempty"`
	Charged        txn.Minor `json:"charged_minor"`
	Currency       uint16    `json:"currency,omitempty"`
	Original       string    `json:"original,omitempty"`
}

func lineOf(r *txn.Record) Line {
	row := warehouse.RowOf(r)
	l := Line{Record: r.Position.String(), BusinessDate: r.BusinessDate.String(),
		Request: r.Request.String(), Kind: row.Kind, Outcome: row.Outcome, Card: row.Card,
		Last4: row.Last4, Issuer: row.Issuer, RRN: row.RRN, Auth: row.Auth,
		Response: row.Response, SettlementDate: row.SettlementDate, Charged: r.Charged,
		Currency: uint16(r.Currency), Original: row.Original}
	if r.Reason != txn.ReasonNone {
		l.Reason = row.Reason
	}
	return l
}

// errListed ends a listing that is full.
var errListed = errors.New("enough")

func recordsCommand(source Source) *cobra.Command {
	d := &desk{source: source}
	var terminal string
	limit := recordsMax
	c := d.command(&cobra.Command{
		Use: "records", Short: "The records of one business date",
		Long: "The records of one business date with what the bank answered: response code (field " +
			"39), authorization code (38) and settlement date (15). As JSON one object a line.",
		Example: "  tapswitch ledger records --day 2026-11-21 --terminal 48025800 -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			date, err := d.date()
			if err != nil {
				return err
			}
			filter := warehouse.Filter{From: date, To: date}
			var from txn.TerminalID
			if terminal != "" {
				if from, err = txn.ParseTerminalID(terminal); err != nil {
					return cli.WithCode(cli.ExitUsage, fmt.Errorf("--terminal: %w", err))
				}
			}
			p, err := source.Open(c.Context())
			if err != nil {
				return err
			}
			l := listing{p.Reader, filter, from, limit}
			return errors.Join(l.write(c.Context(), c.OutOrStdout(), d.form.String()), p.Done())
		},
	}, true)
	c.Flags().StringVar(&terminal, "terminal", "", "only what this terminal sent")
	c.Flags().IntVar(&limit, "limit", recordsMax, "list at most this many")
	return c
}

// listing is what a listing shows.
type listing struct {
	reader   warehouse.Reader
	filter   warehouse.Filter
	terminal txn.TerminalID // in all its boots and batches; zero for every terminal
	limit    int
}

// write lists the records in their order; the last line of a table that is full says so.
func (l *listing) write(ctx context.Context, to io.Writer, form string) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	put := func(r *Line) error {
		_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", r.Record, r.Kind,
			r.Outcome, r.Reason, r.Response, r.Auth, r.SettlementDate, r.Last4, r.Charged, r.RRN,
			r.Request)
		return err
	}
	if form == "json" {
		e := json.NewEncoder(to)
		put = func(r *Line) error { return e.Encode(r) }
	} else if _, err := fmt.Fprintln(w, "RECORD\tKIND\tOUTCOME\tREASON\tRESPONSE\tAUTH\tSETTLES\t"+
		"CARD\tCHARGED\tRRN\tREQUEST"); err != nil {
		return err
	}
	n := 0
	err := l.reader.Records(ctx, l.filter, func(r *txn.Record) error {
		if l.terminal != (txn.TerminalID{}) && r.Request.Terminal != l.terminal {
			return nil
		}
		if n++; n > l.limit {
			return errListed
		}
		line := lineOf(r)
		return put(&line)
	})
	full := errors.Is(err, errListed)
	if err != nil && !full {
		return fmt.Errorf("records of %s: %w", l.filter.From, err)
	}
	if full && form != "json" {
		fmt.Fprintf(w, "… more: see --limit\n")
	}
	return w.Flush()
}
