package pack

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The namespaces of the messages. Elements stand in the order of their schemas.
const (
	camt053Space = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"
	camt054Space = "urn:iso:std:iso:20022:tech:xsd:camt.054.001.08"
	// textMax bounds the identifiers of the messages (Max35Text).
	textMax = 35
	// infoMax bounds the free text of an entry (Max500Text).
	infoMax = 500
)

type xmlAmount struct {
	Currency string `xml:"Ccy,attr"`
	Value    string `xml:",chardata"`
}

type xmlHeader struct {
	ID      string `xml:"MsgId"`
	Created string `xml:"CreDtTm"`
}

type xmlPeriod struct {
	From string `xml:"FrDtTm"`
	To   string `xml:"ToDtTm"`
}

type xmlAccount struct {
	ID       string `xml:"Id>Othr>Id"`
	Currency string `xml:"Ccy"`
	Name     string `xml:"Nm,omitempty"`
}

type xmlBalance struct {
	Code      string    `xml:"Tp>CdOrPrtry>Cd"`
	Amount    xmlAmount `xml:"Amt"`
	Direction string    `xml:"CdtDbtInd"`
	Date      string    `xml:"Dt>Dt"`
}

type xmlEntry struct {
	Ref       string    `xml:"NtryRef"`
	Amount    xmlAmount `xml:"Amt"`
	Direction string    `xml:"CdtDbtInd"`
	Status    string    `xml:"Sts>Cd"`
	Booked    string    `xml:"BookgDt>Dt"`
	Value     string    `xml:"ValDt>Dt"`
	Servicer  string    `xml:"AcctSvcrRef"`
	Code      string    `xml:"BkTxCd>Prtry>Cd"`
	Info      string    `xml:"AddtlNtryInf,omitempty"`
}

type xmlStatement struct {
	ID       string       `xml:"Id"`
	Sequence int          `xml:"ElctrncSeqNb"`
	Created  string       `xml:"CreDtTm"`
	Period   xmlPeriod    `xml:"FrToDt"`
	Account  xmlAccount   `xml:"Acct"`
	Balances []xmlBalance `xml:"Bal"`
	Entries  []xmlEntry   `xml:"Ntry"`
}

type xmlNotification struct {
	ID       string     `xml:"Id"`
	Sequence int        `xml:"ElctrncSeqNb"`
	Created  string     `xml:"CreDtTm"`
	Account  xmlAccount `xml:"Acct"`
	Entries  []xmlEntry `xml:"Ntry"`
}

type camt053 struct {
	XMLName    xml.Name       `xml:"Document"`
	Space      string         `xml:"xmlns,attr"`
	Header     xmlHeader      `xml:"BkToCstmrStmt>GrpHdr"`
	Statements []xmlStatement `xml:"BkToCstmrStmt>Stmt"`
}

type camt054 struct {
	XMLName       xml.Name          `xml:"Document"`
	Space         string            `xml:"xmlns,attr"`
	Header        xmlHeader         `xml:"BkToCstmrDbtCdtNtfctn>GrpHdr"`
	Notifications []xmlNotification `xml:"BkToCstmrDbtCdtNtfctn>Ntfctn"`
}

// clip shortens text to what an element may hold.
func clip(text string, most int) string {
	runes := []rune(text)
	return string(runes[:min(len(runes), most)])
}

// xmlMoney writes an amount as ISO 20022 does: positive, with a direction.
func xmlMoney(amount int64, currency txn.Currency) (xmlAmount, string) {
	direction := "CRDT"
	if amount < 0 {
		amount, direction = -amount, "DBIT"
	}
	return xmlAmount{letters(currency), Decimal(amount, currency)}, direction
}

