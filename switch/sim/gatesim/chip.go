package gatesim

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/purse"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// chip is the memory of one card. Counter and Balance are as INITIALIZE FOR PURCHASE returns
// them; the rest is the gate's part of the card: its lease and what it had since.
type chip struct {
	Balance uint32
	Counter uint16 // of the next debit
	// The last debit, for GET TRANSACTION PROVE.
	LastSeq uint32
	LastTAC [4]byte
	// LeaseUntil is until when the purse is served off line; Taps and Total what it had since
	// it was seen on line last; LastAt when it tapped last.
	LeaseUntil txn.Millis
	Taps       uint32
	Total      uint32
	LastAt     txn.Millis
	// What a card of the city knows besides: the gate of its last debit, from 1, the number of
	// the station where it went in, and its rides, by which the next one is priced.
	LastGate uint16
	Station  uint16
	Rides    price.State
}

// One copy of a chip: generation, values, CRC. A card of the city holds its rides too.
const (
	chipHalf     = 64
	cityChipHalf = 64 + price.EncodedMax + 64
	ridesAt      = 44 // of their length, in the values
)

// chips is the file with the chips of the cards of one gate, or of the city. Each card has two
// copies, written in turn, so that a torn write leaves the other.
type chips struct {
	file *os.File
	gens []uint64
	sync bool
	half int // bytes of a copy
}

var errChip = errors.New("chip cannot be read")

// openChips opens the file of n cards; new ones hold balance.
func openChips(dir string, n int, balance txn.Minor, sync bool) (*chips, error) {
	return openChipsOf(chipHalf, dir, n, balance, sync)
}

func openChipsOf(half int, dir string, n int, balance txn.Minor, sync bool) (c *chips, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "cards"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cards: %w", err)
	}
	c = &chips{file: f, gens: make([]uint64, n), sync: sync, half: half}
	for i := range n {
		_, err := c.load(i)
		if errors.Is(err, io.EOF) {
			err = c.store(i, &chip{Balance: uint32(balance)})
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return c, nil
}

// load reads the newer good copy of a card; io.EOF when there never was one.
func (c *chips) load(i int) (best chip, err error) {
	both := make([]byte, 2*c.half)
	n, err := c.file.ReadAt(both, int64(i)*int64(len(both)))
	if n == 0 {
		return best, io.EOF
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return best, fmt.Errorf("card %d: %w", i, err)
	}
	gen := uint64(0)
	for at := 0; at < len(both); at += c.half {
		half := both[at:][:c.half]
		if g := binary.BigEndian.Uint64(half); g > gen && crcOK(half) {
			if best, err = decodeChip(half[8:]); err != nil {
				return best, fmt.Errorf("card %d: %w", i, err)
			}
			gen = g
		}
	}
	if gen == 0 {
		return best, fmt.Errorf("card %d: %w", i, errChip)
	}
	c.gens[i] = gen
	return best, nil
}

func crcOK(half []byte) bool {
	end := len(half) - 4
	return crc32.Checksum(half[:end], castagnoli()) == binary.BigEndian.Uint32(half[end:])
}

func decodeChip(b []byte) (c chip, err error) {
	c.Balance, c.Counter = binary.BigEndian.Uint32(b), binary.BigEndian.Uint16(b[4:])
	c.LastSeq = binary.BigEndian.Uint32(b[6:])
	copy(c.LastTAC[:], b[10:14])
	c.LeaseUntil = txn.Millis(binary.BigEndian.Uint64(b[14:]))
	c.Taps, c.Total = binary.BigEndian.Uint32(b[22:]), binary.BigEndian.Uint32(b[26:])
	c.LastAt = txn.Millis(binary.BigEndian.Uint64(b[30:]))
	c.LastGate, c.Station = binary.BigEndian.Uint16(b[38:]), binary.BigEndian.Uint16(b[40:])
	n := int(binary.BigEndian.Uint16(b[ridesAt-2:]))
	if n > len(b)-ridesAt {
		return c, errChip
	}
	if err := c.Rides.Decode(b[ridesAt:][:n]); err != nil {
		return c, fmt.Errorf("%w: %w", errChip, err)
	}
	return c, nil
}

// store writes a card over its older copy.
func (c *chips) store(i int, v *chip) error {
	gen := c.gens[i] + 1
	b := binary.BigEndian.AppendUint64(make([]byte, 0, c.half), gen)
	b = binary.BigEndian.AppendUint32(b, v.Balance)
	b = binary.BigEndian.AppendUint16(b, v.Counter)
	b = append(binary.BigEndian.AppendUint32(b, v.LastSeq), v.LastTAC[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(v.LeaseUntil))
	b = binary.BigEndian.AppendUint32(b, v.Taps)
	b = binary.BigEndian.AppendUint32(b, v.Total)
	b = binary.BigEndian.AppendUint64(b, uint64(v.LastAt))
	b = binary.BigEndian.AppendUint16(b, v.LastGate)
	b = binary.BigEndian.AppendUint16(b, v.Station)
	rides := v.Rides.Append(nil)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(rides))), rides...)
	if len(b) > c.half-4 {
		panic("gatesim: internal error: a card's rides do not fit on its chip")
	}
	b = b[:c.half-4]
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	_, err := c.file.WriteAt(b, int64(2*i+int(gen%2))*int64(c.half))
	if err == nil && c.sync {
		err = c.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("card %d: %w", i, err)
	}
	c.gens[i] = gen
	return nil
}

