package certificate

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/crypto/sm"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// dayOf makes the records of a closed day in the order of a warehouse.
func dayOf(seed uint64, n int) []txn.Record {
	chain := warehousetest.NewChain(seed)
	records := chain.Batch(n)
	records = append(records, chain.CloseDay()...)
	return slices.DeleteFunc(warehousetest.Ordered(records), func(r txn.Record) bool {
		return r.BusinessDate != warehousetest.Day
	})
}

// part is one record of a file with its link.
type part struct {
	record  txn.Record
	encoded []byte
	link    [sm.HashSize]byte
}

// build writes a chain file and returns it in parts with its certificate.
func build(t *testing.T, records []txn.Record) ([]part, []byte, *receipt.Day) {
	t.Helper()
	var b bytes.Buffer
	c, err := NewChain(&b, warehousetest.Day)
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		if err := c.Add(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := c.Finish()
	if err != nil {
		t.Fatal(err)
	}
	day := &receipt.Day{Issuer: "test", Chain: "test", Number: 1,
		BusinessDate: uint32(warehousetest.Day), IssuedAt: time.Unix(1, 0), Buckets: sum.Buckets,
		Totals: sum.Totals, Counts: receipt.Counts{Store: sum.Records, Stream: sum.Records,
			Warehouse: sum.Records, Settlement: sum.Records}}
	f, err := openFrames(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var parts []part
	for {
		var next frame
		if err := f.next(&next); err != nil {
			return parts, b.Bytes(), day
		}
		parts = append(parts, part{next.record, bytes.Clone(next.encoded), next.link})
	}
}

func assemble(parts []part) []byte {
	b := fmt.Appendf(nil, "%s%08d\n", magic, warehousetest.Day)
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p.encoded)))
		b = append(append(b, p.encoded...), p.link[:]...)
	}
	return b
}

// named wants the error to name the record.
func named(t *testing.T, what string, err error, at txn.Position) {
	t.Helper()
	var bad *Bad
	if !errors.As(err, &bad) || !errors.Is(err, ErrTampered) || bad.Record != at {
		t.Errorf("%s: %v, want the first bad record %s", what, err, at)
	}
}

