package receipt_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/receipt"
)

// TestAtTheLimits: each list and text is taken at its limit and refused one above it, for that
// reason alone.
func TestAtTheLimits(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit int
		make  func(n int) receipt.Statement
	}{
		{"parties", receipt.PartiesMax, func(n int) receipt.Statement {
			f := freeze()
			f.Parties = nil
			for range n {
				f.Parties = append(f.Parties, receipt.Party{Name: "p"})
			}
			return f
		}},
		{"coverages", receipt.CoveragesMax, func(n int) receipt.Statement {
			f := freeze()
			f.Gates = nil
			for range n {
				f.Gates = append(f.Gates, receipt.Coverage{At: issued, Covered: 1, Total: 1})
			}
			return f
		}},
		{"scopes", receipt.ScopesMax, func(n int) receipt.Statement {
			f := freeze()
			f.Scope = nil
			for range n {
				f.Scope = append(f.Scope, "transit")
			}
			return f
		}},
		{"buckets", receipt.BucketsMax, func(n int) receipt.Statement {
			d := day()
			d.Buckets = nil
			for i := range n {
				d.Buckets = append(d.Buckets, receipt.Bucket{Bucket: uint64(i), First: 1})
			}
			return d
		}},
		{"totals", receipt.TotalsMax, func(n int) receipt.Statement {
			d := day()
			d.Totals = nil
			for i := range n {
				d.Totals = append(d.Totals, receipt.Total{Name: fmt.Sprintf("%04d", i)})
			}
			return d
		}},
		{"text", 256, func(n int) receipt.Statement {
			f := freeze()
			f.Actor = strings.Repeat("x", n)
			return f
		}},
		{"digits in a row", 15, func(n int) receipt.Statement {
			f := freeze()
			f.Actor = "no " + strings.Repeat("7", n) + " and 123456"
			return f
		}},
		{"digits of a masked number", 4, func(n int) receipt.Statement {
			f := freeze()
			f.Masked = "**" + strings.Repeat("7", n)
			return f
		}},
		{"masked number", 256, func(n int) receipt.Statement {
			f := freeze()
			f.Masked = strings.Repeat("*", n)
			return f
		}},
	} {
		b, err := receipt.Canonical(c.make(c.limit))
		if err != nil {
			t.Errorf("%s: %d: %v", c.name, c.limit, err)
			continue
		}
		if _, err := receipt.ParseStatement(b); err != nil {
			t.Errorf("%s: %d read back: %v", c.name, c.limit, err)
		}
		if _, err := receipt.Canonical(c.make(c.limit + 1)); !errors.Is(err, receipt.ErrStatement) {
			t.Errorf("%s: %d: %v", c.name, c.limit+1, err)
		}
	}
}

// TestListsAboveTheLimitAreNotRead: what no signer of ours makes is refused by its length.
func TestListsAboveTheLimitAreNotRead(t *testing.T) {
	f := freeze()
	f.Parties = []receipt.Party{{Name: "p"}}
	b, err := receipt.Canonical(f)
	if err != nil {
		t.Fatal(err)
	}
	const party = `{"effective_at":"","party":"p","received_at":""}`
	many := strings.Replace(string(b), party, strings.Repeat(party+",", receipt.PartiesMax)+party, 1)
	if _, err := receipt.ParseStatement([]byte(many)); !errors.Is(err, receipt.ErrNotCanonical) {
		t.Errorf("%v", err)
	}
}

// TestYears: 1970 to 9999 in UTC.
func TestYears(t *testing.T) {
	first := time.Unix(0, 0)
	last := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Millisecond)
	for at, ok := range map[time.Time]bool{first: true, first.Add(-time.Nanosecond): false,
		last: true, last.Add(time.Millisecond): false, {}: false} {
		f := freeze()
		f.IssuedAt = at
		b, err := receipt.Canonical(f)
		if ok != (err == nil) {
			t.Errorf("%v: %v", at, err)
		}
		if !ok {
			continue
		}
		back, err := receipt.ParseStatement(b)
		if err != nil || !back.Issued().Equal(at) {
			t.Errorf("%v: %v, %v", at, back, err)
		}
	}
}

// TestTimesAreUTC: the same moment has one encoding, whatever the zone and the nanoseconds.
func TestTimesAreUTC(t *testing.T) {
	want, err := receipt.Canonical(freeze())
	if err != nil {
		t.Fatal(err)
	}
	f := freeze()
	f.IssuedAt = f.IssuedAt.In(time.FixedZone("UTC+8", 8*3600)).Add(999 * time.Microsecond)
	if b, err := receipt.Canonical(f); err != nil || !bytes.Equal(b, want) {
		t.Errorf("%s, %v", b, err)
	}
}

