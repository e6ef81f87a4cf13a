package message

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

const body10 = "0123456789"

// The four framings write what they read.
func TestFramingForms(t *testing.T) {
	for _, c := range []struct {
		name string
		f    Framing
		wire string
	}{
		{"binary", Framing{}, "\x00\x0a" + body10},
		{"binary inclusive", Framing{Inclusive: true}, "\x00\x0c" + body10},
		{"ascii", Framing{Form: ASCII4}, "0010" + body10},
		{"ascii inclusive", Framing{Form: ASCII4, Inclusive: true}, "0014" + body10},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.f.Append([]byte("x"), []byte(body10))
			if err != nil || string(got) != "x"+c.wire {
				t.Fatalf("%q, %v", got, err)
			}
			frame, size, err := c.f.Next([]byte(c.wire + "rest"))
			if err != nil || string(frame) != body10 || size != len(c.wire) {
				t.Fatalf("%q, %d, %v", frame, size, err)
			}
			for i := range c.wire {
				frame, size, err := c.f.Next([]byte(c.wire[:i]))
				if frame != nil || size != 0 || err != nil {
					t.Fatalf("%d bytes: %q, %d, %v", i, frame, size, err)
				}
			}
		})
	}
}

// Lengths that no frame has: zero, one, the largest, less than the length itself, signs, and
// one more than the limit. Nothing of them is allocated.
func TestFramingRefuses(t *testing.T) {
	small := Framing{Max: 20}
	inclusive := Framing{Inclusive: true}
	digits := Framing{Form: ASCII4}
	for _, c := range []struct {
		f    Framing
		wire string
	}{
		{small, "\x00\x00"}, {small, "\x00\x01"}, {small, "\x00\x09"}, {small, "\x00\x15"},
		{small, "\xff\xff"}, {small, "\x80\x00"}, {inclusive, "\x00\x00"}, {inclusive, "\x00\x01"},
		{inclusive, "\x00\x0b"}, {digits, "0000"}, {digits, "-001"}, {digits, "+010"},
		{digits, " 100"}, {digits, "9999"}, {digits, "0x10"}, {digits, "G"}, {digits, "00\n"},
		{Framing{}, "\x10\x01"},
	} {
		if _, _, err := c.f.Next([]byte(c.wire)); !errors.Is(err, ErrFrame) {
			t.Errorf("%+v %q: %v", c.f, c.wire, err)
		}
		r := NewReader(strings.NewReader(c.wire+body10), c.f)
		if _, err := r.Next(); !errors.Is(err, ErrFrame) {
			t.Errorf("%+v %q: reader: %v", c.f, c.wire, err)
		}
		if _, err := r.Next(); !errors.Is(err, ErrFrame) {
			t.Errorf("%+v %q: the reader goes on: %v", c.f, c.wire, err)
		}
		if len(r.buf) > readSize {
			t.Errorf("%+v %q: %d bytes held", c.f, c.wire, len(r.buf))
		}
	}
	for _, n := range []int{0, FrameMin - 1, 21} {
		if out, err := small.Append([]byte("x"), make([]byte, n)); !errors.Is(err, ErrFrame) ||
			string(out) != "x" {
			t.Errorf("%d bytes are framed: %q, %v", n, out, err)
		}
	}
	large := Framing{Form: ASCII4, Max: FrameMax}
	if _, err := large.Append(nil, make([]byte, 10_000)); !errors.Is(err, ErrFrame) {
		t.Errorf("10000 in four digits: %v", err)
	}
	if _, err := (Framing{Max: 1 << 30}).Append(nil, make([]byte, FrameMax+1)); err == nil {
		t.Error("the hard limit can be configured away")
	}
}

// The limit itself passes; a reader holds one frame of it and no more.
func TestFrameMax(t *testing.T) {
	f := Framing{Max: FrameMax}
	want := bytes.Repeat([]byte("abcdefgh"), FrameMax/8)
	wire, err := f.Append(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	r := NewReader(&chopped{data: append(wire, wire...), size: 1000}, f)
	for range 2 {
		got, err := r.Next()
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	if len(r.buf) > FrameMax+2 {
		t.Errorf("holds %d bytes", len(r.buf))
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

// Bytes one by one, two frames in a read, and an end inside a frame (FAULTS.md row 15).
func TestReaderPieces(t *testing.T) {
	f := Framing{}
	var wire []byte
	for range 3 {
		wire, _ = f.Append(wire, []byte(body10))
	}
	for size := 1; size <= len(wire); size++ {
		r := NewReader(&chopped{data: wire, size: size}, f)
		for range 3 {
			if got, err := r.Next(); err != nil || string(got) != body10 {
				t.Fatalf("%d at a time: %q, %v", size, got, err)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Fatalf("%d at a time: end is %v", size, err)
		}
	}
	r := NewReader(&chopped{data: wire[:15], size: 7}, f)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("end inside a frame is %v", err)
	}
}

// scripted is a source that says what it is told to.
type scripted struct{ steps []step }

type step struct {
	data string
	err  error
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.steps) == 0 {
		return 0, io.EOF
	}
	next := s.steps[0]
	s.steps = s.steps[1:]
	return copy(p, next.data), next.err
}

// A deadline in the middle of a frame loses nothing; an end that comes with the last bytes
// does not swallow them; a source that gives nothing is given up.
func TestReaderGoesOn(t *testing.T) {
	r := NewReader(&scripted{[]step{{"\x00\x0a01", nil}, {"", os.ErrDeadlineExceeded},
		{"23456789", io.EOF}}}, Framing{})
	if _, err := r.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if got, err := r.Next(); err != nil || string(got) != body10 {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := r.Next(); err != io.EOF {
		t.Fatal(err)
	}
	r = NewReader(&scripted{make([]step, 2*emptyReadsMax)}, Framing{})
	if _, err := r.Next(); !errors.Is(err, io.ErrNoProgress) {
		t.Error(err)
	}
	r = NewReader(lying{}, Framing{})
	if _, err := r.Next(); err == nil {
		t.Error("a source that lies is believed")
	}
}

type lying struct{}

func (lying) Read(p []byte) (int, error) { return len(p) + 1, nil }

func TestLengthFormNames(t *testing.T) {
	for _, f := range []LengthForm{Binary2, ASCII4} {
		if got, err := ParseLengthForm(f.String()); err != nil || got != f {
			t.Errorf("%v: %v, %v", f, got, err)
		}
	}
	if _, err := ParseLengthForm("binary4"); err == nil {
		t.Error("binary4 is taken")
	}
}
