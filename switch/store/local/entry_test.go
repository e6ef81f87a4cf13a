package local

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// sampleEntries are entries of every shape, the last as large as can be.
func sampleEntries() []entry {
	card := pan.Token{1, 2, 3, 15: 16}
	lost := store.Entry{Mark: txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}, Since: 5,
		Actor: "desk", Note: "挂失"}
	full := entry{flags: hasRecord | hasState | hasList | hasNextDate, bucket: 63,
		epoch: 1 << 40, seq: 1 << 50, date: 20261121, nextDate: 20261122, card: card,
		version: 1 << 60, state: bytes.Repeat([]byte{1}, store.StateMax),
		record: bytes.Repeat([]byte{2}, store.RecordMax), listSeq: 9, list: lost}
	full.list.Actor, full.list.Note = strings.Repeat("a", actorMax), strings.Repeat("n", noteMax)
	for i := range store.DueChangesMax {
		full.due = append(full.due, store.DueChange{At: txn.Millis(i), Remove: i%2 == 0,
			Key: bytes.Repeat([]byte{byte(i)}, store.DueKeyMax)})
	}
	return []entry{
		{flags: hasState, bucket: 1, card: card, version: 1, state: []byte("s")},
		{flags: hasRecord, bucket: 2, epoch: 3, record: []byte("marker")},
		{flags: hasList, card: card, listSeq: 1, list: lost},
		{flags: hasList, card: card, listSeq: 2},
		{bucket: 5, due: []store.DueChange{{Key: []byte("k"), At: -1}}},
		full,
	}
}

func TestEntryRoundTrip(t *testing.T) {
	var all []byte
	for _, want := range sampleEntries() {
		b := appendEntry([]byte("head"), &want)[4:]
		all = append(all, b...)
		var got entry
		n, err := decodeEntry(append(bytes.Clone(b), "rest"...), &got)
		if err != nil || n != len(b) || n > entryMax {
			t.Fatalf("%d of %d bytes: %v", n, len(b), err)
		}
		if len(got.state) == 0 {
			got.state = nil
		}
		if len(got.record) == 0 {
			got.record = nil
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		for cut := range b {
			if _, err := decodeEntry(b[:cut], &got); err == nil {
				t.Fatalf("%d of %d bytes are an entry", cut, len(b))
			}
		}
	}
	if n := len(appendEntry(nil, &sampleEntries()[5])); n != entryMax {
		t.Fatalf("the largest entry has %d bytes, entryMax is %d", n, entryMax)
	}
	_ = all
}

// TestEntryRefused: what contradicts itself is no entry.
func TestEntryRefused(t *testing.T) {
	full := sampleEntries()[5]
	f := func(what string, change func(b []byte)) {
		t.Helper()
		b := appendEntry(nil, &full)
		change(b)
		var e entry
		if _, err := decodeEntry(b, &e); err == nil {
			t.Errorf("%s: decoded", what)
		}
	}
	le := binary.LittleEndian
	f("size", func(b []byte) { le.PutUint32(b, uint32(len(b)-1)) })
	f("size beyond", func(b []byte) { le.PutUint32(b, 1<<31) })
	f("flags", func(b []byte) { b[4] |= flagsEnd })
	f("no state", func(b []byte) { b[4] &^= hasState })
	f("no record", func(b []byte) { b[4] &^= hasRecord })
	f("no list", func(b []byte) { b[4] &^= hasList })
	f("no next date", func(b []byte) { b[4] &^= hasNextDate })
	f("bucket", func(b []byte) { b[5] = 64 })
	f("due count", func(b []byte) { b[6]-- })
	f("due count beyond", func(b []byte) { b[6] = 255 })
	f("zero", func(b []byte) { b[7] = 1 })
	f("version", func(b []byte) { le.PutUint64(b[48:], 0) })
	f("state length", func(b []byte) { le.PutUint16(b[56:], store.StateMax+1) })
	f("lengths shifted", func(b []byte) {
		le.PutUint16(b[56:], store.StateMax-1)
		le.PutUint16(b[58:], store.RecordMax+1)
	})
	list := entryHead + store.StateMax + store.RecordMax
	f("mark", func(b []byte) { b[list+8+3] = 1 })
	f("actor length", func(b []byte) { b[list+20]++ })
	f("note length", func(b []byte) { b[list+21]++; b[list+20]-- })
	due := list + listHead + actorMax + noteMax
	f("due remove", func(b []byte) { b[due] = 2 })
	f("due key length", func(b []byte) { b[due+9] = 0 })
	f("due key beyond", func(b []byte) { b[due+9] = store.DueKeyMax + 1 })
}

// FuzzEntry: no input panics or is read beyond its end, and what decodes encodes to
// the same bytes.
func FuzzEntry(f *testing.F) {
	for _, e := range sampleEntries() {
		f.Add(appendEntry(nil, &e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e entry
		n, err := decodeEntry(b, &e)
		if err != nil {
			return
		}
		if again := appendEntry(nil, &e); !bytes.Equal(again, b[:n]) {
			t.Fatalf("%x encodes to %x", b[:n], again)
		}
	})
}

// FuzzBatch: no input is taken for a batch but one that was sealed.
func FuzzBatch(f *testing.F) {
	is := batchInfo{store: 7, segment: 3, lsn: 9, entries: 1}
	body := append(make([]byte, batchHead), "body"...)
	f.Add(sealBatch(body, is))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := openBatch(b, 7, 3)
		if !ok {
			return
		}
		if again := sealBatch(bytes.Clone(b[:got.size]), got); !bytes.Equal(again, b[:len(again)]) {
			t.Fatalf("batch %+v was not sealed like this", got)
		}
	})
}

func FuzzListEntry(f *testing.F) {
	lost := store.Entry{Mark: txn.Mark{Reason: txn.Lost}, Actor: "a", Note: "n"}
	f.Add(appendListEntry(nil, &lost))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := decodeListEntry(b); err == nil && !bytes.Equal(appendListEntry(nil, &e), b) {
			t.Fatalf("%x is %+v", b, e)
		}
	})
}

func FuzzMeta(f *testing.F) {
	m := bucketMeta{date: 20261121, listSeq: 3, frozen: 1, outbox: numbering{
		last: txn.Position{Epoch: 2, Seq: 1}, appended: 5, settled: 2,
		spans: []span{{1, 0}, {2, 3}},
	}}
	f.Add(m.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMeta(3, b); err == nil && !bytes.Equal(m.append(nil), b) {
			t.Fatalf("%x is %+v", b, m)
		}
	})
}
