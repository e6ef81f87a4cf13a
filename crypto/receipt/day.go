package receipt

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Limits of a day certificate.
const (
	// BucketsMax is the most entries of buckets and epochs.
	BucketsMax = 16384
	// TotalsMax is the most totals.
	TotalsMax = 256
)

// dateLayout is the form of a business date.
const dateLayout = "2006-01-02"

// ErrChain reports a day certificate that does not follow the one before.
var ErrChain = errors.New("day certificate does not follow")

// Day is a day certificate: what one business day holds, and what stands before it.
type Day struct {
	Issuer       string // who certifies
	Chain        string // the chain's name, one a scheme
	Number       uint64 // in the chain, from 1
	BusinessDate uint32 // YYYYMMDD
	IssuedAt     time.Time
	// Previous is the Hash of the certificate before; zero for the first.
	Previous [HashSize]byte
	// Buckets are ordered by bucket and epoch.
	Buckets []Bucket
	// Totals are ordered by name.
	Totals []Total
	Counts Counts
	// Books is the SHA-256 of the manifest of the day's settlement run, which names every file of
	// the run by its own: what was posted beside the records. Zero for none, as in certificates
	// from before it was there; those have no such field in their bytes.
	Books [sha256.Size]byte
}

// Bucket is the records of one bucket in one epoch on the day: First to Last without a hole.
// On a day without records Count is 0 and Last is First-1.
type Bucket struct {
	Bucket, Epoch, First, Last, Count uint64
	Head                              [HashSize]byte // of the hash chain, after Last
}

// Total is the sum of one kind of movement.
type Total struct {
	Name      string // taps, loads, refunds, …
	Count     uint64
	AmountFen int64
}

// Counts are the day's records as each part has counted them.
type Counts struct {
	Store, Stream, Warehouse, Settlement uint64
}

// Kind returns KindDay.
func (d *Day) Kind() Kind { return KindDay }

// Issued returns IssuedAt.
func (d *Day) Issued() time.Time { return d.IssuedAt }

// Records returns the sum over all buckets.
func (d *Day) Records() (n uint64) {
	for _, b := range d.Buckets {
		n += b.Count
	}
	return n
}

// Complete reports whether all four parts and the buckets count the same number of records.
func (d *Day) Complete() bool {
	n := d.Records()
	return d.Counts == Counts{n, n, n, n}
}

// check refuses what contradicts itself. Counts that differ are no contradiction: a certificate
// may state a break, and Complete tells.
func (d *Day) check() error {
	for _, err := range []error{checkText("issuer", d.Issuer, 1), checkText("chain", d.Chain, 1),
		checkTime("issued_at", d.IssuedAt, false), checkDate(d.BusinessDate)} {
		if err != nil {
			return err
		}
	}
	if d.Number == 0 || (d.Number == 1) != (d.Previous == [HashSize]byte{}) {
		return fmt.Errorf("number %d: the first is 1 and has no certificate before it, others have",
			d.Number)
	}
	if len(d.Buckets) > BucketsMax || len(d.Totals) > TotalsMax {
		return fmt.Errorf("%d buckets, %d totals: at most %d and %d", len(d.Buckets), len(d.Totals),
			BucketsMax, TotalsMax)
	}
	if err := d.checkBuckets(); err != nil {
		return err
	}
	for i, t := range d.Totals {
		if err := checkText("total", t.Name, 1); err != nil {
			return err
		}
		if i > 0 && d.Totals[i-1].Name >= t.Name {
			return fmt.Errorf("total %d is double or out of order", i)
		}
	}
	return nil
}

// checkDate wants a day that exists.
func checkDate(date uint32) error {
	y, m, day := int(date/10000), time.Month(date/100%100), int(date%100)
	t := time.Date(y, m, day, 0, 0, 0, 0, time.UTC)
	if t.Year() != y || t.Month() != m || t.Day() != day || y < 1970 || y > 9999 {
		return fmt.Errorf("business date %d: want YYYYMMDD", date)
	}
	return nil
}

// checkBuckets wants runs without a hole, in order, whose sum is exact.
func (d *Day) checkBuckets() error {
	var sum uint64
	for i, b := range d.Buckets {
		if b.First == 0 || b.Last > IntegerMax || b.Count > IntegerMax || b.Last+1 < b.First ||
			b.Last+1-b.First != b.Count {
			return fmt.Errorf("bucket %d: %d records from %d to %d", b.Bucket, b.Count, b.First, b.Last)
		}
		if i > 0 && compareBuckets(d.Buckets[i-1], b) >= 0 {
			return fmt.Errorf("bucket %d of epoch %d is double or out of order", b.Bucket, b.Epoch)
		}
		if sum += b.Count; sum > IntegerMax {
			return fmt.Errorf("bucket %d: the records of the day are more than 53 bits", b.Bucket)
		}
	}
	return nil
}

func compareBuckets(a, b Bucket) int {
	return cmp.Or(cmp.Compare(a.Bucket, b.Bucket), cmp.Compare(a.Epoch, b.Epoch))
}

