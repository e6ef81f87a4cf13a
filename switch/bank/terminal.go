package bank

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// terminalsMax bounds the terminals of a listener.
const terminalsMax = 1_000_000

// terminal is one row of a terminals file.
type terminal struct {
	name, merchant string
	masterKey      string // scheme of its key_exchange key; "" for a terminal without keys
	place          txn.Place
}

// terminals are the terminals of a listener. They do not change while it runs.
type terminals struct{ rows map[[8]byte]*terminal }

func (t *terminals) find(field41 [8]byte) *terminal { return t.rows[field41] }

// withKey returns the name of a terminal with a master key, "" when there is none.
func (t *terminals) withKey() string {
	for _, row := range t.rows {
		if row.masterKey != "" {
			return row.name
		}
	}
	return ""
}

// terminalColumns are the columns of a terminals file, in this order.
const terminalColumns = "terminal,merchant,mcc,payee,master_key"

func loadTerminals(path string) (*terminals, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: terminals: %w", ErrConfig, err)
	}
	defer f.Close()
	t, err := readTerminals(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
	}
	return t, nil
}

func readTerminals(r io.Reader) (*terminals, error) {
	c := csv.NewReader(r)
	c.FieldsPerRecord = 5
	c.Comment = '#'
	head, err := c.Read()
	if err != nil || strings.Join(head, ",") != terminalColumns {
		return nil, fmt.Errorf("the first line must be %s", terminalColumns)
	}
	t := &terminals{rows: map[[8]byte]*terminal{}}
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := c.FieldPos(0)
		if err := t.add(row); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if len(t.rows) > terminalsMax {
			return nil, fmt.Errorf("more than %d terminals", terminalsMax)
		}
	}
}

func (t *terminals) add(row []string) error {
	name, merchant, mcc, payee, key := row[0], row[1], row[2], row[3], row[4]
	var field41 [8]byte
	copy(field41[:], "        ")
	switch {
	case name == "" || len(name) > len(field41) || !printable(name):
		return fmt.Errorf("terminal %q: want 1 to 8 characters", name)
	case merchant == "" || len(merchant) > 15 || !printable(merchant):
		return fmt.Errorf("terminal %s: merchant %q: want 1 to 15 characters", name, merchant)
	case mcc != "" && (len(mcc) != 4 || strings.Trim(mcc, "0123456789") != ""):
		return fmt.Errorf("terminal %s: mcc %q: want four digits", name, mcc)
	}
	copy(field41[:], name)
	if t.rows[field41] != nil {
		return fmt.Errorf("terminal %s stands twice", name)
	}
	if payee == "" {
		payee = "merchant/" + merchant
	}
	t.rows[field41] = &terminal{name: name, merchant: merchant, masterKey: key,
		place: txn.Place{Merchant: merchant, MCC: mcc, Payee: txn.Account(payee),
			Funding: txn.Account(payee)}}
	return nil
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
