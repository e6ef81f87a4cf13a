package day

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/ledger/settle/fund"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// eventStatement keeps a statement of the bank.
const eventStatement = "bank_statement"

// bankText begins the text of an entry that a statement posts.
const bankText = "bank: "

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
		return nil, fmt.Errorf("%w: account %s closed at %s and opens at %s: a statement is missing",
			ErrBreaks, s.Account, pack.Decimal(closing, s.Currency), pack.Decimal(s.Opening, s.Currency))
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
			Text: bankText + m.Ref, Currency: s.Currency, Postings: postings[:]})
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

// Prove proves the funds of a settled day from its last run and the bank's statements. Entries
// that came after that run are in no books: with them nothing is proven until the day is settled
// again.
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
	booked := fund.Booked{Unsettled: unsettledTo(events, date)}
	for _, e := range events {
		if e.Kind == eventStatement && e.Date == date {
			booked.Statements = append(booked.Statements, statementOf(e).Statement)
		}
	}
	if len(booked.Statements) == 0 {
		return nil, errors.Join(fund.ErrShort, fmt.Errorf("no statement of %s was booked", date))
	}
	var err error
	if booked.Suspense, err = inSuspense(events, date); err != nil {
		return nil, err
	}
	return fund.Prove(date, c, trial, booked)
}

// unsettledTo counts the entries that the last run of a day does not hold: those of the day and
// of days before that came after their own runs, and runs of days before that came after it, on
// whose balances it does not rest.
func unsettledTo(events []journal.Event, date txn.BusinessDate) (n int) {
	dates, last := map[txn.BusinessDate]bool{date: true}, 0
	for i, e := range events {
		if e.Date <= date {
			dates[e.Date] = true
		}
		if e.Kind == eventRun && e.Date == date {
			last = i
		}
	}
	for d := range dates {
		n += unsettled(events, d)
	}
	for _, e := range events[last:] {
		if e.Kind == eventRun && e.Date < date {
			n++
		}
	}
	return n
}

// inSuspense tells, by currency, the entries of the bank up to a day that no reference placed,
// less what adjustments placed of them.
func inSuspense(
	events []journal.Event, date txn.BusinessDate,
) (map[txn.Currency]fund.Parked, error) {
	all := map[txn.Currency]fund.Parked{}
	for _, e := range events {
		if e.Kind != eventStatement || e.Date > date {
			continue
		}
		b := statementOf(e)
		s := all[b.Statement.Currency]
		for _, entry := range b.Entries {
			for _, p := range entry.Postings {
				if p.Account != fund.Suspense || p.Amount == 0 {
					continue
				}
				ref := strings.TrimPrefix(entry.Text, bankText)
				if err := s.Place(&b.Statement, ref, int64(p.Amount)); err != nil {
					return nil, fmt.Errorf("suspense of %s: %w", date, err)
				}
			}
		}
		all[b.Statement.Currency] = s
	}
	placed := map[txn.Currency][2]int64{}
	for _, a := range Adjustments(events) {
		if a.State != "approved" || a.Date > date {
			continue
		}
		for _, p := range a.Postings {
			if p.Account == fund.Suspense {
				of := placed[a.Currency]
				of[0], of[1] = of[0]+int64(min(p.Amount, 0)), of[1]+int64(max(p.Amount, 0))
				placed[a.Currency] = of
			}
		}
	}
	for currency, of := range placed {
		s := all[currency]
		s.Settle(of[0], of[1])
		all[currency] = s
	}
	return all, nil
}
