package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/bankdesk"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank"
)

func bankCommand() *cobra.Command {
	c := &cobra.Command{Use: "bank", Short: "Bank links: who is connected, what a bank refused, where a card goes",
		Example: "  tapswitch bank check bank.yaml\n" +
			"  tapswitch bank route --file bank.yaml 6226009999999994 --class purchase --amount 1000\n" +
			"  tapswitch bank status\n  tapswitch bank dead\n  tapswitch bank retry T0000001.A3G-1-42\n" +
			"  tapswitch bank keys icbc --token-file li.token\n  tapswitch bank reconcile icbc"}
	c.AddCommand(bankDemoCommand(), bankCheckCommand(), bankRouteCommand())
	bankdesk.Add(c)
	return c
}

func bankCheckCommand() *cobra.Command {
	var flags configFlags
	c := &cobra.Command{
		Use: "check FILE", Short: "Read a bank file and every file that it names", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			loaded, err := flags.load()
			if err != nil {
				return err
			}
			zone, err := loaded.Scheme.Location()
			if err != nil {
				return err
			}
			file, err := bank.LoadConfig(args[0])
			if err == nil {
				err = file.Check(zone)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %d listeners, %d links, %d routes\n", args[0],
				len(file.Listeners), len(file.Links), len(file.Routes))
			return err
		},
	}
	flags.add(c)
	return c
}

func bankRouteCommand() *cobra.Command {
	var flags configFlags
	var path, class, at string
	var amount int64
	c := &cobra.Command{
		Use: "route CARD", Short: "Say where a card number goes, and why", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			loaded, err := flags.load()
			if err != nil {
				return err
			}
			zone, err := loaded.Scheme.Location()
			if err != nil {
				return err
			}
			if path == "" {
				path = loaded.Bank.File
			}
			number, err := pan.Parse(args[0])
			if err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			when := time.Now()
			if at != "" {
				if when, err = time.ParseInLocation("2006-01-02T15:04", at, zone); err != nil {
					return cli.WithCode(cli.ExitUsage, fmt.Errorf("--at: want 2006-01-02T15:04: %w", err))
				}
			}
			file, err := bank.LoadConfig(path)
			if err != nil {
				return err
			}
			text, err := file.Explain(zone, number, class, amount, when)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), text)
			return err
		},
	}
	flags.add(c)
	c.Flags().StringVar(&path, "file", "", "bank file (default: bank.file of the configuration)")
	c.Flags().StringVar(&class, "class", "purchase", "class of transaction")
	c.Flags().Int64Var(&amount, "amount", 0, "amount in fen")
	c.Flags().StringVar(&at, "at", "", "local time, 2006-01-02T15:04 (default: now)")
	return c
}
