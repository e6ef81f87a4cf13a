package day

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/ledger/settle/fund"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// eventStatement keeps a statement of the bank.
const eventStatement = "bank_statement"

// statementBody is what the journal keeps of a statement: its figures and what it posts.
type statementBody struct {
	SHA256    string           `json:"sha256"`
	Statement fund.Statement   `json:"statement"`
	Entries   []clearing.Entry `json:"entries"`
}

func statementOf(e journal.Event) (b statementBody) {
	_ = json.Unmarshal(e.Body, &b) // the journal's checksums vouch for it
	return b
}

// Bank books the statement of a bank account on its day: every entry against the party that its
// reference names. The same file again changes nothing; another statement of the same account
// and day is refused, and so is one whose opening is not the closing before.
func (d *Desk) Bank(text []byte, actor string) (*fund.Statement, error) {
	s, err := fund.Parse(text)
	if err != nil {
		return nil, err
	}
	sum := hash(text)
	known := false
	var closing int64
	for _, e := range d.journal.Events() {
		if e.Kind != eventStatement {
			continue
		}
		before := statementOf(e)
		switch {
		case before.SHA256 == sum:
			return s, nil
		case before.Statement.Account != s.Account:
		case before.Statement.Date >= s.Date:
			return nil, fmt.Errorf("%w: account %s has a statement of %s already", ErrState, s.Account,
				before.Statement.Date)
		default:
			known, closing = true, before.Statement.Closing
		}
	}
	switch {
	case known && closing != s.Opening:
		return nil, fmt.Errorf("%w: account %s closed at %d and opens at %d: a statement is missing",
			ErrBreaks, s.Account, closing, s.Opening)
	case stateOf(d.journal.Events(), s.Date) == Certified:
		return nil, fmt.Errorf("%w: %s is certified", ErrState, s.Date)
	}
	entries, err := d.entriesOf(s, known)
	if err != nil {
		return nil, err
	}
	return s, d.note(eventStatement, actor, s.Date, statementBody{sum, *s, entries})
}

// entriesOf makes the entries of a statement. The first of an account brings its opening in
// against suspense: who put it there is for finance to say.
func (d *Desk) entriesOf(s *fund.Statement, known bool) ([]clearing.Entry, error) {
	parties, err := d.ordered()
	if err != nil {
		return nil, err
	}
	moves := s.Entries
	if !known {
		moves = append([]fund.Entry{{Ref: "opening balance", Amount: s.Opening}}, moves...)
	}
	var entries []clearing.Entry
	for i, m := range moves {
		postings := fund.Posting(s, m, d.Chart, parties)
		entries = append(entries, clearing.Entry{ID: fmt.Sprintf("bank %s %s %d", s.Account, s.Date, i+1),
			Text: "bank: " + m.Ref, Currency: s.Currency, Postings: postings[:]})
	}
	return entries, nil
}

// ordered returns the parties of all payment orders by number.
func (d *Desk) ordered() (map[string]string, error) {
	parties := map[string]string{}
	for _, e := range d.journal.Events() {
		if e.Kind != eventRun {
			continue
		}
		var s clearing.Statement
		if err := d.readOf(e.Date, runOf(e).Run, pack.StatementName, &s); err != nil {
			return nil, err
		}
		for _, o := range s.Orders {
			parties[o.Number] = o.Party
		}
	}
	return parties, nil
}

// Prove proves the funds of a settled day from its last run and the bank's statements.
func Prove(
	dir string, events []journal.Event, c *chart.Chart, date txn.BusinessDate,
) ([]fund.Proof, error) {
	run, n := LastRun(dir, events, date)
	if n == 0 {
		return nil, fmt.Errorf("%w: %s is not settled", ErrState, date)
	}
	if _, err := ReadRun(run); err != nil {
		return nil, err
	}
	var trial []chart.Balance
	if err := readJSON(filepath.Join(run, pack.TrialName), &trial); err != nil {
		return nil, err
	}
	var statements []fund.Statement
	for _, e := range events {
		if e.Kind == eventStatement && e.Date == date {
			statements = append(statements, statementOf(e).Statement)
		}
	}
	if len(statements) == 0 {
		return nil, errors.Join(fund.ErrShort, fmt.Errorf("no statement of %s was booked", date))
	}
	return fund.Prove(date, c, trial, statements)
}
