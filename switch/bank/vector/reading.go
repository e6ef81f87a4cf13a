package vector

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tapswitch/tapswitch/crypto/vector"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// reading is one way to take bytes as a message.
type reading struct {
	spec   *message.Spec
	framed bool
	form   message.Framing
}

// variants are what public messages do otherwise than the built-in specs, a row or two each.
var variants = []string{`
name: cup_pos_text_48
base: cup_pos
fields:
  48: {name: private, format: ans..999 LLL, charset: gb18030, show: none}
`, `
name: cup_pos_right_22
base: cup_pos
fields:
  22: {name: entry mode, format: n3, align: right, pad: 0}
`, `
name: cup_pos_left_23
base: cup_pos
fields:
  23: {name: card sequence number, format: n3, align: left, pad: 0}
`, `
name: cup_pos_more
base: cup_pos
fields:
  8: {name: cardholder billing fee, format: n8}
  17: {name: capture date, format: n4}
  20: {name: card country, format: n3, align: right}
  21: {name: forwarder country, format: n3, align: right}
  24: {name: network id, format: n3, align: right}
  27: {name: authorization code length, format: n1, align: right}
  34: {name: extended card number, format: ans..28 LL, show: none}
  70: {name: network code, format: n3, align: right}
  90: {name: original data, format: n42}
  100: {name: receiver, format: n..11 LL}
  128: {name: MAC, format: b8}
`, `
name: iso87_ascii_hex_data
base: iso87_ascii
bitmap: binary
`, `
name: iso87_ascii_raw_data
base: iso87_ascii_binary
bitmap: hex
`, `
name: iso87_mixed
base: iso87_ascii
bitmap: binary
fields:
  19: {name: acquirer country, format: n3, encoding: bcd, align: right}
  43: {name: merchant name, format: ans40, align: right}
  49: {name: currency, format: n3, encoding: bcd, align: left}
  52: {name: PIN block, format: b8, encoding: raw, show: none}
`}

// packed are the rows with an odd number of digits in BCD whose filler nibble senders choose:
// the row without its pad.
var packed = map[string]map[int]string{
	"cup_pos": {
		2:  "format: n8..19 LL, show: pan",
		22: "format: n3",
		23: "format: n3, align: right",
		32: "format: n..11 LL",
		33: "format: n..11 LL",
		35: "format: z..37 LL, show: none",
		36: "format: z..104 LLL, show: none",
		48: "format: n..322 LLL, show: none",
		60: "format: n..99 LLL",
		61: "format: n..99 LLL",
	},
	"iso87_bcd": {
		2:   "format: n8..19 LL, align: left, show: pan",
		32:  "format: n..11 LL, align: left",
		33:  "format: n..11 LL, align: left",
		35:  "format: z..37 LL, align: left, show: none",
		99:  "format: n..11 LL, align: left",
		100: "format: n..11 LL, align: left",
	},
}

