package faredesk

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// tapsMax is how many taps one explanation prices; a person reads them.
const tapsMax = 1000

func explainCommand() *cobra.Command {
	var names []string
	var file string
	var form cli.Output
	c := &cobra.Command{
		Use: "explain [TAP...]", Short: "Print how the amounts of taps came about",
		Long: "Prices the taps of one card in order and prints every step from the full fare to the " +
			"charge, with the rule of the tariff and its line. A tap is its local time, what it is and " +
			"where:\n\n" +
			"  2026-09-01 08:00 board bus line=M313\n" +
			"  2026-09-01 08:20 enter metro station=Market rider=student\n" +
			"  2026-09-01 08:40 exit metro station=Airport class=business\n\n" +
			"What: board, enter, exit, lapse, correct, buy. Keys: line, station, operator, rider, class, " +
			"given (the full fare that the terminal has), metres, pass, told (when the switch heard of it, " +
			"if later: write taps in the order in which they were told). Exit code 6 when a tap has no price.",
		Example: "  tapswitch fare explain --tariff example '2026-09-01 08:00 enter metro station=Market' \\\n" +
			"    '2026-09-01 13:00 lapse' '2026-09-01 08:20 exit metro station=Lake told=2026-09-02 09:00'\n" +
			"  tapswitch fare explain --tariff shenzhen '2018-09-01 08:00 board bus line=M313 given=200'\n" +
			"  tapswitch fare explain --tariff 2026.yaml --tariff 2027.yaml --file taps.txt -o json",
		RunE: func(c *cobra.Command, args []string) error {
			taps, err := readTaps(file, args, c.InOrStdin())
			if err != nil {
				return err
			}
			book, err := load(names)
			if err != nil {
				return err
			}
			return explain(c.OutOrStdout(), book, taps, form)
		},
	}
	c.Flags().StringArrayVar(&names, "tariff", []string{"example"},
		"a tariff file, or shenzhen or example; may be repeated for versions")
	c.Flags().StringVar(&file, "file", "", "read taps from a file, one a line; - is standard input")
	form.Add(c)
	return c
}

