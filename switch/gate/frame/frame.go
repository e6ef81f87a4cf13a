// Package frame is the binary form in which a gate uploads what it served off line: a header
// and records of one size, beside the same as JSON. It owns the layout, version 1:
//
//	header, 88 bytes              record, 128 bytes
//	 0  4 magic "TSUF"             0  1 kind: 1 purchase, 2 bus, 3 entry, 4 exit
//	 4  1 version                  1  1 TTI (purse transaction type)
//	 5  1 flags, zero              2 10 card number, BCD, zeros to the left
//	 6  2 header length           12  1 digits of the card number
//	 8  2 record length           13  1 card class
//	10  2 zero                    14  8 issuer id
//	12 12 terminal, ASCII         22  2 city      24  6 PSAM, BCD
//	24  4 boot                    30  4 termSeq   34  2 offline counter of the card
//	28  4 batch                   36  4 amount    40  4 full fare
//	32  4 records of the batch    44  4 balance before
//	36  4 offset of this frame    48  4 date      52  3 time, BCD, local
//	40  4 records of this frame   55  1 key version  56 4 TAC
//	44  8 number of the first     60  1 key index    61 1 algorithm
//	52  8 records since first     62  2 flags: 1 grey, 2 proved, 4 train fault,
//	60  8 sum since the first          8 station closed, 16 emergency release,
//	68  8 clock of the gate, ms        32 order waived, 64 time waived, 128 told
//	76  8 zero                    64  1 verdict of the gate, zero served
//	84  4 CRC-32C of all else     65  1 zero or ride  66  4 clock offset, s; MinInt32
//	                              unknown
//	                              70  8 list epoch
//	                              78  8 line     86 16 station, ASCII
//	                             102 16 entry station  118 4 entry time, Unix s
//	                             122  2 industry  124 4 zero or metres
//
// A record with the flag told says more of its ride than records could at first: byte 65 is the
// mode in its low four bits (0 that of the kind, 1 bus, 2 metro, 3 rail, 4 tram, 5 ferry) and 16
// for the business class, bytes 124 to 127 are the length in metres. Without the flag these are
// zero, as they were before there was one; who does not know the flag refuses the record.
//
// Integers are big-endian, amounts fen. The number of the first record, and records and sum
// since the first, are the gate's own counters: the last two include this frame's last record.
//
// Reading allocates nothing: a Frame and its Records are views of the bytes that they were
// made of and are good as long as these are. Everything is safe for concurrent reading. The
// package checks form and sum only; what a record is worth is decided elsewhere, and it never
// prints a card number.
package frame

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// Sizes of version 1.
const (
	Version    = 1
	HeaderSize = 88
	RecordSize = 128
	// RecordsMax is the most records of one frame; a longer batch is sent in parts.
	RecordsMax = 8000
	// SizeMax is the length of the longest frame.
	SizeMax = HeaderSize + RecordsMax*RecordSize
	// OffsetUnknown is the clock offset of a gate that does not know its own.
	OffsetUnknown = -1 << 31

	magic     = "TSUF"
	crcAt     = HeaderSize - 4
	nameMax   = 16 // bytes of a station
	lineMax   = 8  // bytes of a line
	cardBytes = 10
)

// ErrFrame reports bytes that are no frame; it names the field and never a digit of a card.
var ErrFrame = errors.New("not an upload frame")

// Flags of a record.
const (
	Grey       = 1 << iota // torn: the card's answer was not seen, there is no TAC
	Proved                 // a grey record with the TAC that GET TRANSACTION PROVE returned
	TrainFault             // degraded modes
	StationClosed
	EmergencyRelease
	OrderWaived
	TimeWaived
	Told // bytes 65 and 124 to 127 tell of the ride
	flagsEnd
)

// The classes of travel and the modes in a record that tells of its ride.
const (
	rideMode     = 0x0f
	rideBusiness = 0x10
	modeEnd      = 6
	// MetresMax is the longest ride that a record may tell of.
	MetresMax = 10_000_000
)

// Kinds of record.
const (
	Purchase = 1 + iota
	Bus
	Entry
	Exit
	kindEnd
)

