// Package fund proves that the holders' money is there: it reads statements of the bank that
// keeps it, says what their entries post, and holds what cards are owed against what the bank
// holds (SY11, ZZ12).
//
// Statements are camt.053 or CSV, of one account and one day. A statement whose opening and
// entries do not come to its closing is refused, and so is any amount with more decimals than
// its currency has. Amounts are int64 minor units, credits on the bank's statement positive;
// there are no floats. Everything is pure: bytes in, values out. The package books nothing, and
// never makes a difference go away: what it cannot place goes to suspense, by name.
package fund

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of a statement.
const (
	// FileMax is the most bytes of a file.
	FileMax = 64 << 20
	// EntriesMax is the most entries.
	EntriesMax = 200_000
)

// ErrStatement reports a file that is no statement, or one that contradicts itself.
var ErrStatement = errors.New("bank statement")

// Entry is one movement on the account: positive came in.
type Entry struct {
	Ref    string `json:"ref"`
	Amount int64  `json:"amount"`
	Info   string `json:"info,omitempty"`
}

// Statement is a bank's word on one account and day.
type Statement struct {
	Account  string           `json:"account"`
	Date     txn.BusinessDate `json:"date"`
	Currency txn.Currency     `json:"currency"`
	Opening  int64            `json:"opening"`
	Closing  int64            `json:"closing"`
	Entries  []Entry          `json:"entries"`
}

// check refuses a statement that contradicts itself.
func (s *Statement) check() error {
	sum := s.Opening
	var err error
	for _, e := range s.Entries {
		if sum, err = chart.Sum(sum, e.Amount); err != nil {
			return fmt.Errorf("%w: %w", ErrStatement, err)
		}
	}
	switch {
	case s.Account == "" || strings.ContainsAny(s.Account, " \t/") || !s.Date.Valid() || s.Currency == 0:
		return fmt.Errorf("%w: no account, date or currency", ErrStatement)
	case len(s.Entries) > EntriesMax:
		return fmt.Errorf("%w: %d entries, at most %d", ErrStatement, len(s.Entries), EntriesMax)
	case sum != s.Closing:
		return fmt.Errorf("%w of %s: opening and entries come to %s, the closing is %s", ErrStatement,
			s.Account, decimal(sum, s.Currency), decimal(s.Closing, s.Currency))
	}
	return nil
}

// currencies are the letters of ISO 4217 with number and decimals.
var currencies = map[string]struct {
	number   txn.Currency
	decimals int
}{"CNY": {156, 2}, "HKD": {344, 2}, "MOP": {446, 2}, "SGD": {702, 2}, "USD": {840, 2}, "EUR": {978, 2},
	"JPY": {392, 0}, "KRW": {410, 0}}

// minor reads a decimal amount exactly.
func minor(text, currency string) (int64, error) {
	c, ok := currencies[currency]
	if !ok {
		return 0, fmt.Errorf("%w: currency %q is not known", ErrStatement, currency)
	}
	whole, part, point := strings.Cut(text, ".")
	if len(part) > c.decimals && strings.Trim(part[c.decimals:], "0") == "" {
		part = part[:c.decimals]
	}
	digits := strings.TrimPrefix(whole, "-") + part
	if len(part) > c.decimals || point && part == "" || whole == "" || digits == "" ||
		strings.Trim(digits, "0123456789") != "" {
		return 0, fmt.Errorf("%w: %q is no amount in %s", ErrStatement, text, currency)
	}
	n, err := strconv.ParseInt(digits+strings.Repeat("0", c.decimals-len(part)), 10, 64)
	if err != nil || n > int64(txn.MinorMax) {
		return 0, fmt.Errorf("%w: %q is out of range", ErrStatement, text)
	}
	if strings.HasPrefix(whole, "-") {
		n = -n
	}
	return n, nil
}

