package finance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/ledger/settle/day"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// closePoll is how often day close --wait looks again, and closeRest how many times as long as
// the look took it rests at least: a look counts the whole day.
const (
	closePoll = 200 * time.Millisecond
	closeRest = 4
)

// Day returns the command "day".
func Day(source Source) *cobra.Command {
	c := &cobra.Command{Use: "day", Short: "Business days: open, closing, closed, certified"}
	c.AddCommand(statusCommand(source), closeCommand(source), certifyCommand(source))
	return c
}

// status prints where a day stands.
func (d *desk) status(c *cobra.Command, s day.Status) error {
	if d.form == cli.JSON {
		return cli.PrintJSON(c.OutOrStdout(), s)
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s is %s: %d of %d buckets closed, %d records, "+
		"%d dead letters, run %d, certificate %d\n", s.Date, s.State, s.Buckets, txn.BucketCount, s.Rows,
		s.DeadLetters, s.Run, s.Certificate)
	return err
}

func statusCommand(source Source) *cobra.Command {
	d := &desk{source: source}
	return d.command(&cobra.Command{
		Use: "status", Short: "Where a business day stands",
		Example: "  tapswitch day status --day 2026-11-21 -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			date, err := d.date()
			if err != nil {
				return err
			}
			return d.look(c.Context(), func(o *day.Options, events []journal.Event) error {
				s, err := day.StatusOf(c.Context(), o, events, date)
				if err != nil {
					return err
				}
				return d.status(c, s)
			})
		},
	}, true)
}

func closeCommand(source Source) *cobra.Command {
	d := &desk{source: source}
	var wait time.Duration
	c := d.command(&cobra.Command{
		Use: "close", Short: "Close a business day whose cut-off has passed",
		Long: "The switch cuts the day over in every bucket by itself, without a pause. This notes the " +
			"day as closed once everything before those markers is in the warehouse; until then the day " +
			"is closing and the exit code 5.",
		Example: "  tapswitch day close --day 2026-11-21 --wait 5m --by li.na",
		RunE: func(c *cobra.Command, _ []string) error {
			date, err := d.date()
			if err != nil {
				return err
			}
			return d.with(c.Context(), func(open *day.Desk, _ *Place) error {
				s, err := d.await(c.Context(), open, date, wait)
				return errors.Join(d.status(c, s), err)
			})
		},
	}, true)
	c.Flags().DurationVar(&wait, "wait", 0, "how long to wait for the last records")
	return c
}

// await closes the day, looking again until it is closed or the time is up.
func (d *desk) await(
	ctx context.Context, open *day.Desk, date txn.BusinessDate, wait time.Duration,
) (day.Status, error) {
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for {
		began := time.Now()
		s, err := open.CloseDay(ctx, date, d.by)
		if !errors.Is(err, day.ErrOpen) || wait == 0 {
			return s, err
		}
		again := time.NewTimer(max(closePoll, closeRest*time.Since(began)))
		select {
		case <-again.C:
		case <-limit.C:
			again.Stop()
			return s, err
		case <-ctx.Done():
			again.Stop()
			return s, errors.Join(err, ctx.Err())
		}
	}
}

func certifyCommand(source Source) *cobra.Command {
	d := &desk{source: source}
	c := d.command(&cobra.Command{
		Use: "certify", Short: "Sign the certificate of a settled day",
		Long: "Counts the day in the store's sequences, the stream, the warehouse and the settlement, and " +
			"signs the certificate when they agree. Orders that the day holds are ordered by the next day " +
			"that is settled. " +
			"Days are certified in their order, once. The public " +
			"key for verifiers is written to DATA/finance/" + KeysFile + ".",
		Example: "  tapswitch day certify --day 2026-11-21 --by wang.wei",
		RunE: func(c *cobra.Command, _ []string) error {
			date, err := d.date()
			if err != nil {
				return err
			}
			return d.with(c.Context(), func(open *day.Desk, p *Place) error {
				by, err := d.certifier(p, open.Terms.Scheme)
				if err != nil {
					return err
				}
				made, path, err := open.Certify(c.Context(), date, by)
				if err != nil {
					return err
				}
				return d.certified(c, made, path, p.Dir)
			})
		},
	}, true)
	c.Flags().StringVar(&d.key, "key", "", "signing key file (default DATA/finance/certificate.key)")
	return c
}

// certifiedLine is a certificate for scripts.
type certifiedLine struct {
	Date    string `json:"business_date"`
	Number  uint64 `json:"number"`
	Records uint64 `json:"records"`
	// Markers are the records of the run that open an epoch: no certificate counts them.
	Markers uint64 `json:"epoch_markers"`
	Path    string `json:"path"`
}

// certified prints a certificate; dir is that of finance.
func (d *desk) certified(c *cobra.Command, made *receipt.Day, path, dir string) error {
	date := txn.BusinessDate(made.BusinessDate)
	line := certifiedLine{Date: date.String(), Number: made.Number, Records: made.Records(), Path: path}
	events, err := journal.Read(dir)
	if err != nil {
		return err
	}
	run, _ := day.LastRun(dir, events, date)
	var m pack.Manifest
	text, err := os.ReadFile(filepath.Join(run, pack.ManifestName))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return fmt.Errorf("%w: the run of the certificate: %w", day.ErrDamaged, err)
	}
	line.Markers = uint64(m.Records) - made.Counts.Settlement
	if d.form == cli.JSON {
		return cli.PrintJSON(c.OutOrStdout(), line)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "certificate %d of %s: %d records in store, stream, warehouse "+
		"and settlement, beside %d markers of epochs\n%s\n", line.Number, line.Date, line.Records, line.Markers,
		path)
	return err
}