func TestGenuine(t *testing.T) {
	records := dayOf(1, 2000)
	_, file, day := build(t, records)
	sum, err := Verify(bytes.NewReader(file), day)
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	for i := range records {
		if records[i].Position.Seq > 0 {
			want++
		}
	}
	if sum.Records != uint64(want) || len(sum.Totals) == 0 || len(day.Buckets) < txn.BucketCount {
		t.Errorf("%d records of %d, %d totals", sum.Records, want, len(sum.Totals))
	}
	source := func(yield func(*txn.Record) error) error {
		for i := range records {
			if err := yield(&records[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := Compare(bytes.NewReader(file), source); err != nil {
		t.Error(err)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	signer, err := receipt.NewEd25519Signer("k", key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.Seal(day, signer); err != nil {
		t.Errorf("no certificate can be made of the sum: %v", err)
	}
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if read, err := Read(path); err != nil || !reflect.DeepEqual(read.Buckets, day.Buckets) {
		t.Errorf("Read: %v", err)
	}
}

// TestEveryFieldIsCertified changes each column of a record in turn.
func TestEveryFieldIsCertified(t *testing.T) {
	parts, _, day := build(t, dayOf(2, 1500))
	at := slices.IndexFunc(parts, func(p part) bool { return len(p.record.Discounts) > 0 })
	row := warehouse.RowOf(&parts[at].record)
	v := reflect.ValueOf(&row).Elem()
	changed := 0
	for i := range v.NumField() {
		other := row
		if !alter(reflect.ValueOf(&other).Elem().Field(i)) {
			continue
		}
		r, err := other.Record()
		if err != nil || reflect.DeepEqual(r, parts[at].record) {
			continue // no record could bear it, so no file either
		}
		name := v.Type().Field(i).Name
		encoded := txn.AppendRecord(nil, &r)
		if bytes.Equal(encoded, parts[at].encoded) {
			t.Errorf("%s is not in the encoding", name)
			continue
		}
		changed++
		tampered := slices.Clone(parts)
		tampered[at].encoded = encoded
		_, err = Verify(bytes.NewReader(assemble(tampered)), day)
		var bad *Bad
		if !errors.As(err, &bad) || bad.Record.Bucket != parts[at].record.Position.Bucket &&
			name != "Bucket" {
			t.Errorf("%s: %v", name, err)
		}
		switch name {
		case "Bucket", "Epoch", "Seq", "BusinessDate":
		default:
			named(t, name, err, parts[at].record.Position)
		}
	}
	if changed < 25 {
		t.Errorf("%d fields changed", changed)
	}
}

// alter gives a column another value that a record may have.
func alter(f reflect.Value) bool {
	switch f.Kind() {
	case reflect.String:
		switch f.String() {
		case "approved":
			f.SetString("declined")
		case "metro_exit":
			f.SetString("bus_boarding")
		case "bus_boarding":
			f.SetString("metro_exit")
		case "student":
			f.SetString("senior")
		case "holder":
			f.SetString("operator")
		case "valid":
			f.SetString("wrong")
		case "ok", "none":
			f.SetString("card_frozen")
		case "not_frozen":
			f.SetString("lost")
		case "":
			f.SetString("A1")
		default:
			last := f.String()[len(f.String())-1]
			f.SetString(f.String()[:len(f.String())-1] + string('0'+(last+1)%10))
		}
	case reflect.Int32, reflect.Int64:
		f.SetInt(f.Int() + 1)
	case reflect.Uint32, reflect.Uint64:
		f.SetUint(f.Uint() + 1)
	case reflect.Bool:
		f.SetBool(!f.Bool())
	case reflect.Slice:
		if f.Len() == 0 {
			return false
		}
		list := reflect.MakeSlice(f.Type(), f.Len(), f.Len())
		reflect.Copy(list, f)
		f.Set(list)
		return alter(f.Index(0))
	default:
		return false
	}
	return true
}

func TestRecordsMoved(t *testing.T) {
	parts, _, day := build(t, dayOf(3, 1500))
	// A record in the middle of a bucket, with another after it.
	at := slices.IndexFunc(parts, func(p part) bool { return p.record.Position.Seq == 5 })
	if parts[at+1].record.Position.Seq != 6 {
		t.Fatal("the seed has no such bucket")
	}
	p := parts[at].record.Position
	next := parts[at+1].record.Position
	for _, tt := range []struct {
		name string
		of   []part
		want txn.Position
	}{
		{"dropped", slices.Delete(slices.Clone(parts), at, at+1), p},
		{"twice", slices.Insert(slices.Clone(parts), at+1, parts[at]), next},
		{"swapped", slices.Concat(parts[:at], []part{parts[at+1], parts[at]}, parts[at+2:]), p},
		{"truncated", parts[:at], p},
		{"first dropped", parts[1:], parts[0].record.Position},
		{"last dropped", parts[:len(parts)-1], parts[len(parts)-1].record.Position},
		{"nothing left", nil, txn.Position{Bucket: 0, Epoch: txn.Epoch(day.Buckets[0].Epoch),
			Seq: txn.Seq(day.Buckets[0].First)}},
	} {
		_, err := Verify(bytes.NewReader(assemble(tt.of)), day)
		if tt.name == "first dropped" && tt.want.Seq == 0 {
			tt.want.Seq = 1
		}
		named(t, tt.name, err, tt.want)
	}
}

// TestBytesDamaged flips bits all over a file and cuts it anywhere: always noticed.
func TestBytesDamaged(t *testing.T) {
	_, file, day := build(t, dayOf(4, 300))
	for at := 0; at < len(file); at += 97 {
		damaged := bytes.Clone(file)
		damaged[at] ^= 1 << (at % 8)
		if _, err := Verify(bytes.NewReader(damaged), day); !errors.Is(err, ErrTampered) {
			t.Fatalf("bit of byte %d: %v", at, err)
		}
		if _, err := Verify(bytes.NewReader(file[:at]), day); !errors.Is(err, ErrTampered) {
			t.Fatalf("cut at byte %d: %v", at, err)
		}
	}
}

// TestRewritten: a file with links that fit is told by the certificate, and the record by the
// warehouse.
func TestRewritten(t *testing.T) {
	records := dayOf(5, 1000)
	_, _, day := build(t, records)
	at := slices.IndexFunc(records, func(r txn.Record) bool { return r.Charged > 0 })
	forged := slices.Clone(records)
	forged[at].Charged += 100
	_, file, _ := build(t, forged)
	_, err := Verify(bytes.NewReader(file), day)
	named(t, "rewritten", err, txn.Position{Bucket: records[at].Position.Bucket})
	source := func(yield func(*txn.Record) error) error {
		for i := range records {
			if err := yield(&records[i]); err != nil {
				return err
			}
		}
		return nil
	}
	named(t, "compared", Compare(bytes.NewReader(file), source), records[at].Position)
	short := func(yield func(*txn.Record) error) error { return yield(&records[0]) }
	_, good, _ := build(t, records)
	named(t, "short source", Compare(bytes.NewReader(good), short), records[1].Position)
}

// TestCertificateOfOther: totals or date of a certificate that are not those of the file.
func TestCertificateOfOther(t *testing.T) {
	_, file, day := build(t, dayOf(6, 300))
	other := *day
	other.Totals = slices.Clone(day.Totals)
	other.Totals[0].AmountFen++
	if _, err := Verify(bytes.NewReader(file), &other); !errors.Is(err, ErrTampered) {
		t.Errorf("totals: %v", err)
	}
	other = *day
	other.BusinessDate++
	if _, err := Verify(bytes.NewReader(file), &other); !errors.Is(err, ErrTampered) {
		t.Errorf("date: %v", err)
	}
	if _, err := Verify(strings.NewReader("a text\n"), day); !errors.Is(err, ErrTampered) {
		t.Errorf("no chain: %v", err)
	}
}

func TestChainRefuses(t *testing.T) {
	records := dayOf(7, 1500)
	for _, tt := range []struct {
		name  string
		alter func([]txn.Record) []txn.Record
	}{
		{"hole", func(l []txn.Record) []txn.Record { return slices.Delete(l, 1, 2) }},
		{"twice", func(l []txn.Record) []txn.Record { return slices.Insert(l, 3, l[3]) }},
		{"late", func(l []txn.Record) []txn.Record { return append(l, l[0]) }},
		{"date", func(l []txn.Record) []txn.Record { l[3].BusinessDate++; return l }},
		{"epoch 0", func(l []txn.Record) []txn.Record { l[0].Position.Epoch = 0; return l }},
	} {
		c, err := NewChain(&bytes.Buffer{}, warehousetest.Day)
		if err != nil {
			t.Fatal(err)
		}
		list := tt.alter(slices.Clone(records))
		for i := range list {
			if err = c.Add(&list[i]); err != nil {
				break
			}
		}
		if !errors.Is(err, ErrOrder) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}
