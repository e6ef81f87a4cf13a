package message

import (
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/mac"
)

// View is random access to a frame that is not unpacked: the forwarding path reads through
// it what it needs, without allocation. It is reused with Open and belongs to one goroutine.
// It keeps the frame, which must not change meanwhile.
type View struct {
	spec  *Spec
	frame **hidden
	scan  scan
	spots [fieldMax + 1]spot
}

// hidden are bytes that a printer that goes by reflection does not find: see content.
type hidden struct {
	self  *hidden
	bytes []byte
}

func hide() **hidden {
	h := new(hidden)
	h.self = h
	return &h.self
}

// Open goes over frame as Peek does and refuses what Parse refuses, with a *FormatError;
// then the View is empty.
func (v *View) Open(s *Spec, frame []byte) error {
	if v.frame == nil {
		v.frame = hide()
	}
	v.spec, v.scan, (*v.frame).bytes = s, scan{spots: &v.spots}, frame
	if b := s.walk(&v.scan, frame); b.reason != "" {
		v.Close()
		return s.fault(b.field, b.at, b.reason)
	}
	return nil
}

// Close forgets the frame.
func (v *View) Close() {
	v.scan = scan{}
	if v.frame != nil {
		(*v.frame).bytes = nil
	}
}

// MTI returns the message type.
func (v *View) MTI() MTI { return v.scan.mti }

// Has reports whether field n is in the frame.
func (v *View) Has(n int) bool { return v.scan.set.has(n) }

// Append appends the content of field n, as Message.Bytes returns it, to dst; nothing when
// the field is not there.
func (v *View) Append(dst []byte, n int) []byte {
	if !v.Has(n) {
		return dst
	}
	return v.spec.fields[n].chars(dst, v.content(n), int(v.spots[n].length))
}

// content returns the content of a field as it is on the wire.
func (v *View) content(n int) []byte {
	at := v.spots[n]
	return (*v.frame).bytes[at.content : int(at.content)+v.spec.fields[n].wireSize(int(at.length))]
}

// Summary returns what Peek returns for the frame.
func (v *View) Summary() (Summary, error) {
	if v.frame == nil || (*v.frame).bytes == nil {
		return Summary{}, &FormatError{Spec: "view", Field: frameLevel, Offset: -1,
			Reason: reasonBegun}
	}
	var sum Summary
	if err := v.spec.summarize(&sum, &v.scan, (*v.frame).bytes); err != nil {
		return Summary{}, err
	}
	return sum, nil
}

// Format prints the type and the numbers of the fields, whatever the verb.
func (v View) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%v %v", v.scan.mti, v.scan.set.numbers())
}

// Writer writes a frame field by field, in ascending order, without allocation when the
// destination has room. It writes what Message.Append writes. It is reused with Begin and
// belongs to one goroutine. The first error stays and Finish returns it.
type Writer struct {
	// TPDU, Header and CUPS are used by the specs with an envelope of that kind.
	TPDU   TPDU
	Header Header
	CUPS   CUPSHeader

	spec   *Spec
	hold   **hidden // the destination
	start  int      // of the frame in out
	bitmap int      // of the bitmap in out
	set    presence
	last   int
	err    error
	room   [macSize]byte // for FinishSum
}

// Begin starts a frame of s that is appended to dst.
func (w *Writer) Begin(dst []byte, s *Spec, mti MTI) {
	if w.hold == nil {
		w.hold = hide()
	}
	w.spec, w.start, w.set, w.last, w.err = s, len(dst), presence{}, 1, nil
	if !mti.valid() {
		w.fail(mtiField, reasonType)
	}
	switch s.envelope {
	case TPDUOnly:
		dst = append(dst, w.TPDU[:]...)
	case TPDUHeader:
		dst = append(append(dst, w.TPDU[:]...), w.Header[:]...)
	case CUPSHead:
		dst = append(dst, w.CUPS[:]...)
	}
	digits := mti.digits()
	if s.mtiBCD {
		dst = append(dst, byte(mti>>8), byte(mti))
	} else {
		dst = append(dst, digits[:]...)
	}
	w.bitmap = len(dst)
	var room [16]byte
	w.keep(append(dst, room[:s.bitmapSize()]...))
}

// out returns the destination as far as it is written.
func (w *Writer) out() []byte {
	if w.hold == nil {
		return nil
	}
	return (*w.hold).bytes
}

func (w *Writer) keep(out []byte) { (*w.hold).bytes = out }

func (w *Writer) fail(n int, reason string) {
	if w.err == nil {
		w.err = &FormatError{Spec: w.name(), Field: n, Offset: -1, Reason: reason}
	}
}

func (w Writer) name() string {
	if w.spec == nil {
		return "writer"
	}
	return w.spec.name
}

// enter makes field n the next one and returns its row; nil when it cannot be.
func (w *Writer) enter(n int) *fieldSpec {
	switch {
	case w.spec == nil:
		w.fail(n, reasonBegun)
	case w.spec.field(n) == nil:
		w.fail(n, reasonUnknown)
	case n <= w.last:
		w.fail(n, reasonOrder)
	}
	if w.err != nil {
		return nil
	}
	if n > secondField && w.last < secondField {
		w.widen()
	}
	w.last = n
	w.set.set(n)
	return w.spec.fields[n]
}

// widen makes room for the second bitmap.
func (w *Writer) widen() {
	size := w.spec.bitmapSize()
	from := w.bitmap + size
	var room [16]byte
	out := append(w.out(), room[:size]...)
	copy(out[from+size:], out[from:len(out)-size])
	w.keep(out)
}

