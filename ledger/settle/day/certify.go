package day

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/ledger/settle/certificate"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Certifier is who certifies and with what.
type Certifier struct {
	Issuer string
	Chain  string // the chain's name, one a scheme
	Actor  string
	Signer receipt.Signer
	Keys   *receipt.Keys // that verify the certificates before
	// Stream counts the records of the day in the stream, nil where the feed hands them over
	// directly: then there is no stream that could differ.
	Stream func(context.Context, txn.BusinessDate) (uint64, error)
}

// certificatePath is where the certificate of a day stands.
func (o *Options) certificatePath(date txn.BusinessDate) string {
	return filepath.Join(o.Dir, "certificates", date.String()+".json")
}

// Certify signs the certificate of a settled day and returns it with its path. A day that has
// one keeps it. ErrBreaks, with the figures, where the counts or the approvals differ.
func (d *Desk) Certify(
	ctx context.Context, date txn.BusinessDate, by Certifier,
) (*receipt.Day, string, error) {
	path := d.certificatePath(date)
	state := stateOf(d.journal.Events(), date)
	if state == Certified {
		day, err := readCertificate(path, by.Keys)
		return day, path, err
	}
	run, number := LastRun(d.Dir, d.journal.Events(), date)
	if state != Closed || number == 0 {
		return nil, "", fmt.Errorf("%w: %s is %s with %d runs: close and settle it first", ErrState, date,
			state, number)
	}
	if n := unsettled(d.journal.Events(), date); n > 0 {
		return nil, "", fmt.Errorf("%w: %d entries of %s came after run %d: settle the day again first",
			ErrState, n, date, number)
	}
	if _, err := noted(run, notedRun(d.journal.Events(), date, number)); err != nil {
		return nil, "", err
	}
	m, err := ReadRun(run)
	if err != nil {
		return nil, "", err
	}
	if m.Breaks > 0 {
		return nil, "", fmt.Errorf("%w: run %d of %s has %d breaks", ErrBreaks, number, date, m.Breaks)
	}
	day, err := d.statement(ctx, date, by, filepath.Join(run, certificate.FileName))
	if err != nil {
		return nil, "", err
	}
	if day.Books, err = booksOf(d.journal.Events(), date, number); err != nil {
		return nil, "", err
	}
	if err := d.agree(ctx, day, m); err != nil {
		return nil, "", err
	}
	return day, path, d.sign(day, path, number, by)
}

// unsettled counts the entries of a day that came after its last run: a certificate of that run
// would shut them out for ever.
func unsettled(events []journal.Event, date txn.BusinessDate) int {
	run := 0
	for i := range events {
		if events[i].Date == date && events[i].Kind == eventRun {
			run = i
		}
	}
	return moving(adjustmentsOf(events, date)) - moving(adjustmentsOf(events[:run], date))
}

// moving counts the entries that move money: the others make no run differ.
func moving(entries []clearing.Entry) (n int) {
	for _, e := range entries {
		if slices.ContainsFunc(e.Postings, func(p txn.Posting) bool { return p.Amount != 0 }) {
			n++
		}
	}
	return n
}

// statement makes the certificate's content from the run's chain file.
func (d *Desk) statement(
	ctx context.Context, date txn.BusinessDate, by Certifier, chain string,
) (*receipt.Day, error) {
	previous, err := d.previous(date, by.Keys)
	if err != nil {
		return nil, err
	}
	sum, err := certificate.Read(chain)
	if err != nil {
		return nil, err
	}
	day := &receipt.Day{Issuer: by.Issuer, Chain: by.Chain, Number: 1, BusinessDate: uint32(date),
		IssuedAt: d.Now(), Buckets: sum.Buckets, Totals: sum.Totals}
	day.Counts.Store = numbered(sum.Buckets, previous)
	if previous != nil {
		day.Number = previous.Number + 1
		if day.Previous, err = receipt.Hash(previous); err != nil {
			return nil, err
		}
		if err := day.Follows(previous); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBreaks, err)
		}
	}
	day.Counts.Stream = day.Counts.Store
	if by.Stream != nil {
		if day.Counts.Stream, err = by.Stream(ctx, date); err != nil {
			return nil, fmt.Errorf("counting the stream of %s: %w", date, err)
		}
	}
	return day, nil
}

