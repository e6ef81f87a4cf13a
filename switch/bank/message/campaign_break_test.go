package message

import (
	"math/rand/v2"
	"strconv"
)

// draft is a message that is being broken, and the stream that it stands in.
type draft struct {
	all     []seedMessage
	source  *rand.PCG
	rng     *rand.Rand
	spec    *Spec
	chunks  []chunk
	arena   []byte // new content of chunks
	frame   []byte
	stream  []byte
	framing Framing
	cut     int // bytes left out of the end, below 0 for trailing ones
	border  bool
	flips   int
}

// begin takes a message; those of a hundred fields, which take long, less often.
func (d *draft) begin() {
	m := &d.all[d.rng.IntN(len(d.all))]
	for tries := 0; tries < 2 && len(m.chunks) > 40; tries++ {
		m = &d.all[d.rng.IntN(len(d.all))]
	}
	d.spec, d.cut, d.border, d.flips = m.spec, 0, false, 0
	d.chunks, d.arena = append(d.chunks[:0], m.chunks...), d.arena[:0]
}

// mutations are the ways to break a message. What breaks less often stands twice, so that
// about half of the messages can still be read.
func mutations() []func(*draft) {
	return []func(*draft){(*draft).length, (*draft).bitmap, (*draft).swap, (*draft).splice,
		(*draft).nest, (*draft).nest, (*draft).refill, (*draft).refill, (*draft).resize,
		(*draft).resize, (*draft).add, (*draft).add, (*draft).drop, (*draft).drop,
		(*draft).double, (*draft).header, (*draft).header, (*draft).kind, (*draft).kind,
		(*draft).truncate, (*draft).flip}
}

// room returns n bytes for new content.
func (d *draft) room(n int) []byte {
	from := len(d.arena)
	d.arena = append(d.arena, make([]byte, n)...)
	return d.arena[from : from+n : from+n]
}

// random returns n bytes: any, or of those that decide something in some encoding.
func (d *draft) random(n int) []byte {
	out := d.room(n)
	const edges = "\x00\xff\x0f\xf0\x99\x9a09:AFDd=\x81\x30\xfe\x80 \x1b\xd0\x7f"
	any := d.rng.IntN(3) == 0
	for i := range out {
		if any {
			out[i] = byte(d.rng.Uint32())
		} else {
			out[i] = edges[d.rng.IntN(len(edges))]
		}
	}
	return out
}

// field returns a field of the message and its row; nil when it has none.
func (d *draft) field() (*chunk, *fieldSpec) {
	if len(d.chunks) <= 3 {
		return nil, nil
	}
	c := &d.chunks[3+d.rng.IntN(len(d.chunks)-3)]
	return c, d.spec.field(c.field)
}

// length makes a field say another length than it has.
func (d *draft) length() {
	c, row := d.field()
	if c == nil || row == nil || len(c.head) == 0 || row.prefix == 0 {
		return
	}
	most := min(row.max, fieldLengthMax)
	n := [...]int{0, 1, most, most + 1, 2 * most, fieldLengthMax, len(c.body) + 1,
		max(len(c.body)-1, 0), 2*len(c.body) + 1}[d.rng.IntN(9)]
	if d.rng.IntN(4) == 0 {
		c.head = d.random(len(c.head))
		return
	}
	head := d.room(8)[:0]
	limit := [...]int{1, 10, 100, 1000}[min(row.prefix, 3)]
	c.head = row.appendLength(head, n%limit)
}

// bits returns the bitmaps in binary, and puts them back.
func (d *draft) bits() []byte {
	raw := d.chunks[2].body
	if !d.spec.hexBitmap {
		out := d.room(len(raw))
		copy(out, raw)
		return out
	}
	out := d.room(len(raw) / 2)
	for i := range out {
		n, err := strconv.ParseUint(string(raw[2*i:2*i+2]), 16, 8)
		if err != nil {
			return nil
		}
		out[i] = byte(n)
	}
	return out
}

func (d *draft) setBits(bits []byte) {
	if d.spec.hexBitmap {
		bits = appendHex(d.room(2 * len(bits))[:0], bits)
	}
	d.chunks[2].body = bits
}

// bitmap breaks the bitmaps.
func (d *draft) bitmap() {
	bits := d.bits()
	if len(bits) == 0 {
		return
	}
	switch d.rng.IntN(7) {
	case 0:
		bits[d.rng.IntN(len(bits))] ^= 1 << d.rng.IntN(8)
	case 1:
		bits[0] ^= 0x80 // a second bitmap is announced and not there, or the other way round
	case 2:
		if len(bits) == 8 { // an empty second one
			bits = append(d.room(16)[:0], append(bits, d.room(8)...)...)
		}
		bits[0] |= 0x80
	case 3:
		bits = bits[:min(len(bits), 8)]
	case 4:
		clear(bits)
	case 5:
		copy(bits, d.random(len(bits)))
	default:
		bits = bits[:d.rng.IntN(len(bits))]
	}
	d.setBits(bits)
}

