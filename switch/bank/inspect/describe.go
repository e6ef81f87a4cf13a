package inspect

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// Description is a message as it is printed, and what a Packer reads: of one that was
// described with reveal it makes the same frame again.
type Description struct {
	Source   string            `json:"source,omitempty"`
	Line     int               `json:"line,omitempty"`
	Error    string            `json:"error,omitempty"`
	Spec     string            `json:"spec,omitempty"`
	Envelope string            `json:"envelope,omitempty"`
	Framing  string            `json:"framing,omitempty"`
	Masked   bool              `json:"masked,omitempty"` // pack does not take it
	TPDU     string            `json:"tpdu,omitempty"`
	Header   string            `json:"header,omitempty"`
	MTI      string            `json:"mti,omitempty"`
	Meaning  string            `json:"meaning,omitempty"`
	MAC      string            `json:"mac,omitempty"` // right or wrong, where a key is given
	Fields   map[string]string `json:"fields,omitempty"`
	Details  []Field           `json:"details,omitempty"`
}

// Field is a field as it is printed. Where it is hidden it has a length and no value.
type Field struct {
	Field   int    `json:"field"`
	Name    string `json:"name"`
	Value   string `json:"value,omitempty"`
	Length  int    `json:"length"` // digits, characters or bytes
	Hidden  bool   `json:"hidden,omitempty"`
	Meaning string `json:"meaning,omitempty"`
	Parts   []Part `json:"parts,omitempty"`
}

// Part is a part of a field. It never holds a secret, revealed or not.
type Part struct {
	Part    string `json:"part"`
	Name    string `json:"name"`
	Value   string `json:"value"`
	Meaning string `json:"meaning,omitempty"`
}

// Describe reads a frame. One that cannot be read has a description with an Error and nothing
// else. With reveal every field has its value, for test data only.
func (o *Format) Describe(f Frame, reveal bool) *Description {
	d := &Description{Source: f.Source, Line: f.Line}
	if f.Err != nil {
		d.Error = f.Err.Error()
		return d
	}
	m, err := o.parse(f.Data)
	if err != nil {
		d.Error = err.Error()
		return d
	}
	d.Spec, d.Envelope, d.Framing = m.Spec().Name(), m.Spec().Envelope().String(), m.framing
	d.MTI, d.Meaning, d.Masked = m.MTI().String(), typeMeaning(m.Message), !reveal
	switch m.Spec().Envelope() {
	case message.TPDUHeader:
		d.TPDU, d.Header = upperHex(m.TPDU[:]), upperHex(m.Header[:])
	case message.TPDUOnly:
		d.TPDU = upperHex(m.TPDU[:])
	case message.CUPSHead:
		d.Header = upperHex(m.CUPS[:])
	}
	if o.MAC != nil {
		d.MAC = macWord(message.Verify(m.Spec(), m.frame, o.MAC))
	}
	d.Fields = make(map[string]string)
	for _, n := range m.Numbers() {
		field := describeField(m.Message, n, reveal)
		d.Details = append(d.Details, field)
		if !field.Hidden {
			d.Fields[fmt.Sprint(n)] = field.Value
		}
	}
	return d
}

func macWord(err error) string {
	switch {
	case err == nil:
		return "right"
	case errors.Is(err, message.ErrNoMAC):
		return "missing"
	case errors.Is(err, message.ErrUncovered):
		return "not last"
	}
	return "wrong"
}

func describeField(m *message.Message, n int, reveal bool) Field {
	info, _ := m.Spec().Field(n)
	content, _ := m.Bytes(n)
	f := Field{Field: n, Name: info.Name, Length: len(content), Parts: partsOf(m, n)}
	switch {
	case reveal:
		f.Value = exact(m, n)
	case info.Show == message.ShowHidden:
		f.Hidden = true
	case n == 39:
		f.Value = printable(m.ResponseCode())
	default:
		f.Value = m.Shown(n)
	}
	if n == 39 {
		f.Meaning = message.MeaningOf(m.ResponseCode()).English
	}
	return f
}

// rawPrefix marks a value that is content in hex, whatever the field's type.
const rawPrefix = "hex:"

// exact returns what pack turns into the same content: the text, or the bytes where the
// text does not lead back to them.
func exact(m *message.Message, n int) string {
	text, _ := m.Text(n)
	content, _ := m.Bytes(n)
	again := message.New(m.Spec(), m.MTI())
	if utf8.ValidString(text) && !strings.HasPrefix(text, rawPrefix) && again.SetText(n,
		text) == nil {
		if got, _ := again.Bytes(n); bytes.Equal(got, content) {
			return text
		}
	}
	return rawPrefix + upperHex(content)
}

func upperHex(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// Write writes d in one piece: a table of fields, or a line of JSON.
func (d *Description) Write(w io.Writer, asJSON bool) error {
	var b bytes.Buffer
	if asJSON {
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(d); err != nil {
			return err
		}
	} else {
		d.text(&b)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (d *Description) text(b *bytes.Buffer) {
	if d.Error != "" {
		fmt.Fprintf(b, "%s:%d: %s\n", d.Source, d.Line, d.Error)
		return
	}
	fmt.Fprintf(b, "%s:%d  %s", d.Source, d.Line, d.Spec)
	for _, part := range []struct{ name, value string }{{"length", strings.TrimPrefix(d.Framing,
		"none")},
		{"TPDU", d.TPDU}, {"header", d.Header}, {"MAC", d.MAC}} {
		if part.value != "" {
			fmt.Fprintf(b, "  %s %s", part.name, part.value)
		}
	}
	fmt.Fprintf(b, "\n       %-26s  %s  %s\n", "message type", d.MTI, d.Meaning)
	for _, f := range d.Details {
		value := printable(f.Value)
		if f.Hidden {
			value = fmt.Sprintf("(%d not shown)", f.Length)
		}
		if f.Meaning != "" {
			value += "  " + f.Meaning
		}
		fmt.Fprintf(b, "  %3d  %-26s  %s\n", f.Field, f.Name, value)
		for _, p := range f.Parts {
			fmt.Fprintf(b, "       %-7s %-24s  %s\n", p.Part, p.Name,
				strings.TrimSpace(printable(p.Value)+"  "+p.Meaning))
		}
	}
}
