package card

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The first byte of an encoded state. A reader refuses others: a state that it cannot read
// must not be overwritten. A state with a life has livedVersion: the count of its bank
// transactions is always there, and the life follows them. One whose rides matter has
// riddenVersion: then come its parts, those of them that are there, each by itself.
const (
	stateVersion  = 1
	livedVersion  = 2
	riddenVersion = 3
)

// The parts of a state of riddenVersion.
const (
	partLife = 1 << iota
	partRides
	partUndo
	partCodes
	partCredit
	partLease
	partsEnd
)

// partsRidden are those parts that make a state one of riddenVersion.
const partsRidden = partsEnd - 1 - partLife

// ErrState reports bytes that are no encoded state of a known version.
var ErrState = errors.New("card state cannot be read")

const (
	flagReversed = 1 << iota
	flagTombstone
	flagUndoable
	flagGate
)

// Append appends s in its encoded form: varints, little more than what is set.
func (s *State) Append(dst []byte) []byte {
	version := byte(stateVersion)
	if s.Life != (Life{}) {
		version = livedVersion
	}
	if len(s.Rides) > 0 || s.Undo.Set || !s.Codes.empty() || s.Credit != (Credit{}) ||
		s.Lease != (lease.Lease{}) {
		version = riddenVersion
	}
	dst = append(dst, version, byte(s.Status), byte(s.Rider))
	dst = append(dst, s.Last4[:]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(s.Apps))
	dst = binary.BigEndian.AppendUint16(dst, uint16(s.Currency))
	dst = appendText(dst, s.Issuer, IssuerMax)
	dst = binary.AppendVarint(dst, int64(s.ExpiresAt))
	dst = binary.AppendVarint(dst, int64(s.Balance))
	dst = binary.AppendUvarint(dst, uint64(s.Counter.High))
	dst = binary.AppendUvarint(dst, s.Counter.Bits)
	dst = s.Journey.append(dst)
	dst = binary.AppendVarint(dst, int64(s.Floor))
	dst = append(dst, byte(len(s.Recent)))
	for i := range s.Recent {
		dst = s.Recent[i].append(dst)
	}
	if version == stateVersion {
		return s.appendBank(dst)
	}
	if len(s.Bank) == 0 {
		dst = append(dst, 0)
	}
	dst = s.appendBank(dst)
	if version == riddenVersion {
		return s.appendParts(dst)
	}
	return s.Life.append(dst)
}

func (s *State) appendParts(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, 0)
	if s.Life != (Life{}) {
		dst[at] |= partLife
		dst = s.Life.append(dst)
	}
	if len(s.Rides) > 0 {
		dst[at] |= partRides
		dst = appendRides(dst, s.Rides)
	}
	if s.Undo.Set {
		dst[at] |= partUndo
		dst = appendRides(s.Undo.Journey.append(dst), s.Undo.Rides)
	}
	if !s.Codes.empty() {
		dst[at] |= partCodes
		dst = s.Codes.append(dst)
	}
	if s.Credit != (Credit{}) {
		dst[at] |= partCredit
		dst = s.Credit.append(dst)
	}
	if s.Lease != (lease.Lease{}) {
		dst[at] |= partLease
		dst = appendLease(dst, &s.Lease)
	}
	return dst
}

func appendRides(dst, rides []byte) []byte {
	if len(rides) > RidesMax {
		panic(fmt.Sprintf("card: internal error: rides of %d bytes, limit %d", len(rides), RidesMax))
	}
	return append(binary.AppendUvarint(dst, uint64(len(rides))), rides...)
}

func (j *Journey) append(dst []byte) []byte {
	dst = binary.AppendVarint(dst, int64(j.EnteredAt))
	if j.Open() {
		dst = appendText(dst, j.Station, PlaceNameMax)
		dst = appendText(dst, j.Line, PlaceNameMax)
		dst = appendText(dst, j.Operator, PlaceNameMax)
		dst = j.Request.AppendBinary(dst)
	}
	return dst
}

