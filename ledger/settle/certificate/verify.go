package certificate

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/crypto/sm"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ErrTampered reports a chain file that is not what was certified. Errors of it are *Bad.
var ErrTampered = errors.New("not what was certified")

// Bad names the first bad record.
type Bad struct {
	// Record is its position; epoch 0 when only the bucket is known.
	Record txn.Position
	Why    string
}

// Error names the record and what is wrong with it.
func (b *Bad) Error() string {
	if b.Record.Epoch == 0 {
		return fmt.Sprintf("%v: bucket %s: %s", ErrTampered, b.Record.Bucket, b.Why)
	}
	return fmt.Sprintf("%v: first bad record %s: %s", ErrTampered, b.Record, b.Why)
}

// Unwrap returns ErrTampered.
func (*Bad) Unwrap() error { return ErrTampered }

// frame is one record of a file.
type frame struct {
	record  txn.Record
	encoded []byte // valid until the next
	link    [sm.HashSize]byte
}

// frames reads a chain file.
type frames struct {
	r    *bufio.Reader
	date txn.BusinessDate
	buf  []byte
}

func openFrames(r io.Reader) (*frames, error) {
	f := &frames{r: bufio.NewReaderSize(r, 1<<16)}
	line, err := f.r.ReadString('\n')
	date, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), magic)
	n, bad := strconv.ParseUint(date, 10, 32)
	if err != nil || !ok || bad != nil || !txn.BusinessDate(n).Valid() {
		return nil, fmt.Errorf("%w: the file does not begin like a chain of a day", ErrTampered)
	}
	f.date = txn.BusinessDate(n)
	return f, nil
}

var errFrame = errors.New("it cannot be read")

// next returns the next record, io.EOF at the end, errFrame for bytes that are none.
func (f *frames) next(into *frame) error {
	size, err := binary.ReadUvarint(f.r)
	switch {
	case errors.Is(err, io.EOF) && size == 0:
		return io.EOF
	case err != nil || size == 0 || size > RecordMax:
		return fmt.Errorf("%w: its length is damaged or the file is cut off", errFrame)
	}
	if uint64(cap(f.buf)) < size {
		f.buf = make([]byte, size)
	}
	into.encoded = f.buf[:size]
	if _, err := io.ReadFull(f.r, into.encoded); err != nil {
		return fmt.Errorf("%w: the file is cut off", errFrame)
	}
	if _, err := io.ReadFull(f.r, into.link[:]); err != nil {
		return fmt.Errorf("%w: the file is cut off", errFrame)
	}
	if into.record, err = txn.DecodeRecord(into.encoded); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	if into.record.Kind == txn.EpochMarker {
		into.record.Previous.Bucket = into.record.Position.Bucket // the encoding leaves it out
	}
	return nil
}

// verifier holds a file against a certificate.
type verifier struct {
	day  *receipt.Day
	tail tail
}

// Verify reads a chain file and says, with a *Bad, where it first differs from the certificate.
// It returns what the records sum to.
func Verify(r io.Reader, day *receipt.Day) (Sum, error) {
	f, err := openFrames(r)
	if err != nil {
		return Sum{}, err
	}
	if uint32(f.date) != day.BusinessDate {
		return Sum{}, fmt.Errorf("%w: the file is of %s, the certificate of %s", ErrTampered, f.date,
			txn.BusinessDate(day.BusinessDate))
	}
	v := &verifier{day: day, tail: newTail(f.date)}
	for {
		var next frame
		marker, first := v.mayBeMarker()
		var ahead []byte
		if marker {
			ahead = f.ahead()
		}
		err := f.next(&next)
		if errors.Is(err, io.EOF) {
			return v.finish()
		}
		if err == nil {
			err = v.take(&next)
		}
		if err != nil {
			bad := v.bad(err)
			if marker && bad.Record == first && stands(ahead, first) {
				bad.Record.Seq = 0 // the record itself is there: it is the marker before it
			}
			return Sum{}, bad
		}
	}
}

// mayBeMarker reports whether the record that comes next may be the marker that opens an epoch,
// which certificates do not count, or else the first record of the epoch. A day has the marker
// when the epoch was opened in it.
func (v *verifier) mayBeMarker() (bool, txn.Position) {
	next := 0
	if v.tail.any {
		next = slices.IndexFunc(v.day.Buckets, func(b receipt.Bucket) bool {
			return b.Bucket == uint64(v.tail.last.Bucket) && b.Epoch == uint64(v.tail.last.Epoch)
		}) + 1
		if next == 0 || v.day.Buckets[next-1].Last != uint64(v.tail.last.Seq) {
			return false, txn.Position{}
		}
	}
	if next >= len(v.day.Buckets) {
		return false, txn.Position{}
	}
	b := v.day.Buckets[next]
	first := txn.Position{Bucket: txn.Bucket(b.Bucket), Epoch: txn.Epoch(b.Epoch), Seq: txn.Seq(b.First)}
	fresh := !v.tail.any || b.Bucket != uint64(v.tail.last.Bucket)
	return fresh && b.First == 1 && b.Count > 0, first
}

