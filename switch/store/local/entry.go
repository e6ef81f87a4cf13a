package local

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The layout of a journal entry, little-endian: a head of fixed size, then state,
// record, list change and due changes one after the other.
//
//	0 size u32      4 flags u8    5 bucket u8   6 due count u8   7 zero
//	8 epoch u64    16 seq u64    24 date u32   28 next date u32
//	32 card [16]   48 version u64
//	56 state length u16  58 record length u16  60 list length u16  62 due length u16
const entryHead = 64

// The flags of an entry: which parts it has.
const (
	hasRecord   = 1 << iota // an outbox entry: epoch, seq and date are set
	hasState                // version is that of the state
	hasList                 // a change of the blacklist
	hasNextDate             // a day marker: the bucket's date from now on
	flagsEnd                // beyond the last
)

const (
	actorMax = 64  // bytes of store.Entry.Actor
	noteMax  = 128 // bytes of store.Entry.Note

	listHead = 22 // sequence u64, mark u32, since u64, actor length u8, note length u8
	dueHead  = 10 // remove u8, at u64, key length u8

	// entryMax bounds one encoded entry.
	entryMax = entryHead + store.StateMax + store.RecordMax + listHead + actorMax + noteMax +
		store.DueChangesMax*(dueHead+store.DueKeyMax)
)

var errEntry = errors.New("not a journal entry")

// entry is one commit as the journal has it. A decoded entry points into the bytes
// that it was decoded from.
type entry struct {
	flags    uint8
	bucket   txn.Bucket
	epoch    txn.Epoch
	seq      txn.Seq
	date     txn.BusinessDate
	nextDate txn.BusinessDate
	card     pan.Token
	version  uint64
	state    []byte
	record   []byte
	listSeq  store.ListSeq
	list     store.Entry
	due      []store.DueChange
}

func (e *entry) has(flag uint8) bool { return e.flags&flag != 0 }

func (e *entry) position() txn.Position {
	return txn.Position{Bucket: e.bucket, Epoch: e.epoch, Seq: e.seq}
}

// appendEntry appends the encoded entry.
func appendEntry(dst []byte, e *entry) []byte {
	at := len(dst)
	var head [entryHead]byte
	dst = append(dst, head[:]...)
	dst = append(dst, e.state...)
	dst = append(dst, e.record...)
	listAt := len(dst)
	if e.has(hasList) {
		dst = appendListChange(dst, e.listSeq, &e.list)
	}
	dueAt := len(dst)
	dst = appendDueChanges(dst, e.due)
	le, h := binary.LittleEndian, dst[at:at+entryHead]
	le.PutUint32(h, uint32(len(dst)-at))
	h[4], h[5], h[6] = e.flags, byte(e.bucket), byte(len(e.due))
	le.PutUint64(h[8:], uint64(e.epoch))
	le.PutUint64(h[16:], uint64(e.seq))
	le.PutUint32(h[24:], uint32(e.date))
	le.PutUint32(h[28:], uint32(e.nextDate))
	copy(h[32:48], e.card[:])
	le.PutUint64(h[48:], e.version)
	le.PutUint16(h[56:], uint16(len(e.state)))
	le.PutUint16(h[58:], uint16(len(e.record)))
	le.PutUint16(h[60:], uint16(dueAt-listAt))
	le.PutUint16(h[62:], uint16(len(dst)-dueAt))
	return dst
}

func appendListChange(dst []byte, seq store.ListSeq, e *store.Entry) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint64(dst, uint64(seq))
	return appendListEntry(dst, e)
}

// appendListEntry appends a blacklist entry; Pebble keeps it in the same form.
func appendListEntry(dst []byte, e *store.Entry) []byte {
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, e.Mark.Uint32())
	dst = le.AppendUint64(dst, uint64(e.Since))
	dst = append(dst, byte(len(e.Actor)), byte(len(e.Note)))
	dst = append(dst, e.Actor...)
	return append(dst, e.Note...)
}

func appendDueChanges(dst []byte, due []store.DueChange) []byte {
	for i := range due {
		d := &due[i]
		remove := byte(0)
		if d.Remove {
			remove = 1
		}
		dst = append(dst, remove)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(d.At))
		dst = append(dst, byte(len(d.Key)))
		dst = append(dst, d.Key...)
	}
	return dst
}

