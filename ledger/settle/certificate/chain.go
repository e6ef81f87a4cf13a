package certificate

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/crypto/sm"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// FileName is the name of a chain file in a run.
const FileName = "records.chain"

// magic begins a chain file; the date follows as eight digits, then a line feed.
const magic = "tapswitch day chain 1 "

// RecordMax is the most bytes of an encoded record; the switch's are a few hundred.
const RecordMax = 64 << 10

var (
	// ErrOrder reports a record that does not follow the one before in a Chain.
	ErrOrder = errors.New("record does not follow")
	// ErrOverflow reports a total that a certificate cannot hold.
	ErrOverflow = errors.New("total out of range")
)

// Chain writes the chain file of a day.
type Chain struct {
	w    *bufio.Writer
	tail tail
	buf  []byte
}

// NewChain begins a chain file.
func NewChain(w io.Writer, date txn.BusinessDate) (*Chain, error) {
	c := &Chain{w: bufio.NewWriterSize(w, 1<<16), tail: newTail(date)}
	if _, err := fmt.Fprintf(c.w, "%s%08d\n", magic, date); err != nil {
		return nil, fmt.Errorf("chain of %s: %w", date, err)
	}
	return c, nil
}

// Add writes one record. ErrOrder when it does not follow.
func (c *Chain) Add(r *txn.Record) error {
	if err := c.tail.follows(r); err != nil {
		return err
	}
	c.buf = txn.AppendRecord(c.buf[:0], r)
	link := c.tail.take(r, c.buf)
	var head [binary.MaxVarintLen64]byte
	for _, part := range [][]byte{head[:binary.PutUvarint(head[:], uint64(len(c.buf)))], c.buf, link[:]} {
		if _, err := c.w.Write(part); err != nil {
			return fmt.Errorf("chain of %s: %w", c.tail.date, err)
		}
	}
	return c.tail.total(r)
}

// Finish writes what is buffered and returns what the records sum to.
func (c *Chain) Finish() (Sum, error) {
	if err := c.w.Flush(); err != nil {
		return Sum{}, fmt.Errorf("chain of %s: %w", c.tail.date, err)
	}
	return c.tail.sum(), nil
}

// Sum is what the records of a day come to.
type Sum struct {
	Date     txn.BusinessDate
	Records  uint64 // without the markers of epochs
	Approved uint64
	Buckets  []receipt.Bucket
	Totals   []receipt.Total
}

// tail is the end of a chain so far.
type tail struct {
	date     txn.BusinessDate
	any      bool
	last     txn.Position
	link     [sm.HashSize]byte
	buckets  []receipt.Bucket
	totals   map[totalKey]*receipt.Total
	approved uint64
}

// totalKey is what records are summed by.
type totalKey struct {
	kind     txn.Kind
	outcome  txn.Outcome
	currency txn.Currency
}

func newTail(date txn.BusinessDate) tail {
	return tail{date: date, totals: map[totalKey]*receipt.Total{}}
}

// next returns the position that must come after the last one in its epoch.
func (t *tail) next() txn.Position {
	p := t.last
	p.Seq++
	return p
}

// follows says, with ErrOrder, why the record cannot be the next one.
func (t *tail) follows(r *txn.Record) error {
	p := r.Position
	fail := func(why string) error {
		return fmt.Errorf("%w: %s after %s: %s", ErrOrder, p, t.last, why)
	}
	switch {
	case r.BusinessDate != t.date:
		return fail("it is of business date " + r.BusinessDate.String())
	case p.Bucket >= txn.BucketCount || p.Epoch == 0:
		return fail("no switch writes there")
	case !t.any || p.Bucket > t.last.Bucket:
		return nil
	case p == t.next() && r.Kind != txn.EpochMarker:
		return nil
	case p.Bucket == t.last.Bucket && p.Epoch > t.last.Epoch && p.Seq == 0 && r.Kind == txn.EpochMarker &&
		r.Previous == t.last:
		return nil
	case !t.last.Before(p) || p.Bucket < t.last.Bucket:
		return fail("it stands twice or too late")
	}
	return fail("what is between is missing; " + t.next().String() + " comes next")
}

// take moves on to the record with its encoding and returns the link after it.
func (t *tail) take(r *txn.Record, encoded []byte) [sm.HashSize]byte {
	p := r.Position
	fresh := !t.any || p.Bucket != t.last.Bucket
	if fresh {
		t.link = sm.SM3(fmt.Appendf(nil, "%s%08d %s", magic, t.date, p.Bucket))
	}
	h := sm.NewSM3()
	_, _ = h.Write(t.link[:]) // a hash never fails
	_, _ = h.Write(encoded)
	h.Sum(t.link[:0])
	if fresh || p.Epoch != t.last.Epoch {
		first := max(uint64(p.Seq), 1)
		t.buckets = append(t.buckets, receipt.Bucket{Bucket: uint64(p.Bucket), Epoch: uint64(p.Epoch),
			First: first, Last: first - 1})
	}
	b := &t.buckets[len(t.buckets)-1]
	if p.Seq > 0 {
		b.Last, b.Count = uint64(p.Seq), b.Count+1
	}
	b.Head = t.link
	t.any, t.last = true, p
	return t.link
}

// total adds the record to its total.
func (t *tail) total(r *txn.Record) error {
	if r.Position.Seq == 0 {
		return nil
	}
	if r.Outcome == txn.Approved {
		t.approved++
	}
	key := totalKey{r.Kind, r.Outcome, r.Currency}
	s := t.totals[key]
	if s == nil {
		name := key.kind.String() + " " + key.outcome.String()
		if key.currency != txn.CNY && key.currency != 0 {
			name = fmt.Sprintf("%s %d", name, key.currency)
		} else if key.currency == 0 {
			name += " -"
		}
		s = &receipt.Total{Name: name}
		t.totals[key] = s
	}
	s.Count++
	sum, err := txn.Minor(s.AmountFen).Add(r.Charged)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrOverflow, s.Name, err)
	}
	s.AmountFen = int64(sum)
	return nil
}

func (t *tail) sum() Sum {
	s := Sum{Date: t.date, Approved: t.approved, Buckets: slices.Clone(t.buckets)}
	for _, b := range s.Buckets {
		s.Records += b.Count
	}
	for _, total := range t.totals {
		s.Totals = append(s.Totals, *total)
	}
	slices.SortFunc(s.Totals, func(a, b receipt.Total) int { return cmp.Compare(a.Name, b.Name) })
	return s
}