func (r *Recent) append(dst []byte) []byte {
	dst = r.ID.AppendBinary(dst)
	dst = append(dst, r.Fingerprint[:]...)
	dst = append(dst, byte(r.Kind), byte(r.Reason), r.flags())
	dst = binary.AppendVarint(dst, int64(r.ServiceAt))
	dst = binary.AppendVarint(dst, int64(r.FullFare))
	dst = binary.AppendVarint(dst, int64(r.Charged))
	dst = binary.AppendVarint(dst, int64(r.BalanceAfter))
	dst = binary.AppendVarint(dst, int64(r.Refunded))
	dst = binary.AppendVarint(dst, int64(r.DecidedAt-r.ServiceAt))
	if r.Kind == txn.Refund {
		dst = append(dst, r.RefundOf[:]...)
	}
	if r.Gate != (txn.TerminalID{}) {
		dst = append(dst, r.Gate[:]...)
	}
	return dst
}

func (r *Recent) flags() byte {
	var f byte
	if r.Reversed {
		f |= flagReversed
	}
	if r.Tombstone {
		f |= flagTombstone
	}
	if r.Undoable {
		f |= flagUndoable
	}
	if r.Gate != (txn.TerminalID{}) {
		f |= flagGate
	}
	return f
}

// appendText appends s, cut to limit bytes: the edge refuses longer names, and a state
// must stay readable and within the store's limit whatever it did not refuse.
func appendText(dst []byte, s string, limit int) []byte {
	s = s[:min(len(s), limit)]
	return append(append(dst, byte(len(s))), s...)
}

// Decode reads an encoded state into s, reusing s.Recent, s.Bank and the bytes of rides. It keeps nothing of b. On
// ErrState s is undefined.
func (s *State) Decode(b []byte) error {
	d := reader{b: b}
	version := d.byte()
	if version < stateVersion || version > riddenVersion {
		return fmt.Errorf("%w: version %d, known %d", ErrState, version, riddenVersion)
	}
	recent, bank, issuer := s.Recent[:0], s.Bank[:0], s.Issuer
	rides, before, codes := s.Rides[:0], s.Undo.Rides[:0], s.Codes.Used[:0]
	*s = State{Status: Status(d.byte()), Rider: txn.RiderCategory(d.byte())}
	copy(s.Last4[:], d.take(len(s.Last4)))
	s.Apps = txn.App(d.uint16())
	s.Currency = txn.Currency(d.uint16())
	s.Issuer = d.textLike(issuer)
	s.ExpiresAt = txn.Millis(d.varint())
	s.Balance = txn.Minor(d.varint())
	s.Counter = CounterWindow{High: uint32(d.uvarint()), Bits: d.uvarint()}
	s.Journey = d.journey()
	s.Floor = txn.Millis(d.varint())
	for n := d.byte(); n > 0 && !d.bad; n-- {
		recent = append(recent, Recent{})
		d.recent(&recent[len(recent)-1])
	}
	s.Recent, s.Bank = recent, bank
	s.Rides, s.Undo.Rides = rides, before
	d.banks(s, version)
	if version == livedVersion {
		s.Life = d.life()
	}
	if version == riddenVersion {
		d.parts(s, codes)
	}
	if d.bad || len(d.b) != 0 || s.Status == StatusNone || s.Status >= statusEnd {
		return fmt.Errorf("%w: %d bytes", ErrState, len(b))
	}
	return nil
}

// banks reads the memory of bank transactions; only a state of the first version may lack it.
func (d *reader) banks(s *State, version byte) {
	if len(d.b) == 0 || d.bad {
		return
	}
	for n := d.byte(); n > 0 && !d.bad; n-- {
		last := &BankTxn{} // of the state that was here before, for the first
		if i := len(s.Bank); i > 0 {
			last = &s.Bank[i-1]
		} else if cap(s.Bank) > 0 {
			last = &s.Bank[:1][0]
		}
		s.Bank = append(s.Bank, d.bank(last))
	}
	d.bad = d.bad || len(s.Bank) == 0 && version == stateVersion
}

