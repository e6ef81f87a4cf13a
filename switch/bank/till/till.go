// Package till reads the file of a listener's terminals: who they are, whose account their
// sales go to, and what they can do. A List does not change while the switch runs, and is
// safe for concurrent use.
package till

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
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

// Terminal is one row of a terminals file.
type Terminal struct {
	Name, Merchant string
	MasterKey      string // scheme of its key_exchange key; "" for a terminal without keys
	Partial        bool   // takes approvals of a lower amount
	Place          txn.Place
}

// List are the terminals of a listener.
type List struct{ rows map[[8]byte]*Terminal }

// Find returns the terminal with a field 41, nil for none.
func (t *List) Find(field41 [8]byte) *Terminal { return t.rows[field41] }

// Len returns how many there are.
func (t *List) Len() int { return len(t.rows) }

// WithKey returns the name of a terminal with a master key, "" when there is none.
func (t *List) WithKey() string {
	for _, row := range t.rows {
		if row.MasterKey != "" {
			return row.Name
		}
	}
	return ""
}

// terminalColumns are the columns of a terminals file, in this order.
const terminalColumns = "terminal,merchant,mcc,payee,master_key"

// partialColumn may follow them.
const partialColumn = ",partial"

// Load reads a terminals file.
func Load(path string) (*List, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("terminals: %w", err)
	}
	defer f.Close()
	t, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

func read(r io.Reader) (*List, error) {
	c := csv.NewReader(r)
	c.Comment = '#' // every row has as many fields as the first
	head, err := c.Read()
	if err != nil || strings.TrimSuffix(strings.Join(head, ","), partialColumn) != terminalColumns {
		return nil, fmt.Errorf("the first line must be %s, with or without %s", terminalColumns,
			partialColumn)
	}
	t := &List{rows: map[[8]byte]*Terminal{}}
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

func (t *List) add(row []string) error {
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
	partial := len(row) > 5 && row[5] == "yes"
	if len(row) > 5 && row[5] != "" && row[5] != "no" && !partial {
		return fmt.Errorf("terminal %s: partial %q: want yes, no or nothing", name, row[5])
	}
	copy(field41[:], name)
	if t.rows[field41] != nil {
		return fmt.Errorf("terminal %s stands twice", name)
	}
	if payee == "" {
		payee = "merchant/" + merchant
	}
	t.rows[field41] = &Terminal{Name: name, Merchant: merchant, MasterKey: key,
		Partial: partial, Place: txn.Place{Merchant: merchant, MCC: mcc, Payee: txn.Account(payee),
			Funding: txn.Account(payee)}}
	return nil
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// ID names a terminal in ids: field 41 and the code of its listener. Names that an id cannot hold
// are digested.
func ID(field41 [8]byte, code string) txn.TerminalID {
	name := bytes.TrimRight(field41[:], " \x00")
	id, err := txn.ParseTerminalID(string(name))
	if err != nil {
		sum := sha256.Sum256(field41[:])
		id, _ = txn.ParseTerminalID("_" + base32.HexEncoding.EncodeToString(sum[:5])[:7])
		name = id[:8]
	}
	copy(id[len(name):], code)
	return id
}

// CodeOf is what tells terminals of the same name behind different listeners apart: a dot and
// three characters.
func CodeOf(listener string) string {
	sum := sha256.Sum256([]byte(listener))
	return "." + base32.HexEncoding.EncodeToString(sum[:2])[:3]
}
