package inspect

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// Packer writes messages that are given as text. What it is told comes before what a message
// says of itself.
type Packer struct {
	Spec     *message.Spec // nil: the built-in one that a message names, or DefaultSpec
	Envelope string        // name of an envelope; "" as the message says, or the spec's
	Framing  *Framing      // nil: as the message says, or none
	MAC      *mac.MAC      // adds the MAC field; nil: as the message says
	Raw      bool          // bytes instead of a line in hex
	// YAML reads a document that is no JSON; nil refuses it.
	YAML func(text []byte) (map[string]any, error)
	Out  io.Writer

	specs map[[2]string]*message.Spec // by name and envelope, those that messages named
}

// specsMax bounds the specs that one run keeps; messages name a handful.
const specsMax = 64

// document is a message as it is given. What describe prints besides is not read.
type document struct {
	Description
	Header json.RawMessage            `json:"header"`
	Fields map[string]json.RawMessage `json:"fields"`
	// Shadowed: what is not read may be anything.
	Details json.RawMessage `json:"details"`
}

// Pack writes a frame for every message of in: JSON objects as describe prints them, one
// behind the other or in a list, or a YAML document. An error names the message by its number,
// from 1, and quotes nothing of it.
func (p *Packer) Pack(in io.Reader) error {
	number := 0
	err := p.eachDocument(in, func(d *document) error {
		number++
		return p.document(d)
	})
	if err != nil {
		return fmt.Errorf("message %d: %w", max(number, 1), err)
	}
	return nil
}

// eachDocument reads JSON objects, a JSON list of them, or a YAML file.
func (p *Packer) eachDocument(in io.Reader, do func(*document) error) error {
	r := bufio.NewReader(in)
	first, err := firstByte(r)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	var source io.Reader = r
	if first != '{' && first != '[' {
		if source, err = p.fromYAML(r); err != nil {
			return err
		}
	}
	dec := json.NewDecoder(source)
	dec.DisallowUnknownFields()
	if first == '[' {
		if _, err := dec.Token(); err != nil {
			return notJSON(err)
		}
	}
	for dec.More() {
		var d document
		if err := dec.Decode(&d); err != nil {
			return notJSON(err)
		}
		if err := do(&d); err != nil {
			return err
		}
	}
	if first == '[' {
		if _, err := dec.Token(); err != nil {
			return notJSON(err)
		}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return notJSON(err)
	}
	return nil
}

// firstByte returns the first byte that is no space, and leaves it to be read.
func firstByte(r *bufio.Reader) (byte, error) {
	for {
		c, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		if !strings.ContainsRune(" \t\r\n", rune(c)) {
			return c, r.UnreadByte()
		}
	}
}

// notJSON takes what the decoder quotes of the text out of its error; the name of an
// unknown member stays.
func notJSON(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case err == nil:
		return errors.New("not a message: something follows the last one")
	case errors.As(err, &syntax):
		return fmt.Errorf("not a message: syntax error at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Errorf("not a message: %q is of a wrong kind: values stand in quotes",
			kind.Field)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return fmt.Errorf("not a message: %.60s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return errors.New("not a message in JSON or YAML")
}

// yamlMax bounds a YAML file in bytes.
const yamlMax = 1 << 20

// fromYAML returns a YAML document as JSON.
func (p *Packer) fromYAML(r io.Reader) (io.Reader, error) {
	if p.YAML == nil {
		return nil, errors.New("not a message in JSON")
	}
	text, err := io.ReadAll(io.LimitReader(r, yamlMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > yamlMax {
		return nil, fmt.Errorf("a YAML file of more than %d bytes", yamlMax)
	}
	tree, err := p.YAML(text)
	if err != nil {
		return nil, errors.New("not a message in JSON or YAML")
	}
	out, err := json.Marshal(withTextKeys(tree))
	if err != nil {
		return nil, errors.New("not a message in JSON or YAML")
	}
	return bytes.NewReader(out), nil
}

// withTextKeys makes the keys of mappings text: fields are numbered without quotes.
func withTextKeys(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = withTextKeys(value)
		}
	case map[any]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[fmt.Sprint(key)] = withTextKeys(value)
		}
		return out
	}
	return v
}

// document writes one message.
func (p *Packer) document(d *document) error {
	if d.Masked {
		return errors.New("its values are masked: print it with --reveal")
	}
	if d.Error != "" {
		return errors.New("it could not be read and holds nothing")
	}
	m, err := p.build(d)
	if err != nil {
		return err
	}
	var frame []byte
	if p.MAC != nil {
		frame, err = m.AppendMAC(nil, p.MAC)
	} else {
		frame, err = m.Append(nil)
	}
	if err != nil {
		return err
	}
	if frame, err = p.frame(d, frame); err != nil {
		return err
	}
	if !p.Raw {
		frame = append([]byte(upperHex(frame)), '\n')
	}
	_, err = p.Out.Write(frame)
	return err
}

