package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var _ warehouse.Hourly = (*Warehouse)(nil)

// Hours implements warehouse.Hourly: one query.
func (w *Warehouse) Hours(ctx context.Context, date txn.BusinessDate, begin txn.Millis) (
	h warehouse.Hours, err error) {
	if err := w.enter(ctx); err != nil {
		return h, err
	}
	defer w.calls.Done()
	const hour = 60 * 60 * 1000
	query := fmt.Sprintf(`SELECT toInt64(floor((service_at_ms - %d) / %d)) AS h, toString(outcome) AS o, count()`,
		int64(begin), hour) + w.from() + fmt.Sprintf(`WHERE business_date = toDate(%d)
		AND kind IN (%s) GROUP BY h, o`, warehouse.DayNumber(date), volumeKinds())
	err = w.each(ctx, query, func(rows driver.Rows) error {
		var since int64
		var outcome string
		var n uint64
		if err := rows.Scan(&since, &outcome, &n); err != nil {
			return err
		}
		h.At(begin+txn.Millis(since*hour), begin).Add(outcome, int64(n))
		return nil
	})
	if err != nil {
		return h, fmt.Errorf("cannot read the hours of %s: %w", date, err)
	}
	return h, nil
}

// volumeKinds are the kinds of warehouse.Volume as a list of SQL.
func volumeKinds() string {
	var names []string
	for _, k := range txn.Kinds() {
		if warehouse.Volume(k) {
			names = append(names, "'"+k.String()+"'")
		}
	}
	return strings.Join(names, ", ")
}
