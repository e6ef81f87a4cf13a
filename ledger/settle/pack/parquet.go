package pack

import (
	"bytes"
	"fmt"

	"github.com/parquet-go/parquet-go"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// netRow is a line of net.parquet; amounts are minor units.
type netRow struct {
	BusinessDate string `parquet:"business_date,dict"`
	Run          int32  `parquet:"run"`
	Party        string `parquet:"party,dict"`
	PartyDay     string `parquet:"party_day,dict"`
	Currency     int32  `parquet:"currency"`
	Gross        int64  `parquet:"gross"`
	Adjusted     int64  `parquet:"adjusted"`
	Net          int64  `parquet:"net"`
}

// postingRow is a line of postings.parquet: the day's records summed by account and kind, and
// every posting that settlement made.
type postingRow struct {
	BusinessDate string `parquet:"business_date,dict"`
	Run          int32  `parquet:"run"`
	Entry        string `parquet:"entry,dict"`
	Text         string `parquet:"text,dict"`
	Account      string `parquet:"account,dict"`
	Currency     int32  `parquet:"currency"`
	Count        int64  `parquet:"count"`
	Amount       int64  `parquet:"amount"`
}

// trialRow is a line of trial_balance.parquet.
type trialRow struct {
	BusinessDate string `parquet:"business_date,dict"`
	Run          int32  `parquet:"run"`
	GL           string `parquet:"gl,dict"`
	Account      string `parquet:"account,dict"`
	Currency     int32  `parquet:"currency"`
	Opening      int64  `parquet:"opening"`
	Debit        int64  `parquet:"debit"`
	Credit       int64  `parquet:"credit"`
	Closing      int64  `parquet:"closing"`
}

// orderRow is a line of orders.parquet. Carries is the held order of a certified day before that
// this one stands for; empty for an order of the day's own net.
type orderRow struct {
	BusinessDate string `parquet:"business_date,dict"`
	Run          int32  `parquet:"run"`
	Number       string `parquet:"number"`
	Direction    string `parquet:"direction,dict"`
	Party        string `parquet:"party,dict"`
	PartyDay     string `parquet:"party_day,dict"`
	Currency     int32  `parquet:"currency"`
	Amount       int64  `parquet:"amount"`
	ValueDate    string `parquet:"value_date,dict"`
	Held         string `parquet:"held,dict"`
	Carries      string `parquet:"carries"`
}

func (c *Content) parquet() ([]File, error) {
	date, run := c.Date.String(), int32(c.Run)
	var net []netRow
	for _, l := range c.Statement.Net {
		net = append(net, netRow{date, run, l.Party, l.PartyDay, int32(l.Currency), l.Gross, l.Adjusted,
			l.Net})
	}
	var postings []postingRow
	for _, l := range c.Statement.Gross {
		postings = append(postings, postingRow{date, run, "records", l.Kind, string(l.Account),
			int32(l.Currency), l.Count, l.Amount})
	}
	for _, e := range c.Statement.Entries {
		for _, p := range e.Postings {
			postings = append(postings, postingRow{date, run, e.ID, e.Text, string(p.Account),
				int32(e.Currency), 1, int64(p.Amount)})
		}
	}
	var trial []trialRow
	for _, l := range c.Trial {
		trial = append(trial, trialRow{date, run, c.number(l.Account), string(l.Account),
			int32(l.Currency), l.Opening, l.Debit, l.Credit, l.Closing})
	}
	var orders []orderRow
	for _, o := range c.Statement.Orders {
		orders = append(orders, orderRow{date, run, o.Number, o.Direction, o.Party, o.PartyDay,
			int32(o.Currency), o.Amount, o.ValueDate, o.Held, o.Carries})
	}
	var files []File
	for _, f := range []struct {
		name string
		data func() ([]byte, error)
		rows int
	}{
		{"net.parquet", func() ([]byte, error) { return columns(net) }, len(net)},
		{"orders.parquet", func() ([]byte, error) { return columns(orders) }, len(orders)},
		{"postings.parquet", func() ([]byte, error) { return columns(postings) }, len(postings)},
		{"trial_balance.parquet", func() ([]byte, error) { return columns(trial) }, len(trial)},
	} {
		data, err := f.data()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		files = append(files, File{f.name, data, f.rows})
	}
	return files, nil
}

// columns writes rows as Parquet.
func columns[T any](rows []T) ([]byte, error) {
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, parquet.Compression(&parquet.Snappy),
		parquet.CreatedBy("tapswitch", "1", ""))
	if _, err := w.Write(rows); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// settles reports whether the account is settled with a party.
func (c *Content) settles(a txn.Account) bool {
	class, err := c.Chart.ClassOf(a)
	return err == nil && class.Settle
}
