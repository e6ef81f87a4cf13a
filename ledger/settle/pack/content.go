package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ErrContent reports a content that no pack can be made of.
var ErrContent = errors.New("settlement pack")

// Content is what a pack tells.
type Content struct {
	Scheme   string
	Date     txn.BusinessDate
	Run      int
	Corrects int       // the run that this one takes the place of; 0 for none
	End      time.Time // of the business day
	// TermsHash tells the chart and the terms that were used.
	TermsHash string
	Chart     *chart.Chart
	Statement *clearing.Statement
	Trial     []chart.Balance
	// Breaks are what contradicts itself, each named; BreakCount counts also those not named.
	Breaks     []string
	BreakCount int64
}

// File is one file of a pack.
type File struct {
	Name string
	Data []byte
	Rows int // of a table; 0 for other files
}

// Control are the totals by which a receiver checks that he has everything. They add up:
//
//	net = ordered_pay - ordered_collect - (carried_pay - carried_collect) + ordered_before
//
// Carried are the orders of this run that stand for held ones of certified days before: they move
// money that those days have netted. Before is what earlier runs of this day have ordered and this
// one does not order again. The counts are those of the lines of orders.csv.
type Control struct {
	Currency   txn.Currency `json:"currency"`
	Debit      int64        `json:"debit"`
	Credit     int64        `json:"credit"`
	Gross      int64        `json:"gross"`
	Fees       int64        `json:"fees"`
	Tax        int64        `json:"tax"`
	Net        int64        `json:"net"`
	OrderedPay int64        `json:"ordered_pay"`
	Collected  int64        `json:"ordered_collect"`

	Orders         int64 `json:"orders"`
	Carried        int64 `json:"carried_orders"`
	CarriedPay     int64 `json:"carried_pay"`
	CarriedCollect int64 `json:"carried_collect"`
	OrderedBefore  int64 `json:"ordered_before"`
	// Late is the part of Gross whose service was on an earlier business date, LateCount the
	// postings that it is made of: late.csv has them by date.
	Late      int64 `json:"late"`
	LateCount int64 `json:"late_count"`
}

// Short is what the net lacks after all orders, by the rule of Control; 0 in every pack.
func (c *Control) Short() int64 {
	return c.Net - (c.OrderedPay - c.Collected) + (c.CarriedPay - c.CarriedCollect) - c.OrderedBefore
}

// ManifestFile describes one file.
type ManifestFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Rows   int    `json:"rows,omitempty"`
	SHA256 string `json:"sha256"`
}

// Manifest is what a run consists of.
type Manifest struct {
	Scheme       string         `json:"scheme"`
	BusinessDate string         `json:"business_date"`
	Run          int            `json:"run"`
	Corrects     int            `json:"corrects,omitempty"`
	TermsSHA256  string         `json:"terms_sha256"`
	Records      int64          `json:"records"`
	Approved     int64          `json:"approved"`
	Breaks       int64          `json:"breaks"`
	Control      []Control      `json:"control"`
	Files        []ManifestFile `json:"files"`
}

// ManifestName is the manifest's file.
const ManifestName = "manifest.json"

// StatementName and TrialName are the files that later runs read again.
const (
	StatementName = "settlement.json"
	TrialName     = "trial_balance.json"
)

// Build makes all files but the manifest, sorted by name.
func Build(c *Content) ([]File, error) {
	tables := c.tables()
	var files []File
	for _, t := range tables {
		files = append(files, File{t.Name + ".csv", t.csv(), len(t.Rows)})
	}
	for _, make := range []func() ([]File, error){
		func() ([]File, error) { return []File{{Name: ReadmeName, Data: readme()}}, nil },
		func() ([]File, error) { return c.json() },
		func() ([]File, error) { return c.parquet() },
		func() ([]File, error) { return c.xml() },
		func() ([]File, error) {
			book, err := workbook(tables)
			return []File{{Name: "settlement.xlsx", Data: book}}, err
		},
	} {
		more, err := make()
		if err != nil {
			return nil, fmt.Errorf("%w of %s: %w", ErrContent, c.Date, err)
		}
		files = append(files, more...)
	}
	slices.SortFunc(files, func(a, b File) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return files, nil
}

func (c *Content) json() ([]File, error) {
	var files []File
	for name, v := range map[string]any{StatementName: c.Statement, TrialName: c.Trial} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		e.SetIndent("", " ")
		if err := e.Encode(v); err != nil {
			return nil, err
		}
		files = append(files, File{Name: name, Data: b.Bytes()})
	}
	return files, nil
}