// parts reads what a state of riddenVersion ends with.
func (d *reader) parts(s *State, codes []int64) {
	parts := d.byte()
	d.bad = d.bad || parts >= partsEnd || parts&partsRidden == 0
	if parts&partLife != 0 {
		s.Life = d.life()
		d.bad = d.bad || s.Life == Life{}
	}
	if parts&partRides != 0 {
		s.Rides = d.rides(s.Rides)
		d.bad = d.bad || len(s.Rides) == 0
	}
	if parts&partUndo != 0 {
		s.Undo.Set, s.Undo.Journey = true, d.journey()
		j := &s.Undo.Journey
		d.bad = d.bad || max(len(j.Station), len(j.Line), len(j.Operator)) > PlaceNameMax
		s.Undo.Rides = d.rides(s.Undo.Rides)
	}
	if parts&partCodes != 0 {
		s.Codes = d.codes(codes)
	}
	if parts&partCredit != 0 {
		s.Credit = d.credit()
		d.bad = d.bad || s.Credit == Credit{}
	}
	if parts&partLease != 0 {
		s.Lease = d.lease()
	}
}

func (d *reader) rides(dst []byte) []byte {
	n := d.uvarint()
	if n > RidesMax {
		d.bad, d.b = true, nil
		return dst
	}
	return append(dst, d.take(int(n))...)
}

func (d *reader) journey() (j Journey) {
	j.EnteredAt = txn.Millis(d.varint())
	if j.Open() {
		j.Station, j.Line, j.Operator = d.text(), d.text(), d.text()
		j.Request = d.requestID()
	}
	return j
}

// reader takes values off b; once something is missing, bad sticks and the rest
// reads as zero.
type reader struct {
	b   []byte
	bad bool
}

func (d *reader) take(n int) []byte {
	if len(d.b) < n {
		d.bad, d.b = true, nil
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *reader) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *reader) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// uvarint reads a number. Most are of one byte: counts, amounts of nothing, times apart.
func (d *reader) uvarint() uint64 {
	if b := d.b; len(b) > 0 && b[0] < 0x80 {
		d.b = b[1:]
		return uint64(b[0])
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *reader) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (d *reader) text() string { return string(d.take(int(d.byte()))) }

func (d *reader) requestID() txn.RequestID {
	if b := d.take(txn.RequestIDSize); b != nil {
		return txn.DecodeRequestID(b)
	}
	return txn.RequestID{}
}

// recentFixed is the length of what every remembered request begins with: id,
// fingerprint, kind, reason and flags.
const recentFixed = txn.RequestIDSize + len(txn.Fingerprint{}) + 3

// recent reads a request into r, which is zero.
func (d *reader) recent(r *Recent) {
	b := d.take(recentFixed)
	if b == nil {
		return
	}
	r.ID = txn.DecodeRequestID(b)
	b = b[copy(r.Fingerprint[:], b[txn.RequestIDSize:])+txn.RequestIDSize:]
	r.Kind, r.Reason = txn.Kind(b[0]), txn.Reason(b[1])
	r.Reversed, r.Tombstone = b[2]&flagReversed != 0, b[2]&flagTombstone != 0
	r.Undoable = b[2]&flagUndoable != 0
	gate := b[2]&flagGate != 0
	r.ServiceAt = txn.Millis(d.varint())
	r.FullFare = txn.Minor(d.varint())
	r.Charged = txn.Minor(d.varint())
	r.BalanceAfter = txn.Minor(d.varint())
	r.Refunded = txn.Minor(d.varint())
	r.DecidedAt = r.ServiceAt + txn.Millis(d.varint())
	if r.Kind == txn.Refund {
		copy(r.RefundOf[:], d.take(len(r.RefundOf)))
	}
	if gate {
		copy(r.Gate[:], d.take(len(r.Gate)))
		d.bad = d.bad || r.Gate == txn.TerminalID{}
	}
}
