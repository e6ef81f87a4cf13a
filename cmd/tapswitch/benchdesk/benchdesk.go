// Package benchdesk is the command line of the benchmarks, and of the servers that they start
// as children of their own.
package benchdesk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/bench"
	"github.com/tapswitch/tapswitch/bench/iso"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// reportForm is the form of the report on standard output.
type reportForm string

// String returns the form's name.
func (f *reportForm) String() string { return string(*f) }

// Set reads the form's name.
func (f *reportForm) Set(s string) error {
	if s != "text" && s != "json" {
		return fmt.Errorf("%q is not text or json", s)
	}
	*f = reportForm(s)
	return nil
}

// Type names the value in help texts.
func (f *reportForm) Type() string { return "form" }

// Command returns `tapswitch bench`. Reports name the version and the commit; run is
// `tapswitch run`, which measured switches are started with.
func Command(version, commit string, run *cobra.Command) *cobra.Command {
	var quick bool
	var rounds int
	var settings []string
	var out, dir, profiles string
	form := reportForm("text")
	c := &cobra.Command{
		Use: "bench [SCENARIO…]", Short: "Measure the switch on this machine",
		Long: "Measure the switch on this machine and hold it against the numbers of its design. " +
			"Comparisons run interleaved with ours in the same run. Without SCENARIO all run; " +
			"`tapswitch bench list` names them. The servers are child processes on loopback and " +
			"free ports, with data below --dir, which should be on a real disk.",
		Example: "  tapswitch bench\n  tapswitch bench tap-local check --out results\n" +
			"  tapswitch bench --quick -o json",
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, names []string) error {
			binary, err := os.Executable()
			if err != nil {
				return fmt.Errorf("bench: %w", err)
			}
			o := bench.Options{
				Binary: binary, Dir: dir, Names: names, Size: bench.FullSize(), Quick: quick,
				Settings: settings, ProfileDir: profiles, Version: version, Commit: commit,
				Command: line(names, quick), Progress: c.ErrOrStderr(),
			}
			if quick {
				o.Size = bench.QuickSize()
			}
			if rounds > 0 {
				o.Size.Rounds = rounds
			}
			r, err := bench.Run(c.Context(), o)
			if errors.Is(err, bench.ErrUnknown) {
				return cli.WithCode(cli.ExitUsage, err)
			}
			if r == nil {
				return err
			}
			return errors.Join(err, showReport(c, r, out, form))
		},
	}
	flags := c.Flags()
	flags.BoolVar(&quick, "quick", false, "everything small, within about a minute")
	flags.IntVar(&rounds, "rounds", 0, "rounds of each comparison (default: 5, quick 3)")
	flags.StringVar(&out, "out", "", "directory for latest.txt, latest.json and latest.html")
	flags.StringVar(&dir, "dir", "", "where scratch data goes (default: the system's)")
	flags.StringArrayVar(&settings, "set", nil, "setting of the measured switch, key=value")
	flags.StringVar(&profiles, "profile", "", "directory for CPU profiles of the switch")
	flags.VarP(&form, "output", "o", "text or json")
	c.AddCommand(listCommand(), loadCommand(version, commit), noopCommand(),
		switchCommand(run), gateCommand(), bankCommand())
	return c
}

// line is the command as it would be typed, without paths of this machine.
func line(names []string, quick bool) string {
	words := append([]string{"tapswitch", "bench"}, names...)
	if quick {
		words = append(words, "--quick")
	}
	return strings.Join(words, " ")
}

// showReport prints the report and writes its files.
func showReport(c *cobra.Command, r *report.Report, out string, form reportForm) error {
	write := report.WriteText
	if form == "json" {
		write = report.WriteJSON
	}
	if err := write(c.OutOrStdout(), r); err != nil {
		return err
	}
	if out == "" {
		return nil
	}
	if err := report.WriteFiles(out, r); err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "wrote %s\n", filepath.Join(out, "latest.{txt,json,html}"))
	return nil
}

func listCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Name the scenarios", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, s := range bench.List() {
				fmt.Fprintf(w, "%s\t%s\n", s.Name, s.Title)
			}
			return w.Flush()
		},
	}
}

