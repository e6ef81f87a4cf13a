// Command tapswitch is the transaction switch of a city card: one binary that runs the
// switch, its demonstration, its benchmark and its tools. The files of this package wire
// the parts together and do nothing else.
//
// Data goes to standard output, progress and errors to standard error. Exit codes: 0 ok,
// 1 failed, 2 usage, 3 a server that is needed does not answer, 4 not found, 5 conflict,
// 6 breaks found, 130 interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/benchdesk"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/desk"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/faredesk"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/finance"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/gatedesk"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/gatesim"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/office"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/qrdesk"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/recondesk"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/tools"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/uploads"
)

// Set by the linker.
var (
	version = "dev"
	commit  = "unknown"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := rootCommand().ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	stop()
	os.Exit(exitCode(err, interrupted))
}

func exitCode(err error, interrupted bool) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "tapswitch:", err)
	var coded *cli.ExitError
	if !errors.As(err, &coded) && interrupted && errors.Is(err, context.Canceled) {
		return cli.ExitInterrupted
	}
	return cli.Code(err)
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "tapswitch",
		Short:         "The transaction switch of a city card",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version,
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return cli.WithCode(cli.ExitUsage, err)
	})
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run:"},
		&cobra.Group{ID: "desk", Title: "Desk and finance:"},
		&cobra.Group{ID: "tools", Title: "Tools:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("run", runCommand(), demoCommand(), replayCommand(), benchdesk.Command(version, commit, runCommand()), tools.BankSim(),
		tools.POSSim(), gatesim.Command())
	add("desk", desk.Desk(office.Commands), desk.Card(), desk.Terminal(), gatedesk.Terminals(),
		desk.Operator(), ledgerCommand(), recondesk.Recon(&ledgerSource{}), bankCommand(),
		uploads.Command(), finance.Day(&financeSource{}), finance.Settle(&financeSource{}))
	add("tools", doctorCommand(), configCommand(), faredesk.Fare(&ledgerSource{}), tools.Crypto(),
		tools.ISO8583(), tools.Keys(), tools.Scheme(), tools.Duties(), qrdesk.Command(), versionCommand())
	cli.NameArguments(root)
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print version and commit", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "tapswitch %s (%s)\n", version, commit)
			return err
		},
	}
}
