package certificate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// offsets returns where each part begins in the file that assemble makes of them.
func offsets(parts []part) []int {
	at := len(assemble(nil))
	all := make([]int, 0, len(parts)+1)
	for _, p := range parts {
		all = append(all, at)
		at += len(binary.AppendUvarint(nil, uint64(len(p.encoded)))) + len(p.encoded) + len(p.link)
	}
	return append(all, at)
}

// firstBad returns what Verify names, and whether it is a record.
func firstBad(t *rapid.T, what string, err error) txn.Position {
	t.Helper()
	var bad *Bad
	if !errors.Is(err, ErrTampered) || !errors.As(err, &bad) {
		t.Fatalf("%s: %v, want a bad record", what, err)
	}
	return bad.Record
}

// TestAnyChangedByteNamesItsRecord: whatever single byte of a record, its length or its link is
// changed to whatever value, Verify names that record.
func TestAnyChangedByteNamesItsRecord(t *testing.T) {
	parts, file, day := build(t, dayOf(11, 400))
	begins := offsets(parts)
	if begins[len(parts)] != len(file) {
		t.Fatalf("the parts end at %d of %d", begins[len(parts)], len(file))
	}
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(begins[0], len(file)-1).Draw(t, "byte")
		damaged := bytes.Clone(file)
		damaged[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "xor"))
		k, found := slices.BinarySearch(begins, at)
		if !found {
			k--
		}
		_, err := Verify(bytes.NewReader(damaged), day)
		if got, want := firstBad(t, "flip", err), parts[k].record.Position; got != want {
			t.Fatalf("byte %d of record %d: %v names %s, want %s", at-begins[k], k, err, got, want)
		}
	})
}

// TestEveryByteOfOneRecordOfEachKind goes through one record of each kind byte by byte.
func TestEveryByteOfOneRecordOfEachKind(t *testing.T) {
	parts, file, day := build(t, dayOf(12, 600))
	begins := offsets(parts)
	seen := map[txn.Kind]bool{}
	for k, p := range parts {
		if seen[p.record.Kind] {
			continue
		}
		seen[p.record.Kind] = true
		for at := begins[k]; at < begins[k+1]; at++ {
			damaged := bytes.Clone(file)
			damaged[at] ^= 1
			_, err := Verify(bytes.NewReader(damaged), day)
			var bad *Bad
			if !errors.As(err, &bad) || bad.Record != p.record.Position {
				t.Errorf("%s, byte %d of %d: %v, want %s", p.record.Kind, at-begins[k], begins[k+1]-begins[k],
					err, p.record.Position)
			}
		}
	}
	if len(seen) < 6 {
		t.Errorf("%d kinds of records", len(seen))
	}
}

// TestAnyRecordRemovedIsNamed: one record or a run of them.
func TestAnyRecordRemovedIsNamed(t *testing.T) {
	parts, _, day := build(t, dayOf(13, 400))
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(parts)-1).Draw(t, "from")
		n := rapid.IntRange(1, min(90, len(parts)-at)).Draw(t, "n")
		_, err := Verify(bytes.NewReader(assemble(slices.Delete(slices.Clone(parts), at, at+n))), day)
		want := firstSigned(parts, at, at+n)
		if got := firstBad(t, "removed", err); got != want && got != parts[at].record.Position {
			t.Fatalf("%d from %d: %v names %s, want %s", n, at, err, got, want)
		}
	})
}

// firstSigned is the first of the parts that the certificate counts: the marker of an epoch has
// no number, and what a reader misses first is the record after it.
func firstSigned(parts []part, from, end int) txn.Position {
	for _, p := range parts[from:end] {
		if p.record.Position.Seq > 0 {
			return p.record.Position
		}
	}
	p := parts[from].record.Position
	p.Seq = 1
	return p
}

// TestAnyTwoRecordsSwappedNameTheFirst: a record that stands too early is where the file goes
// wrong, at the place of the one that should stand there.
func TestAnyTwoRecordsSwappedNameTheFirst(t *testing.T) {
	parts, _, day := build(t, dayOf(14, 400))
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.IntRange(0, len(parts)-2).Draw(t, "a")
		b := rapid.IntRange(a+1, len(parts)-1).Draw(t, "b")
		swapped := slices.Clone(parts)
		swapped[a], swapped[b] = swapped[b], swapped[a]
		_, err := Verify(bytes.NewReader(assemble(swapped)), day)
		got := firstBad(t, "swapped", err)
		if got != parts[a].record.Position && got != firstSigned(parts, a, a+1) {
			t.Fatalf("%d and %d: %v names %s, want %s", a, b, err, got, parts[a].record.Position)
		}
	})
}

// TestAnyRecordInsertedIsNamed: a copy of another record of the file, or a forged one with the
// position that is due and a link that fits nothing.
func TestAnyRecordInsertedIsNamed(t *testing.T) {
	parts, _, day := build(t, dayOf(15, 400))
	forger := warehousetest.NewChain(99)
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(parts)).Draw(t, "at")
		extra := parts[rapid.IntRange(0, len(parts)-1).Draw(t, "copy")]
		if rapid.Bool().Draw(t, "forged") {
			r := forger.Next(extra.record.Position.Bucket)
			r.Position, r.BusinessDate = extra.record.Position, extra.record.BusinessDate
			if at > 0 {
				r.Position = parts[at-1].record.Position
				r.Position.Seq++
			}
			extra = part{r, txn.AppendRecord(nil, &r), extra.link}
		}
		_, err := Verify(bytes.NewReader(assemble(slices.Insert(slices.Clone(parts), at, extra))), day)
		got := firstBad(t, "inserted", err)
		allowed := []txn.Position{extra.record.Position}
		if at < len(parts) {
			allowed = append(allowed, parts[at].record.Position, firstSigned(parts, at, at+1))
		}
		if at > 0 { // a copy of what is due next is good; the genuine one is then the second of it
			next := parts[at-1].record.Position
			next.Seq++
			allowed = append(allowed, next)
		}
		if bytes.Equal(extra.encoded, encodedAt(parts, at)) && at+1 < len(parts) {
			allowed = append(allowed, parts[at+1].record.Position, firstSigned(parts, at+1, at+2))
		}
		if !slices.Contains(allowed, got) {
			t.Fatalf("%s before %d: %v names %s, want one of %v", extra.record.Position, at, err, got, allowed)
		}
	})
}

func encodedAt(parts []part, i int) []byte {
	if i < len(parts) {
		return parts[i].encoded
	}
	return nil
}

// TestAnyFileThatVerifiesIsTheOne: nothing but the bytes that were certified passes, whatever a
// file is cut, repeated or spliced together of.
func TestAnyFileThatVerifiesIsTheOne(t *testing.T) {
	_, file, day := build(t, dayOf(16, 200))
	rapid.Check(t, func(t *rapid.T) {
		var other []byte
		for range rapid.IntRange(1, 3).Draw(t, "pieces") {
			from := rapid.IntRange(0, len(file)).Draw(t, "from")
			to := rapid.IntRange(from, len(file)).Draw(t, "to")
			other = append(other, file[from:to]...)
		}
		if _, err := Verify(bytes.NewReader(other), day); err == nil && !bytes.Equal(other, file) ||
			err != nil && !errors.Is(err, ErrTampered) {
			t.Fatalf("%d bytes pass for %d: %v", len(other), len(file), err)
		}
	})
}
