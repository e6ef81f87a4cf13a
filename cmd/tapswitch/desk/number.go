package desk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

const (
	numberMax  = 64      // bytes of a number that is read
	numbersMax = 4 << 10 // bytes of all of them
	stdin      = "-"     // where a number is to be read
)

// numbers reads what must stand in no command line and no shell history: numbers of cards and
// papers, one a line of standard input, in the order of the help text. A person is asked for
// each, and what was typed is wiped from the screen.
type numbers struct {
	lines *bufio.Reader
	asked io.Writer // nil unless a person types
}

func newNumbers(c *cobra.Command) *numbers {
	n := &numbers{lines: bufio.NewReader(io.LimitReader(c.InOrStdin(), numbersMax))}
	if f, ok := c.InOrStdin().(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			n.asked = c.ErrOrStderr()
		}
	}
	return n
}

// next reads one number. Its error never holds what was read.
func (n *numbers) next(what string) (string, error) {
	if n.asked != nil {
		fmt.Fprintf(n.asked, "%s: ", what)
	}
	line, err := n.lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	if n.asked != nil {
		fmt.Fprintf(n.asked, "\x1b[1A\x1b[2K%s: read\n", what) // one line up, and wipe it
	}
	text := strings.NewReplacer(" ", "", "\t", "").Replace(strings.TrimSpace(line))
	switch {
	case text == "":
		return "", usage("%s: nothing on standard input", what)
	case len(text) > numberMax:
		return "", usage("%s: longer than %d bytes", what, numberMax)
	}
	return text, nil
}

// card reads a card: a token of 32 hex digits may stand in the flag, a number only on
// standard input.
func (n *numbers) card(flag, value, what string) (string, error) {
	switch {
	case value == stdin:
		return n.next(what)
	case isToken(value):
		return value, nil
	default:
		return "", usage("%s: give a token of 32 hex digits, or - and the %s on standard input",
			flag, what)
	}
}

func isToken(text string) bool {
	return len(text) == 32 && strings.Trim(text, "0123456789abcdefABCDEF") == ""
}

// target says which account a command is about.
type target struct{ account, card, holder, number string }

func (t *target) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&t.account, "account", "", "the account, by its token")
	f.StringVar(&t.card, "card", "", "by a card: - reads its number from standard input, or its "+
		"token")
	f.StringVar(&t.holder, "holder", "", "by the holder: - reads the number of his paper")
	f.StringVar(&t.number, "number", "",
		"by another printed number: social_security=-, serial=-, bank_card=-, card=-")
}

// fill puts the account into a request.
func (t *target) fill(n *numbers, body map[string]any) (err error) {
	named := 0
	for _, value := range []string{t.account, t.card, t.holder, t.number} {
		named += min(1, len(value))
	}
	switch {
	case named != 1:
		return usage("name the account by exactly one of --account, --card, --holder, --number")
	case t.account != "":
		if !isToken(t.account) {
			return usage("--account: give the token of the account, 32 hex digits")
		}
		body["account"] = t.account
	case t.card != "":
		body["card"], err = n.card("--card", t.card, "card number")
	case t.holder != "":
		body["holder"], err = n.secret("--holder", t.holder, "number of the paper")
	default:
		body["number"], err = n.printed(t.number)
	}
	return err
}

// secret reads a number that has no other form.
func (n *numbers) secret(flag, value, what string) (string, error) {
	if value != stdin {
		return "", usage("%s: give - and the %s on standard input", flag, what)
	}
	return n.next(what)
}

// printed reads another printed number, as kind=-. Only a serial number may stand in the
// flag itself: the others name a person.
func (n *numbers) printed(text string) (map[string]any, error) {
	kind, value, ok := strings.Cut(text, "=")
	if !ok || kind == "" || value == "" {
		return nil, usage("--number: want kind=-, where kind is social_security, serial, " +
			"bank_card or card")
	}
	if kind != "serial" || value == stdin {
		var err error
		if value, err = n.secret("--number "+kind, value, kind+" number"); err != nil {
			return nil, err
		}
	}
	return map[string]any{"kind": kind, "value": value}, nil
}
