package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

func isoPackCommand() *cobra.Command {
	var flags isoFlags
	var raw bool
	c := &cobra.Command{
		Use: "pack [FILE...]", Short: "Write messages of fields given as JSON or YAML",
		Long: "Writes a frame for every message of the files: JSON objects one behind the other\n" +
			"or in a list, as describe --json --reveal prints them, or a YAML file. A message\n" +
			"has mti, fields (number to value), and tpdu and header, or header with\n" +
			"destination and source, where the spec has them. Every value stands in quotes:\n" +
			"0200 and 000000001250 are no numbers. A value hex:… is the content of a field as\n" +
			"bytes. With a MAC key the MAC field is added.",
		Example: `  echo '{"mti":"0800","fields":{"11":"000001","41":"00000001","42":"898310041110001",` +
			"\n" + `    "60":"00000001003"}}' | tapswitch iso8583 pack --framing binary2` + "\n",
		RunE: func(c *cobra.Command, files []string) error {
			p, err := flags.openPacker(c.Flags().Changed("framing"))
			if err != nil {
				return err
			}
			p.raw, p.out = raw, c.OutOrStdout()
			if len(files) == 0 {
				files = []string{"-"}
			}
			for _, name := range files {
				if err := p.file(c.InOrStdin(), name); err != nil {
					return err
				}
			}
			return nil
		},
	}
	flags.add(c)
	c.Flags().BoolVar(&raw, "raw", false, "write bytes instead of a line in hex")
	return c
}

// isoPacker writes messages.
type isoPacker struct {
	flags   isoFlags
	framing *isoFraming // nil: as the message says
	mac     *mac.MAC
	specs   map[[2]string]*message.Spec // by name and envelope, those that messages named
	raw     bool
	out     io.Writer
}

// isoSpecsMax bounds the specs that one run keeps; messages name a handful.
const isoSpecsMax = 64

func (f *isoFlags) openPacker(framed bool) (*isoPacker, error) {
	o, err := f.open()
	if err != nil {
		return nil, err
	}
	p := &isoPacker{flags: *f, mac: o.mac, specs: make(map[[2]string]*message.Spec)}
	if framed && len(o.framings) == 1 {
		p.framing = &o.framings[0]
	}
	return p, nil
}

// isoDocument is a message as it is given. What describe prints besides is not read.
type isoDocument struct {
	isoMessage
	Header json.RawMessage            `json:"header"`
	Fields map[string]json.RawMessage `json:"fields"`
	// Shadowed: what is not read may be anything.
	Details json.RawMessage `json:"details"`
}

func (p *isoPacker) file(stdin io.Reader, name string) error {
	in, source := stdin, "stdin"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return withCode(exitUsage, err)
		}
		defer f.Close()
		in, source = f, name
	}
	number := 0
	err := isoDocuments(in, func(d *isoDocument) error {
		number++
		return p.document(d)
	})
	if err != nil {
		return fmt.Errorf("%s: message %d: %w", source, max(number, 1), err)
	}
	return nil
}

// isoDocuments reads JSON objects, a JSON list of them, or a YAML file.
func isoDocuments(in io.Reader, do func(*isoDocument) error) error {
	r := bufio.NewReader(in)
	first, err := isoFirstByte(r)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	var source io.Reader = r
	if first != '{' && first != '[' {
		if source, err = isoFromYAML(r); err != nil {
			return err
		}
	}
	dec := json.NewDecoder(source)
	dec.DisallowUnknownFields()
	if first == '[' {
		if _, err := dec.Token(); err != nil {
			return isoNotJSON(err)
		}
	}
	for dec.More() {
		var d isoDocument
		if err := dec.Decode(&d); err != nil {
			return isoNotJSON(err)
		}
		if err := do(&d); err != nil {
			return err
		}
	}
	if first == '[' {
		if _, err := dec.Token(); err != nil {
			return isoNotJSON(err)
		}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return isoNotJSON(err)
	}
	return nil
}