// frame puts the length in front.
func (p *Packer) frame(d *document, frame []byte) ([]byte, error) {
	chosen := p.Framing
	if chosen == nil && d.Framing != "" {
		all := Framings()
		i := slices.IndexFunc(all, func(f Framing) bool { return f.Name == d.Framing })
		if i < 0 {
			return nil, fmt.Errorf("framing %.20q is not known", d.Framing)
		}
		chosen = &all[i]
	}
	if chosen == nil || chosen.Form == nil {
		return frame, nil
	}
	return chosen.Form.Append(nil, frame)
}

// build makes a message of a document.
func (p *Packer) build(d *document) (*message.Message, error) {
	s, err := p.spec(d)
	if err != nil {
		return nil, err
	}
	mti, err := message.ParseMTI(d.MTI)
	if err != nil {
		return nil, err
	}
	m := message.New(s, mti)
	if err := setEnvelope(m, d); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(d.Fields)) {
		n, err := strconv.Atoi(key)
		if err != nil || key != strconv.Itoa(n) {
			return nil, fmt.Errorf("field %.20q: want a number", key)
		}
		var value string
		if json.Unmarshal(d.Fields[key], &value) != nil || string(d.Fields[key]) == "null" {
			return nil, fmt.Errorf("field %d: write the value in quotes", n)
		}
		if err := setField(m, n, value); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func setField(m *message.Message, n int, value string) error {
	digits, ok := strings.CutPrefix(value, rawPrefix)
	if !ok {
		return m.SetText(n, value)
	}
	content, err := hex.DecodeString(digits)
	if err != nil {
		return fmt.Errorf("field %d: what follows hex: is not in hex", n)
	}
	return m.SetBytes(n, content)
}

// spec returns the spec of a document.
func (p *Packer) spec(d *document) (*message.Spec, error) {
	key := [2]string{d.Spec, d.Envelope}
	if p.Spec != nil {
		key[0] = ""
	}
	if p.Envelope != "" {
		key[1] = p.Envelope
	}
	if s, ok := p.specs[key]; ok {
		return s, nil
	}
	if len(p.specs) >= specsMax {
		return nil, fmt.Errorf("the messages name more than %d specs", specsMax)
	}
	s, err := p.open(key[0], key[1])
	if err != nil {
		return nil, err
	}
	if p.specs == nil {
		p.specs = make(map[[2]string]*message.Spec)
	}
	p.specs[key] = s
	return s, nil
}

func (p *Packer) open(name, envelope string) (*message.Spec, error) {
	s := p.Spec
	if s == nil {
		if strings.ContainsAny(name, "./\\") {
			return nil, errors.New("a message names no spec file: use --spec")
		}
		if name == "" {
			name = DefaultSpec
		}
		named, err := message.Named(name)
		if err != nil {
			return nil, err
		}
		s = named
	}
	if envelope == "" {
		return s, nil
	}
	e, err := message.ParseEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	return s.WithEnvelope(e), nil
}

// Where a message does not say what stands in front of it.
const (
	defaultTPDU   = "6000000000"
	defaultHeader = "603100000000"
)

func setEnvelope(m *message.Message, d *document) error {
	tpdu, header := defaultTPDU, defaultHeader
	if d.TPDU != "" {
		tpdu = d.TPDU
	}
	var text string
	if len(d.Header) > 0 && json.Unmarshal(d.Header, &text) == nil && text != "" {
		header = text
	}
	switch m.Spec().Envelope() {
	case message.TPDUOnly:
		return setHex("tpdu", m.TPDU[:], tpdu)
	case message.TPDUHeader:
		return errors.Join(setHex("tpdu", m.TPDU[:], tpdu), setHex("header", m.Header[:],
			header))
	case message.CUPSHead:
		if text != "" {
			return setHex("header", m.CUPS[:], text)
		}
		var ends struct{ Destination, Source string }
		if len(d.Header) > 0 && json.Unmarshal(d.Header, &ends) != nil {
			return errors.New("header: want hex, or destination and source")
		}
		h, err := message.NewCUPSHeader(ends.Destination, ends.Source)
		m.CUPS = h
		return err
	}
	return nil
}

func setHex(name string, to []byte, text string) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(to) {
		return fmt.Errorf("%s: want %d hex digits", name, 2*len(to))
	}
	copy(to, b)
	return nil
}
