package layout

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/tapswitch/tapswitch/ledger/recon"
)

// begin starts a row.
func (p *parser) begin(n uint64) {
	p.row = recon.Row{Place: recon.Place{Line: n}, Currency: p.l.currency}
	p.claim, p.at, p.date, p.minus = recon.Claim{}, [2]moment{}, moment{}, false
}

// set puts a column's text where it belongs.
func (p *parser) set(c *column, text string) error {
	text, err := c.refine(text)
	if err != nil || text == "" {
		return err
	}
	if c.isField {
		p.row.Text[c.field] = text
		return nil
	}
	switch c.to {
	case toAt:
		return c.format.parse(text, &p.at[0])
	case toReceived:
		return c.format.parse(text, &p.at[1])
	case toDate:
		return c.format.parse(text, &p.date)
	case toSign:
		p.minus = text == "-"
		if text != "-" && text != "+" {
			return fmt.Errorf("is no sign; give the column a map to + and -")
		}
	case toCurrency:
		p.row.Currency, err = currencyOf(text)
	case toAmount, toPlus, toMinus:
		return p.addAmount(c, text)
	case toClaimDebits, toClaimCredits, toClaimDebit, toClaimCredit:
		return p.addClaim(c, text)
	}
	return err
}

func (p *parser) addAmount(c *column, text string) error {
	v, err := c.parseAmount(text)
	if err != nil {
		return err
	}
	if c.to == toMinus {
		v = -v
	}
	p.row.Amount += v
	return nil
}

func (p *parser) addClaim(c *column, text string) (err error) {
	t := &p.claim.Tally
	switch c.to {
	case toClaimDebits:
		t.Debits, err = parseCount(text)
	case toClaimCredits:
		t.Credits, err = parseCount(text)
	case toClaimDebit:
		t.Debit, err = c.parseAmount(text)
	case toClaimCredit:
		t.Credit, err = c.parseAmount(text)
	}
	return err
}

// complete puts the parts of a row together and hands it on.
func (p *parser) complete() (err error) {
	if p.minus != slices.Contains(p.l.negative, p.row.Text[recon.Kind]) {
		p.row.Amount = -p.row.Amount
	}
	if p.at[0].set {
		if p.at[0].day == 0 && p.date.set { // a time of day, with the row's date
			p.at[0].year, p.at[0].month, p.at[0].day = p.date.year, p.date.month, p.date.day
		}
		p.at[0].near(p.day)
		if p.row.At, err = p.at[0].millis(p.l.zone); err != nil {
			return &lineFault{toAt, err}
		}
	}
	if p.at[1].set {
		p.at[1].near(p.day)
		if p.row.Received, err = p.at[1].millis(p.l.zone); err != nil {
			return &lineFault{toReceived, err}
		}
	}
	if p.date.set {
		p.date.near(p.day)
		if p.row.Date, err = p.date.date(); err != nil {
			return &lineFault{toDate, err}
		}
	}
	if err := p.sums.add(p.row.Amount); err != nil {
		return err
	}
	return p.emit(p)
}

// head reads the names of a CSV file's columns and finds those of the layout. The result goes
// into copies of the records: a layout is shared.
func (p *parser) head(n uint64) error {
	at := map[string]int{}
	for i, cell := range p.cells {
		name, err := p.l.decode(cell)
		if err != nil {
			return fmt.Errorf("%w: line %d: name of column %d %w", ErrControl, n, i+1, err)
		}
		at[trimmed(name)] = i
	}
	p.columns = len(p.cells)
	return p.resolve(at)
}

func (p *parser) resolve(at map[string]int) error {
	l := *p.l
	l.records = nil
	for _, r := range p.l.records {
		clone := *r
		clone.columns = nil
		for _, c := range r.columns {
			column := *c
			column.index = c.at - 1
			if c.name != "" {
				i, ok := at[c.name]
				if !ok && c.optional {
					continue
				}
				if !ok {
					return fmt.Errorf("%w: the file has no column %s", ErrControl, strconv.Quote(c.name))
				}
				column.index = i
			}
			clone.columns = append(clone.columns, &column)
		}
		l.records = append(l.records, &clone)
	}
	p.l = &l
	return nil
}

// split cuts a CSV line into cells. A quoted cell may hold the separator and doubled quotes,
// and no line end.
func (p *parser) split(line []byte) error {
	p.cells, p.quoted = p.cells[:0], p.quoted[:0]
	for {
		if len(p.cells) >= ColumnsMax {
			return fault("has more than %d columns", ColumnsMax)
		}
		cell, rest, more, err := p.next(line)
		if err != nil {
			return err
		}
		p.cells = append(p.cells, cell)
		if !more {
			return nil
		}
		line = rest
	}
}

// next takes one cell off a line; more says that another follows.
func (p *parser) next(line []byte) (cell, rest []byte, more bool, err error) {
	if len(line) == 0 || line[0] != '"' {
		for i, c := range line {
			if c == p.l.comma {
				return line[:i], line[i+1:], true, nil
			}
		}
		return line, nil, false, nil
	}
	start := len(p.quoted)
	for i := 1; i < len(line); i++ {
		switch {
		case line[i] != '"':
			p.quoted = append(p.quoted, line[i])
		case i+1 == len(line):
			return p.quoted[start:len(p.quoted):len(p.quoted)], nil, false, nil
		case line[i+1] == '"':
			p.quoted = append(p.quoted, '"')
			i++
		case line[i+1] == p.l.comma:
			return p.quoted[start:len(p.quoted):len(p.quoted)], line[i+2:], true, nil
		default:
			return nil, nil, false, fault("has something behind a closing quote")
		}
	}
	return nil, nil, false, fault("has a quote that is never closed")
}