// decimal writes minor units with the decimals of their currency, as people read them.
func decimal(amount int64, currency txn.Currency) string {
	text, sign := strconv.FormatInt(amount, 10), ""
	if amount < 0 {
		text, sign = text[1:], "-"
	}
	for _, c := range currencies {
		if c.number == currency && c.decimals > 0 {
			text = strings.Repeat("0", max(c.decimals+1-len(text), 0)) + text
			at := len(text) - c.decimals
			return sign + text[:at] + "." + text[at:]
		}
	}
	return sign + text
}

// Parse reads a statement: camt.053 when it looks like XML, else CSV.
func Parse(text []byte) (*Statement, error) {
	if len(text) > FileMax {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrStatement, len(text), FileMax)
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	parse := parseCSV
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("<")) {
		parse = parseCAMT
	}
	s, err := parse(text)
	if err != nil {
		return nil, err
	}
	return s, s.check()
}

// csvHead is the first line of a CSV statement. The lines are one "opening", the entries, and
// one "closing".
const csvHead = "account,date,currency,type,ref,amount,info"

func parseCSV(text []byte) (*Statement, error) {
	lines, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if len(lines) < 3 || strings.Join(lines[0], ",") != csvHead {
		return nil, fmt.Errorf("%w: want the head %s, an opening, entries and a closing", ErrStatement, csvHead)
	}
	s := &Statement{Account: lines[1][0]}
	if s.Date, err = txn.ParseBusinessDate(lines[1][1]); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	s.Currency = currencies[lines[1][2]].number
	for i, l := range lines[1:] {
		amount, err := minor(l[5], l[2])
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+2, err)
		}
		same := l[0] == lines[1][0] && l[1] == lines[1][1] && l[2] == lines[1][2]
		switch {
		case same && l[3] == "opening" && i == 0:
			s.Opening = amount
		case same && l[3] == "closing" && i == len(lines)-2:
			s.Closing = amount
		case same && l[3] == "entry" && i > 0 && i < len(lines)-2:
			s.Entries = append(s.Entries, Entry{l[4], amount, l[6]})
		default:
			return nil, fmt.Errorf("%w: line %d: a %q of another account or in the wrong place",
				ErrStatement, i+2, l[3])
		}
	}
	return s, nil
}

type camtAmount struct {
	Currency string `xml:"Ccy,attr"`
	Value    string `xml:",chardata"`
}

type camtMove struct {
	Code      string       `xml:"Tp>CdOrPrtry>Cd"`
	Ref       string       `xml:"NtryRef"`
	Status    camtStatus   `xml:"Sts"`
	Details   []camtDetail `xml:"NtryDtls>TxDtls"`
	Amount    camtAmount   `xml:"Amt"`
	Direction string       `xml:"CdtDbtInd"`
	Date      string       `xml:"Dt>Dt"`
	Instant   string       `xml:"Dt>DtTm"`
	Info      string       `xml:"AddtlNtryInf"`
}

// camtStatus is a code of its own element in version 8, and plain text in version 2.
type camtStatus struct {
	Code string `xml:"Cd"`
	Text string `xml:",chardata"`
}

// camtDetail is one transaction of an entry; a bank may book many in one.
type camtDetail struct {
	EndToEnd  string     `xml:"Refs>EndToEndId"`
	Amount    camtAmount `xml:"Amt"`
	OldAmount camtAmount `xml:"AmtDtls>TxAmt>Amt"`
	Direction string     `xml:"CdtDbtInd"`
}

// pending reports an entry that the bank has not booked and that no balance holds.
func (m *camtMove) pending() bool {
	status := m.Status.Code
	if status == "" {
		status = strings.TrimSpace(m.Status.Text)
	}
	return status == "PDNG" || status == "INFO" || status == "FUTR"
}

// date is that of a balance.
func (m *camtMove) date() string {
	if m.Date != "" {
		return m.Date
	}
	return m.Instant[:min(len(m.Instant), len("2006-01-02"))]
}