// specs are the built-in specs and the variants.
var specs = sync.OnceValues(func() ([]*message.Spec, error) {
	var all []*message.Spec
	for _, name := range message.Names() {
		s, err := message.Named(name)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	for _, text := range variants {
		s, err := message.Load(strings.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("variant: %w", err)
		}
		all = append(all, s)
	}
	return all, nil
})

// readings returns what the vector leaves open.
func (e *entry) readings() ([]reading, error) {
	all, err := specs()
	if err != nil {
		return nil, err
	}
	if name, ok := e.input("spec", "specification", "dialect"); ok {
		name = strings.ReplaceAll(strings.ToLower(name), "-", "_")
		if i := slices.IndexFunc(all,
			func(s *message.Spec) bool { return s.Name() == name }); i >= 0 {
			all = all[i : i+1]
		}
	}
	var out []reading
	for _, s := range all {
		for i, envelope := range []message.Envelope{s.Envelope(), message.Bare, message.TPDUOnly,
			message.TPDUHeader, message.CUPSHead} {
			if i > 0 && envelope == s.Envelope() {
				continue
			}
			for _, r := range e.framings() {
				r.spec = s
				if envelope != s.Envelope() {
					r.spec = s.WithEnvelope(envelope)
				}
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// framings returns the framings that the vector leaves open, the likely ones first.
func (e *entry) framings() []reading {
	bare := []reading{{}}
	form := func(f message.LengthForm, inclusive bool) reading {
		return reading{framed: true,
			form: message.Framing{Form: f, Inclusive: inclusive, Max: message.FrameMax}}
	}
	binary := []reading{form(message.Binary2, false), form(message.Binary2, true)}
	ascii := []reading{form(message.ASCII4, false), form(message.ASCII4, true)}
	if two, ok := e.flag("has_2byte_length", "has_two_byte_length"); ok {
		if two {
			return binary
		}
		return bare
	}
	if four, ok := e.flag("has_4digit_length", "has_ascii_length", "has_4_ascii_length"); ok {
		if four {
			return ascii
		}
		return bare
	}
	if any, ok := e.flag("has_length", "has_length_prefix"); ok && !any {
		return bare
	} else if ok {
		return append(binary, ascii...)
	}
	return append(append(bare, binary...), ascii...)
}

// check tries every reading.
func (e *entry) check() (vector.Outcome, string) {
	all, err := e.readings()
	if err != nil {
		return vector.Unsupported, "the specs cannot be read"
	}
	if _, refused := e.rest["error"]; refused {
		return e.checkRefused(all)
	}
	best := faultf(-1, "no reading fits")
	for _, r := range all {
		f := e.try(r)
		if f == nil {
			return e.known()
		}
		if f.depth > best.depth {
			best = f
		}
	}
	return vector.Failed, best.why
}

// checkRefused passes a message that no reading takes.
func (e *entry) checkRefused(all []reading) (vector.Outcome, string) {
	if len(e.rest)+len(e.fields) != 1 {
		return vector.Unsupported, "an error and other values are expected"
	}
	for _, r := range all {
		if m, _, f := e.read(r); m != nil && (f == nil || f.depth > notPacked) {
			return vector.Failed, "an error was expected and " + m.Spec().Name() + " reads it"
		}
	}
	return vector.Passed, ""
}

// known passes a vector of which everything was compared.
func (e *entry) known() (vector.Outcome, string) {
	for _, name := range slices.Sorted(maps.Keys(e.rest)) {
		if _, ok := comparisons[name]; !ok {
			return vector.Unsupported, fmt.Sprintf("expected value %.40q is not known here", name)
		}
	}
	return vector.Passed, ""
}

// try reports what does not fit in a reading; nil when everything does.
func (e *entry) try(r reading) *fault {
	m, frame, f := e.read(r)
	if f != nil {
		return f
	}
	return e.compare(m, frame)
}

// read takes the bytes as r says and packs them again. It returns the frame without its
// length.
func (e *entry) read(r reading) (*message.Message, []byte, *fault) {
	frame := e.frame
	if r.framed {
		var size int
		var err error
		if frame, size, err = r.form.Next(e.frame); err != nil || size != len(e.frame) {
			return nil, nil, faultf(notFramed, "the length in front is not that of the message")
		}
	}
	if _, err := message.Peek(r.spec, frame); err != nil {
		return nil, nil, unread(err)
	}
	m, err := message.Parse(r.spec, frame)
	if err != nil {
		return nil, nil, unread(err)
	}
	m, same := repacks(m, frame)
	if !same {
		return m, frame, faultf(notPacked, "read as %s, it packs to other bytes", r.spec.Name())
	}
	if r.framed {
		whole, err := r.form.Append(nil, frame)
		if err != nil || !bytes.Equal(whole, e.frame) {
			return m, frame, faultf(notPacked, "its length packs to other bytes")
		}
	}
	return m, frame, nil
}

// unread is the fault of a message that a spec does not take. The codec's errors show no
// content.
func unread(err error) *fault {
	f := faultf(notParsed, "%v", err)
	var format *message.FormatError
	if errors.As(err, &format) && format.Field <= 1 {
		f.depth = notFramed
	}
	return f
}

// repacks reports whether m packs to frame. Where only filler nibbles differ, it returns the
// message as read by the spec whose fillers are those of the frame.
func repacks(m *message.Message, frame []byte) (*message.Message, bool) {
	differ := distance(m, frame)
	rows := packed[m.Spec().Name()]
	var chosen []string
	for _, n := range slices.Sorted(maps.Keys(rows)) {
		if differ == 0 || !m.Has(n) {
			continue
		}
		row := fmt.Sprintf("  %d: {name: field, %s, pad: F}\n", n, rows[n])
		text := fmt.Sprintf("name: filled\nbase: %s\nfields:\n%s%s", m.Spec().Name(),
			strings.Join(chosen, ""), row)
		s, err := message.Load(strings.NewReader(text))
		if err != nil {
			continue
		}
		again, err := message.Parse(s.WithEnvelope(m.Spec().Envelope()), frame)
		if err != nil {
			continue
		}
		if d := distance(again, frame); d < differ {
			differ, chosen = d, append(chosen, row)
		}
	}
	return m, differ == 0
}

// distance is the number of bytes in which what m packs to differs from frame.
func distance(m *message.Message, frame []byte) int {
	out, err := m.Append(nil)
	if err != nil || len(out) != len(frame) {
		return len(frame) + 1
	}
	n := 0
	for i := range out {
		if out[i] != frame[i] {
			n++
		}
	}
	return n
}
