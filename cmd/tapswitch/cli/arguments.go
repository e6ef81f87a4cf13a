package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// samples are values for the words that stand for arguments, for examples in errors.
var samples = map[string]string{
	"ACCOUNT": "A1", "BREAK": "b-17", "CARD": "-", "CASE": "2", "CERTIFICATE": "certificate.json",
	"CITY": "shenzhen", "CODE": "code.txt", "DIR": "kit", "DRILL": "1", "FEED": "gtfs.zip",
	"FILE": "file.json", "ID": "0102-7-ab", "KEY": "purse_tac/city", "KIND": "tariff", "LINK": "unionpay",
	"MODE": "train_fault", "NAME": "wang", "NUMBER": "1", "ORDER": "o1", "PARTY": "bus",
	"PASS": "'day pass'", "PSAM": "010203040506", "RECORDS": "records.csv", "RELEASE": "r1",
	"REQUEST": "T0000001.A3G-1-42",
	"RUNBOOK": "freeze", "SCENARIO": "hot", "SIGNING-FILE": "signing.key", "STATION": "'North Gate'",
	"STEP": "report_loss", "TAP": "8:00@A", "TERMINAL": "GATE07", "VERSION": "2027-1", "ACCOUNT=AMOUNT": "A=100",
}

// NameArguments makes wrong arguments of a command, and of all below it, a usage error that
// names what is missing and gives an example; so is a flag that is needed and a command that
// there is not. What was given is not repeated: it may be a number of a card. The names come
// from the commands' own usage lines.
func NameArguments(c *cobra.Command) {
	for _, sub := range c.Commands() {
		NameArguments(sub)
	}
	check := c.Args
	if c.HasSubCommands() && (!c.Runnable() || check == nil) {
		c.SuggestionsMinimumDistance = 2
		c.RunE, check = func(c *cobra.Command, _ []string) error { return c.Help() }, cobra.NoArgs
	}
	if check == nil {
		check = cobra.ArbitraryArgs
	}
	c.Args = func(c *cobra.Command, args []string) error {
		err := check(c, args)
		switch {
		case err != nil:
			err = misused(c, args, err)
		default:
			err = c.ValidateRequiredFlags()
		}
		if err == nil {
			return nil
		}
		if c.HasSubCommands() {
			return WithCode(ExitUsage, fmt.Errorf("%w\n  see: %s --help", err, c.CommandPath()))
		}
		return WithCode(ExitUsage, fmt.Errorf("%w\n  usage: %s\n  for example: %s", err, c.UseLine(),
			Example(c)))
	}
}

// misused says what is wrong with arguments by the usage line, or as the check has it.
func misused(c *cobra.Command, args []string, err error) error {
	if c.HasSubCommands() {
		hint := ""
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			hint = ": did you mean " + strings.Join(near, " or ") + "?"
		}
		return fmt.Errorf("%s has no such command%s", c.CommandPath(), hint)
	}
	need, most := words(c)
	switch {
	case len(args) < len(need):
		return fmt.Errorf("%s: %s is missing", c.CommandPath(), strings.Join(need[len(args):], " "))
	case most >= 0 && len(args) > most:
		return fmt.Errorf("%s: %d arguments, takes %d at most", c.CommandPath(), len(args), most)
	}
	var coded *ExitError
	if errors.As(err, &coded) {
		return err
	}
	return fmt.Errorf("%s: the arguments are not what it takes", c.CommandPath())
}

// words returns the arguments that the usage line of a command needs, and how many it takes at
// most, -1 for any number.
func words(c *cobra.Command) (need []string, most int) {
	_, line, _ := strings.Cut(c.Use, " ")
	for _, w := range strings.Fields(line) {
		bare := strings.TrimRight(strings.Trim(w, "[]"), ".…")
		if strings.Contains(w, "...") || strings.Contains(w, "…") {
			most = -1
		} else if most >= 0 {
			most++
		}
		if !strings.Contains(line, "["+bare) && !strings.HasPrefix(w, "[") && !strings.HasSuffix(w, "]") {
			need = append(need, bare)
		}
	}
	return need, most
}

// Example returns one line by which a command can be called: of its own examples, of those of
// the commands above it, or one made of its usage line.
func Example(c *cobra.Command) string {
	for above := c; above != nil; above = above.Parent() {
		for line := range strings.Lines(strings.ReplaceAll(above.Example, "\\\n", " ")) {
			line, _, _ = strings.Cut(line, " #")
			line = strings.Join(strings.Fields(line), " ")
			if line == c.CommandPath() || strings.HasPrefix(line, c.CommandPath()+" ") {
				return line
			}
		}
	}
	need, _ := words(c)
	text := c.CommandPath()
	for _, w := range need {
		first, _, _ := strings.Cut(w, "|")
		text += " " + samples[first]
	}
	return text
}