// aheadMax is how far Verify looks for a record behind one that it cannot read: the markers of
// epochs have less than a hundred bytes, and records a few hundred.
const aheadMax = 4 << 10

// ahead returns a copy of what comes next in the file.
func (f *frames) ahead() []byte {
	text, err := f.r.Peek(aheadMax)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil // reading the record will tell
	}
	return bytes.Clone(text)
}

// stands reports whether the record of a place begins somewhere in the text, right behind the link
// that its own link goes on from.
func stands(text []byte, at txn.Position) bool {
	for i := sm.HashSize; i < len(text); i++ {
		size, n := binary.Uvarint(text[i:])
		end := i + n + int(min(size, RecordMax))
		if n <= 0 || size == 0 || size > RecordMax || end+sm.HashSize > len(text) {
			continue
		}
		encoded := text[i+n : end]
		r, err := txn.DecodeRecord(encoded)
		if err != nil || r.Position != at {
			continue
		}
		h := sm.NewSM3()
		_, _ = h.Write(text[i-sm.HashSize : i]) // a hash never fails
		_, _ = h.Write(encoded)
		if bytes.Equal(h.Sum(nil), text[end:end+sm.HashSize]) {
			return true
		}
	}
	return false
}

var errLink = errors.New("its content or its link was changed")

// take judges one record.
func (v *verifier) take(next *frame) error {
	if v.tail.any && next.record.Position.Bucket > v.tail.last.Bucket {
		if err := v.endBucket(); err != nil {
			return err
		}
	}
	if err := v.begins(&next.record); err != nil {
		return err
	}
	if err := v.tail.follows(&next.record); err != nil {
		return err
	}
	if v.tail.take(&next.record, next.encoded) != next.link {
		return &Bad{next.record.Position, errLink.Error()}
	}
	return v.tail.total(&next.record)
}

// begins checks where a bucket's part of the file starts.
func (v *verifier) begins(r *txn.Record) error {
	if v.tail.any && v.tail.last.Bucket == r.Position.Bucket {
		return nil
	}
	if v.tail.any && r.Position.Bucket < v.tail.last.Bucket {
		return nil // follows refuses it
	}
	// The bucket that the certificate has next must be this one.
	done := uint64(0)
	if v.tail.any {
		done = uint64(v.tail.last.Bucket) + 1
	}
	for _, b := range v.day.Buckets {
		if b.Bucket < done {
			continue
		}
		first := txn.Position{Bucket: txn.Bucket(b.Bucket), Epoch: txn.Epoch(b.Epoch), Seq: txn.Seq(b.First)}
		marker := r.Position == txn.Position{Bucket: first.Bucket, Epoch: first.Epoch} && b.First == 1 &&
			r.Kind == txn.EpochMarker
		if r.Position != first && !marker {
			return &Bad{first, fmt.Sprintf("it is missing; %s stands in its place", r.Position)}
		}
		return nil
	}
	return &Bad{r.Position, "its bucket is not in the certificate"}
}

// endBucket holds the bucket that ends against the certificate.
func (v *verifier) endBucket() error {
	at := v.tail.last
	of := func(list []receipt.Bucket) []receipt.Bucket {
		return slices.DeleteFunc(slices.Clone(list), func(b receipt.Bucket) bool {
			return b.Bucket != uint64(at.Bucket)
		})
	}
	want, got := of(v.day.Buckets), of(v.tail.buckets)
	if slices.Equal(want, got) {
		return nil
	}
	for i := range want {
		w := want[i]
		next := txn.Position{Bucket: at.Bucket, Epoch: txn.Epoch(w.Epoch), Seq: txn.Seq(w.First)}
		switch {
		case i >= len(got) || got[i].Epoch != w.Epoch:
			return &Bad{next, "it is missing"}
		case got[i].First != w.First || got[i].Last < w.Last:
			next.Seq = txn.Seq(got[i].Last + 1)
			return &Bad{next, fmt.Sprintf("it is missing; the certificate goes on to %d", w.Last)}
		case got[i].Last > w.Last:
			next.Seq = txn.Seq(w.Last + 1)
			return &Bad{next, "the certificate ends before it"}
		}
	}
	if len(got) > len(want) {
		b := got[len(want)]
		return &Bad{txn.Position{Bucket: at.Bucket, Epoch: txn.Epoch(b.Epoch)}, "its epoch is not certified"}
	}
	return &Bad{txn.Position{Bucket: at.Bucket}, "every link fits its record and the last is not the " +
		"certified one: the file was rewritten from some record on; compare it with the warehouse"}
}