func loadCommand(version, commit string) *cobra.Command {
	var o bench.LoadOptions
	var tokenFile, keyFile, cardFile, out string
	form := reportForm("text")
	c := &cobra.Command{
		Use: "load", Short: "Send taps to a switch that runs elsewhere",
		Long: "Send taps to a running switch and report what it answered how fast. With an " +
			"operator's token (role admin) terminals are registered and cards enrolled; else name a " +
			"terminal, its key file (hex) and a file of card numbers, one a line. This books real " +
			"taps: use it on a switch that is there to be tested.",
		Example: "  tapswitch bench load --url http://127.0.0.1:8583 --token-file data/admin.token\n" +
			"  tapswitch bench load --url http://127.0.0.1:8583 --terminal GATE01 --key-file gate.key " +
			"--card-file cards.txt --rate 5000",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			for _, f := range []struct {
				path string
				into *string
			}{{tokenFile, &o.Token}, {keyFile, &o.Key}, {cardFile, &o.Cards}} {
				if f.path == "" {
					continue
				}
				if *f.into, err = readText(f.path); err != nil {
					return err
				}
			}
			o.Version, o.Commit, o.Progress = version, commit, c.ErrOrStderr()
			r, err := bench.Load(c.Context(), o)
			if errors.Is(err, bench.ErrLoadOptions) {
				return cli.WithCode(cli.ExitUsage, err)
			}
			if err != nil {
				return err
			}
			return showReport(c, r, out, form)
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.URL, "url", "", "address of the gate, http://host:port")
	flags.StringVar(&tokenFile, "token-file", "", "file with an operator's token")
	flags.StringVar(&o.Terminal, "terminal", "", "terminal that signs, instead of a token")
	flags.StringVar(&keyFile, "key-file", "", "file with the terminal's key in hex")
	flags.StringVar(&cardFile, "card-file", "", "file with card numbers, one a line")
	flags.IntVar(&o.CardCount, "cards", 10_000, "cards to enrol, with a token")
	flags.IntVar(&o.Connections, "connections", 64, "connections")
	flags.Float64Var(&o.Rate, "rate", 0, "taps a second, open loop; 0 finds the capacity")
	flags.DurationVar(&o.Duration, "duration", 10*time.Second, "how long")
	flags.BoolVar(&o.Remote, "remote", false, "allow an address that is not loopback")
	flags.StringVar(&out, "out", "", "directory for latest.txt, latest.json and latest.html")
	flags.VarP(&form, "output", "o", "text or json")
	_ = c.MarkFlagRequired("url") // the flag exists
	return c
}

func readText(path string) (string, error) {
	text, err := os.ReadFile(path)
	return strings.TrimSpace(string(text)), err
}

// The hidden commands are the servers that the benchmark starts.

func noopCommand() *cobra.Command {
	var size int
	c := &cobra.Command{
		Use: "serve-noop", Hidden: true, Args: cobra.NoArgs,
		Short: "Answer every request with the same body, for comparison",
		RunE: func(c *cobra.Command, _ []string) error {
			return bench.ServeNoop(c.Context(), c.InOrStdin(), c.OutOrStdout(), size)
		},
	}
	c.Flags().IntVar(&size, "reply-bytes", 150, "size of the body")
	return c
}

// switchCommand is run that also ends with its input.
func switchCommand(c *cobra.Command) *cobra.Command {
	c.Use, c.Hidden, c.Short = "serve-switch", true, "Run the switch until standard input ends"
	c.Long, c.Example = "", ""
	serve := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, cancel := bench.WithInput(c.Context(), c.InOrStdin())
		defer cancel()
		c.SetContext(ctx)
		return serve(c, args)
	}
	return c
}

func bankCommand() *cobra.Command {
	return &cobra.Command{
		Use: "serve-bank", Hidden: true, Args: cobra.NoArgs,
		Short: "Approve every ISO 8583 message, for comparison",
		RunE: func(c *cobra.Command, _ []string) error {
			return iso.ServeBank(c.Context(), c.InOrStdin(), c.OutOrStdout(), iso.ASCII())
		},
	}
}

func gateCommand() *cobra.Command {
	var data string
	c := &cobra.Command{
		Use: "serve-gate", Hidden: true, Args: cobra.NoArgs,
		Short: "Run gate, engine and local store, and report how long each stage took",
		RunE: func(c *cobra.Command, _ []string) error {
			return bench.ServeGate(c.Context(), c.InOrStdin(), c.OutOrStdout(), data)
		},
	}
	c.Flags().StringVar(&data, "data", "", "data directory")
	return c
}
