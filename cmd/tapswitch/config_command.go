package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/agency"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
)

func configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check or print the configuration"}
	c.AddCommand(configCheckCommand(), configPrintCommand())
	return c
}

func configCheckCommand() *cobra.Command {
	var flags configFlags
	c := &cobra.Command{
		Use: "check", Short: "Read the configuration and say what is wrong with it",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			loaded, err := flags.load()
			if err != nil {
				return err
			}
			if _, err := readPolicy(&loaded.Config); err != nil {
				return cli.WithCode(cli.ExitUsage, err)
			}
			cli.Warn(c.ErrOrStderr(), append(config.EnvLookAlikes(),
				agency.Unsigned(c.Context(), loaded.Config.DataDir+"/"+runFile)...)...)
			_, err = fmt.Fprintln(c.OutOrStdout(), "configuration ok")
			return err
		},
	}
	flags.add(c)
	return c
}

func configPrintCommand() *cobra.Command {
	var flags configFlags
	var origin bool
	var form cli.Output
	c := &cobra.Command{
		Use: "print", Short: "Print every setting in force", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			loaded, err := flags.load()
			if err != nil {
				return err
			}
			if form == cli.JSON {
				return cli.PrintJSON(c.OutOrStdout(), loaded.Values())
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 2, ' ', 0)
			for _, v := range loaded.Values() {
				if origin {
					fmt.Fprintf(w, "%s\t%s\t%s\n", v.Key, v.Value, v.Origin)
				} else {
					fmt.Fprintf(w, "%s\t%s\n", v.Key, v.Value)
				}
			}
			return w.Flush()
		},
	}
	flags.add(c)
	form.Add(c)
	c.Flags().BoolVar(&origin, "origin", false, "also print where each value comes from")
	return c
}