func (c *chips) close() error { return c.file.Close() }

// TestTACKey is the TAC master key of the simulator's cards: the pattern of every handbook, and
// no key of any city.
func TestTACKey() []byte {
	return []byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54,
		0x32, 0x10}
}

// What the simulator's cards say of themselves besides their number.
const (
	keyVersion = 1
	keyIndex   = 1
)

func issuer() [8]byte { return [8]byte{0x01, 0x01, 0x58, 0x40, 0xff, 0xff, 0xff, 0xff} }

// TACScheme is how the cards make their TACs: 3DES, one level by the card's serial.
func TACScheme() purse.Scheme { return purse.TDES(purse.SerialFactor()) }

// serialOf returns a card number as chips keep it: BCD with zeros to the left.
func serialOf(n pan.Number) (s purse.Serial) {
	digits := n.Digits()
	for i := range len(digits) {
		at := 2*len(s) - len(digits) + i
		s[at/2] |= (digits[i] - '0') << (4 * (1 - at%2))
	}
	return s
}

// psam is the number of a gate's security module, BCD.
func (s *Setup) psam(gate int) (p [6]byte) {
	n := 300_000_000_000 + s.Seed%seedsMax*1000 + uint64(gate)
	for i := len(p) - 1; i >= 0; i-- {
		p[i] = byte(n%10 | n/10%10<<4)
		n /= 100
	}
	return p
}

// local is the scheme's local time: a fixed offset.
func local() *time.Location { return time.FixedZone("", 8*60*60) }

// bcdTime returns date and time of an instant as on the wire.
func bcdTime(at txn.Millis) (date [4]byte, clock [3]byte) {
	text := at.Time().In(local()).Format("20060102150405")
	for i := range 7 {
		n, _ := strconv.Atoi(text[2*i : 2*i+2]) // digits, by the format
		v := byte(n/10<<4 | n%10)
		if i < 4 {
			date[i] = v
		} else {
			clock[i-4] = v
		}
	}
	return date, clock
}

// values is what the card's proof covers.
func (s *Setup) values(r *Record, gate int) purse.Values {
	v := purse.Values{Type: purse.PurchaseEP, Amount: uint32(r.Amount), Balance: uint32(r.Before),
		Counter: r.Counter, TermSeq: r.Seq, Terminal: s.psam(gate)}
	v.Date, v.Time = bcdTime(r.At)
	return v
}

// tac is the proof that the card gives for a record.
func (s *Setup) tac(master *purse.Master, r *Record, gate int) ([4]byte, error) {
	number := s.number(s.cardOf(gate, r.Card))
	key, err := master.Card(&purse.Card{Issuer: issuer(), Serial: serialOf(number)})
	if err != nil {
		return [4]byte{}, fmt.Errorf("card %d: %w", r.Card, err)
	}
	defer key.Clear()
	v := s.values(r, gate)
	return key.TAC().MAC(purse.PurchaseTAC, &v), nil
}

// Module returns the number of a gate's security module as text: the switch names records that
// came in frames by it.
func (s *Setup) Module(gate int) string {
	p := s.psam(gate)
	return hex.EncodeToString(p[:])
}
