package purse

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Short ids and record lengths of a card's transaction files (JT/T 978).
const (
	DetailSFI  = 0x18
	DetailSize = 23
	TripSFI    = 0x1e
	TripSize   = 48
)

// Detail is a record of the card's transaction detail file, SFI 18h.
type Detail struct {
	Counter   uint16 // the card's counter of that class of transaction
	Overdraft uint32 // overdraft limit, fen, or reserved; 3 bytes
	Amount    uint32 // fen
	Type      Type
	Terminal  [6]byte
	Date      [4]byte // BCD YYYYMMDD
	Time      [3]byte // BCD HHMMSS
}

// isEmpty reports whether a record has never been written: all zeros or all ones.
func isEmpty(b []byte) bool {
	return (b[0] == 0 || b[0] == 0xff) &&
		!slices.ContainsFunc(b, func(v byte) bool { return v != b[0] })
}

// ParseDetail reads a record of SFI 18h, 23 bytes. It returns ErrEmpty for one that was
// never written, ErrRecord for other lengths and for a date or time that is none.
func ParseDetail(b []byte) (d Detail, err error) {
	if len(b) != DetailSize {
		return d, fmt.Errorf("%w: %d bytes, want %d", ErrRecord, len(b), DetailSize)
	}
	if isEmpty(b) {
		return d, ErrEmpty
	}
	d = Detail{
		Counter:   binary.BigEndian.Uint16(b),
		Overdraft: uint24(b[2:]),
		Amount:    binary.BigEndian.Uint32(b[5:]),
		Type:      Type(b[9]),
		Terminal:  [6]byte(b[10:16]),
		Date:      [4]byte(b[16:20]),
		Time:      [3]byte(b[20:23]),
	}
	if !isDate(d.Date) || !isTime(d.Time) {
		return Detail{}, fmt.Errorf("%w: its date or time does not exist", ErrRecord)
	}
	return d, nil
}

// Append appends the record to dst.
func (d *Detail) Append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, d.Counter)
	dst = append24(dst, d.Overdraft)
	dst = binary.BigEndian.AppendUint32(dst, d.Amount)
	dst = append(append(dst, byte(d.Type)), d.Terminal[:]...)
	return append(append(dst, d.Date[:]...), d.Time[:]...)
}

// TripType is the kind of a trip record.
type TripType uint8

// The kinds. A single tap is one or the other by the card's maker.
const (
	TripSingle    TripType = 0x02
	TripEntry     TripType = 0x03
	TripExit      TripType = 0x04
	TripSingleAlt TripType = 0x06
)

// Mode is the means of transport of a trip record.
type Mode uint8

// The modes.
const (
	ModeOther Mode = 0x00
	ModeMetro Mode = 0x01
	ModeBus   Mode = 0x02
)

// Trip is a record of the card's trip file, SFI 1Eh.
type Trip struct {
	Type     TripType
	Terminal [8]byte
	Mode     Mode
	Line     [7]byte // line and station, by the operator
	Amount   uint32  // fen
	Balance  uint32  // fen, after
	Date     [4]byte // BCD YYYYMMDD
	Time     [3]byte // BCD HHMMSS
	City     [2]byte // BCD
	Acquirer [8]byte
	Reserved [6]byte
}

// ParseTrip reads a record of SFI 1Eh, 48 bytes; errors as of ParseDetail.
func ParseTrip(b []byte) (t Trip, err error) {
	if len(b) != TripSize {
		return t, fmt.Errorf("%w: %d bytes, want %d", ErrRecord, len(b), TripSize)
	}
	if isEmpty(b) {
		return t, ErrEmpty
	}
	t = Trip{
		Type:     TripType(b[0]),
		Terminal: [8]byte(b[1:9]),
		Mode:     Mode(b[9]),
		Line:     [7]byte(b[10:17]),
		Amount:   binary.BigEndian.Uint32(b[17:]),
		Balance:  binary.BigEndian.Uint32(b[21:]),
		Date:     [4]byte(b[25:29]),
		Time:     [3]byte(b[29:32]),
		City:     [2]byte(b[32:34]),
		Acquirer: [8]byte(b[34:42]),
		Reserved: [6]byte(b[42:48]),
	}
	if !isDate(t.Date) || !isTime(t.Time) {
		return Trip{}, fmt.Errorf("%w: its date or time does not exist", ErrRecord)
	}
	return t, nil
}

// Append appends the record to dst.
func (t *Trip) Append(dst []byte) []byte {
	dst = append(append(dst, byte(t.Type)), t.Terminal[:]...)
	dst = append(append(dst, byte(t.Mode)), t.Line[:]...)
	dst = binary.BigEndian.AppendUint32(dst, t.Amount)
	dst = binary.BigEndian.AppendUint32(dst, t.Balance)
	dst = append(append(dst, t.Date[:]...), t.Time[:]...)
	dst = append(append(dst, t.City[:]...), t.Acquirer[:]...)
	return append(dst, t.Reserved[:]...)
}
