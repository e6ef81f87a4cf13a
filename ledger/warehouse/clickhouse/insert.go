package clickhouse

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	driverpkg "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// withInsert sets what an insert that is confirmed must have been: synchronous, answered
// only at its end, and with the token that lets the server drop an exact repeat.
func withInsert(ctx context.Context, token string) context.Context {
	settings := driverpkg.Settings{"async_insert": 0, "wait_end_of_query": 1}
	if token != "" {
		settings["insert_deduplicate"] = 1
		settings["insert_deduplication_token"] = token
	}
	return driverpkg.Context(ctx, driverpkg.WithSettings(settings))
}

// insert writes the records as one batch. After an error the rows may be there or not, and
// the batch cannot be used again: the next try builds it anew. A repeat goes without token:
// if the server remembers a token of rows that it lost, it would drop them once more.
func (w *Warehouse) insert(ctx context.Context, records []*txn.Record, again bool) error {
	token := tokenOf(records)
	if again {
		token = ""
	}
	rows := make([]warehouse.Row, len(records))
	for i, r := range records {
		rows[i] = warehouse.RowOf(r)
	}
	batch, err := w.conn.PrepareBatch(withInsert(ctx, token),
		"INSERT INTO records ("+columnList(w.columns)+")")
	if err != nil {
		return fmt.Errorf("cannot begin the insert: %w", err)
	}
	for i, c := range w.columns {
		if err := c.fill(batch.Column(i), rows); err != nil {
			return errors.Join(fmt.Errorf("cannot fill column %s: %w", c.name, err), batch.Abort())
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("cannot send the insert: %w", err)
	}
	return nil
}

// tokenOf names exactly these records: it digests every position.
func tokenOf(records []*txn.Record) string {
	h := sha256.New()
	var b [17]byte
	for _, r := range records {
		b[0] = byte(r.Position.Bucket)
		binary.BigEndian.PutUint64(b[1:], uint64(r.Position.Epoch))
		binary.BigEndian.PutUint64(b[9:], uint64(r.Position.Seq))
		h.Write(b[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// noteLocked notes the proven positions from time to time, so that the next proof is
// short. A failure costs only time.
func (w *Warehouse) noteLocked(ctx context.Context, rows int) {
	if w.unproven += rows; w.unproven < proveRows {
		return
	}
	p, err := w.readPositions(ctx)
	if err == nil {
		err = w.note(ctx, p)
	}
	if err != nil {
		w.log.Warn("cannot note the proven positions", "error", err)
		return
	}
	w.unproven = 0
}

// note keeps the positions as proven. They only ever shorten the next proof.
func (w *Warehouse) note(ctx context.Context, p positions) error {
	batch, err := w.conn.PrepareBatch(withInsert(ctx, ""),
		"INSERT INTO proven_positions (bucket, epoch, seq, business_date)")
	if err != nil {
		return err
	}
	for b, held := range p.held {
		if held.Epoch == 0 {
			continue
		}
		err := batch.Append(uint8(b), uint64(held.Epoch), uint64(held.Seq), timeOf(p.day[b]))
		if err != nil {
			return errors.Join(err, batch.Abort())
		}
	}
	return batch.Send()
}