// Follows reports, with ErrChain, why d cannot be the certificate after previous: chain,
// number, date, the hash of previous, or a bucket that does not go on where it was.
func (d *Day) Follows(previous *Day) error {
	h, err := Hash(previous)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", ErrChain, err)
	case d.Chain != previous.Chain:
		return fmt.Errorf("%w: it is of another chain", ErrChain)
	case d.Number != previous.Number+1:
		return fmt.Errorf("%w: number %d after %d", ErrChain, d.Number, previous.Number)
	case d.Previous != h:
		return fmt.Errorf("%w: it names another certificate as the one before", ErrChain)
	case d.BusinessDate <= previous.BusinessDate:
		return fmt.Errorf("%w: business date %d after %d", ErrChain, d.BusinessDate,
			previous.BusinessDate)
	}
	last := make(map[uint64]Bucket, len(previous.Buckets))
	for _, b := range previous.Buckets {
		last[b.Bucket] = b // the highest epoch is the last
	}
	for _, b := range d.Buckets {
		before, known := last[b.Bucket]
		if known && (b.Epoch < before.Epoch || b.Epoch == before.Epoch && b.First != before.Last+1) {
			return fmt.Errorf("%w: bucket %d goes on at %d of epoch %d after %d of epoch %d", ErrChain,
				b.Bucket, b.First, b.Epoch, before.Last, before.Epoch)
		}
		delete(last, b.Bucket) // a later epoch of the same day is checked by its order
	}
	if len(last) > 0 {
		return fmt.Errorf("%w: %d buckets of the day before are missing", ErrChain, len(last))
	}
	return nil
}

// booksName is the one field that a day certificate may lack.
const booksName = "books"

// content has every field, also empty ones; the books stand there only where they are certified.
func (d *Day) content() value {
	buckets, totals := array(), array()
	for _, b := range d.Buckets {
		buckets.list = append(buckets.list, object(is("bucket", count(b.Bucket)),
			is("epoch", count(b.Epoch)), is("first", count(b.First)), is("last", count(b.Last)),
			is("count", count(b.Count)), is("head", hash(b.Head))))
	}
	for _, t := range d.Totals {
		totals.list = append(totals.list, object(is("name", text(t.Name)),
			is("count", count(t.Count)), is("amount_fen", integer(t.AmountFen))))
	}
	date := fmt.Sprintf("%04d-%02d-%02d", d.BusinessDate/10000, d.BusinessDate/100%100,
		d.BusinessDate%100)
	fields := []member{is("kind", text(string(KindDay))), is("version", integer(version)),
		is("issuer", text(d.Issuer)), is("chain", text(d.Chain)), is("number", count(d.Number)),
		is("business_date", text(date)), is("issued_at", moment(d.IssuedAt)),
		is("previous", hash(d.Previous)), is("buckets", buckets), is("totals", totals),
		is("counts", object(is("store", count(d.Counts.Store)),
			is("stream", count(d.Counts.Stream)), is("warehouse", count(d.Counts.Warehouse)),
			is("settlement", count(d.Counts.Settlement))))}
	if d.Books != [sha256.Size]byte{} {
		fields = append(fields, is(booksName, hash(d.Books)))
	}
	return object(fields...)
}

// dayOf is the inverse of content.
func dayOf(d *decoder, v value) *Day {
	names := []string{"kind", "version", "issuer", "chain", "number", "business_date", "issued_at",
		"previous", "buckets", "totals", "counts"}
	booked := slices.ContainsFunc(v.members, func(m member) bool { return m.name == booksName })
	if booked {
		names = append(names, booksName)
	}
	r := d.object(v, names...)
	r.version(KindDay)
	counts := d.object(r.fields["counts"], "store", "stream", "warehouse", "settlement")
	day := &Day{Issuer: r.text("issuer"), Chain: r.text("chain"), Number: r.count("number"),
		BusinessDate: r.date("business_date"), IssuedAt: r.moment("issued_at"),
		Previous: r.hash("previous"), Counts: Counts{Store: counts.count("store"),
			Stream: counts.count("stream"), Warehouse: counts.count("warehouse"),
			Settlement: counts.count("settlement")}}
	if booked {
		if day.Books = r.hash(booksName); day.Books == [sha256.Size]byte{} {
			d.fail("%s is empty", booksName)
		}
	}
	for _, b := range r.list("buckets", BucketsMax) {
		o := d.object(b, "bucket", "epoch", "first", "last", "count", "head")
		day.Buckets = append(day.Buckets, Bucket{Bucket: o.count("bucket"), Epoch: o.count("epoch"),
			First: o.count("first"), Last: o.count("last"), Count: o.count("count"),
			Head: o.hash("head")})
	}
	for _, t := range r.list("totals", TotalsMax) {
		o := d.object(t, "name", "count", "amount_fen")
		day.Totals = append(day.Totals,
			Total{o.text("name"), o.count("count"), o.integer("amount_fen")})
	}
	return day
}

// date reads a business date in its one form.
func (r record) date(name string) uint32 {
	s := r.text(name)
	t, err := time.Parse(dateLayout, s)
	if err != nil || t.Format(dateLayout) != s {
		r.d.fail("%s is not a date like %s", name, dateLayout)
		return 0
	}
	return uint32(t.Year()*10000 + int(t.Month())*100 + t.Day())
}