// Header says who sends what, and what the gate has counted itself.
type Header struct {
	Terminal     string `json:"terminal"`
	Boot         uint32 `json:"boot"`
	Batch        uint32 `json:"batch"`
	BatchRecords uint32 `json:"batch_records"`
	Offset       uint32 `json:"offset"`
	First        uint64 `json:"first"`
	TotalRecords uint64 `json:"total_records"`
	TotalSum     uint64 `json:"total_sum"`
	SentAt       int64  `json:"sent_at"` // the gate's clock, Unix milliseconds
}

// Frame is a checked frame.
type Frame struct {
	Header
	body []byte
}

// Len returns the number of records.
func (f *Frame) Len() int { return len(f.body) / RecordSize }

// Record returns record i.
func (f *Frame) Record(i int) Record {
	return Record(f.body[i*RecordSize : (i+1)*RecordSize : (i+1)*RecordSize])
}

// Parse checks b and returns a view of it. It allocates the terminal's name only.
func Parse(b []byte) (Frame, error) {
	var f Frame
	be := binary.BigEndian
	switch {
	case len(b) < HeaderSize || len(b) > SizeMax:
		return f, fmt.Errorf("%w: %d bytes, want %d to %d", ErrFrame, len(b), HeaderSize, SizeMax)
	case string(b[:4]) != magic:
		return f, fmt.Errorf("%w: magic", ErrFrame)
	case b[4] != Version || be.Uint16(b[6:]) != HeaderSize || be.Uint16(b[8:]) != RecordSize:
		return f, fmt.Errorf("%w: version %d, known %d", ErrFrame, b[4], Version)
	case b[5] != 0 || be.Uint16(b[10:]) != 0 || be.Uint64(b[76:]) != 0:
		return f, fmt.Errorf("%w: a reserved field of the header is set", ErrFrame)
	}
	count := be.Uint32(b[40:])
	if count > RecordsMax || len(b) != HeaderSize+int(count)*RecordSize {
		return f, fmt.Errorf("%w: %d records in %d bytes", ErrFrame, count, len(b))
	}
	if sum(b) != be.Uint32(b[crcAt:]) {
		return f, fmt.Errorf("%w: CRC", ErrFrame)
	}
	f.Header = Header{
		Boot: be.Uint32(b[24:]), Batch: be.Uint32(b[28:]), BatchRecords: be.Uint32(b[32:]),
		Offset: be.Uint32(b[36:]), First: be.Uint64(b[44:]), TotalRecords: be.Uint64(b[52:]),
		TotalSum: be.Uint64(b[60:]), SentAt: int64(be.Uint64(b[68:])),
	}
	name, ok := text(b[12:24])
	f.Terminal, f.body = string(name), b[HeaderSize:]
	if !ok || len(name) == 0 {
		return f, fmt.Errorf("%w: terminal", ErrFrame)
	}
	return f, f.Header.check(int(count))
}

// check compares the header's counters with each other.
func (h *Header) check(count int) error {
	switch n := uint64(count); {
	case uint64(h.Offset)+n > uint64(h.BatchRecords):
		return fmt.Errorf("%w: offset %d and %d records exceed the batch's %d", ErrFrame,
			h.Offset, count, h.BatchRecords)
	case h.First == 0 || h.TotalRecords < n || h.First > h.TotalRecords-n+1:
		return fmt.Errorf("%w: first %d and %d records do not fit the gate's total %d", ErrFrame,
			h.First, count, h.TotalRecords)
	case h.TotalRecords > totalMax || h.TotalSum > totalMax:
		return fmt.Errorf("%w: a total is above 2^53", ErrFrame)
	default:
		return nil
	}
}

// totalMax bounds the gate's counters: what a JSON number holds exactly.
const totalMax = 1<<53 - 1

// sum is the CRC-32C of a frame without the field that holds it.
func sum(b []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(b[:crcAt], table), table, b[HeaderSize:])
}