// numbered counts what the store numbered: from where the certificate before ended to the marker
// that ends the day, whatever was counted between.
func numbered(buckets []receipt.Bucket, previous *receipt.Day) (n uint64) {
	last := map[[2]uint64]uint64{}
	if previous != nil {
		for _, b := range previous.Buckets {
			last[[2]uint64{b.Bucket, b.Epoch}] = b.Last
		}
	}
	for _, b := range buckets {
		before, known := last[[2]uint64{b.Bucket, b.Epoch}]
		if !known {
			before = b.First - 1
		}
		n += b.Last - before
	}
	return n
}

// agree holds the warehouse and the run against the records, in count and in approvals.
func (d *Desk) agree(ctx context.Context, day *receipt.Day, m *pack.Manifest) error {
	t, err := d.Reader.Totals(ctx, txn.BusinessDate(day.BusinessDate))
	if err != nil {
		return fmt.Errorf("certifying: %w", err)
	}
	epochs, approved := figures(&t)
	day.Counts.Warehouse = uint64(t.Rows - epochs)
	day.Counts.Settlement = uint64(m.Records - epochs)
	if !day.Complete() {
		return fmt.Errorf("%w: the buckets hold %d records; store %d, stream %d, warehouse %d, "+
			"settlement %d", ErrBreaks, day.Records(), day.Counts.Store, day.Counts.Stream,
			day.Counts.Warehouse, day.Counts.Settlement)
	}
	if approved != m.Approved || !t.Clean() {
		return fmt.Errorf("%w: %d approvals in the warehouse, %d settled; unbalanced %d, repeated %d",
			ErrBreaks, approved, m.Approved, t.Unbalanced, t.Repeated)
	}
	return nil
}

// figures counts the markers of epochs and the approvals.
func figures(t *warehouse.Totals) (epochs, approved int64) {
	for _, k := range t.Kinds {
		kind, err := txn.ParseKind(k.Kind)
		switch {
		case err == nil && kind == txn.EpochMarker:
			epochs += k.Count
		case err == nil && !kind.IsMarker() && k.Outcome == txn.Approved.String():
			approved += k.Count
		}
	}
	return epochs, approved
}

// previous returns the last certificate before date, nil when there is none.
func (d *Desk) previous(date txn.BusinessDate, keys *receipt.Keys) (*receipt.Day, error) {
	var last txn.BusinessDate
	for _, e := range d.journal.Events() {
		if e.Kind != eventCertified {
			continue
		}
		if e.Date > date {
			return nil, fmt.Errorf("%w: %s is certified already; days are certified in their order",
				ErrState, e.Date)
		}
		last = max(last, e.Date)
	}
	if last == 0 {
		return nil, nil
	}
	return readCertificate(d.certificatePath(last), keys)
}

func readCertificate(path string, keys *receipt.Keys) (*receipt.Day, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	day, err := keys.VerifyDay(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return day, nil
}

// sign writes the certificate and then notes it: one that was written and not noted is replaced,
// because nobody was given it.
func (d *Desk) sign(day *receipt.Day, path string, run int, by Certifier) error {
	envelope, err := receipt.Seal(day, by.Signer)
	if err != nil {
		return fmt.Errorf("certifying: %w", err)
	}
	text, err := envelope.Encode()
	if err != nil {
		return fmt.Errorf("certifying: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("certifying: %w", err)
	}
	fresh := path + unfinished
	if err := errors.Join(removeOld(fresh), writeFile(fresh, text)); err != nil {
		return fmt.Errorf("certifying: %w", err)
	}
	d.Passed("finance_signed")
	if err := os.Rename(fresh, path); err != nil {
		return fmt.Errorf("certifying: %w", err)
	}
	if err := errors.Join(syncDir(filepath.Dir(path)), syncDir(d.Dir)); err != nil {
		return err
	}
	d.Passed("finance_certificate")
	h, err := receipt.Hash(day)
	if err != nil {
		return err
	}
	return d.note(eventCertified, by.Actor, txn.BusinessDate(day.BusinessDate),
		certifiedBody{day.Number, hex.EncodeToString(h[:]), run})
}

func removeOld(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// recoverCertificates removes certificates that were never noted: nobody was given one.
func (d *Desk) recoverCertificates() error {
	entries, err := os.ReadDir(filepath.Dir(d.certificatePath(1)))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	noted := map[string]bool{}
	for _, e := range d.journal.Events() {
		if e.Kind == eventCertified {
			noted[filepath.Base(d.certificatePath(e.Date))] = true
		}
	}
	for _, e := range entries {
		if !noted[e.Name()] {
			if err := os.Remove(filepath.Join(filepath.Dir(d.certificatePath(1)), e.Name())); err != nil {
				return fmt.Errorf("a certificate that was not given: %w", err)
			}
		}
	}
	return nil
}