// Put writes field n with content as Message.Bytes returns it.
func (w *Writer) Put(n int, value []byte) {
	f := w.enter(n)
	if f == nil {
		return
	}
	if reason := f.admit(value); reason != "" {
		w.fail(n, reason)
		return
	}
	w.keep(f.append(w.out(), value))
}

// PutNumber writes a fixed field of type n and at most 18 digits, with zeros in front.
func (w *Writer) PutNumber(n int, v int64) {
	var room [18]byte
	f := w.row(n)
	if f == nil {
		w.fail(n, reasonUnknown)
		return
	}
	if f.kind != Digits || f.prefix != 0 || f.max > len(room) {
		w.fail(n, reasonKind)
		return
	}
	value, rest := room[:f.max], v
	for i := len(value) - 1; i >= 0; i-- {
		value[i] = '0' + byte(rest%10)
		rest /= 10
	}
	if v < 0 || rest != 0 {
		w.fail(n, reasonRange)
		return
	}
	w.Put(n, value)
}

func (w *Writer) row(n int) *fieldSpec {
	if w.spec == nil {
		return nil
	}
	return w.spec.field(n)
}

// Copy writes field n as it is in v, when it is there. Where both specs have the same row the
// bytes go over as they are; where the character sets differ the text is turned, which
// allocates.
func (w *Writer) Copy(v *View, n int) {
	if !v.Has(n) {
		return
	}
	from, to := v.spec.fields[n], w.row(n)
	switch {
	case from == to:
		if w.enter(n) != nil {
			end := int(v.spots[n].content) + from.wireSize(int(v.spots[n].length))
			w.keep(append(w.out(), (*v.frame).bytes[v.spots[n].from:end]...))
		}
	case to == nil:
		w.fail(n, reasonUnknown)
	case from.charset != to.charset && from.kind != Binary && to.kind != Binary:
		w.turn(v, n)
	default:
		var room [fieldLengthMax + 1]byte
		value := from.chars(room[:0], v.content(n), int(v.spots[n].length))
		w.Put(n, value)
		clear(value)
	}
}

// turn writes text in the character set of the spec.
func (w *Writer) turn(v *View, n int) {
	from, to := New(v.spec, v.MTI()), New(w.spec, v.MTI())
	err := from.SetBytes(n, v.Append(nil, n))
	if err == nil {
		err = to.Copy(from, n)
	}
	if err != nil {
		w.fail(n, reasonText)
		return
	}
	w.Put(n, to.body().value(n))
}

// Finish returns dst of Begin with the frame appended, or what went wrong first, a
// *FormatError, and dst as it was.
func (w *Writer) Finish() ([]byte, error) {
	size := len(w.out()) - w.start
	if w.spec == nil {
		w.fail(frameLevel, reasonBegun)
	} else if size > FrameMax {
		w.fail(frameLevel, reasonOversize)
	} else if w.spec.envelope == CUPSHead {
		h := w.CUPS
		if h[0] != cupsSize || !h.setLength(size) {
			w.fail(frameLevel, reasonHeader)
		}
		copy(w.out()[w.start:], h[:])
	}
	if w.err != nil {
		return w.out()[:min(w.start, len(w.out()))], w.err
	}
	w.putBitmap()
	return w.out(), nil
}

// putBitmap writes the bitmaps into their room.
func (w *Writer) putBitmap() {
	var raw [fieldMax / 8]byte
	bitmap := raw[:8]
	if w.set[1] != 0 {
		w.set[0] |= 1 << 63
		bitmap = raw[:]
	}
	for i := range bitmap {
		bitmap[i] = byte(w.set[i/8] >> (56 - 8*(i%8)))
	}
	if w.spec.hexBitmap {
		appendHex(w.out()[:w.bitmap], bitmap)
	} else {
		copy(w.out()[w.bitmap:], bitmap)
	}
}

// FinishMAC is Finish with the MAC that by computes in the MAC field of the spec: the later
// one when there is a second bitmap. by makes at most 8 bytes; zeros fill the field up.
func (w *Writer) FinishMAC(by *mac.MAC) ([]byte, error) {
	if w.spec != nil && w.err == nil && by.Size() > macSize {
		w.err = ErrNoMAC
	}
	return w.FinishSum(func(dst, covered []byte) ([]byte, error) {
		return by.Sum(dst, covered), nil
	})
}

// FinishSum is FinishMAC with a MAC whose key is elsewhere: sum appends at most 8 bytes, the
// MAC of covered, to dst.
func (w *Writer) FinishSum(sum func(dst, covered []byte) ([]byte, error)) ([]byte, error) {
	if w.spec == nil || w.err != nil {
		return w.Finish()
	}
	n := w.spec.macFor(w.set[1] != 0)
	if n == 0 {
		w.err = ErrNoMAC
		return w.Finish()
	}
	var value [macSize]byte
	w.Put(n, value[:])
	out, err := w.Finish()
	if err != nil {
		return out, err
	}
	f := w.spec.fields[n]
	at := len(out) - f.wireSize(macSize)
	got, err := sum(w.room[:0], out[w.start+w.spec.envelope.Size():at])
	if err == nil && len(got) > macSize {
		err = ErrNoMAC
	}
	if err != nil {
		w.err = err
		return out[:w.start], err
	}
	copy(value[:], got)
	f.append(out[:at], value[:])
	return out, nil
}

// Format prints the numbers of the fields that are written, whatever the verb.
func (w Writer) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "%s %v", w.name(), w.set.numbers())
}