// isoFirstByte returns the first byte that is no space, and leaves it to be read.
func isoFirstByte(r *bufio.Reader) (byte, error) {
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

// isoNotJSON takes what the decoder quotes of the text out of its error; the name of an
// unknown member stays.
func isoNotJSON(err error) error {
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

// isoYAMLMax bounds a YAML file in bytes.
const isoYAMLMax = 1 << 20

// isoFromYAML returns a YAML document as JSON.
func isoFromYAML(r io.Reader) (io.Reader, error) {
	text, err := io.ReadAll(io.LimitReader(r, isoYAMLMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > isoYAMLMax {
		return nil, fmt.Errorf("a YAML file of more than %d bytes", isoYAMLMax)
	}
	tree, err := yaml.Parser().Unmarshal(text)
	if err != nil {
		return nil, errors.New("not a message in JSON or YAML")
	}
	out, err := json.Marshal(isoWithTextKeys(tree))
	if err != nil {
		return nil, errors.New("not a message in JSON or YAML")
	}
	return bytes.NewReader(out), nil
}

// isoWithTextKeys makes the keys of mappings text: fields are numbered without quotes.
func isoWithTextKeys(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			v[key] = isoWithTextKeys(value)
		}
	case map[any]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[fmt.Sprint(key)] = isoWithTextKeys(value)
		}
		return out
	}
	return v
}

// document writes one message.
func (p *isoPacker) document(d *isoDocument) error {
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
	if p.mac != nil {
		frame, err = m.AppendMAC(nil, p.mac)
	} else {
		frame, err = m.Append(nil)
	}
	if err != nil {
		return err
	}
	if frame, err = p.frame(d, frame); err != nil {
		return err
	}
	if !p.raw {
		frame = append([]byte(isoUpper(frame)), '\n')
	}
	_, err = p.out.Write(frame)
	return err
}

// frame puts the length in front.
func (p *isoPacker) frame(d *isoDocument, frame []byte) ([]byte, error) {
	chosen := p.framing
	if chosen == nil && d.Framing != "" {
		all := isoFramings()
		i := slices.IndexFunc(all, func(f isoFraming) bool { return f.name == d.Framing })
		if i < 0 {
			return nil, fmt.Errorf("framing %.20q is not known", d.Framing)
		}
		chosen = &all[i]
	}
	if chosen == nil || chosen.form == nil {
		return frame, nil
	}
	return chosen.form.Append(nil, frame)
}

// build makes a message of a document.
func (p *isoPacker) build(d *isoDocument) (*message.Message, error) {
	s, err := p.spec(d)
	if err != nil {
		return nil, err
	}
	mti, err := message.ParseMTI(d.MTI)
	if err != nil {
		return nil, err
	}
	m := message.New(s, mti)
	if err := isoSetEnvelope(m, d); err != nil {
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
		if err := isoSetField(m, n, value); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func isoSetField(m *message.Message, n int, value string) error {
	digits, ok := strings.CutPrefix(value, isoRawPrefix)
	if !ok {
		return m.SetText(n, value)
	}
	content, err := hex.DecodeString(digits)
	if err != nil {
		return fmt.Errorf("field %d: what follows hex: is not in hex", n)
	}
	return m.SetBytes(n, content)
}

// spec returns the spec of a document: flags come before what it says itself.
func (p *isoPacker) spec(d *isoDocument) (*message.Spec, error) {
	key := [2]string{d.Spec, d.Envelope}
	if p.flags.spec != "" {
		key[0] = p.flags.spec
	}
	if p.flags.envelope != "" {
		key[1] = p.flags.envelope
	}
	if s, ok := p.specs[key]; ok {
		return s, nil
	}
	if p.flags.spec == "" && strings.ContainsAny(d.Spec, "./\\") {
		return nil, errors.New("a message names no spec file: use --spec")
	}
	if len(p.specs) >= isoSpecsMax {
		return nil, fmt.Errorf("the messages name more than %d specs", isoSpecsMax)
	}
	s, err := isoSpec(key[0], key[1])
	if err == nil {
		p.specs[key] = s
	}
	return s, err
}

// Where a message does not say what stands in front of it.
const (
	isoDefaultTPDU   = "6000000000"
	isoDefaultHeader = "603100000000"
)

func isoSetEnvelope(m *message.Message, d *isoDocument) error {
	tpdu, header := isoDefaultTPDU, isoDefaultHeader
	if d.TPDU != "" {
		tpdu = d.TPDU
	}
	var text string
	if len(d.Header) > 0 && json.Unmarshal(d.Header, &text) == nil && text != "" {
		header = text
	}
	switch m.Spec().Envelope() {
	case message.TPDUOnly:
		return isoSetHex("tpdu", m.TPDU[:], tpdu)
	case message.TPDUHeader:
		return errors.Join(isoSetHex("tpdu", m.TPDU[:], tpdu), isoSetHex("header", m.Header[:],
			header))
	case message.CUPSHead:
		if text != "" {
			return isoSetHex("header", m.CUPS[:], text)
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

func isoSetHex(name string, to []byte, text string) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(to) {
		return fmt.Errorf("%s: want %d hex digits", name, 2*len(to))
	}
	copy(to, b)
	return nil
}