// Begin appends a header whose count and CRC End sets.
func Begin(dst []byte, h *Header) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, HeaderSize)...)
	b, be := dst[at:], binary.BigEndian
	copy(b, magic)
	b[4] = Version
	be.PutUint16(b[6:], HeaderSize)
	be.PutUint16(b[8:], RecordSize)
	copy(b[12:24], h.Terminal)
	be.PutUint32(b[24:], h.Boot)
	be.PutUint32(b[28:], h.Batch)
	be.PutUint32(b[32:], h.BatchRecords)
	be.PutUint32(b[36:], h.Offset)
	be.PutUint64(b[44:], h.First)
	be.PutUint64(b[52:], h.TotalRecords)
	be.PutUint64(b[60:], h.TotalSum)
	be.PutUint64(b[68:], uint64(h.SentAt))
	return dst
}

// End sets count and CRC of the frame that b is.
func End(b []byte) []byte {
	binary.BigEndian.PutUint32(b[40:], uint32((len(b)-HeaderSize)/RecordSize))
	binary.BigEndian.PutUint32(b[crcAt:], sum(b))
	return b
}

// Record is a view of one record.
type Record []byte

// Kind is what was done: Purchase, Bus, Entry or Exit.
func (r Record) Kind() byte { return r[0] }

// TTI is the purse's transaction type.
func (r Record) TTI() byte { return r[1] }

// Serial is the card number in BCD, as key diversification takes it.
func (r Record) Serial() [10]byte { return [10]byte(r[2:12]) }

// Class is the card class of the scheme.
func (r Record) Class() byte { return r[13] }

// Issuer is the issuer id.
func (r Record) Issuer() [8]byte { return [8]byte(r[14:22]) }

// City is the city code of the issuer.
func (r Record) City() [2]byte { return [2]byte(r[22:24]) }

// PSAM is the number of the terminal's security module, BCD.
func (r Record) PSAM() [6]byte { return [6]byte(r[24:30]) }

// TermSeq is the PSAM's transaction sequence number.
func (r Record) TermSeq() uint32 { return binary.BigEndian.Uint32(r[30:]) }

// Counter is the card's offline counter before the transaction.
func (r Record) Counter() uint16 { return binary.BigEndian.Uint16(r[34:]) }

// Amount is what the card paid, in fen.
func (r Record) Amount() uint32 { return binary.BigEndian.Uint32(r[36:]) }

// Fare is the fare before any discount, in fen.
func (r Record) Fare() uint32 { return binary.BigEndian.Uint32(r[40:]) }

// Before is the purse's balance before the transaction, in fen.
func (r Record) Before() uint32 { return binary.BigEndian.Uint32(r[44:]) }

// Date is the day by the scheme's local time, BCD YYYYMMDD.
func (r Record) Date() [4]byte { return [4]byte(r[48:52]) }

// Time is the time of day, BCD hhmmss.
func (r Record) Time() [3]byte { return [3]byte(r[52:55]) }

// KeyVersion is the version of the card's TAC key.
func (r Record) KeyVersion() byte { return r[55] }

// TAC is the transaction authentication code, zero for a grey record.
func (r Record) TAC() [4]byte { return [4]byte(r[56:60]) }

// KeyIndex is the index of the card's TAC key.
func (r Record) KeyIndex() byte { return r[60] }

// Algorithm is what the card says it computes with; it is not to be trusted.
func (r Record) Algorithm() byte { return r[61] }

// Flags are Grey, Proved and the degraded modes.
func (r Record) Flags() uint16 { return binary.BigEndian.Uint16(r[62:]) }

// Verdict is what the gate decided, zero for served.
func (r Record) Verdict() byte { return r[64] }

// ClockOffset is the gate's clock less the true time in seconds, OffsetUnknown when it does not know.
func (r Record) ClockOffset() int32 { return int32(binary.BigEndian.Uint32(r[66:])) }

// ListEpoch is the epoch of the blacklist that the gate held.
func (r Record) ListEpoch() uint64 { return binary.BigEndian.Uint64(r[70:]) }

// EntryAt is when a metro ride began, Unix seconds; zero for none.
func (r Record) EntryAt() uint32 { return binary.BigEndian.Uint32(r[118:]) }

// Mode is the means of transport: 0 is that of the kind, 1 to 5 are bus, metro, rail, tram, ferry.
func (r Record) Mode() byte { return r[65] & rideMode }

// Business reports whether the ride was of the business or first class.
func (r Record) Business() bool { return r[65]&rideBusiness != 0 }

// Metres is how long the ride was, 0 where the gate does not know.
func (r Record) Metres() uint32 { return binary.BigEndian.Uint32(r[124:]) }