// mark says in the bitmap that field n is there or not. It is false where the bitmap has no
// room for it.
func (d *draft) mark(n int, there bool) bool {
	bits := d.bits()
	if n > 64 && len(bits) == 8 {
		bits = append(d.room(16)[:0], append(bits, d.room(8)...)...)
		bits[0] |= 0x80
	}
	if (n-1)/8 >= len(bits) {
		return false
	}
	mask := byte(0x80) >> ((n - 1) % 8)
	bits[(n-1)/8] &^= mask
	if there {
		bits[(n-1)/8] |= mask
	}
	d.setBits(bits)
	return true
}

// swap gives two fields each other's place or content.
func (d *draft) swap() {
	a, _ := d.field()
	b, _ := d.field()
	if a == nil {
		return
	}
	if d.rng.IntN(2) == 0 {
		*a, *b = *b, *a
		return
	}
	a.body, b.body = b.body, a.body
}

// splice puts a field of another message, maybe of another spec, in a field's place.
func (d *draft) splice() {
	c, _ := d.field()
	other := &d.all[d.rng.IntN(len(d.all))]
	if c == nil || len(other.chunks) <= 3 {
		return
	}
	from := other.chunks[3+d.rng.IntN(len(other.chunks)-3)]
	c.body = from.body
	if d.rng.IntN(2) == 0 {
		c.head = from.head
	}
}

// put gives a field content, behind the length that is right for it.
func (d *draft) put(c *chunk, row *fieldSpec, value []byte) {
	wire := row.append(d.room(4 + 2*len(value))[:0], value)
	size := row.prefixSize()
	c.head, c.body = wire[:size:size], wire[size:]
}

// content makes content that field row takes.
func (d *draft) content(row *fieldSpec, n int) []byte {
	return contentOf(row, n, func(_, below int) int { return d.rng.IntN(below) })
}

// resize gives a field other content of any length that it may have, the ends often.
func (d *draft) resize() {
	c, row := d.field()
	if c == nil || row == nil {
		return
	}
	n := row.min + d.rng.IntN(min(row.max-row.min, 40)+1)
	if d.rng.IntN(16) == 0 {
		n = row.max
	}
	d.put(c, row, d.content(row, n))
}

// refill leaves the length and changes the content.
func (d *draft) refill() {
	c, row := d.field()
	if c == nil || len(c.body) == 0 {
		return
	}
	if row != nil && d.rng.IntN(3) > 0 && len(c.head) == 0 {
		d.put(c, row, d.content(row, row.max))
		return
	}
	body := d.room(len(c.body))
	copy(body, c.body)
	at := d.rng.IntN(len(body))
	copy(body[at:], d.random(1+d.rng.IntN(min(len(body)-at, 8))))
	c.body = body
}

// nest fills a field with elements inside elements whose lengths lie.
func (d *draft) nest() {
	c, row := d.field()
	for tries := 0; c != nil && (row == nil || row.prefix == 0 || row.max < 16); tries++ {
		if tries == 8 {
			return
		}
		c, row = d.field()
	}
	if c == nil {
		return
	}
	n := min(row.max, 16+d.rng.IntN(240))
	tlv := d.room(n)
	for i := 0; i < n; {
		tag := [...]string{"\x9f\x27", "\x5f\x2a", "\x70", "\x77", "\xe1", "\xff\xff\xff",
			"\x1f\x81", "AS001", "NK032", "92"}[d.rng.IntN(10)]
		size := [...]string{"\x01", "\x7f", "\x80", "\x81\xff", "\x82\xff\xff",
			"\x84\xff\xff\xff\xff", "\x88\x7f\xff\xff\xff\xff\xff\xff\xff", "999",
			"\x00"}[d.rng.IntN(9)]
		i += copy(tlv[i:], tag)
		i += copy(tlv[i:], size)
	}
	if row.kind == Digits || row.kind == Track {
		for i := range tlv {
			tlv[i] = '0' + tlv[i]%10
		}
	}
	d.put(c, row, tlv)
}