// TestDates: days that exist, and no others.
func TestDates(t *testing.T) {
	for date, ok := range map[uint32]bool{20240229: true, 20230229: false, 20261231: true,
		20261232: false, 20260100: false, 20261301: false, 20260001: false, 19700101: true,
		19691231: false, 99991231: true, 100000101: false, 4294967295: false} {
		d := day()
		d.BusinessDate = date
		b, err := receipt.Canonical(d)
		if ok != (err == nil) {
			t.Errorf("%d: %v", date, err)
			continue
		}
		if !ok {
			continue
		}
		if back, err := receipt.ParseStatement(b); err != nil ||
			back.(*receipt.Day).BusinessDate != date {
			t.Errorf("%d read back: %v", date, err)
		}
	}
	b, err := receipt.Canonical(day())
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"2026-11-31", "2026-1-21", "20261121", "", "0000-01-01"} {
		in := strings.Replace(string(b), "2026-11-21\"", bad+"\"", 1)
		if s, err := receipt.ParseStatement([]byte(in)); err == nil {
			t.Errorf("%q: %v", bad, s)
		}
	}
}

// TestKeyIDs: every character that is allowed, and the neighbours of each range.
func TestKeyIDs(t *testing.T) {
	_, list := signers(t)
	key := list[0]
	for id, ok := range map[string]bool{
		"abcdefghijklmnopqrstuvwxyz": true, "ABCDEFGHIJKLMNOPQRSTUVWXYZ": true, "0123456789": true,
		"._:/-": true, "a": true, strings.Repeat("a", 128): true, strings.Repeat("a", 129): false,
		"": false, "`": false, "{": false, "@": false, "[": false, " ": false, ",": false, ";": false,
		"\n": false, "é": false, "a\x00": false,
	} {
		key.ID = id
		if _, err := receipt.NewKeys(key); ok != (err == nil) {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestKeysAtTheLimit: KeysMax keys are taken and found.
func TestKeysAtTheLimit(t *testing.T) {
	by, list := signers(t)
	keys := []receipt.Key{list[0]}
	for i := range receipt.KeysMax - 1 {
		k := list[1]
		k.ID = fmt.Sprintf("k%d", i)
		keys = append(keys, k)
	}
	if _, err := trust(t, keys...).Verify(seal(t, freeze(), by[0])); err != nil {
		t.Error(err)
	}
	b, err := receipt.EncodeKeys(keys)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := receipt.ParseKeys(b); err != nil || len(back) != receipt.KeysMax {
		t.Errorf("%d keys, %v", len(back), err)
	}
}

// TestWeekOfCertificates tells the auditor's work: a chain of days under a key that is changed
// half-way, with an overlap, verified from the envelopes and the key file alone.
func TestWeekOfCertificates(t *testing.T) {
	by, list := signers(t)
	change := issued.AddDate(0, 0, 3)
	list[0].NotBefore, list[0].NotAfter = time.Time{}, change
	list[1].NotBefore, list[1].NotAfter = change.AddDate(0, 0, -1), time.Time{}
	last := day()
	envelopes := [][]byte{seal(t, last, by[0])}
	for i := 1; i < 7; i++ {
		last = after(t, last, i)
		signer := by[0]
		if last.IssuedAt.After(change) {
			signer = by[1]
		}
		envelopes = append(envelopes, seal(t, last, signer))
	}
	keyFile, err := receipt.EncodeKeys(list)
	if err != nil {
		t.Fatal(err)
	}
	audit(t, envelopes, keyFile)
}

// after returns the certificate of the i-th day: three more records in each bucket.
func after(t *testing.T, last *receipt.Day, i int) *receipt.Day {
	t.Helper()
	d := next(t, last)
	d.IssuedAt = issued.AddDate(0, 0, i)
	d.BusinessDate = 20261121 + uint32(i)
	d.Buckets = nil
	for n, b := range last.Buckets {
		if n+1 < len(last.Buckets) && last.Buckets[n+1].Bucket == b.Bucket {
			continue // an epoch that has ended
		}
		d.Buckets = append(d.Buckets, receipt.Bucket{Bucket: b.Bucket, Epoch: b.Epoch,
			First: b.Last + 1, Last: b.Last + 3, Count: 3})
	}
	return d
}

func audit(t *testing.T, envelopes [][]byte, keyFile []byte) {
	t.Helper()
	list, err := receipt.ParseKeys(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	keys := trust(t, list...)
	var before *receipt.Day
	for i, b := range envelopes {
		d, err := keys.VerifyDay(b)
		if err != nil {
			t.Fatalf("day %d: %v", i, err)
		}
		if before != nil {
			if err := d.Follows(before); err != nil {
				t.Errorf("day %d: %v", i, err)
			}
		}
		before = d
	}
	if err := before.Follows(before); !errors.Is(err, receipt.ErrChain) {
		t.Errorf("a day follows itself: %v", err)
	}
}
