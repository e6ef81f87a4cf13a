package uploads

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// whiteCommand is about the white list of security modules.
func (d *client) whiteCommand() *cobra.Command {
	c := &cobra.Command{Use: "white", Short: "The white list of security modules",
		Example: "  tapswitch uploads white list 300000000001\n" +
			"  tapswitch uploads white put 300000000001 --window GATE07,2026-11-01T00:00:00+08:00\n" +
			"  tapswitch uploads white from 2026-12-01T00:00:00+08:00"}
	c.AddCommand(
		&cobra.Command{Use: "list PSAM", Short: "When a module was on the list, and in which terminal",
			Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
				return d.listWhite(c, args[0])
			}},
		d.putWhiteCommand(),
		&cobra.Command{Use: "from [INSTANT]",
			Short: "From when on records need a listed module; with an instant, or off, sets it",
			Args:  cobra.MaximumNArgs(1), RunE: d.whiteFrom})
	return c
}

func (d *client) listWhite(c *cobra.Command, psam string) error {
	var answer struct{ White []upload.Window }
	return d.table(c, "/modules/"+url.PathEscape(psam), &answer, func(w io.Writer) {
		fmt.Fprintln(w, "TERMINAL\tFROM\tUNTIL")
		for _, v := range answer.White {
			until := ""
			if v.Until != 0 {
				until = v.Until.Time().Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", v.Terminal, v.From.Time().Format(time.RFC3339), until)
		}
	})
}

func (d *client) putWhiteCommand() *cobra.Command {
	var windows []string
	c := &cobra.Command{Use: "put PSAM", Short: "Say when a module was on the list; no window takes it off",
		Long: "Says when a security module was on the white list. What is said takes the place of all " +
			"that was said of the module before: name every window.",
		Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
			white := make([]upload.Window, len(windows))
			for i, text := range windows {
				var err error
				if white[i], err = parseWindow(text); err != nil {
					return cli.WithCode(cli.ExitUsage, err)
				}
			}
			return d.put(c, "/modules/"+url.PathEscape(args[0]), map[string]any{"white": white})
		}}
	c.Flags().StringArrayVar(&windows, "window", nil,
		"TERMINAL,FROM or TERMINAL,FROM,UNTIL; empty TERMINAL for anywhere; several times for several")
	return c
}

// parseWindow reads TERMINAL,FROM or TERMINAL,FROM,UNTIL.
func parseWindow(text string) (w upload.Window, err error) {
	parts := strings.Split(text, ",")
	if len(parts) != 2 && len(parts) != 3 {
		return w, fmt.Errorf("--window %.80q: want TERMINAL,FROM or TERMINAL,FROM,UNTIL", text)
	}
	w.Terminal = parts[0]
	if w.From, err = parseInstant(parts[1]); err == nil && len(parts) == 3 {
		w.Until, err = parseInstant(parts[2])
	}
	switch {
	case err != nil:
		return w, fmt.Errorf("--window %.80q: %w", text, err)
	case w.Until != 0 && w.Until <= w.From:
		return w, fmt.Errorf("--window %.80q: it ends before it begins", text)
	}
	return w, nil
}

func parseInstant(text string) (txn.Millis, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, fmt.Errorf("%.40q: want an instant as 2026-11-21T12:00:00+08:00", text)
	}
	return txn.MillisOf(at), nil
}

func (d *client) whiteFrom(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		var answer struct {
			From txn.Millis `json:"from_ms"`
		}
		return d.table(c, "/white-from", &answer, func(w io.Writer) {
			if answer.From == 0 {
				fmt.Fprintln(w, "off: records of any module are taken")
				return
			}
			fmt.Fprintln(w, answer.From.Time().Format(time.RFC3339))
		})
	}
	from := txn.Millis(0)
	if args[0] != "off" {
		var err error
		if from, err = parseInstant(args[0]); err != nil {
			return cli.WithCode(cli.ExitUsage, err)
		}
	}
	return d.put(c, "/white-from", map[string]any{"from_ms": from})
}

// put sends a change and prints what the switch says.
func (d *client) put(c *cobra.Command, path string, body any) error {
	text, err := d.call(c.Context(), http.MethodPut, path, body)
	if err != nil {
		return err
	}
	return d.Print(c.OutOrStdout(), text, nil, nil)
}
