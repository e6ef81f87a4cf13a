package frame

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Tap is a record in its JSON form. Bytes are hex, the date is YYYYMMDDhhmmss of the scheme's
// local time. Card is the number in clear: a Tap belongs on a wire that demands it and nowhere
// else, so nothing but its JSON form shows it.
type Tap struct {
	Kind         string   `json:"kind"`
	TTI          uint8    `json:"tti"`
	Card         Digits   `json:"card"`
	Class        uint8    `json:"class,omitempty"`
	Issuer       string   `json:"issuer,omitempty"`
	City         string   `json:"city,omitempty"`
	Industry     string   `json:"industry,omitempty"`
	PSAM         string   `json:"psam"`
	TermSeq      uint32   `json:"term_seq"`
	Counter      uint16   `json:"counter"`
	Amount       uint32   `json:"amount"`
	Fare         uint32   `json:"fare"`
	Before       uint32   `json:"before"`
	At           string   `json:"at"`
	TAC          string   `json:"tac,omitempty"`
	KeyVersion   uint8    `json:"key_version,omitempty"`
	KeyIndex     uint8    `json:"key_index,omitempty"`
	Algorithm    uint8    `json:"algorithm,omitempty"`
	Flags        []string `json:"flags,omitempty"`
	Verdict      uint8    `json:"verdict,omitempty"`
	ClockOffset  *int32   `json:"clock_offset,omitempty"` // seconds; none when unknown
	ListEpoch    uint64   `json:"list_epoch,omitempty"`
	Line         string   `json:"line,omitempty"`
	Station      string   `json:"station,omitempty"`
	EntryStation string   `json:"entry_station,omitempty"`
	EntryAt      uint32   `json:"entry_at,omitempty"`
	Mode         string   `json:"mode,omitempty"` // bus, metro, rail, tram or ferry; else that of the kind
	Travel       string   `json:"travel_class,omitempty"`
	Metres       uint32   `json:"metres,omitempty"`
}

// Digits is a card number on its way to the wire. It formats as its last four digits.
type Digits string

// Format writes the last four digits for every verb.
func (d Digits) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte("****" + string(d[max(0, len(d)-4):])))
}

// Upload is a frame in its JSON form.
type Upload struct {
	Header
	Taps []Tap `json:"taps"`
}

func kindNames() [kindEnd]string {
	return [kindEnd]string{"", "purchase", "bus_boarding", "metro_entry", "metro_exit"}
}

func modeNames() [modeEnd]string {
	return [modeEnd]string{"", "bus", "metro", "rail", "tram", "ferry"}
}

// business is the class of travel that a record can tell of.
const business = "business"

// flagNames names the flags but Told, which follows from what is told.
func flagNames() []string {
	return []string{"grey", "proved", "train_fault", "station_closed", "emergency_release",
		"order_waived", "time_waived"}
}

// ParseJSON reads the JSON form and returns the frame that it stands for, of which Parse makes
// the same as of the binary form.
func ParseJSON(text []byte) ([]byte, error) {
	var u Upload
	if err := json.Unmarshal(text, &u); err != nil {
		return nil, fmt.Errorf("%w: JSON", ErrFrame) // the text of err may quote a number
	}
	return u.Frame()
}

// Frame returns the binary form.
func (u *Upload) Frame() ([]byte, error) {
	if len(u.Taps) > RecordsMax || len(u.Terminal) > 12 {
		return nil, fmt.Errorf("%w: %d records or the terminal's name are too long", ErrFrame,
			len(u.Taps))
	}
	b := Begin(make([]byte, 0, HeaderSize+len(u.Taps)*RecordSize), &u.Header)
	var err error
	for i := range u.Taps {
		if b, err = u.Taps[i].Append(b); err != nil {
			return nil, fmt.Errorf("record %d: %w", i, err)
		}
	}
	return End(b), nil
}

// Append appends the record's binary form.
func (t *Tap) Append(dst []byte) ([]byte, error) {
	at := len(dst)
	dst = append(dst, make([]byte, RecordSize)...)
	r, be := Record(dst[at:]), binary.BigEndian
	for i, name := range kindNames() {
		if i > 0 && name == t.Kind {
			r[0] = byte(i)
		}
	}
	r[1], r[12], r[13], r[64] = t.TTI, byte(len(t.Card)), t.Class, t.Verdict
	be.PutUint32(r[30:], t.TermSeq)
	be.PutUint16(r[34:], t.Counter)
	be.PutUint32(r[36:], t.Amount)
	be.PutUint32(r[40:], t.Fare)
	be.PutUint32(r[44:], t.Before)
	r[55], r[60], r[61] = t.KeyVersion, t.KeyIndex, t.Algorithm
	offset := int32(OffsetUnknown)
	if t.ClockOffset != nil {
		offset = *t.ClockOffset
	}
	be.PutUint32(r[66:], uint32(offset))
	be.PutUint64(r[70:], t.ListEpoch)
	be.PutUint32(r[118:], t.EntryAt)
	flags, err := parseFlags(t.Flags)
	be.PutUint16(r[62:], flags)
	if err == nil {
		err = t.appendRide(r)
	}
	if err == nil {
		err = t.appendHex(r)
	}
	if err == nil {
		err = r.Check()
	}
	return dst, err
}

