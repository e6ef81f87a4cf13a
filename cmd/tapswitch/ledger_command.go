package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/finance"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/readers"
	"github.com/tapswitch/tapswitch/ledger/settle"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/clickhouse"
	warehouselocal "github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func ledgerCommand() *cobra.Command {
	c := &cobra.Command{Use: "ledger", Short: "Figures from the warehouse"}
	c.AddCommand(ledgerTotalsCommand(), readers.Command())
	c.AddCommand(finance.Ledger(&financeSource{})...)
	return c
}

// errNoDay stands in for cobra's own check of required flags, whose error has no exit code.
var errNoDay = errors.New("--day must be given, such as --day 2026-11-21")

func ledgerTotalsCommand() *cobra.Command {
	var flags configFlags
	var form cli.Output
	var day string
	c := &cobra.Command{
		Use: "totals", Short: "The figures of one business date",
		Long: "The figures of one business date, the same from either warehouse. Exit code 6 when " +
			"they contradict themselves: a record that does not balance, a request booked twice.",
		Example: "  tapswitch ledger totals --day 2026-11-21 -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if day == "" {
				return cli.WithCode(cli.ExitUsage, errNoDay)
			}
			date, err := txn.ParseBusinessDate(day)
			if err != nil {
				return cli.WithCode(cli.ExitUsage, fmt.Errorf("--day: %w", err))
			}
			loaded, err := flags.load()
			if err != nil {
				return err
			}
			report, err := ledgerReport(c.Context(), &loaded.Config, date)
			if err != nil {
				return err
			}
			if err := settle.Write(c.OutOrStdout(), form.String(), report); err != nil {
				return err
			}
			if !report.Clean {
				return cli.WithCode(cli.ExitBreaks, fmt.Errorf("the figures of %s contradict themselves", date))
			}
			return nil
		},
	}
	flags.add(c)
	form.Add(c)
	c.Flags().StringVar(&day, "day", "", "business date, YYYY-MM-DD; must be given")
	return c
}

// ledgerReport reads the figures beside a switch that may be running.
func ledgerReport(
	ctx context.Context, c *config.Config, date txn.BusinessDate,
) (settle.Report, error) {
	reader, done, err := openReader(ctx, c)
	if err != nil {
		return settle.Report{}, err
	}
	totals, err := reader.Totals(ctx, date)
	if err := errors.Join(err, done()); err != nil {
		return settle.Report{}, fmt.Errorf("totals of %s: %w", date, err)
	}
	return settle.NewReport(totals)
}

// openReader opens the configured warehouse for reading, and tells how to close it.
func openReader(ctx context.Context, c *config.Config) (warehouse.Reader, func() error, error) {
	if c.Warehouse.Kind == "local" {
		r, err := warehouselocal.OpenReader(filepath.Join(c.DataDir, "warehouse"))
		if errors.Is(err, fs.ErrNotExist) {
			err = cli.WithCode(cli.ExitNotFound, err)
		}
		return r, func() error { return nil }, err
	}
	dsn, err := warehouseDSN(c)
	if err != nil {
		return nil, nil, err
	}
	w, err := clickhouse.Open(ctx, clickhouse.Options{DSN: dsn, Log: quietLog()})
	if err != nil {
		return nil, nil, cli.WithCode(cli.ExitUnavailable, fmt.Errorf("warehouse: %w", err))
	}
	return w, w.Close, nil
}

func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
