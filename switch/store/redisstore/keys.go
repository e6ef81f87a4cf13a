package redisstore

import (
	"encoding/binary"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// place is what lies in one slot: a bucket by its number, or the registry.
type place int

const (
	registryPlace place = txn.BucketCount
	placeCount          = txn.BucketCount + 1
)

// String returns the place's name, as in messages.
func (p place) String() string {
	if p == registryPlace {
		return "registry"
	}
	return txn.Bucket(p).String()
}

// bucketKeys are the keys of one bucket, except those of the cards.
type bucketKeys struct {
	meta    string // hash: epoch, date, list, confirmed, touched
	out     string // stream of records, ids epoch-seq, fields d (date) and r (record)
	frozen  string // hash: token (16 bytes) to encoded entry
	freezes string // stream of list changes, ids 0-seq, field c: token and mark
	due     string // sorted set: due key by time in milliseconds
	card    string // prefix of the cards' keys; the token in hexadecimal follows
}

// keySpace names every key once, so that nothing is formatted on the hot path.
type keySpace struct {
	bucket   [txn.BucketCount]bucketKeys
	registry string // hash: key to version (8 bytes) and value
}

func newKeySpace(prefix string) *keySpace {
	ks := &keySpace{registry: prefix + "{reg}:registry"}
	for b := range ks.bucket {
		tag := fmt.Sprintf("%s{%s}:", prefix, txn.Bucket(b))
		ks.bucket[b] = bucketKeys{meta: tag + "meta", out: tag + "out", frozen: tag + "frozen",
			freezes: tag + "freezes", due: tag + "due", card: tag + "c:"}
	}
	return ks
}

func (ks *keySpace) card(t pan.Token) string {
	return ks.bucket[txn.BucketOf(t)].card + t.String()
}

// key returns a key of the place, for the command that asks who serves its slot.
func (ks *keySpace) key(p place) string {
	if p == registryPlace {
		return ks.registry
	}
	return ks.bucket[p].meta
}

const (
	slotCount    = 16384
	versionSize  = 8
	markSize     = 4
	entryMinSize = markSize + 8 + 2
	changeSize   = pan.TokenSize + markSize
	actorMax     = 64
	noteMax      = 128
)

// slotOf returns the cluster slot of a place: CRC-16/XMODEM of its hash tag.
func slotOf(p place) int {
	tag := "reg"
	if p != registryPlace {
		tag = txn.Bucket(p).String()
	}
	crc := uint16(0)
	for i := range len(tag) {
		crc ^= uint16(tag[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return int(crc % slotCount)
}

// appendEntry appends an entry: mark, since, then actor and note behind their lengths.
// The mark stands first because the scripts compare it.
func appendEntry(dst []byte, e *store.Entry) []byte {
	dst = binary.BigEndian.AppendUint32(dst, e.Mark.Uint32())
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.Since))
	dst = append(dst, byte(len(e.Actor)))
	dst = append(dst, e.Actor...)
	dst = append(dst, byte(len(e.Note)))
	return append(dst, e.Note...)
}

// decodeEntry reads what appendEntry wrote.
func decodeEntry(b string) (store.Entry, error) {
	var e store.Entry
	if len(b) < entryMinSize {
		return e, fmt.Errorf("%w: blacklist entry of %d bytes", store.ErrDamaged, len(b))
	}
	e.Mark = markOf(b)
	e.Since = txn.Millis(binary.BigEndian.Uint64([]byte(b[markSize : markSize+8])))
	rest := b[markSize+8:]
	n := int(rest[0])
	if len(rest) < 2+n || len(rest) != 2+n+int(rest[1+n]) {
		return store.Entry{}, fmt.Errorf("%w: blacklist entry cut short", store.ErrDamaged)
	}
	e.Actor, e.Note = rest[1:1+n], rest[2+n:]
	return e, nil
}

// markOf reads the mark that begins b; an empty b is a card that is not listed.
func markOf(b string) txn.Mark {
	if len(b) < markSize {
		return txn.Mark{}
	}
	return txn.MarkOf(uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]))
}

// decodeState splits a stored card into version and state. Empty is an absent card.
func decodeState(value string) (version uint64, state string, err error) {
	if value == "" {
		return 0, "", nil
	}
	if len(value) <= versionSize {
		return 0, "", fmt.Errorf("%w: card of %d bytes", store.ErrDamaged, len(value))
	}
	version = versionOf(value)
	if version == 0 {
		return 0, "", fmt.Errorf("%w: card of version 0", store.ErrDamaged)
	}
	return version, value[versionSize:], nil
}

func versionOf(b string) uint64 {
	v := uint64(0)
	for i := range versionSize {
		v = v<<8 | uint64(b[i])
	}
	return v
}

// versionBytes is how a version is stored and compared: absent (0) is no bytes.
func versionBytes(v uint64) string {
	if v == 0 {
		return ""
	}
	return string(binary.BigEndian.AppendUint64(nil, v))
}

// terminalReasons are the reason bytes that no change may undo, for the script.
func terminalReasons() string {
	var all []byte
	for r := range 256 {
		if txn.FreezeReason(r).Terminal() {
			all = append(all, byte(r))
		}
	}
	return string(all)
}
