package message

import (
	"errors"
	"fmt"
	"io"
)

const (
	// FrameMax is the longest frame of any link in bytes. The longest real messages (batch
	// uploads, parameter downloads) stay under 2 KB; nothing sensible reaches 16.
	FrameMax = 16 << 10
	// FrameMin is the shortest frame: an MTI and a bitmap in their shortest form. Anything
	// less is no message, and a peer that sends it has lost its place.
	FrameMin = 10
	// FrameDefault is the limit of a Framing that names none.
	FrameDefault = 4 << 10

	// emptyReadsMax is how many times in a row a connection may read nothing without an
	// error.
	emptyReadsMax = 100
	// readSize is what a Reader asks for at once; its buffer doubles from there as bytes
	// arrive, never by what a length says.
	readSize = 512
)

// ErrFrame reports a length that no frame of the link may have. What follows on the
// connection cannot be trusted: close it.
var ErrFrame = errors.New("frame length not allowed")

// LengthForm is how the length in front of a frame is written.
type LengthForm uint8

// The forms. UnionPay terminals use two bytes, UnionPay interbank four ASCII digits.
const (
	Binary2 LengthForm = iota // two bytes, most significant first
	ASCII4                    // four decimal digits
)

// ParseLengthForm reads what String prints.
func ParseLengthForm(s string) (LengthForm, error) {
	for _, f := range []LengthForm{Binary2, ASCII4} {
		if s == f.String() {
			return f, nil
		}
	}
	return 0, fmt.Errorf("frame length form %q: want binary2 or ascii4", s)
}

// String returns the name as in configuration.
func (l LengthForm) String() string {
	if l == ASCII4 {
		return "ascii4"
	}
	return "binary2"
}

// size is the number of bytes of the length.
func (l LengthForm) size() int {
	if l == ASCII4 {
		return 4
	}
	return 2
}

// Framing is how frames follow each other on a link. The zero Framing is the one of UnionPay
// terminals: two bytes that count what follows them.
type Framing struct {
	Form LengthForm
	// Inclusive says that the length counts itself too.
	Inclusive bool
	// Max is the longest frame accepted and sent, without the length, in bytes: 0 is
	// FrameDefault, more than FrameMax is FrameMax.
	Max int
}

// limit returns the longest frame.
func (f Framing) limit() int {
	if f.Max <= 0 {
		return FrameDefault
	}
	return min(f.Max, FrameMax)
}

// Next finds the first frame in buf. It returns the frame, which is part of buf, and how many
// bytes it takes with its length; 0 when more bytes are needed. An error is ErrFrame, and
// then the connection has lost its place.
func (f Framing) Next(buf []byte) (frame []byte, size int, err error) {
	head := f.Form.size()
	if len(buf) < head {
		if f.Form == ASCII4 {
			return nil, 0, checkDigits(buf)
		}
		return nil, 0, nil
	}
	length, err := f.length(buf[:head])
	if err != nil {
		return nil, 0, err
	}
	if len(buf)-head < length {
		return nil, 0, nil
	}
	return buf[head : head+length : head+length], head + length, nil
}

func checkDigits(b []byte) error {
	for i, c := range b {
		if c < '0' || c > '9' {
			return fmt.Errorf("%w: byte %d of it is no digit", ErrFrame, i+1)
		}
	}
	return nil
}

// Size reads the length in front of a frame from head, which is 2 or 4 bytes long, and
// returns how many bytes of the frame follow. An error is ErrFrame.
func (f Framing) Size(head []byte) (int, error) {
	if len(head) != f.Form.size() {
		return 0, fmt.Errorf("%w: it has %d bytes", ErrFrame, len(head))
	}
	return f.length(head)
}

// length reads the length of a frame, without itself, and checks it.
func (f Framing) length(head []byte) (n int, err error) {
	if f.Form == ASCII4 {
		if err := checkDigits(head); err != nil {
			return 0, err
		}
		for _, c := range head {
			n = n*10 + int(c-'0')
		}
	} else {
		n = int(head[0])<<8 | int(head[1])
	}
	said := n
	if f.Inclusive {
		n -= len(head)
	}
	if n < FrameMin || n > f.limit() {
		return 0, fmt.Errorf("%w: %d bytes, allowed are %d to %d", ErrFrame, said,
			FrameMin, f.limit())
	}
	return n, nil
}

// Append appends frame with its length to dst. A frame that the other side would refuse is
// an error and nothing is appended.
func (f Framing) Append(dst, frame []byte) ([]byte, error) {
	n := len(frame)
	if n < FrameMin || n > f.limit() {
		return dst, fmt.Errorf("%w: %d bytes, allowed are %d to %d", ErrFrame, n, FrameMin,
			f.limit())
	}
	if f.Inclusive {
		n += f.Form.size()
	}
	if f.Form == ASCII4 {
		if n > 9999 {
			return dst, fmt.Errorf("%w: %d bytes do not go into four digits", ErrFrame, n)
		}
		dst = append(dst, '0'+byte(n/1000), '0'+byte(n/100%10), '0'+byte(n/10%10), '0'+byte(n%10))
	} else {
		dst = append(dst, byte(n>>8), byte(n))
	}
	return append(dst, frame...), nil
}

// Reader takes frames from a connection. It belongs to one goroutine. It holds at most one
// frame of the limit and the bytes read with it.
type Reader struct {
	source  io.Reader
	framing Framing
	buf     []byte // buf[start:end] is read and not yet returned
	start   int
	end     int
	failed  error // a broken frame is for good
}

// NewReader returns a Reader of source.
func NewReader(source io.Reader, f Framing) *Reader {
	return &Reader{source: source, framing: f}
}

// Next returns the next frame, valid until the next call. The end of the connection is io.EOF
// between frames and io.ErrUnexpectedEOF inside one. After ErrFrame every call returns it
// again. After another error of the source, a deadline say, the next call goes on where this
// one stopped.
func (r *Reader) Next() ([]byte, error) {
	for empty := 0; r.failed == nil; {
		frame, size, err := r.framing.Next(r.buf[r.start:r.end])
		if err != nil {
			r.failed = err
			break
		}
		if size > 0 {
			r.start += size
			return frame, nil
		}
		r.makeRoom()
		n, err := r.source.Read(r.buf[r.end:])
		if n < 0 || n > len(r.buf)-r.end {
			return nil, fmt.Errorf("read: the source says %d bytes into %d", n, len(r.buf)-r.end)
		}
		r.end += n
		if n > 0 {
			empty = 0
			continue // an error that came with bytes comes again
		}
		if err != nil {
			return nil, r.ended(err)
		}
		if empty++; empty == emptyReadsMax {
			return nil, io.ErrNoProgress
		}
	}
	return nil, r.failed
}

// ended is the error for a read that failed: the end of the connection inside a frame is not
// the end between two.
func (r *Reader) ended(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	if r.start == r.end {
		return io.EOF
	}
	return io.ErrUnexpectedEOF
}

// makeRoom makes at least one byte of the buffer free: first by moving what is left to the
// front, then by doubling.
func (r *Reader) makeRoom() {
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if r.end < len(r.buf) {
		return
	}
	largest := r.framing.limit() + r.framing.Form.size()
	size := min(max(2*len(r.buf), readSize), largest)
	next := make([]byte, size)
	r.end = copy(next, r.buf[:r.end])
	r.buf = next
}
