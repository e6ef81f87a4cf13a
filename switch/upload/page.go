package upload

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/switch/gate/frame"
)

// PageSize is how many numbers of a security module stand on one page.
const PageSize = 512

const (
	pageVersion = 1
	entrySize   = 10
	pageBytes   = 1 + PageSize*entrySize
)

// ErrStored reports a stored value of this package that cannot be read.
var ErrStored = errors.New("state of uploads cannot be read")

// Digest tells contents of records apart.
type Digest uint64

// DigestOf returns the digest of a whole record, as it was sent.
func DigestOf(r frame.Record) Digest {
	sum := sha256.Sum256(r)
	return Digest(binary.BigEndian.Uint64(sum[:]))
}

// TornDigest returns the digest of the torn record that a proved one is the proof of, 0 for
// another record.
func TornDigest(r frame.Record) Digest {
	if r.Flags()&frame.Proved == 0 {
		return 0
	}
	t := frame.Record(append([]byte(nil), r...))
	clear(t[56:60]) // the TAC
	binary.BigEndian.PutUint16(t[62:], r.Flags()&^frame.Proved|frame.Grey)
	return DigestOf(t)
}

// Entry is the fate of one number.
type Entry struct {
	Digest Digest
	Fate
}

// Page has the fates of PageSize numbers of one security module. The zero Page is empty.
type Page struct {
	Version uint64 // of the stored value
	Dirty   bool   // since it was read or stored
	entries [PageSize]Entry
}

// PageOf returns the number of the page that has a sequence number.
func PageOf(seq uint32) uint32 { return seq / PageSize }

// At returns what the page has of a sequence number.
func (p *Page) At(seq uint32) Entry { return p.entries[seq%PageSize] }

// Set writes the fate of a number.
func (p *Page) Set(seq uint32, e Entry) {
	if at := &p.entries[seq%PageSize]; *at != e {
		*at, p.Dirty = e, true
	}
}

// Append appends the stored form.
func (p *Page) Append(dst []byte) []byte {
	dst = append(slices.Grow(dst, pageBytes), pageVersion)
	for i := range p.entries {
		e := &p.entries[i]
		dst = binary.BigEndian.AppendUint64(dst, uint64(e.Digest))
		dst = append(dst, byte(e.State), byte(e.Reason))
	}
	return dst
}

// Read reads the stored form; nothing is an empty page.
func (p *Page) Read(b []byte, version uint64) error {
	*p = Page{Version: version}
	if version == 0 {
		return nil
	}
	if len(b) != pageBytes || b[0] != pageVersion {
		return fmt.Errorf("%w: page of %d bytes", ErrStored, len(b))
	}
	for i := range p.entries {
		at := b[1+i*entrySize:]
		p.entries[i] = Entry{Digest(binary.BigEndian.Uint64(at)), Fate{State(at[8]), Reason(at[9])}}
	}
	return nil
}

// Claim compares a record with what is known under its number. When it is new, or was Taken
// with the same content, fresh is true and the number is Taken now; else fate is the answer.
func (p *Page) Claim(seq uint32, d Digest) (fate Fate, fresh bool) {
	switch e := p.At(seq); {
	case e.State == Unknown:
		p.Set(seq, Entry{d, Fate{State: Taken}})
		return Fate{State: Taken}, true
	case e.Digest != d:
		return Fate{Held, Dispute}, false
	case e.State == Taken:
		return Fate{State: Taken}, true
	default:
		return Fate{Duplicate, e.Reason}, false
	}
}
