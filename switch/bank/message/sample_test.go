package message

import (
	"io"
	"testing"

	"pgregory.net/rapid"
)

// chopped is a connection that gives size bytes at a time.
type chopped struct {
	data []byte
	size int
}

func (c *chopped) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.size)], c.data)
	c.data = c.data[n:]
	return n, nil
}

// contentOf returns content of length n that field f takes, made of pick(i) for each unit.
func contentOf(f *fieldSpec, n int, pick func(i, below int) int) []byte {
	out := make([]byte, n)
	for i := range out {
		switch {
		case f.kind == Signed && i == 0:
			out[i] = "CD0"[pick(i, 3)]
		case f.kind == Digits || f.kind == Signed:
			out[i] = '0' + byte(pick(i, 10))
		case f.kind == Track && f.encoding == BCD:
			out[i] = "0123456789ABC=EF"[pick(i, 16)]
		case f.kind == Binary || f.charset == anyBytes || f.charset == gb18030:
			out[i] = byte(pick(i, 256))
		default:
			out[i] = ' ' + byte(pick(i, '~'-' '+1))
		}
	}
	return out
}

// newSample returns a message of s with an envelope.
func newSample(t testing.TB, s *Spec, mti MTI) *Message {
	t.Helper()
	m := New(s, mti)
	m.TPDU = NewTPDU(3, 0)
	m.Header = Header{0x60, 0x31, 0x00, 0x31, 0xFF, 0xF1}
	h, err := NewCUPSHeader("00010000", "00020000")
	if err != nil {
		t.Fatal(err)
	}
	m.CUPS = h
	return m
}

// seedFrames returns frames of s: without fields, with every field at its shortest, and with
// the first half at odd lengths.
func seedFrames(t testing.TB, s *Spec) [][]byte {
	t.Helper()
	var frames [][]byte
	for kind := range 3 {
		m, size := newSample(t, s, FinancialRequest), 0
		for _, n := range s.Numbers() {
			f := s.fields[n]
			length := f.min
			size += f.wireSize(max(length, 9)) + f.prefix
			switch {
			case kind == 0, kind == 2 && n > 64, size > FrameMax/2:
				continue
			case kind == 2:
				length = min(max(f.min, 9), f.max)
			}
			value := contentOf(f, length, func(i, below int) int { return (n + i) % below })
			if err := m.SetBytes(n, value); err != nil {
				t.Fatal(err)
			}
		}
		frame, err := m.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, frame)
	}
	return frames
}

// drawMessage draws a message of s.
func drawMessage(t *rapid.T, tb testing.TB, s *Spec) *Message {
	mtis := []MTI{0x0100, 0x0200, 0x0221, 0x0320, 0x0400, 0x0420, 0x0500, 0x0620, 0x0800, 0x0930}
	m := newSample(tb, s, rapid.SampledFrom(mtis).Draw(t, "mti"))
	numbers := s.Numbers()
	chosen := rapid.SliceOfDistinct(rapid.SampledFrom(numbers), rapid.ID[int]).Draw(t, "fields")
	for _, n := range chosen {
		f := s.fields[n]
		length := rapid.IntRange(f.min, min(f.max, f.min+60)).Draw(t, "length")
		value := contentOf(f, length, func(_, below int) int {
			return rapid.IntRange(0, below-1).Draw(t, "unit")
		})
		if err := m.SetBytes(n, value); err != nil {
			tb.Fatalf("%s: field %d: %v", s.Name(), n, err)
		}
	}
	return m
}