// add puts one more field in, in its place and in the bitmap.
func (d *draft) add() {
	numbers := d.spec.Numbers()
	n := numbers[d.rng.IntN(len(numbers))]
	row := d.spec.field(n)
	at := 3
	for at < len(d.chunks) && d.chunks[at].field < n {
		at++
	}
	if at < len(d.chunks) && d.chunks[at].field == n || len(d.bits()) == 0 || !d.mark(n, true) {
		return
	}
	d.chunks = append(d.chunks, chunk{})
	copy(d.chunks[at+1:], d.chunks[at:])
	d.chunks[at] = chunk{field: n}
	d.put(&d.chunks[at], row, d.content(row, row.min+d.rng.IntN(min(row.max-row.min, 30)+1)))
}

// drop takes a field away, mostly out of the bitmap too.
func (d *draft) drop() {
	if len(d.chunks) <= 3 {
		return
	}
	at := 3 + d.rng.IntN(len(d.chunks)-3)
	if d.rng.IntN(8) > 0 && len(d.bits()) > 0 {
		d.mark(d.chunks[at].field, false)
	}
	d.chunks = append(d.chunks[:at], d.chunks[at+1:]...)
}

// double sends a field two times.
func (d *draft) double() {
	if c, _ := d.field(); c != nil {
		d.chunks = append(d.chunks, *c)
	}
}

// header breaks what stands in front: TPDU, terminal header, interbank header.
func (d *draft) header() {
	c := &d.chunks[0]
	if len(c.body) == 0 {
		if d.rng.IntN(8) == 0 {
			c.body = d.random(d.rng.IntN(48)) // one that the spec does not have
		}
		return
	}
	switch d.rng.IntN(8) {
	case 0:
		c.body = c.body[:d.rng.IntN(len(c.body))]
	case 1:
		c.body = append(d.room(2 * len(c.body))[:0], append(c.body[:len(c.body):len(c.body)],
			c.body...)...)
	default:
		body := d.room(len(c.body))
		copy(body, c.body)
		body[d.rng.IntN(len(body))] = d.random(1)[0]
		c.body = body
	}
}

// kind makes another message type of it, or none.
func (d *draft) kind() {
	digits := []byte{'0', "12345689"[d.rng.IntN(8)], "01234"[d.rng.IntN(5)], "01"[d.rng.IntN(2)]}
	switch {
	case d.rng.IntN(8) == 0:
		d.chunks[1].body = d.random(d.rng.IntN(5))
	case d.spec.mtiBCD:
		d.chunks[1].body = []byte{digits[1] & 15, digits[2]<<4 | digits[3]&15}
	default:
		d.chunks[1].body = digits
	}
}

// truncate ends the message at the border of a field, or just beside one, or goes on after
// its end.
func (d *draft) truncate() {
	d.border, d.cut = d.rng.IntN(4) > 0, d.rng.IntN(3)-1
	if !d.border {
		d.cut = d.rng.IntN(24) - 12
	}
}

// flip changes bits, wherever they stand.
func (d *draft) flip() { d.flips += 1 + d.rng.IntN(3) }

// assemble writes the frame.
func (d *draft) assemble() {
	chunks := d.chunks
	if d.border {
		chunks = chunks[:1+d.rng.IntN(len(chunks))]
	}
	d.frame = d.frame[:0]
	for i := range chunks {
		d.frame = append(append(d.frame, chunks[i].head...), chunks[i].body...)
	}
	if d.cut > 0 {
		d.frame = d.frame[:max(len(d.frame)-d.cut, 0)]
	} else {
		d.frame = append(d.frame, d.random(-d.cut)...)
	}
	for ; d.flips > 0 && len(d.frame) > 0; d.flips-- {
		d.frame[d.rng.IntN(len(d.frame))] ^= 1 << d.rng.IntN(8)
	}
}

// frameUp puts the frame into a stream: alone or behind another, with the right length or
// with another, whole or cut.
func (d *draft) frameUp() {
	d.framing = Framing{Form: LengthForm(d.rng.IntN(2)), Inclusive: d.rng.IntN(4) == 0}
	d.framing.Max = [...]int{0, 0, 512, FrameMax}[d.rng.IntN(4)]
	d.stream = d.stream[:0]
	for again := true; again; again = d.rng.IntN(8) == 0 {
		from := len(d.stream)
		var err error
		if d.stream, err = d.framing.Append(d.stream, d.frame); err != nil {
			d.stream = append(append(d.stream, d.random(2+2*d.rng.IntN(2))...), d.frame...)
		}
		if d.rng.IntN(6) == 0 {
			copy(d.stream[from:], d.random(1+d.rng.IntN(4)))
		}
	}
	if d.rng.IntN(6) == 0 {
		d.stream = d.stream[:d.rng.IntN(len(d.stream)+1)]
	}
}
