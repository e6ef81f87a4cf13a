package local

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// groupRows is the size of a row group: what a scan holds in memory at a time.
	groupRows = 128 << 10
	// pageBytes keeps pages small, because a merge holds a page of every column of
	// every part.
	pageBytes = 64 << 10
	// writeRows is how many rows are laid flat at a time.
	writeRows = 128
)

// writeParts writes the records as one part for each business date, durable and in
// place, and returns the edit that names them. On an error nothing counts.
func (w *Warehouse) writeParts(records []*txn.Record) (edit, error) {
	var e edit
	for _, group := range byDate(records) {
		p, err := w.writePart(group[0].BusinessDate, func(out *rowWriter) (int64, error) {
			return int64(len(group)), writeRecords(out, group)
		})
		if err != nil {
			return e, err
		}
		e.Add = append(e.Add, p)
	}
	return e, nil
}

// byDate groups the records by date, each group in order of position.
func byDate(records []*txn.Record) [][]*txn.Record {
	sorted := inOrder(records)
	var groups [][]*txn.Record
	for len(sorted) > 0 {
		date := sorted[0].BusinessDate
		n := slices.IndexFunc(sorted, func(r *txn.Record) bool { return r.BusinessDate != date })
		if n < 0 {
			n = len(sorted)
		}
		groups = append(groups, sorted[:n])
		sorted = sorted[n:]
	}
	return groups
}

// inOrder returns the records in order of date and position. They come in order within each
// bucket, so that laying them out by bucket leaves nothing to be sorted on most days.
func inOrder(records []*txn.Record) []*txn.Record {
	var next [txn.BucketCount + 1]int
	for _, r := range records {
		next[r.Position.Bucket+1]++
	}
	for b := range txn.BucketCount {
		next[b+1] += next[b]
	}
	sorted := make([]*txn.Record, len(records))
	for _, r := range records {
		sorted[next[r.Position.Bucket]] = r
		next[r.Position.Bucket]++
	}
	if !slices.IsSortedFunc(sorted, compareRecord) {
		slices.SortStableFunc(sorted, compareRecord)
	}
	return sorted
}

// compareRecord orders by business date, bucket, epoch and seq.
func compareRecord(a, b *txn.Record) int {
	switch {
	case a.BusinessDate != b.BusinessDate:
		return int(a.BusinessDate) - int(b.BusinessDate)
	case a.Position.Bucket != b.Position.Bucket:
		return int(a.Position.Bucket) - int(b.Position.Bucket)
	case a.Position.Before(b.Position):
		return -1
	case b.Position.Before(a.Position):
		return 1
	}
	return 0
}

const (
	// hurryRows is the length from which a list is written without rests: so much comes
	// at once only when the feed is behind.
	hurryRows = 40_000
	// restTimes is how many times as long as the work before it a rest is, and restMax
	// bounds it.
	restTimes = 3
	restMax   = 10 * time.Millisecond
)

// rest waits some times as long as the work since began took. What is written is due every
// few seconds and would else take the processors from the taps of the moment in one go.
func rest(began time.Time) { time.Sleep(min(restTimes*time.Since(began), restMax)) }

// writeRecords lays the records flat, some at a time, and writes them.
func writeRecords(out *rowWriter, records []*txn.Record) error {
	rows := make([]warehouse.Row, 0, writeRows)
	hurry := len(records) >= hurryRows
	for len(records) > 0 {
		began := time.Now()
		n := min(len(records), writeRows)
		rows = rows[:0]
		for _, r := range records[:n] {
			rows = append(rows, warehouse.RowOf(r))
		}
		if _, err := out.Write(rows); err != nil {
			return err
		}
		records = records[n:]
		if !hurry && len(records) > 0 {
			rest(began)
		}
	}
	return nil
}

// rowWriter writes rows as Parquet.
type rowWriter = parquet.GenericWriter[warehouse.Row]

// writePart makes one part with what fill writes (it returns how many rows): under a
// temporary name, synced, then renamed, then the folder synced.
func (w *Warehouse) writePart(
	date txn.BusinessDate, fill func(*rowWriter) (int64, error),
) (part, error) {
	w.mu.Lock()
	p := part{ID: w.state.nextID, Date: date}
	w.state.nextID++
	w.mu.Unlock()
	path := p.path(w.dir)
	err := w.disk.mkdir(filepath.Dir(path))
	if err == nil {
		err = w.fillPart(&p, path+tempSuffix, fill)
	}
	if err == nil {
		err = w.disk.rename(path+tempSuffix, path)
	}
	if err == nil {
		err = w.disk.syncDir(filepath.Dir(path))
	}
	if err != nil {
		return p, fmt.Errorf("cannot write part %d of %s: %w", p.ID, date, err)
	}
	return p, nil
}

// fillPart writes the file under its temporary name and syncs it.
func (w *Warehouse) fillPart(
	p *part, temp string, fill func(*rowWriter) (int64, error),
) error {
	f, err := w.disk.create(temp)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(faultWriter{w.disk, f}, 1<<20)
	out := parquet.NewGenericWriter[warehouse.Row](buffered,
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		parquet.MaxRowsPerRowGroup(groupRows), parquet.PageBufferSize(pageBytes),
		parquet.DataPageStatistics(false), parquet.CreatedBy("tapswitch", "1", ""))
	p.Rows, err = fill(out)
	if err == nil {
		err = out.Close()
	}
	if err == nil {
		err = buffered.Flush()
	}
	if err == nil {
		err = w.disk.sync(f)
	}
	info, statErr := f.Stat()
	if err = errors.Join(err, statErr, f.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	p.Bytes = info.Size()
	return nil
}

// faultWriter passes writes through the disk's fault hook.
type faultWriter struct {
	disk *disk
	f    *os.File
}

// Write implements io.Writer.
func (w faultWriter) Write(b []byte) (int, error) {
	if err := w.disk.write(w.f, b); err != nil {
		return 0, err
	}
	return len(b), nil
}