// Degraded are the degraded modes among the flags, from bit 0: train fault, station closed,
// emergency release, order waived, time waived.
func (r Record) Degraded() byte { return byte(r.Flags() / TrainFault & degradedAll) }

const degradedAll = (TimeWaived<<1 - 1) / TrainFault

// told reports whether what the record tells of its ride can be: nothing without the flag, and
// something with it, so that each record has one form.
func (r Record) told() bool {
	if r.Flags()&Told == 0 {
		return r[65] == 0 && r.Metres() == 0
	}
	return r[65]&^(rideMode|rideBusiness) == 0 && r.Mode() < modeEnd && r.Metres() <= MetresMax &&
		(r[65] != 0 || r.Metres() != 0)
}

// Industry is the industry code of CJ/T 166 cards.
func (r Record) Industry() [2]byte { return [2]byte(r[122:124]) }

// Line returns the line without padding, a view.
func (r Record) Line() []byte { return trimmed(r[78:86]) }

// Station returns the station or the vehicle without padding, a view.
func (r Record) Station() []byte { return trimmed(r[86:102]) }

// EntryStation returns where a metro ride began, a view.
func (r Record) EntryStation() []byte { return trimmed(r[102:118]) }

// Region is city and industry, as key diversification takes them.
func (r Record) Region() [4]byte { return [4]byte{r[22], r[23], r[122], r[123]} }

// Number returns the card number, which cannot be printed.
func (r Record) Number() (pan.Number, error) {
	var digits [2 * cardBytes]byte
	for i, b := range r[2 : 2+cardBytes] {
		digits[2*i], digits[2*i+1] = '0'+b>>4, '0'+b&15
	}
	n := min(int(r[12]), len(digits))
	return pan.Parse(string(digits[len(digits)-n:]))
}

// Check reports the first field of a record that cannot be: decided is left to others.
func (r Record) Check() error {
	switch {
	case r.Kind() == 0 || r.Kind() >= kindEnd:
		return fmt.Errorf("%w: kind %d", ErrFrame, r.Kind())
	case r.Flags() >= flagsEnd || !r.told():
		return fmt.Errorf("%w: a reserved field of the record is set", ErrFrame)
	case !decimal(r[24:30]) || !decimal(r[2:12]) || !leading(r[2:12], int(r[12])):
		return fmt.Errorf("%w: PSAM or card is no number", ErrFrame)
	case !date(r[48:55]):
		return fmt.Errorf("%w: date or time", ErrFrame)
	case r.Flags()&Grey != 0 && (r.Flags()&Proved != 0 || r.TAC() != [4]byte{}):
		return fmt.Errorf("%w: a grey record with a TAC", ErrFrame)
	case r.Kind() == Entry && r.Amount() != 0 || r.Fare() < r.Amount():
		return fmt.Errorf("%w: amount", ErrFrame)
	}
	for _, f := range [...][]byte{r[78:86], r[86:102], r[102:118]} {
		if _, ok := text(f); !ok {
			return fmt.Errorf("%w: a name is no printable ASCII", ErrFrame)
		}
	}
	return nil
}

// leading reports whether all but the last digits of b are zero.
func leading(b []byte, digits int) bool {
	for i := range 2*len(b) - digits {
		nibble := b[i/2] >> 4
		if i%2 == 1 {
			nibble = b[i/2] & 15
		}
		if nibble != 0 {
			return false
		}
	}
	return digits >= 8 && digits <= 2*len(b)
}

func decimal(b []byte) bool {
	for _, v := range b {
		if v > 0x99 || v&15 > 9 {
			return false
		}
	}
	return true
}

// date reports whether b is a day and a time of day; months are not told apart.
func date(b []byte) bool {
	return decimal(b) && b[0] >= 0x19 && b[2] >= 1 && b[2] <= 0x12 && b[3] >= 1 &&
		b[3] <= 0x31 && b[4] < 0x24 && b[5] < 0x60 && b[6] < 0x60
}

func trimmed(b []byte) []byte {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}

// text returns b without padding, and whether it is printable ASCII.
func text(b []byte) ([]byte, bool) {
	b = trimmed(b)
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return b, false
		}
	}
	return b, true
}