// xml makes the messages; a day on which nothing was settled has none, since a message wants at
// least one statement.
func (c *Content) xml() ([]File, error) {
	id := fmt.Sprintf("TSW-%d-%03d", c.Date, c.Run)
	header := xmlHeader{ID: id, Created: c.stamp()}
	statements := camt053{Space: camt053Space, Header: header}
	for _, l := range c.Trial {
		if c.settles(l.Account) {
			s := c.statement(l, len(statements.Statements)+1)
			statements.Statements = append(statements.Statements, s)
		}
	}
	notices := camt054{Space: camt054Space, Header: header}
	for _, o := range c.Statement.Orders {
		notices.Notifications = append(notices.Notifications,
			c.notification(o, len(notices.Notifications)+1))
	}
	var files []File
	if len(statements.Statements) > 0 {
		files = append(files, File{Name: "camt053.xml", Rows: len(statements.Statements)})
		if err := document(&files[len(files)-1], statements); err != nil {
			return nil, err
		}
	}
	if len(notices.Notifications) > 0 {
		files = append(files, File{Name: "camt054.xml", Rows: len(notices.Notifications)})
		if err := document(&files[len(files)-1], notices); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func document(f *File, of any) error {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	e.Indent("", " ")
	if err := e.Encode(of); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	b.WriteByte('\n')
	f.Data = b.Bytes()
	return nil
}

// stamp is the end of the day: when a file was made does not change it.
func (c *Content) stamp() string { return c.End.Format(time.RFC3339) }

// statement is what happened on one account of a party.
func (c *Content) statement(l chart.Balance, n int) xmlStatement {
	date := c.Date.String()
	s := xmlStatement{ID: clip(fmt.Sprintf("TSW-%d-%03d-%05d", c.Date, c.Run, n), textMax), Sequence: c.Run,
		Created: c.stamp(), Account: xmlAccount{ID: clip(string(l.Account), 34),
			Currency: letters(l.Currency), Name: clip(string(l.Account), 70)},
		Period: xmlPeriod{c.End.Add(-24 * time.Hour).Format(time.RFC3339), c.stamp()}}
	for _, b := range []struct {
		code   string
		amount int64
	}{{"OPBD", l.Opening}, {"CLBD", l.Closing}} {
		amount, direction := xmlMoney(b.amount, l.Currency)
		s.Balances = append(s.Balances, xmlBalance{b.code, amount, direction, date})
	}
	add := func(ref, info string, amount int64) {
		money, direction := xmlMoney(amount, l.Currency)
		s.Entries = append(s.Entries, xmlEntry{Ref: clip(ref, textMax), Amount: money, Direction: direction,
			Status: "BOOK", Booked: date, Value: date, Servicer: clip(s.ID+"-"+ref, textMax),
			Code: strings.ToUpper(clip(ref, textMax)), Info: clip(info, infoMax)})
	}
	for _, g := range of(c.Statement.Gross, l.Account, l.Currency) {
		add(g.Kind, fmt.Sprintf("%d records", g.Count), g.Amount)
	}
	for _, e := range c.Statement.Entries {
		for _, p := range e.Postings {
			if p.Account == l.Account && e.Currency == l.Currency {
				add(e.ID, e.Text, int64(p.Amount))
			}
		}
	}
	return s
}

// notification tells a party of a payment order, with the eyes of the party: credit is money
// that it gets.
func (c *Content) notification(o clearing.Order, n int) xmlNotification {
	amount, direction := xmlMoney(o.Amount, o.Currency)
	if o.Direction == clearing.Collect {
		direction = "DBIT"
	}
	account := o.Bank.Number
	if account == "" {
		account = o.Party
	}
	id := clip(o.Number, textMax)
	return xmlNotification{ID: id, Sequence: n, Created: c.stamp(),
		Account: xmlAccount{ID: clip(account, 34), Currency: letters(o.Currency), Name: clip(o.Party, 70)},
		Entries: []xmlEntry{{Ref: id, Amount: amount, Direction: direction, Status: "PDNG",
			Booked: c.Date.String(), Value: o.ValueDate, Servicer: id, Code: "NETSETTLEMENT",
			Info: clip(c.Scheme+" "+o.PartyDay, infoMax)}}}
}
