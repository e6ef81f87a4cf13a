package message

import (
	"errors"

	"github.com/tapswitch/tapswitch/crypto/mac"
)

var (
	// ErrNoMAC reports a message without a MAC field, or a spec that has none.
	ErrNoMAC = errors.New("message has no MAC")
	// ErrMAC reports a MAC that is not the message's. Answer with response code A0.
	ErrMAC = errors.New("message has a wrong MAC")
	// ErrUncovered reports fields after the MAC, which nobody vouches for.
	ErrUncovered = errors.New("message has fields that the MAC does not cover")
)

// Verify reports whether the MAC of frame is the one that m computes over its raw bytes: from
// the MTI to the byte before the MAC, without TPDU and header (DOMAIN.md 3.3). It looks at
// the structure only; call it before any field is believed. A scheme of fewer than 8 bytes
// stands at the left of the field and zeros follow. An error is ErrNoMAC, ErrMAC,
// ErrUncovered or a *FormatError. It is safe for concurrent use and allocates nothing.
func Verify(s *Spec, frame []byte, m *mac.MAC) error {
	var w scan
	if b := s.walk(&w, frame); b.reason != "" {
		return s.fault(b.field, b.at, b.reason)
	}
	if w.mac.To == 0 {
		return ErrNoMAC
	}
	return s.verify(frame, &Summary{MAC: w.mac, Covered: Range{w.body, w.mac.From}, set: w.set}, m)
}

// MACField returns the content of the MAC field of a frame that has been peeked at, 8 bytes
// long. It is false for a message without MAC, and for one whose MAC does not cover it all.
// It is for MACs whose key is elsewhere, in a key ring say; compare in constant time.
func (s *Spec) MACField(frame []byte, sum *Summary) (value [macSize]byte, ok bool) {
	n := s.macIn(&sum.set)
	if n == 0 || sum.MAC.To == 0 || sum.MAC.To != len(frame) {
		return value, false
	}
	wire := sum.MAC.Of(frame)
	if s.fields[n].encoding == Hex {
		for i := 0; i+1 < len(wire) && i/2 < macSize; i += 2 {
			value[i/2] = hexValue(wire[i])<<4 | hexValue(wire[i+1])
		}
		return value, true
	}
	return value, copy(value[:], wire) == macSize
}

// VerifySummary is Verify for a frame that has been peeked at: sum is what Peek returned for
// these bytes and this spec.
func VerifySummary(s *Spec, frame []byte, sum *Summary, m *mac.MAC) error {
	if sum.MAC.To == 0 {
		return ErrNoMAC
	}
	if sum.MAC.To > len(frame) || sum.Covered.To > sum.MAC.From || s.macIn(&sum.set) == 0 {
		return ErrMAC
	}
	return s.verify(frame, sum, m)
}

func (s *Spec) verify(frame []byte, sum *Summary, m *mac.MAC) error {
	if sum.MAC.To != len(frame) {
		return ErrUncovered
	}
	var room [2 * macSize]byte
	got := room[:0]
	wire := sum.MAC.Of(frame)
	if s.fields[s.macIn(&sum.set)].encoding == Hex {
		for i := 0; i+1 < len(wire); i += 2 {
			got = append(got, hexValue(wire[i])<<4|hexValue(wire[i+1]))
		}
	} else {
		got = append(got, wire...)
	}
	if m.Size() > len(got) {
		return ErrMAC
	}
	var rest byte
	for _, b := range got[m.Size():] {
		rest |= b
	}
	if !m.Verify(sum.Covered.Of(frame), got[:m.Size()]) || rest != 0 {
		return ErrMAC
	}
	return nil
}

// AppendMAC appends the frame of msg with its MAC field set to what m computes, which must
// be at most 8 bytes long; msg keeps it. The MAC field is the last field or the frame is
// refused with ErrUncovered.
func (m *Message) AppendMAC(dst []byte, by *mac.MAC) ([]byte, error) {
	s, n := m.spec, m.macField()
	if n == 0 {
		return dst, ErrNoMAC
	}
	if by.Size() > macSize {
		return dst, s.fault(n, -1, reasonLong)
	}
	var value [macSize]byte
	if err := m.SetBytes(n, value[:]); err != nil {
		return dst, err
	}
	out, err := m.Append(dst)
	if err != nil {
		return dst, err
	}
	var w scan
	frame := out[len(dst):]
	if b := s.walk(&w, frame); b.reason != "" {
		return dst, s.fault(b.field, b.at, b.reason)
	}
	if w.mac.To != len(frame) {
		return dst, ErrUncovered
	}
	by.Sum(value[:0], frame[w.body:w.mac.From])
	if err := m.SetBytes(n, value[:]); err != nil {
		return dst, err
	}
	s.fields[n].append(frame[:w.mac.From], value[:])
	return out, nil
}

// macField returns the field that the MAC of m goes into; 0 is none.
func (m *Message) macField() int {
	return m.spec.macFor(m.body().second || m.body().set[1] != 0)
}

// macFor returns the field that a MAC goes into: the later one of the spec when there is a
// second bitmap, the earlier one when there is none and the spec has two.
func (s *Spec) macFor(second bool) int {
	if second || s.macs[1] == 0 {
		return s.macs[0]
	}
	return s.macs[1]
}