// bad turns an error of reading into the record that it is about.
func (v *verifier) bad(err error) *Bad {
	var told *Bad
	if errors.As(err, &told) {
		return told
	}
	at := v.tail.next()
	if !v.tail.any {
		at = txn.Position{}
		if len(v.day.Buckets) > 0 {
			b := v.day.Buckets[0]
			at = txn.Position{Bucket: txn.Bucket(b.Bucket), Epoch: txn.Epoch(b.Epoch), Seq: txn.Seq(b.First)}
		}
	} else if after, ok := v.after(); ok {
		at = after
	}
	return &Bad{at, err.Error()}
}

// after returns what the certificate has next when the present run of records is complete.
func (v *verifier) after() (txn.Position, bool) {
	for i, b := range v.day.Buckets {
		if b.Bucket != uint64(v.tail.last.Bucket) || b.Epoch != uint64(v.tail.last.Epoch) {
			continue
		}
		if b.Last != uint64(v.tail.last.Seq) || i+1 == len(v.day.Buckets) {
			return txn.Position{}, false
		}
		n := v.day.Buckets[i+1]
		p := txn.Position{Bucket: txn.Bucket(n.Bucket), Epoch: txn.Epoch(n.Epoch), Seq: txn.Seq(n.First)}
		if n.Bucket == b.Bucket || n.First == 1 && n.Count == 0 {
			p.Seq = 0 // the marker of the epoch
		}
		return p, true
	}
	return txn.Position{}, false
}

// finish judges the end of the file.
func (v *verifier) finish() (Sum, error) {
	if v.tail.any {
		if err := v.endBucket(); err != nil {
			return Sum{}, err
		}
	}
	s := v.tail.sum()
	if len(s.Buckets) < len(v.day.Buckets) {
		b := v.day.Buckets[len(s.Buckets)]
		return s, &Bad{txn.Position{Bucket: txn.Bucket(b.Bucket), Epoch: txn.Epoch(b.Epoch),
			Seq: txn.Seq(b.First)}, "it is missing; the file ends before it"}
	}
	if !slices.Equal(s.Totals, v.day.Totals) {
		return s, fmt.Errorf("%w: the totals of the certificate are not those of the records", ErrTampered)
	}
	return s, nil
}

// Source calls yield for every record of the day in order; a warehouse does.
type Source func(yield func(*txn.Record) error) error

// Compare holds a chain file against another source, record by record, and names the first that
// differs.
func Compare(r io.Reader, source Source) error {
	f, err := openFrames(r)
	if err != nil {
		return err
	}
	var buf []byte
	err = source(func(rec *txn.Record) error {
		var next frame
		if err := f.next(&next); err != nil {
			return &Bad{rec.Position, "the file ends before it, or " + err.Error()}
		}
		switch at := next.record.Position; {
		case before(at, rec.Position):
			return &Bad{at, fmt.Sprintf("the source lacks it and has %s in its place", rec.Position)}
		case at != rec.Position:
			return &Bad{rec.Position, fmt.Sprintf("the file lacks it and has %s in its place", at)}
		}
		if buf = txn.AppendRecord(buf[:0], rec); !bytes.Equal(buf, next.encoded) {
			return &Bad{rec.Position, "the source has it with other content"}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var next frame
	if err := f.next(&next); !errors.Is(err, io.EOF) {
		return &Bad{next.record.Position, "the source ends before it"}
	}
	return nil
}

// before reports whether a stands before b in a chain file.
func before(a, b txn.Position) bool {
	return a.Bucket < b.Bucket || a.Bucket == b.Bucket && a.Before(b)
}

// Read sums a chain file, checking every link and that every record follows.
func Read(path string) (Sum, error) {
	file, err := os.Open(path)
	if err != nil {
		return Sum{}, fmt.Errorf("chain: %w", err)
	}
	defer file.Close()
	f, err := openFrames(file)
	if err != nil {
		return Sum{}, err
	}
	t := newTail(f.date)
	for {
		var next frame
		err := f.next(&next)
		if errors.Is(err, io.EOF) {
			return t.sum(), nil
		}
		if err == nil {
			err = t.follows(&next.record)
		}
		if err == nil && t.take(&next.record, next.encoded) != next.link {
			err = errLink
		}
		if err == nil {
			err = t.total(&next.record)
		}
		if err != nil {
			return Sum{}, &Bad{next.record.Position, err.Error()}
		}
	}
}
