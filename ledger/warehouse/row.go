package warehouse

import (
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Row is a record laid flat: one field a column, with the same names and meaning in
// Parquet and in ClickHouse. Enumerations are their stable names, so that a reader
// needs no table of ours; amounts are minor units, instants Unix milliseconds UTC, and
// dates days since 1970-01-01 (0 where there is none). A column that is added is empty in what
// was stored before it.
type Row struct {
	BusinessDate    int32    `parquet:"business_date,date"`
	Bucket          uint32   `parquet:"bucket"`
	Epoch           uint64   `parquet:"epoch,delta"`
	Seq             uint64   `parquet:"seq,delta"`
	Version         uint32   `parquet:"version"`
	Terminal        string   `parquet:"terminal,dict"`
	Boot            uint32   `parquet:"boot"`
	Counter         uint32   `parquet:"counter"`
	Kind            string   `parquet:"kind,dict"`
	Outcome         string   `parquet:"outcome,dict"`
	Reason          string   `parquet:"reason,dict"`
	Card            string   `parquet:"card"`
	Last4           string   `parquet:"last4,dict"`
	CardVersion     uint64   `parquet:"card_version"`
	Application     uint32   `parquet:"application"`
	Rider           string   `parquet:"rider,dict"`
	Operator        string   `parquet:"operator,dict"`
	Line            string   `parquet:"line,dict"`
	Station         string   `parquet:"station,dict"`
	Merchant        string   `parquet:"merchant,dict"`
	MCC             string   `parquet:"mcc,dict"`
	Acquirer        string   `parquet:"acquirer,dict"`
	Issuer          string   `parquet:"issuer,dict"`
	STAN            uint32   `parquet:"stan"`
	RRN             string   `parquet:"rrn"`
	Auth            string   `parquet:"auth"`
	Response        string   `parquet:"response,dict"`
	SettlementDate  string   `parquet:"settlement_date,dict"`
	FullFare        int64    `parquet:"full_fare"`
	DiscountCauses  []string `parquet:"discount_causes,list,dict"`
	DiscountAmounts []int64  `parquet:"discount_amounts,list"`
	Charged         int64    `parquet:"charged"`
	Currency        uint32   `parquet:"currency"`
	BalanceAfter    int64    `parquet:"balance_after"`
	OfflineCounter  uint32   `parquet:"offline_counter"`
	Offline         bool     `parquet:"offline"`
	TAC             string   `parquet:"tac,dict"`
	ListEpoch       uint64   `parquet:"list_epoch"`
	ServiceAt       int64    `parquet:"service_at_ms"`
	ReceivedAt      int64    `parquet:"received_at_ms"`
	Liability       string   `parquet:"liability,dict"`
	Accounts        []string `parquet:"accounts,list,dict"`
	Amounts         []int64  `parquet:"amounts,list"`
	Original        string   `parquet:"original"`
	EntryStation    string   `parquet:"entry_station,dict"`
	EntryAt         int64    `parquet:"entry_at_ms"`
	// Mode, Business, Metres and Degraded are what the terminal told of the ride; Mode is empty
	// where the kind says it, Degraded the bits of the degraded modes.
	Mode          string `parquet:"mode,dict"`
	Business      bool   `parquet:"business"`
	Metres        int64  `parquet:"metres"`
	Degraded      uint32 `parquet:"degraded"`
	ListReason    string `parquet:"list_reason,dict"`
	ListScope     uint32 `parquet:"list_scope"`
	ListActor     string `parquet:"list_actor,dict"`
	ListNote      string `parquet:"list_note"`
	PreviousEpoch uint64 `parquet:"previous_epoch"`
	PreviousSeq   uint64 `parquet:"previous_seq"`
	ClosedDate    int32  `parquet:"closed_date,date"`
}

// secondsADay turns dates into days; a business date has no leap second.
const secondsADay = 24 * 60 * 60

// DayNumber returns the days from 1970-01-01 to d, and 0 for no date.
func DayNumber(d txn.BusinessDate) int32 {
	if d == 0 {
		return 0
	}
	return int32(d.Time().Unix() / secondsADay)
}

// DateOfDay is the inverse of DayNumber.
func DateOfDay(day int32) txn.BusinessDate {
	if day == 0 {
		return 0
	}
	return txn.DateOf(time.Unix(int64(day)*secondsADay, 0), time.UTC, 0)
}

// RowOf lays a record flat. The row shares the record's strings, not its slices.
func RowOf(r *txn.Record) Row {
	row := Row{
		BusinessDate: DayNumber(r.BusinessDate), Bucket: uint32(r.Position.Bucket),
		Epoch: uint64(r.Position.Epoch), Seq: uint64(r.Position.Seq), Version: r.Version,
		Terminal: r.Request.Terminal.String(), Boot: r.Request.Boot, Counter: r.Request.Counter,
		Kind: r.Kind.String(), Outcome: r.Outcome.String(), Reason: r.Reason.String(),
		Last4: r.Last4.String(), CardVersion: r.CardVersion,
		Application: uint32(r.Application), Rider: r.Rider.String(),
		Operator: r.Place.Operator, Line: r.Place.Line, Station: r.Place.Station,
		Merchant: r.Place.Merchant, MCC: r.Place.MCC, Acquirer: r.Place.Acquirer,
		Issuer: r.Issuer, STAN: r.STAN, RRN: r.RRN, Auth: r.Auth.String(),
		Response: r.Response.String(), SettlementDate: r.Settled.String(),
		FullFare: int64(r.FullFare), Charged: int64(r.Charged), Currency: uint32(r.Currency),
		BalanceAfter: int64(r.BalanceAfter), OfflineCounter: r.OfflineCounter,
		Offline: r.Offline, TAC: r.TAC.String(), ListEpoch: r.ListEpoch,
		ServiceAt: int64(r.ServiceAt), ReceivedAt: int64(r.ReceivedAt),
		Liability: r.Liability.String(), Original: r.Original.String(),
		EntryStation: r.EntryStation, EntryAt: int64(r.EntryAt),
		Mode: r.Mode.String(), Business: r.Business, Metres: r.Metres, Degraded: uint32(r.Degraded),
		ListReason: r.Listing.Mark.Reason.String(), ListScope: uint32(r.Listing.Mark.Scope),
		ListActor: r.Listing.Actor, ListNote: r.Listing.Note,
		PreviousEpoch: uint64(r.Previous.Epoch), PreviousSeq: uint64(r.Previous.Seq),
		ClosedDate: DayNumber(r.ClosedDate),
	}
	if !r.Card.IsZero() {
		row.Card = r.Card.String()
	}
	row.layLists(r)
	return row
}

// layLists splits discounts and postings into parallel columns. A record without any has nil
// lists, as both stores give them back.
func (row *Row) layLists(r *txn.Record) {
	if n := len(r.Discounts); n > 0 {
		row.DiscountCauses, row.DiscountAmounts = make([]string, n), make([]int64, n)
	}
	for i, d := range r.Discounts {
		row.DiscountCauses[i], row.DiscountAmounts[i] = d.Cause, int64(d.Amount)
	}
	if n := len(r.Postings); n > 0 {
		row.Accounts, row.Amounts = make([]string, n), make([]int64, n)
	}
	for i, p := range r.Postings {
		row.Accounts[i], row.Amounts[i] = string(p.Account), int64(p.Amount)
	}
}

// Record is the inverse of RowOf; a row that no record could have made is ErrDamaged.
func (row *Row) Record() (txn.Record, error) {
	p := rowParser{}
	r := txn.Record{
		Version: row.Version, BusinessDate: DateOfDay(row.BusinessDate),
		Position: txn.Position{Bucket: txn.Bucket(row.Bucket), Epoch: txn.Epoch(row.Epoch),
			Seq: txn.Seq(row.Seq)},
		Request: p.request(row),
		Kind:    parse(&p, "kind", row.Kind, kinds()), Outcome: parse(&p, "outcome", row.Outcome,
			outcomes),
		Reason: p.reason(row.Reason), Card: p.card(row.Card), Last4: p.last4(row.Last4),
		CardVersion: row.CardVersion, Application: txn.App(row.Application),
		Rider: p.rider(row.Rider),
		Place: txn.Place{Operator: row.Operator, Line: row.Line, Station: row.Station,
			Merchant: row.Merchant, MCC: row.MCC, Acquirer: row.Acquirer},
		Issuer: row.Issuer, STAN: row.STAN, RRN: row.RRN, FullFare: txn.Minor(row.FullFare),
		Charged: txn.Minor(row.Charged), Currency: txn.Currency(row.Currency),
		BalanceAfter: txn.Minor(row.BalanceAfter), OfflineCounter: row.OfflineCounter,
		Offline: row.Offline, TAC: parse(&p, "tac", row.TAC, verdicts), ListEpoch: row.ListEpoch,
		ServiceAt: txn.Millis(row.ServiceAt), ReceivedAt: txn.Millis(row.ReceivedAt),
		Liability:    parse(&p, "liability", row.Liability, parties),
		Original:     p.original(row.Original),
		EntryStation: row.EntryStation, EntryAt: txn.Millis(row.EntryAt),
		Ride: txn.Ride{Mode: p.mode(row.Mode), Business: row.Business, Metres: row.Metres,
			Degraded: uint8(row.Degraded)},
		Listing: txn.Listing{Actor: row.ListActor, Note: row.ListNote, Mark: txn.Mark{
			Reason: p.freeze(row.ListReason), Scope: txn.App(row.ListScope)}},
		ClosedDate: DateOfDay(row.ClosedDate),
	}
	copy(r.Auth[:], row.Auth)
	copy(r.Response[:], row.Response)
	copy(r.Settled[:], row.SettlementDate)
	if r.Kind == txn.EpochMarker {
		r.Previous = txn.Position{Bucket: r.Position.Bucket, Epoch: txn.Epoch(row.PreviousEpoch),
			Seq: txn.Seq(row.PreviousSeq)}
	}
	p.lists(&r, row)
	if p.err != nil {
		return txn.Record{}, fmt.Errorf("%w: record %s: %w", ErrDamaged, r.Position, p.err)
	}
	return r, nil
}

var (
	outcomes = []txn.Outcome{txn.OutcomeNone, txn.Approved, txn.Declined}
	verdicts = []txn.TACVerdict{txn.TACNone, txn.TACValid, txn.TACWrong, txn.TACKeyUnknown,
		txn.TACUnchecked}
	parties = []txn.Liability{txn.LiabilityNone, txn.LiabilityHolder, txn.LiabilityOperator,
		txn.LiabilityAcquirer, txn.LiabilityIssuer, txn.LiabilityAgency, txn.LiabilityOpen}
)

// kinds returns every kind, also the one of a record without.
func kinds() []txn.Kind { return append(txn.Kinds(), txn.KindNone) }

// rowParser reads columns back and keeps the first error.
type rowParser struct{ err error }

// fail keeps the first error; what follows from it says nothing new.
func (p *rowParser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// parse finds the value whose stable name is name.
func parse[T fmt.Stringer](p *rowParser, what, name string, all []T) T {
	for _, v := range all {
		if v.String() == name {
			return v
		}
	}
	p.fail(fmt.Errorf("unknown %s %q", what, name))
	var none T
	return none
}

// reason reads a stable code.
func (p *rowParser) reason(code string) txn.Reason {
	if code == txn.ReasonNone.String() {
		return txn.ReasonNone
	}
	r, err := txn.ParseReason(code)
	if err != nil {
		p.fail(err)
	}
	return r
}

// freeze reads the reason of a blacklist entry.
func (p *rowParser) freeze(name string) txn.FreezeReason {
	if name == txn.NotFrozen.String() {
		return txn.NotFrozen
	}
	r, err := txn.ParseFreezeReason(name)
	if err != nil {
		p.fail(err)
	}
	return r
}

// rider reads a rider category.
func (p *rowParser) rider(name string) txn.RiderCategory {
	r, ok := txn.ParseRiderCategory(name)
	if !ok {
		p.fail(fmt.Errorf("unknown rider category %q", name))
	}
	return r
}

// mode reads a means of transport; records without one have that of their kind.
func (p *rowParser) mode(name string) txn.Mode {
	m, ok := txn.ParseMode(name)
	if !ok && name != "" {
		p.fail(fmt.Errorf("unknown mode %q", name))
	}
	return m
}

// request puts the request id together; markers have none.
func (p *rowParser) request(row *Row) txn.RequestID {
	if row.Terminal == "" {
		return txn.RequestID{}
	}
	t, err := txn.ParseTerminalID(row.Terminal)
	if err != nil {
		p.fail(err)
	}
	return txn.RequestID{Terminal: t, Boot: row.Boot, Counter: row.Counter}
}

// original reads the id that a record points to.
func (p *rowParser) original(s string) txn.RequestID {
	if s == "" {
		return txn.RequestID{}
	}
	id, err := txn.ParseRequestID(s)
	if err != nil {
		p.fail(err)
	}
	return id
}

// card reads a token; markers have none.
func (p *rowParser) card(s string) pan.Token {
	if s == "" {
		return pan.Token{}
	}
	t, err := pan.ParseToken(s)
	if err != nil {
		p.fail(err)
	}
	return t
}

// last4 reads the last four digits.
func (p *rowParser) last4(s string) pan.Last4 {
	l, err := pan.ParseLast4(s)
	if err != nil {
		p.fail(err)
	}
	return l
}

// lists joins the parallel columns again.
func (p *rowParser) lists(r *txn.Record, row *Row) {
	if len(row.DiscountCauses) != len(row.DiscountAmounts) ||
		len(row.Accounts) != len(row.Amounts) {
		p.fail(fmt.Errorf("names and amounts differ in number"))
		return
	}
	for i, cause := range row.DiscountCauses {
		r.Discounts = append(r.Discounts,
			txn.Discount{Cause: cause, Amount: txn.Minor(row.DiscountAmounts[i])})
	}
	for i, account := range row.Accounts {
		r.Postings = append(r.Postings,
			txn.Posting{Account: txn.Account(account), Amount: txn.Minor(row.Amounts[i])})
	}
}