// appendRide writes what is told of the ride.
func (t *Tap) appendRide(r Record) error {
	names := modeNames()
	mode := slices.Index(names[:], t.Mode)
	if mode < 0 || t.Travel != "" && t.Travel != business {
		return fmt.Errorf("%w: mode or travel_class", ErrFrame)
	}
	if r[65] = byte(mode); t.Travel == business {
		r[65] |= rideBusiness
	}
	binary.BigEndian.PutUint32(r[124:], t.Metres)
	if r[65] != 0 || t.Metres != 0 {
		binary.BigEndian.PutUint16(r[62:], r.Flags()|Told)
	}
	return nil
}

// appendHex writes what is text in the JSON form.
func (t *Tap) appendHex(r Record) error {
	card := strings.Repeat("0", max(0, 2*cardBytes-len(t.Card))) + string(t.Card)
	for _, f := range [...]struct {
		name, text string
		dst        []byte
	}{{"card", card, r[2:12]}, {"issuer", t.Issuer, r[14:22]}, {"city", t.City, r[22:24]},
		{"industry", t.Industry, r[122:124]}, {"psam", t.PSAM, r[24:30]},
		{"at", t.At, r[48:55]}, {"tac", t.TAC, r[56:60]}} {
		if f.text == "" {
			continue
		}
		if len(f.text) != 2*len(f.dst) {
			return fmt.Errorf("%w: %s must have %d digits", ErrFrame, f.name, 2*len(f.dst))
		}
		if _, err := hex.Decode(f.dst, []byte(f.text)); err != nil {
			return fmt.Errorf("%w: %s", ErrFrame, f.name)
		}
	}
	if len(t.Line) > lineMax || len(t.Station) > nameMax || len(t.EntryStation) > nameMax {
		return fmt.Errorf("%w: line has at most %d, a station %d bytes", ErrFrame, lineMax, nameMax)
	}
	copy(r[78:], t.Line)
	copy(r[86:], t.Station)
	copy(r[102:], t.EntryStation)
	return nil
}

func parseFlags(names []string) (flags uint16, err error) {
	for _, name := range names {
		found := false
		for i, known := range flagNames() {
			if name == known {
				flags, found = flags|1<<i, true
			}
		}
		if !found {
			return 0, fmt.Errorf("%w: unknown flag %.20q", ErrFrame, name)
		}
	}
	return flags, nil
}

// Upload returns the JSON form of a checked frame.
func (f *Frame) Upload() Upload {
	u := Upload{Header: f.Header}
	for i := range f.Len() {
		u.Taps = append(u.Taps, f.Record(i).Tap())
	}
	return u
}

// Tap returns the JSON form of a record.
func (r Record) Tap() Tap {
	t := Tap{TTI: r.TTI(), Class: r.Class(), Issuer: hex.EncodeToString(r[14:22]),
		City: hex.EncodeToString(r[22:24]), Industry: hex.EncodeToString(r[122:124]),
		PSAM: hex.EncodeToString(r[24:30]), TermSeq: r.TermSeq(), Counter: r.Counter(),
		Amount: r.Amount(), Fare: r.Fare(), Before: r.Before(), At: hex.EncodeToString(r[48:55]),
		KeyVersion: r.KeyVersion(), KeyIndex: r.KeyIndex(), Algorithm: r.Algorithm(),
		Verdict: r.Verdict(), ListEpoch: r.ListEpoch(), Line: string(r.Line()),
		Station: string(r.Station()), EntryStation: string(r.EntryStation()), EntryAt: r.EntryAt(),
		Metres: r.Metres()}
	if r.Mode() < modeEnd {
		t.Mode = modeNames()[r.Mode()]
	}
	if r.Business() {
		t.Travel = business
	}
	if r.Kind() < kindEnd {
		t.Kind = kindNames()[r.Kind()]
	}
	card := hex.EncodeToString(r[2:12])
	t.Card = Digits(card[len(card)-min(int(r[12]), len(card)):])
	if r.TAC() != [4]byte{} {
		t.TAC = hex.EncodeToString(r[56:60])
	}
	if offset := r.ClockOffset(); offset != OffsetUnknown {
		t.ClockOffset = &offset
	}
	for i, name := range flagNames() {
		if r.Flags()>>i&1 == 1 {
			t.Flags = append(t.Flags, name)
		}
	}
	return t
}