func readTaps(file string, taps []string, stdin io.Reader) ([]string, error) {
	if file != "" {
		in := stdin
		if file != "-" {
			f, err := os.Open(file)
			if err != nil {
				return nil, cli.WithCode(cli.ExitNotFound, err)
			}
			defer f.Close()
			in = f
		}
		lines := bufio.NewScanner(in)
		for lines.Scan() && len(taps) <= tapsMax {
			if line := strings.TrimSpace(lines.Text()); line != "" && !strings.HasPrefix(line, "#") {
				taps = append(taps, line)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("--file %s: %w", file, err)
		}
	}
	if len(taps) == 0 || len(taps) > tapsMax {
		return nil, cli.WithCode(cli.ExitUsage, fmt.Errorf("%d taps, want 1 to %d", len(taps), tapsMax))
	}
	return taps, nil
}

func explain(out io.Writer, book *tariff.Book, taps []string, form cli.Output) error {
	h := history{book: book}
	var all []explained
	refused := 0
	for _, text := range taps {
		one, err := parseTap(text, book.Versions()[0].Tariff.File().UTCOffset)
		if err != nil {
			return cli.WithCode(cli.ExitUsage, fmt.Errorf("tap %q: %w", text, err))
		}
		p := h.add(one.Tap, one.pass, one.told)
		e := explained{Tap: text, Full: p.Full, Paid: p.Charged, Day: h.state.Paid(price.Day)}
		if p.Reason != price.OK {
			e.Reason = p.Reason.String()
			refused++
		} else {
			e.Parts = p.explain()
		}
		all = append(all, e)
	}
	if err := writeExplained(out, all, form); err != nil {
		return err
	}
	if refused > 0 {
		return cli.WithCode(cli.ExitBreaks, fmt.Errorf("%d taps have no price", refused))
	}
	return nil
}

func writeExplained(out io.Writer, all []explained, form cli.Output) error {
	if form == cli.JSON {
		return cli.PrintJSON(out, all)
	}
	if form == cli.CSV {
		return explainedCSV(out, all)
	}
	tab := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, e := range all {
		fmt.Fprintf(tab, "%s\n", e.Tap)
		if e.Reason != "" {
			fmt.Fprintf(tab, "  refused\t\t%s\n", e.Reason)
		}
		for _, p := range e.Parts {
			where := p.Rule
			if p.Line > 0 {
				where = fmt.Sprintf("%s (line %d)", p.Rule, p.Line)
			}
			fmt.Fprintf(tab, "  %s\t%d\t%s\n", p.What, p.Amount, where)
		}
	}
	return tab.Flush()
}

// explainedCSV writes a line for each step of each tap; that of a refused tap has the reason.
func explainedCSV(out io.Writer, all []explained) error {
	w := csv.NewWriter(out)
	rows := [][]string{{"tap", "what", "amount_minor", "rule", "line"}}
	for _, e := range all {
		if e.Reason != "" {
			rows = append(rows, []string{e.Tap, "refused", "", e.Reason, ""})
		}
		for _, p := range e.Parts {
			rows = append(rows, []string{e.Tap, p.What, strconv.FormatInt(int64(p.Amount), 10), p.Rule,
				strconv.Itoa(p.Line)})
		}
	}
	return w.WriteAll(rows)
}

var kinds = map[string]price.Kind{"board": price.Board, "enter": price.Enter, "exit": price.Exit,
	"lapse": price.Lapse, "correct": price.Correct, "buy": price.Buy}

// written is a tap as a person writes it.
type written struct {
	price.Tap
	pass string     // that it buys
	told txn.Millis // when the switch heard of it
	zone *time.Location
}

// parseTap reads a tap.
func parseTap(text string, offset time.Duration) (w written, err error) {
	words := strings.Fields(text)
	if len(words) < 3 {
		return w, errors.New("want a date, a time, and what it is")
	}
	w.zone = time.FixedZone("", int(offset.Seconds()))
	if w.At, err = w.time(words[0] + " " + words[1]); err != nil {
		return w, err
	}
	w.told = w.At
	kind, ok := kinds[words[2]]
	if !ok {
		return w, fmt.Errorf("%q is not board, enter, exit, lapse, correct or buy", words[2])
	}
	w.Kind = kind
	rest := words[3:]
	if len(rest) > 0 && !strings.Contains(rest[0], "=") {
		if w.Mode, ok = price.ParseMode(rest[0]); !ok {
			return w, fmt.Errorf("%q is no mode", rest[0])
		}
		rest = rest[1:]
	}
	if err = w.setKeys(rest); err == nil && w.told < w.At {
		err = errors.New("told: is before the tap")
	}
	return w, err
}

// time reads an instant in the time zone of the tariff.
func (w *written) time(text string) (txn.Millis, error) {
	at, err := time.ParseInLocation("2006-01-02 15:04:05", text, w.zone)
	if err != nil {
		at, err = time.ParseInLocation("2006-01-02 15:04", text, w.zone)
	}
	if err != nil {
		return 0, errors.New("want a time as 2026-09-01 08:00")
	}
	return txn.Millis(at.UnixMilli()), nil
}

// setKeys reads "key=value" words; a word without = continues the value before it, so that
// names may have spaces, with quotes around them or without.
func (w *written) setKeys(words []string) error {
	for len(words) > 0 {
		key, value, ok := strings.Cut(words[0], "=")
		if !ok {
			return fmt.Errorf("%q is no key with a value", words[0])
		}
		words = words[1:]
		for len(words) > 0 && !strings.Contains(words[0], "=") {
			value, words = value+" "+words[0], words[1:]
		}
		if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
			value = value[1 : n-1]
		}
		if err := w.setKey(key, value); err != nil {
			return err
		}
	}
	return nil
}

func (w *written) setKey(key, value string) (err error) {
	tap := &w.Tap
	switch key {
	case "told":
		if w.told, err = w.time(value); err != nil {
			return fmt.Errorf("told: %w", err)
		}
	case "line":
		tap.Line = price.NameOf(value)
	case "station":
		tap.Station = price.NameOf(value)
	case "operator":
		tap.Operator = price.NameOf(value)
	case "pass":
		w.pass = value
	case "given", "metres":
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("%s: %q is no whole number", key, value)
		}
		if key == "given" {
			tap.Given = txn.Minor(n)
		} else {
			tap.Metres = n
		}
	case "class":
		if value == price.Business.String() {
			tap.Class = price.Business
		} else if value != price.Standard.String() {
			return fmt.Errorf("class: %q is not standard or business", value)
		}
	case "rider":
		var ok bool
		if tap.Rider, ok = txn.ParseRiderCategory(value); !ok {
			return fmt.Errorf("rider: %q is no category", value)
		}
	default:
		return fmt.Errorf("%q is not a key", key)
	}
	return nil
}
