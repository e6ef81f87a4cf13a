package pack

import (
	"bytes"
	"encoding/csv"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// cell is a text, or a number in decimal notation.
type cell struct {
	text   string
	number bool
}

func word[S ~string](s S) cell                { return cell{text: string(s)} }
func count(n int64) cell                      { return cell{strconv.FormatInt(n, 10), true} }
func money(amount int64, c txn.Currency) cell { return cell{Decimal(amount, c), true} }

// table is one table of a pack: a file of its own as CSV, a sheet of the workbook.
type table struct {
	Name string
	Head []string
	Rows [][]cell
}

func (t *table) add(cells ...cell) { t.Rows = append(t.Rows, cells) }

// csv writes the table with a byte order mark. A text that a spreadsheet would take for a
// formula is led by an apostrophe.
func (t *table) csv() []byte {
	var b bytes.Buffer
	b.WriteString("\ufeff")
	w := csv.NewWriter(&b)
	w.UseCRLF = true
	_ = w.Write(t.Head) // a buffer never fails
	line := make([]string, 0, len(t.Head))
	for _, row := range t.Rows {
		line = line[:0]
		for _, c := range row {
			if !c.number && c.text != "" && strings.ContainsRune("=+-@\t\r", rune(c.text[0])) {
				c.text = "'" + c.text
			}
			line = append(line, c.text)
		}
		_ = w.Write(line)
	}
	w.Flush()
	return b.Bytes()
}

// tables lays the content out.
func (c *Content) tables() []*table {
	return []*table{c.summary(), c.gross(), c.late(), c.concessions(), c.shares(), c.fees(), c.net(),
		c.orders(), c.trial(), c.gl(), c.breaks()}
}

func (c *Content) summary() *table {
	t := &table{Name: "summary", Head: []string{"what", "currency", "value"}}
	t.add(word("business date"), word(""), word(c.Date.String()))
	t.add(word("run"), word(""), count(int64(c.Run)))
	t.add(word("corrects run"), word(""), count(int64(c.Corrects)))
	t.add(word("records"), word(""), count(c.Statement.Records))
	t.add(word("approved"), word(""), count(c.Statement.Approved))
	t.add(word("breaks"), word(""), count(c.BreakCount))
	for _, s := range c.control() {
		for _, line := range []struct {
			name   string
			amount int64
		}{{"debits", s.Debit}, {"credits", s.Credit}, {"gross of parties", s.Gross}, {"fees", s.Fees},
			{"tax", s.Tax}, {"net of parties", s.Net}, {"ordered to pay", s.OrderedPay},
			{"ordered to collect", s.Collected}, {"carried, to pay", s.CarriedPay},
			{"carried, to collect", s.CarriedCollect}, {"ordered by runs before", s.OrderedBefore},
			{"gross of earlier service dates", s.Late}} {
			t.add(word(line.name), word(letters(s.Currency)), money(line.amount, s.Currency))
		}
		t.add(word("orders"), word(letters(s.Currency)), count(s.Orders))
		t.add(word("carried orders"), word(letters(s.Currency)), count(s.Carried))
	}
	return t
}

func (c *Content) gross() *table {
	t := &table{Name: "gross", Head: []string{"account", "kind", "currency", "count", "amount"}}
	for _, l := range c.Statement.Gross {
		t.add(word(l.Account), word(l.Kind), word(letters(l.Currency)), count(l.Count),
			money(l.Amount, l.Currency))
	}
	return t
}

func (c *Content) late() *table {
	t := &table{Name: "late", Head: []string{"account", "service_date", "currency", "count", "amount"}}
	for _, l := range c.Statement.Late {
		t.add(word(l.Account), word(l.ServiceDate), word(letters(l.Currency)), count(l.Count),
			money(l.Amount, l.Currency))
	}
	return t
}

func (c *Content) concessions() *table {
	t := &table{Name: "concessions", Head: []string{"cause", "funder", "account", "currency", "count",
		"discounts", "funded"}}
	for _, l := range c.Statement.Concessions {
		t.add(word(l.Cause), word(l.Funder), word(l.Account), word(letters(l.Currency)), count(l.Count),
			money(l.Discounts, l.Currency), money(l.Funded, l.Currency))
	}
	return t
}

func (c *Content) shares() *table {
	t := &table{Name: "shares", Head: []string{"agreement", "route", "collector", "currency", "count",
		"gross", "account", "share"}}
	for _, l := range c.Statement.Shares {
		t.add(word(l.Agreement), word(l.Route), word(l.Collector), word(letters(l.Currency)),
			count(l.Count), money(l.Gross, l.Currency), word(l.Account), money(l.Share, l.Currency))
	}
	return t
}

func (c *Content) fees() *table {
	t := &table{Name: "fees", Head: []string{"fee", "account", "currency", "count", "base", "amount",
		"tax"}}
	for _, l := range c.Statement.Fees {
		t.add(word(l.Fee), word(l.Account), word(letters(l.Currency)), count(l.Count),
			money(l.Base, l.Currency), money(l.Amount, l.Currency), money(l.Tax, l.Currency))
	}
	return t
}

func (c *Content) net() *table {
	t := &table{Name: "net", Head: []string{"party", "party_day", "currency", "gross", "adjusted", "net"}}
	for _, l := range c.Statement.Net {
		t.add(word(l.Party), word(l.PartyDay), word(letters(l.Currency)), money(l.Gross, l.Currency),
			money(l.Adjusted, l.Currency), money(l.Net, l.Currency))
	}
	return t
}

func (c *Content) orders() *table {
	t := &table{Name: "orders", Head: []string{"number", "direction", "party", "party_day", "currency",
		"amount", "value_date", "bank", "account", "holder", "held", "carries"}}
	for _, o := range c.Statement.Orders {
		t.add(word(o.Number), word(o.Direction), word(o.Party), word(o.PartyDay),
			word(letters(o.Currency)), money(o.Amount, o.Currency), word(o.ValueDate), word(o.Bank.Bank),
			word(o.Bank.Number), word(o.Bank.Name), word(o.Held), word(o.Carries))
	}
	return t
}

func (c *Content) trial() *table {
	t := &table{Name: "trial_balance", Head: []string{"gl", "account", "currency", "opening", "debit",
		"credit", "closing"}}
	for _, l := range c.Trial {
		t.add(word(c.number(l.Account)), word(l.Account), word(letters(l.Currency)),
			money(l.Opening, l.Currency), money(l.Debit, l.Currency), money(l.Credit, l.Currency),
			money(l.Closing, l.Currency))
	}
	return t
}

// number is the account's number in the general ledger.
func (c *Content) number(a txn.Account) string {
	class, err := c.Chart.ClassOf(a)
	if err != nil {
		return ""
	}
	return class.GL
}

// gl is the journal for the general ledger: a voucher with the day's records, as debits and
// credits of each account, and one for each entry of settlement. Debits equal credits in each.
func (c *Content) gl() *table {
	t := &table{Name: "gl_journal", Head: []string{"voucher", "date", "text", "gl", "account", "currency",
		"debit", "credit"}}
	line := func(voucher, text string, a txn.Account, currency txn.Currency, debit, credit int64) {
		t.add(word(voucher), word(c.Date.String()), word(text), word(c.number(a)), word(a),
			word(letters(currency)), money(debit, currency), money(credit, currency))
	}
	made := c.made()
	voucher := c.Date.String() + "-" + strconv.Itoa(c.Run)
	for _, l := range c.Trial {
		m := made[madeKey{l.Account, l.Currency}]
		if debit := l.Debit - m.debit; debit != 0 {
			line(voucher+"-records", "records of the day", l.Account, l.Currency, debit, 0)
		}
		if credit := l.Credit - m.credit; credit != 0 {
			line(voucher+"-records", "records of the day", l.Account, l.Currency, 0, credit)
		}
	}
	for _, e := range c.Statement.Entries {
		for _, p := range e.Postings {
			line(voucher+"-"+e.ID, e.Text, p.Account, e.Currency, max(int64(-p.Amount), 0),
				max(int64(p.Amount), 0))
		}
	}
	return t
}

type madeKey struct {
	account  txn.Account
	currency txn.Currency
}

type moved struct{ debit, credit int64 }

// made sums what the entries of settlement moved.
func (c *Content) made() map[madeKey]moved {
	sums := map[madeKey]moved{}
	for _, e := range c.Statement.Entries {
		for _, p := range e.Postings {
			key := madeKey{p.Account, e.Currency}
			s := sums[key]
			s.debit += max(int64(-p.Amount), 0)
			s.credit += max(int64(p.Amount), 0)
			sums[key] = s
		}
	}
	return sums
}

func (c *Content) breaks() *table {
	t := &table{Name: "breaks", Head: []string{"break"}}
	for _, b := range c.Breaks {
		t.add(word(b))
	}
	return t
}

// of returns the gross lines of an account.
func of(lines []clearing.GrossLine, a txn.Account, currency txn.Currency) (own []clearing.GrossLine) {
	for _, l := range lines {
		if l.Account == a && l.Currency == currency {
			own = append(own, l)
		}
	}
	return own
}