// decodeEntry reads the first entry of b into e and returns its size. Every length is
// checked against what is there; due changes are appended to e.due[:0].
func decodeEntry(b []byte, e *entry) (int, error) {
	le := binary.LittleEndian
	if len(b) < entryHead {
		return 0, fmt.Errorf("%w: %d bytes left", errEntry, len(b))
	}
	size := int(le.Uint32(b))
	stateLen, recordLen := int(le.Uint16(b[56:])), int(le.Uint16(b[58:]))
	listLen, dueLen := int(le.Uint16(b[60:])), int(le.Uint16(b[62:]))
	if size > len(b) || size != entryHead+stateLen+recordLen+listLen+dueLen {
		return 0, fmt.Errorf("%w: size %d", errEntry, size)
	}
	*e = entry{
		flags: b[4], bucket: txn.Bucket(b[5]),
		epoch: txn.Epoch(le.Uint64(b[8:])), seq: txn.Seq(le.Uint64(b[16:])),
		date:     txn.BusinessDate(le.Uint32(b[24:])),
		nextDate: txn.BusinessDate(le.Uint32(b[28:])),
		version:  le.Uint64(b[48:]), due: e.due[:0],
	}
	copy(e.card[:], b[32:48])
	rest := b[entryHead:size]
	e.state, rest = rest[:stateLen:stateLen], rest[stateLen:]
	e.record, rest = rest[:recordLen:recordLen], rest[recordLen:]
	if err := e.checkHead(b[7]); err != nil {
		return 0, err
	}
	if err := e.decodeList(rest[:listLen]); err != nil {
		return 0, err
	}
	return size, e.decodeDue(rest[listLen:], int(b[6]))
}

func (e *entry) checkHead(zero byte) error {
	switch {
	case zero != 0 || e.flags >= flagsEnd || e.bucket >= txn.BucketCount:
		return fmt.Errorf("%w: flags %#x, bucket %d", errEntry, e.flags, e.bucket)
	case len(e.state) > store.StateMax || len(e.record) > store.RecordMax:
		return fmt.Errorf("%w: state of %d, record of %d bytes", errEntry, len(e.state),
			len(e.record))
	case e.has(hasState) != (len(e.state) > 0) || e.has(hasState) != (e.version > 0):
		return fmt.Errorf("%w: state of %d bytes, version %d", errEntry, len(e.state), e.version)
	case e.has(hasRecord) != (len(e.record) > 0) || e.has(hasRecord) != (e.epoch > 0):
		return fmt.Errorf("%w: record of %d bytes, epoch %d", errEntry, len(e.record), e.epoch)
	case e.has(hasNextDate) != (e.nextDate > 0):
		return fmt.Errorf("%w: next date %d", errEntry, e.nextDate)
	}
	return nil
}

func (e *entry) decodeList(b []byte) error {
	if !e.has(hasList) {
		if len(b) != 0 {
			return fmt.Errorf("%w: %d bytes of list change", errEntry, len(b))
		}
		return nil
	}
	if len(b) < listHead {
		return fmt.Errorf("%w: list change of %d bytes", errEntry, len(b))
	}
	e.listSeq = store.ListSeq(binary.LittleEndian.Uint64(b))
	var err error
	e.list, err = decodeListEntry(b[8:])
	return err
}

func decodeListEntry(b []byte) (store.Entry, error) {
	le := binary.LittleEndian
	const head = listHead - 8
	if len(b) < head {
		return store.Entry{}, fmt.Errorf("%w: list entry of %d bytes", errEntry, len(b))
	}
	actorLen, noteLen := int(b[12]), int(b[13])
	if len(b) != head+actorLen+noteLen || actorLen > actorMax || noteLen > noteMax {
		return store.Entry{}, fmt.Errorf("%w: list entry of %d bytes", errEntry, len(b))
	}
	mark := le.Uint32(b)
	if txn.MarkOf(mark).Uint32() != mark {
		return store.Entry{}, fmt.Errorf("%w: list mark %#x", errEntry, mark)
	}
	return store.Entry{
		Mark: txn.MarkOf(mark), Since: txn.Millis(le.Uint64(b[4:])),
		Actor: string(b[head : head+actorLen]), Note: string(b[head+actorLen:]),
	}, nil
}

func (e *entry) decodeDue(b []byte, count int) error {
	if count > store.DueChangesMax {
		return fmt.Errorf("%w: %d due changes", errEntry, count)
	}
	for range count {
		d, n := decodeDueChange(b)
		if n == 0 {
			return fmt.Errorf("%w: due changes cut short", errEntry)
		}
		e.due = append(e.due, d)
		b = b[n:]
	}
	if len(b) != 0 {
		return fmt.Errorf("%w: %d bytes after due changes", errEntry, len(b))
	}
	return nil
}

// decodeDueChange reads one due change and its size, 0 when there is none.
func decodeDueChange(b []byte) (store.DueChange, int) {
	if len(b) < dueHead {
		return store.DueChange{}, 0
	}
	end := dueHead + int(b[9])
	if b[0] > 1 || b[9] == 0 || b[9] > store.DueKeyMax || end > len(b) {
		return store.DueChange{}, 0
	}
	at := txn.Millis(binary.LittleEndian.Uint64(b[1:]))
	return store.DueChange{Key: b[dueHead:end:end], At: at, Remove: b[0] == 1}, end
}