// Describe returns the manifest line of a file.
func Describe(f File) ManifestFile {
	sum := sha256.Sum256(f.Data)
	return ManifestFile{Name: f.Name, Bytes: int64(len(f.Data)), Rows: f.Rows,
		SHA256: hex.EncodeToString(sum[:])}
}

// ManifestOf describes the files of a pack, and others that stand beside them.
func ManifestOf(c *Content, files []ManifestFile) *Manifest {
	m := &Manifest{Scheme: c.Scheme, BusinessDate: c.Date.String(), Run: c.Run, Corrects: c.Corrects,
		TermsSHA256: c.TermsHash, Records: c.Statement.Records, Approved: c.Statement.Approved,
		Breaks: c.BreakCount, Control: c.control(), Files: slices.Clone(files)}
	slices.SortFunc(m.Files, func(a, b ManifestFile) int {
		return bytes.Compare([]byte(a.Name), []byte(b.Name))
	})
	return m
}

// control sums the content by currency. What sums here has been summed with checks before.
func (c *Content) control() []Control {
	sums := map[txn.Currency]*Control{}
	of := func(currency txn.Currency) *Control {
		if sums[currency] == nil {
			sums[currency] = &Control{Currency: currency}
		}
		return sums[currency]
	}
	for _, l := range c.Trial {
		of(l.Currency).Debit += l.Debit
		of(l.Currency).Credit += l.Credit
	}
	for _, l := range c.Statement.Gross {
		of(l.Currency).Gross += l.Amount
	}
	for _, l := range c.Statement.Fees {
		of(l.Currency).Fees += l.Amount
		of(l.Currency).Tax += l.Tax
	}
	for _, l := range c.Statement.Net {
		of(l.Currency).Net += l.Net
	}
	for _, l := range c.Statement.Late {
		of(l.Currency).Late += l.Amount
		of(l.Currency).LateCount += l.Count
	}
	for _, l := range c.Statement.Before {
		of(l.Currency).OrderedBefore += l.Net
	}
	for i := range c.Statement.Orders {
		of(c.Statement.Orders[i].Currency).order(&c.Statement.Orders[i])
	}
	list := make([]Control, 0, len(sums))
	for _, s := range sums {
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b Control) int { return int(a.Currency) - int(b.Currency) })
	return list
}

// order counts an order.
func (c *Control) order(o *clearing.Order) {
	ordered, carried := &c.OrderedPay, &c.CarriedPay
	if o.Direction == clearing.Collect {
		ordered, carried = &c.Collected, &c.CarriedCollect
	}
	c.Orders++
	*ordered += o.Amount
	if o.Carries != "" {
		c.Carried++
		*carried += o.Amount
	}
}

// currencies are the ISO 4217 letters and decimals of what a scheme meets.
var currencies = map[txn.Currency]struct {
	letters  string
	decimals int
}{156: {"CNY", 2}, 344: {"HKD", 2}, 446: {"MOP", 2}, 702: {"SGD", 2}, 840: {"USD", 2}, 978: {"EUR", 2},
	392: {"JPY", 0}, 410: {"KRW", 0}}

// unknown is the code of ISO 4217 for transactions without a currency.
const unknown = "X" + "XX"

// letters returns the code of a currency in letters.
func letters(c txn.Currency) string {
	if known, ok := currencies[c]; ok {
		return known.letters
	}
	return unknown
}

// Decimal shows an amount with the decimals of its currency: "-12.05".
func Decimal(amount int64, currency txn.Currency) string {
	digits := strconv.FormatInt(amount, 10)
	n := currencies[currency].decimals
	if n == 0 {
		return digits
	}
	sign := ""
	if amount < 0 {
		sign, digits = "-", digits[1:]
	}
	for len(digits) <= n {
		digits = "0" + digits
	}
	return sign + digits[:len(digits)-n] + "." + digits[len(digits)-n:]
}