// entries are what an entry of the bank comes to: a batch is taken apart where its details add
// up to it. Where they do not, nobody can say whose the money is, and it keeps the reference of
// the entry alone.
func (m *camtMove) entries(currency string) ([]Entry, error) {
	whole, err := m.amount(currency)
	if err != nil {
		return nil, err
	}
	one := Entry{m.Ref, whole, m.Info}
	if len(m.Details) == 1 && m.Details[0].EndToEnd != "" {
		one.Ref = m.Details[0].EndToEnd
	}
	if len(m.Details) < 2 {
		return []Entry{one}, nil
	}
	if len(m.Details) > EntriesMax {
		return nil, fmt.Errorf("%w: %d details in one entry", ErrStatement, len(m.Details))
	}
	parts, sum := make([]Entry, 0, len(m.Details)), int64(0)
	for _, d := range m.Details {
		part := camtMove{Amount: d.Amount, Direction: d.Direction}
		if part.Amount.Value == "" {
			part.Amount = d.OldAmount
		}
		if part.Direction == "" {
			part.Direction = m.Direction
		}
		amount, err := part.amount(currency)
		if err != nil {
			return []Entry{one}, nil
		}
		if sum, err = chart.Sum(sum, amount); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStatement, err)
		}
		parts = append(parts, Entry{d.EndToEnd, amount, m.Info})
	}
	if sum != whole {
		return []Entry{one}, nil
	}
	return parts, nil
}

// amount returns what moved, negative for a debit.
func (m *camtMove) amount(currency string) (int64, error) {
	n, err := minor(strings.TrimSpace(m.Amount.Value), m.Amount.Currency)
	switch {
	case err != nil:
		return 0, err
	case n < 0 || m.Amount.Currency != currency:
		return 0, fmt.Errorf("%w: amount %q in %q", ErrStatement, m.Amount.Value, m.Amount.Currency)
	case m.Direction == "DBIT":
		return -n, nil
	case m.Direction == "CRDT":
		return n, nil
	}
	return 0, fmt.Errorf("%w: direction %q", ErrStatement, m.Direction)
}

type camtFile struct {
	XMLName    xml.Name `xml:"Document"`
	Statements []struct {
		IBAN     string     `xml:"Acct>Id>IBAN"`
		Other    string     `xml:"Acct>Id>Othr>Id"`
		Balances []camtMove `xml:"Bal"`
		Entries  []camtMove `xml:"Ntry"`
	} `xml:"BkToCstmrStmt>Stmt"`
}

func parseCAMT(text []byte) (*Statement, error) {
	var f camtFile
	d := xml.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrStatement, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) && err != nil || len(f.Statements) != 1 {
		return nil, fmt.Errorf("%w: want one document with one statement, got %d", ErrStatement,
			len(f.Statements))
	}
	of := f.Statements[0]
	s := &Statement{Account: of.IBAN + of.Other}
	currency, seen := "", map[string]bool{}
	for _, b := range of.Balances {
		if b.Code != "OPBD" && b.Code != "CLBD" {
			continue
		}
		if currency == "" {
			currency = b.Amount.Currency
		}
		amount, err := b.amount(currency)
		if err != nil {
			return nil, err
		}
		if seen[b.Code] {
			return nil, fmt.Errorf("%w: two balances %s", ErrStatement, b.Code)
		}
		seen[b.Code] = true
		if b.Code == "OPBD" {
			s.Opening = amount
			continue
		}
		s.Closing = amount
		if s.Date, err = txn.ParseBusinessDate(b.date()); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrStatement, err)
		}
	}
	if !seen["OPBD"] || !seen["CLBD"] {
		return nil, fmt.Errorf("%w: no opening (OPBD) or closing (CLBD) balance", ErrStatement)
	}
	s.Currency = currencies[currency].number
	for _, e := range of.Entries {
		if e.pending() {
			continue
		}
		entries, err := e.entries(currency)
		if err != nil {
			return nil, err
		}
		s.Entries = append(s.Entries, entries...)
	}
	return s, nil
}
