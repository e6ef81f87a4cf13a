package notice

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// documentVersion is the first byte of an encoded document. A reader refuses a greater one
// instead of guessing.
const documentVersion = 1

// Errors of DecodeDocument.
var (
	// ErrDocument reports bytes that are no document.
	ErrDocument = errors.New("not a notice document")
	// ErrVersion reports a document of a later version than this code knows.
	ErrVersion = errors.New("notice document of a later version")
)

// Flags of a document and of a row.
const (
	flagReady = 1 << 0
	flagLate  = 1 << 0
	flagDead  = 1 << 1
)

// AppendDocument appends the encoded document to dst: varints, with instants relative to
// the acceptance, so that a row of which little is known takes 20 bytes and its name.
func AppendDocument(dst []byte, d *Document) []byte {
	w := writer{b: append(dst, documentVersion), base: d.AcceptedAt}
	w.text(d.ID)
	w.b = append(w.b, byte(d.Kind), d.Part, d.Parts, flags(d.Ready, flagReady), byte(d.Reason))
	w.b = append(append(w.b, d.Card[:]...), d.Last4[:]...)
	w.number(uint64(d.Scope))
	w.text(d.Case)
	w.number(d.ListEpoch)
	w.number(uint64(d.AcceptedAt))
	w.text(d.Supersedes)
	w.policy(&d.Policy)
	w.instant(d.CreatedAt)
	w.instant(d.ClosedAt)
	w.number(uint64(len(d.Rows)))
	for i := range d.Rows {
		w.row(&d.Rows[i])
	}
	return w.b
}

func flags(set bool, bit byte) byte {
	if set {
		return bit
	}
	return 0
}

type writer struct {
	b    []byte
	base txn.Millis
}

func (w *writer) number(v uint64) { w.b = binary.AppendUvarint(w.b, v) }

func (w *writer) text(s string) {
	w.number(uint64(len(s)))
	w.b = append(w.b, s...)
}

// instant writes 0 as one byte, and any other relative to the base.
func (w *writer) instant(at txn.Millis) {
	if at == 0 {
		w.b = append(w.b, 0)
		return
	}
	delta := int64(at - w.base)
	w.number(uint64(delta<<1^delta>>63) + 1)
}

func (w *writer) policy(p *Policy) {
	for _, d := range []time.Duration{p.Window, p.RetryFirst, p.RetryMax, p.GiveUp} {
		w.number(uint64(millis(d)))
	}
	w.number(uint64(len(p.Alarms)))
	for _, a := range p.Alarms {
		w.number(uint64(millis(a)))
	}
	w.text(p.Clause)
}

func (w *writer) row(r *Row) {
	w.text(r.Party)
	w.b = append(w.b, byte(r.Channel), byte(r.Answer), byte(r.Proof), byte(r.EffectProof),
		flags(r.Late, flagLate)|flags(r.Dead, flagDead), r.Alarms)
	w.number(uint64(r.Tries))
	w.number(uint64(r.Contradictions))
	for _, at := range r.instants() {
		w.instant(*at)
	}
	for _, s := range r.texts() {
		w.text(*s.s)
	}
}

// instants are the instants of a row in the order of the encoding. Append only.
func (r *Row) instants() [8]*txn.Millis {
	return [8]*txn.Millis{&r.TriedAt, &r.Next, &r.SentFirst, &r.SentLast, &r.Received,
		&r.Effective, &r.AnsweredAt, &r.Superseded}
}

// boundedText is a text of a row and its limit.
type boundedText struct {
	s   *string
	max int
}

// texts are the texts of a row in the order of the encoding. Append only.
func (r *Row) texts() [4]boundedText {
	return [4]boundedText{{&r.Failure, FailureMax}, {&r.ReceivedBy, ByMax},
		{&r.EffectiveBy, ByMax}, {&r.Note, NoteMax}}
}

// DecodeDocument reads what AppendDocument wrote. It returns ErrVersion for a later
// version and ErrDocument for anything else, and never reads past a limit.
func DecodeDocument(b []byte) (*Document, error) {
	if len(b) > 0 && b[0] > documentVersion {
		return nil, fmt.Errorf("%w: %d, this program knows %d", ErrVersion, b[0], documentVersion)
	}
	r := reader{b: b}
	r.byte()
	d := &Document{}
	d.ID = r.text(IDMax)
	d.Kind, d.Part, d.Parts = Kind(r.byte()), r.byte(), r.byte()
	d.Ready, d.Reason = r.byte()&flagReady != 0, txn.FreezeReason(r.byte())
	copy(d.Card[:], r.bytes(len(d.Card)))
	copy(d.Last4[:], r.bytes(len(d.Last4)))
	d.Scope, d.Case, d.ListEpoch = txn.App(r.number()), r.text(CaseMax), r.number()
	d.AcceptedAt = txn.Millis(r.number())
	r.base = d.AcceptedAt
	d.Supersedes = r.text(IDMax)
	d.Policy = r.policy()
	d.CreatedAt, d.ClosedAt = r.instant(), r.instant()
	for n := r.count(RowsMax); n > 0 && !r.bad; n-- {
		d.Rows = append(d.Rows, r.row())
	}
	if r.bad || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: %d bytes, damaged %d before the end", ErrDocument,
			len(b), len(r.b))
	}
	return d, nil
}

// reader reads a document; bad once anything was wrong, and zeros from then on.
type reader struct {
	b    []byte
	base txn.Millis
	bad  bool
}

func (r *reader) fail() {
	r.bad = true
}

func (r *reader) bytes(n int) []byte {
	if r.bad || len(r.b) < n {
		r.fail()
		return nil
	}
	head := r.b[:n]
	r.b = r.b[n:]
	return head
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) count(max int) int {
	n := r.number()
	if n > uint64(max) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) text(max int) string { return string(r.bytes(r.count(max))) }

func (r *reader) instant() txn.Millis {
	v := r.number()
	if v == 0 {
		return 0
	}
	v--
	return r.base + txn.Millis(int64(v>>1)^-int64(v&1))
}

func (r *reader) duration() time.Duration {
	const max = uint64(1<<63-1) / uint64(time.Millisecond)
	v := r.number()
	if v > max {
		r.fail()
		return 0
	}
	return time.Duration(v) * time.Millisecond
}

func (r *reader) policy() Policy {
	p := Policy{Window: r.duration(), RetryFirst: r.duration(), RetryMax: r.duration(),
		GiveUp: r.duration()}
	for n := r.count(AlarmsMax); n > 0; n-- {
		p.Alarms = append(p.Alarms, r.duration())
	}
	p.Clause = r.text(ClauseMax)
	return p
}

func (r *reader) row() Row {
	row := Row{Party: r.text(NameMax), Channel: Channel(r.byte()), Answer: Answer(r.byte()),
		Proof: Proof(r.byte()), EffectProof: Proof(r.byte())}
	bits := r.byte()
	row.Late, row.Dead = bits&flagLate != 0, bits&flagDead != 0
	row.Alarms = r.byte()
	row.Tries, row.Contradictions = uint32(r.number()), uint16(r.number())
	for _, at := range row.instants() {
		*at = r.instant()
	}
	for _, s := range row.texts() {
		*s.s = r.text(s.max)
	}
	return row
}
