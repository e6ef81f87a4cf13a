package upload

import (
	"encoding/binary"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Fact is what a record says about its card's purse.
type Fact struct {
	Counter uint32
	Before  txn.Minor
	Amount  txn.Minor
	At      txn.Millis
}

// Account is a card as the switch has it before a record is booked.
type Account struct {
	Seen    bool // any off-line record
	High    uint32
	Balance txn.Minor
}

// AccountOf takes an Account out of a card's state.
func AccountOf(s *card.State) Account {
	return Account{Seen: s.Counter.Bits != 0, High: s.Counter.High, Balance: s.Balance}
}

// LaterOf is what the card was charged for what it did after an instant, as far as the state
// remembers: loads count below zero. It joins loads with off-line records by time, since they
// count by another counter.
func LaterOf(s *card.State, at txn.Millis) (sum txn.Minor) {
	for i := range s.Recent {
		r := &s.Recent[i]
		if r.ServiceAt > at && r.Reason == txn.ReasonNone && !r.Tombstone {
			sum += r.Charged
		}
	}
	return sum
}

// Grey is a torn record that waits for its resolution.
type Grey struct {
	Fact
	PSAM   [6]byte
	Seq    uint32
	Digest Digest
}

// Line is what is to be said about one card: which of its counters are missing, and how far
// its own balance is from the account's. A card with no Line is as it should be. Delta is the
// card's balance less the account's; what missing records took is part of it, and when they
// come it goes away. What stays is Broken: a chain that does not hold.
type Line struct {
	Card   pan.Token
	Last4  pan.Last4
	Seq    Sequence
	Delta  txn.Minor
	Broken txn.Minor
	Breaks uint32     // how often the chain broke
	At     txn.Millis // of the last break
	Grey   *Grey
}

// Quiet reports whether there is nothing to say.
func (l *Line) Quiet() bool {
	return len(l.Seq.Gaps) == 0 && l.Seq.Lost == 0 && l.Delta == 0 && l.Breaks == 0 && l.Grey == nil
}

// youngMax is the counter below which a card that comes for the first time is one that began
// here; another one was in use before.
const youngMax = 64

// See takes a record in that is about to be booked, and says where its counter stood and by
// how much the chain breaks there. later is LaterOf the record's time.
func (l *Line) See(f *Fact, a *Account, later txn.Minor) (place Place, off txn.Minor) {
	if a.Seen && (!l.Seq.Known || a.High > l.Seq.High) {
		l.Seq.Known, l.Seq.High = true, a.High
	}
	d := f.Before - (a.Balance + later)
	missing := len(l.Seq.Gaps) > 0
	place = l.Seq.See(f.Counter, f.At)
	if place == First && d < 0 && f.Counter > 0 && f.Counter < youngMax {
		l.Seq.open(Gap{To: f.Counter - 1, At: f.At}) // a young card: its first records are late
		place = Jump
	}
	switch place {
	case First, Next:
		off = d - l.Delta
		l.Delta = d
	case Jump:
		// What is missing can only have taken from the card, and not more than it had.
		if l.Delta, off = d, d-l.Delta; off < 0 {
			off = 0
		}
	case Late:
		l.Delta += f.Amount
		if missing && len(l.Seq.Gaps) == 0 && l.Seq.Lost == 0 {
			off = l.Delta - l.Broken
		}
	}
	if off != 0 {
		l.Broken += off
		l.Breaks++
		l.At = f.At
	}
	return place, off
}

// Await has the line wait for what a torn record's counter turns out to be.
func (l *Line) Await(a *Account, counter uint32) {
	if !l.Seq.Known && !a.Seen && counter > 0 {
		l.Seq.Known, l.Seq.High = true, counter-1
	}
}

// NotBooked takes back that a record was about to be booked: the card has paid, and the
// account was not charged.
func (l *Line) NotBooked(amount txn.Minor) { l.Delta -= amount }

// Resolve says what the card's next good record tells of the torn one: Accepted, the card had
// paid; Rejected, it had not; Held, it cannot be told. credited is what was loaded between.
func (g *Grey) Resolve(next *Fact, credited txn.Minor) Fate {
	unpaid := g.Before + credited
	switch {
	case next.Counter == g.Counter && next.Before == unpaid:
		return Fate{Rejected, NotDebited}
	case next.Counter == g.Counter+1 && next.Before == unpaid-g.Amount:
		return Fate{State: Accepted}
	default:
		return Fate{Held, Torn}
	}
}

const lineVersion = 1

// AppendLines appends the stored form of lines.
func AppendLines(dst []byte, lines []Line) []byte {
	dst = append(dst, lineVersion)
	for i := range lines {
		dst = lines[i].append(dst)
	}
	return dst
}

func (l *Line) append(dst []byte) []byte {
	dst = append(append(dst, l.Card[:]...), l.Last4[:]...)
	flags := byte(0)
	if l.Seq.Known {
		flags |= 1
	}
	if l.Grey != nil {
		flags |= 2
	}
	dst = append(dst, flags, byte(len(l.Seq.Gaps)))
	for _, v := range [...]int64{int64(l.Seq.High), int64(l.Seq.HighAt), int64(l.Seq.Lost),
		int64(l.Delta), int64(l.Broken), int64(l.Breaks), int64(l.At)} {
		dst = binary.AppendVarint(dst, v)
	}
	for _, g := range l.Seq.Gaps {
		dst = binary.AppendVarint(dst, int64(g.From))
		dst = binary.AppendVarint(dst, int64(g.To))
		dst = binary.AppendVarint(dst, int64(g.At))
	}
	if g := l.Grey; g != nil {
		dst = append(dst, g.PSAM[:]...)
		for _, v := range [...]int64{int64(g.Seq), int64(g.Counter), int64(g.Before),
			int64(g.Amount), int64(g.At), int64(g.Digest)} {
			dst = binary.AppendVarint(dst, v)
		}
	}
	return dst
}

// ReadLines reads the stored form.
func ReadLines(b []byte) ([]Line, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != lineVersion {
		return nil, fmt.Errorf("%w: lines of version %d", ErrStored, b[0])
	}
	var lines []Line
	d := lineReader{b: b[1:]}
	for len(d.b) > 0 && !d.bad {
		lines = append(lines, d.line())
	}
	if d.bad {
		return nil, fmt.Errorf("%w: lines of cards", ErrStored)
	}
	return lines, nil
}

// lineReader reads stored lines.
type lineReader struct {
	b   []byte
	bad bool
}

func (d *lineReader) take(dst []byte) {
	n := copy(dst, d.b)
	d.b = d.b[n:]
	d.bad = d.bad || n < len(dst)
}

func (d *lineReader) next() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *lineReader) line() (l Line) {
	d.take(l.Card[:])
	d.take(l.Last4[:])
	var head [2]byte
	d.take(head[:])
	l.Seq.Known = head[0]&1 != 0
	l.Seq.High, l.Seq.HighAt = uint32(d.next()), txn.Millis(d.next())
	l.Seq.Lost = int(d.next())
	l.Delta, l.Broken = txn.Minor(d.next()), txn.Minor(d.next())
	l.Breaks, l.At = uint32(d.next()), txn.Millis(d.next())
	for range head[1] {
		if d.bad {
			break
		}
		l.Seq.Gaps = append(l.Seq.Gaps, Gap{From: uint32(d.next()), To: uint32(d.next()),
			At: txn.Millis(d.next())})
	}
	if head[0]&2 != 0 {
		g := &Grey{}
		d.take(g.PSAM[:])
		g.Seq, g.Counter = uint32(d.next()), uint32(d.next())
		g.Before, g.Amount = txn.Minor(d.next()), txn.Minor(d.next())
		g.At, g.Digest = txn.Millis(d.next()), Digest(d.next())
		l.Grey = g
	}
	return l
}
