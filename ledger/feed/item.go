package feed

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// item is one thing that arrived as a record.
type item struct {
	record txn.Record // valid when fault is nil
	fault  error      // why it could not be read as a record
	// position and date are where it claims to stand; epoch 0 when not known.
	position txn.Position
	date     txn.BusinessDate
	source   string // only with a fault
	raw      []byte // only with a fault
	// partition and offset are set by Sink.
	partition int
	offset    int64
}

// placed reports whether the item's position is known.
func (it *item) placed() bool { return it.position.Epoch > 0 }

// later reports whether the item is of a version that this code does not know.
func (it *item) later() bool { return errors.Is(it.fault, txn.ErrRecordVersion) }

// entryItem reads an outbox entry. The store's position and date count, whatever the
// record says.
func entryItem(r *txn.RecordReader, e *store.OutboxEntry) item {
	it := item{position: e.Position, date: e.Date}
	it.record, it.fault = r.Read(e.Record)
	if it.fault == nil {
		it.record.Position, it.record.BusinessDate = e.Position, e.Date
		if it.record.Kind == txn.EpochMarker {
			it.record.Previous.Bucket = e.Position.Bucket
		}
		it.fault = checkRecord(&it.record)
	}
	if it.fault != nil {
		it.source, it.raw = "outbox/"+e.Position.String(), e.Record
	}
	return it
}

// checkRecord refuses what can be read and yet must not be booked.
func checkRecord(r *txn.Record) error {
	if !r.BusinessDate.Valid() && (r.BusinessDate != 0 || r.Kind != txn.EpochMarker) {
		return fmt.Errorf("business date %d is no date", r.BusinessDate)
	}
	if r.Outcome != txn.Approved && r.Outcome != txn.Declined {
		return errors.New("the outcome is neither approved nor declined")
	}
	return r.CheckPostings()
}

// letter returns the dead letter of an item with a fault.
func (it *item) letter(now txn.Millis) warehouse.DeadLetter {
	raw := it.raw
	if len(raw) > warehouse.DeadLetterMax {
		raw = raw[:warehouse.DeadLetterMax]
	}
	return warehouse.DeadLetter{Position: it.position, Date: it.date, Source: it.source,
		Reason: it.fault.Error(), Record: raw, At: now}
}

// appendKey appends the Kafka key of a record: its id and date, "b017-3-42/20260301".
// They stand in the record as well; the key tells which record is missing when the record
// itself cannot be read.
func appendKey(dst []byte, p txn.Position, d txn.BusinessDate) []byte {
	dst = append(dst, p.String()...)
	dst = append(dst, '/')
	return strconv.AppendUint(dst, uint64(d), 10)
}

// parseKey reads what appendKey wrote.
func parseKey(key []byte) (txn.Position, txn.BusinessDate, error) {
	id, date, ok := strings.Cut(string(key), "/")
	parts := strings.Split(id, "-")
	if !ok || len(parts) != 3 || !strings.HasPrefix(parts[0], "b") {
		return txn.Position{}, 0, errors.New("key is no record id")
	}
	bucket, err1 := strconv.ParseUint(parts[0][1:], 10, 8)
	epoch, err2 := strconv.ParseUint(parts[1], 10, 64)
	seq, err3 := strconv.ParseUint(parts[2], 10, 64)
	day, err4 := strconv.ParseUint(date, 10, 32)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return txn.Position{}, 0, errors.New("key is no record id")
	}
	if bucket >= txn.BucketCount || epoch == 0 {
		return txn.Position{}, 0, errors.New("key names no record")
	}
	return txn.Position{Bucket: txn.Bucket(bucket), Epoch: txn.Epoch(epoch), Seq: txn.Seq(seq)},
		txn.BusinessDate(day), nil
}
