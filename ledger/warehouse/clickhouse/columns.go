package clickhouse

import (
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
)

// scanRow is a Row with room for the columns whose type differs in ClickHouse.
type scanRow struct {
	warehouse.Row
	bucket, degraded             uint8
	application, currency, scope uint16
	date, closed                 time.Time
}

// settle moves the differing columns into the Row after a scan.
func (s *scanRow) settle() {
	s.Bucket, s.Application = uint32(s.bucket), uint32(s.application)
	s.Currency, s.ListScope = uint32(s.currency), uint32(s.scope)
	s.Degraded = uint32(s.degraded)
	s.BusinessDate, s.ClosedDate = dayOf(s.date), dayOf(s.closed)
}

// dayOf and timeOf turn a Date column into days since 1970-01-01 and back.
func dayOf(t time.Time) int32 { return int32(t.Unix() / (24 * 60 * 60)) }

// timeOf is the inverse of dayOf.
func timeOf(day int32) time.Time { return time.Unix(int64(day)*24*60*60, 0).UTC() }

// column is one column of the table records: how a batch of rows fills it, and where a
// scan puts it.
type column struct {
	name string
	fill func(driver.BatchColumn, []warehouse.Row) error
	into func(*scanRow) any
}

// same makes a column whose Go type is that of the Row's field.
func same[T any](name string, field func(*warehouse.Row) *T) column {
	return column{
		name: name,
		fill: func(to driver.BatchColumn, rows []warehouse.Row) error {
			values := make([]T, len(rows))
			for i := range rows {
				values[i] = *field(&rows[i])
			}
			return to.Append(values)
		},
		into: func(s *scanRow) any { return field(&s.Row) },
	}
}

// other makes a column whose Go type differs.
func other[T any](name string, get func(*warehouse.Row) T, into func(*scanRow) *T) column {
	return column{
		name: name,
		fill: func(to driver.BatchColumn, rows []warehouse.Row) error {
			values := make([]T, len(rows))
			for i := range rows {
				values[i] = get(&rows[i])
			}
			return to.Append(values)
		},
		into: func(s *scanRow) any { return into(s) },
	}
}

// recordColumns lists every stored column of the table records. Its length is the list of
// a table, not logic.
func recordColumns() []column {
	type row = warehouse.Row
	return []column{
		other("business_date", func(r *row) time.Time { return timeOf(r.BusinessDate) },
			func(s *scanRow) *time.Time { return &s.date }),
		other("bucket", func(r *row) uint8 { return uint8(r.Bucket) },
			func(s *scanRow) *uint8 { return &s.bucket }),
		same("epoch", func(r *row) *uint64 { return &r.Epoch }),
		same("seq", func(r *row) *uint64 { return &r.Seq }),
		same("version", func(r *row) *uint32 { return &r.Version }),
		same("terminal", func(r *row) *string { return &r.Terminal }),
		same("boot", func(r *row) *uint32 { return &r.Boot }),
		same("counter", func(r *row) *uint32 { return &r.Counter }),
		same("kind", func(r *row) *string { return &r.Kind }),
		same("outcome", func(r *row) *string { return &r.Outcome }),
		same("reason", func(r *row) *string { return &r.Reason }),
		same("card", func(r *row) *string { return &r.Card }),
		same("last4", func(r *row) *string { return &r.Last4 }),
		same("card_version", func(r *row) *uint64 { return &r.CardVersion }),
		other("application", func(r *row) uint16 { return uint16(r.Application) },
			func(s *scanRow) *uint16 { return &s.application }),
		same("rider", func(r *row) *string { return &r.Rider }),
		same("operator", func(r *row) *string { return &r.Operator }),
		same("line", func(r *row) *string { return &r.Line }),
		same("station", func(r *row) *string { return &r.Station }),
		same("merchant", func(r *row) *string { return &r.Merchant }),
		same("mcc", func(r *row) *string { return &r.MCC }),
		same("acquirer", func(r *row) *string { return &r.Acquirer }),
		same("issuer", func(r *row) *string { return &r.Issuer }),
		same("stan", func(r *row) *uint32 { return &r.STAN }),
		same("rrn", func(r *row) *string { return &r.RRN }),
		same("auth", func(r *row) *string { return &r.Auth }),
		same("response", func(r *row) *string { return &r.Response }),
		same("settlement_date", func(r *row) *string { return &r.SettlementDate }),
		same("full_fare", func(r *row) *int64 { return &r.FullFare }),
		same("discount_causes", func(r *row) *[]string { return &r.DiscountCauses }),
		same("discount_amounts", func(r *row) *[]int64 { return &r.DiscountAmounts }),
		same("charged", func(r *row) *int64 { return &r.Charged }),
		other("currency", func(r *row) uint16 { return uint16(r.Currency) },
			func(s *scanRow) *uint16 { return &s.currency }),
		same("balance_after", func(r *row) *int64 { return &r.BalanceAfter }),
		same("offline_counter", func(r *row) *uint32 { return &r.OfflineCounter }),
		same("offline", func(r *row) *bool { return &r.Offline }),
		same("tac", func(r *row) *string { return &r.TAC }),
		same("list_epoch", func(r *row) *uint64 { return &r.ListEpoch }),
		same("service_at_ms", func(r *row) *int64 { return &r.ServiceAt }),
		same("received_at_ms", func(r *row) *int64 { return &r.ReceivedAt }),
		same("liability", func(r *row) *string { return &r.Liability }),
		same("accounts", func(r *row) *[]string { return &r.Accounts }),
		same("amounts", func(r *row) *[]int64 { return &r.Amounts }),
		same("original", func(r *row) *string { return &r.Original }),
		same("entry_station", func(r *row) *string { return &r.EntryStation }),
		same("entry_at_ms", func(r *row) *int64 { return &r.EntryAt }),
		same("mode", func(r *row) *string { return &r.Mode }),
		same("business", func(r *row) *bool { return &r.Business }),
		same("metres", func(r *row) *int64 { return &r.Metres }),
		other("degraded", func(r *row) uint8 { return uint8(r.Degraded) },
			func(s *scanRow) *uint8 { return &s.degraded }),
		same("list_reason", func(r *row) *string { return &r.ListReason }),
		other("list_scope", func(r *row) uint16 { return uint16(r.ListScope) },
			func(s *scanRow) *uint16 { return &s.scope }),
		same("list_actor", func(r *row) *string { return &r.ListActor }),
		same("list_note", func(r *row) *string { return &r.ListNote }),
		same("previous_epoch", func(r *row) *uint64 { return &r.PreviousEpoch }),
		same("previous_seq", func(r *row) *uint64 { return &r.PreviousSeq }),
		other("closed_date", func(r *row) time.Time { return timeOf(r.ClosedDate) },
			func(s *scanRow) *time.Time { return &s.closed }),
	}
}

// columnList joins the names for INSERT and SELECT: never rely on the order in the table.
func columnList(columns []column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}
