package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

func isoDescribeCommand() *cobra.Command {
	var flags isoFlags
	var input isoInput
	var asJSON, reveal bool
	c := &cobra.Command{
		Use: "describe [FILE...]", Short: "Print what is in messages, masked",
		Long: "Prints every field of every message with its name, sub-fields and meaning. Of a\n" +
			"card number the first six and last four digits are shown; of tracks, PIN blocks,\n" +
			"keys, chip data and private fields the length. With --reveal everything is\n" +
			"shown, for test data: then the output of --json, an object a line, is the input\n" +
			"of pack. Without FILE, and for -, frames are read from standard input. Text that\n" +
			"could be hex is taken as hex.",
		RunE: func(c *cobra.Command, files []string) error {
			o, err := flags.open()
			if err != nil {
				return err
			}
			if reveal {
				fmt.Fprintln(c.ErrOrStderr(),
					"warning: --reveal prints card data; use it for test data only")
			}
			unread := 0
			err = input.each(c, o, files, func(f isoFrame) error {
				d := o.describe(f, reveal)
				if d.Error != "" {
					unread++
				}
				return isoPrintMessage(c.OutOrStdout(), d, asJSON)
			})
			if err == nil && unread > 0 {
				err = fmt.Errorf("%d frames cannot be read", unread)
			}
			return err
		},
	}
	flags.add(c)
	input.add(c)
	c.Flags().BoolVar(&asJSON, "json", false, "an object a line")
	c.Flags().BoolVar(&reveal, "reveal", false, "show everything: test data only")
	return c
}

// isoMessage is a message as it is printed, and what pack reads.
type isoMessage struct {
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
	Details  []isoField        `json:"details,omitempty"`
}

// isoField is a field as it is printed.
type isoField struct {
	Field   int       `json:"field"`
	Name    string    `json:"name"`
	Value   string    `json:"value,omitempty"`
	Length  int       `json:"length"` // digits, characters or bytes
	Hidden  bool      `json:"hidden,omitempty"`
	Meaning string    `json:"meaning,omitempty"`
	Parts   []isoPart `json:"parts,omitempty"`
}

// isoPart is a part of a field. It never holds a secret.
type isoPart struct {
	Part    string `json:"part"`
	Name    string `json:"name"`
	Value   string `json:"value"`
	Meaning string `json:"meaning,omitempty"`
}

// describe reads a frame.
func (o *isoFormat) describe(f isoFrame, reveal bool) *isoMessage {
	d := &isoMessage{Source: f.source, Line: f.line}
	if f.err != nil {
		d.Error = f.err.Error()
		return d
	}
	m, err := o.parse(f.data)
	if err != nil {
		d.Error = err.Error()
		return d
	}
	d.Spec, d.Envelope, d.Framing = m.Spec().Name(), m.Spec().Envelope().String(), m.framing
	d.MTI, d.Meaning, d.Masked = m.MTI().String(), isoTypeMeaning(m.Message), !reveal
	switch m.Spec().Envelope() {
	case message.TPDUHeader:
		d.TPDU, d.Header = isoUpper(m.TPDU[:]), isoUpper(m.Header[:])
	case message.TPDUOnly:
		d.TPDU = isoUpper(m.TPDU[:])
	case message.CUPSHead:
		d.Header = isoUpper(m.CUPS[:])
	}
	if o.mac != nil {
		d.MAC = isoMACWord(message.Verify(m.Spec(), m.frame, o.mac))
	}
	d.Fields = make(map[string]string)
	for _, n := range m.Numbers() {
		field := isoDescribeField(m.Message, n, reveal)
		d.Details = append(d.Details, field)
		if !field.Hidden {
			d.Fields[fmt.Sprint(n)] = field.Value
		}
	}
	return d
}

func isoMACWord(err error) string {
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

func isoDescribeField(m *message.Message, n int, reveal bool) isoField {
	info, _ := m.Spec().Field(n)
	content, _ := m.Bytes(n)
	f := isoField{Field: n, Name: info.Name, Length: len(content), Parts: isoParts(m, n)}
	switch {
	case reveal:
		f.Value = isoExact(m, n)
	case info.Show == message.ShowHidden:
		f.Hidden = true
	case n == 39:
		f.Value = isoClean(m.ResponseCode())
	default:
		f.Value = m.Shown(n)
	}
	if n == 39 {
		f.Meaning = message.MeaningOf(m.ResponseCode()).English
	}
	return f
}

// isoRawPrefix marks a value that is content in hex, whatever the field's type.
const isoRawPrefix = "hex:"

// isoExact returns what pack turns into the same content: the text, or the bytes where the
// text does not lead back to them.
func isoExact(m *message.Message, n int) string {
	text, _ := m.Text(n)
	content, _ := m.Bytes(n)
	again := message.New(m.Spec(), m.MTI())
	if utf8.ValidString(text) && !strings.HasPrefix(text, isoRawPrefix) && again.SetText(n,
		text) == nil {
		if got, _ := again.Bytes(n); bytes.Equal(got, content) {
			return text
		}
	}
	return isoRawPrefix + isoUpper(content)
}

func isoUpper(b []byte) string { return strings.ToUpper(hex.EncodeToString(b)) }

// isoPrintMessage writes d in one piece.
func isoPrintMessage(w io.Writer, d *isoMessage, asJSON bool) error {
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

func (d *isoMessage) text(b *bytes.Buffer) {
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
		value := isoClean(f.Value)
		if f.Hidden {
			value = fmt.Sprintf("(%d not shown)", f.Length)
		}
		if f.Meaning != "" {
			value += "  " + f.Meaning
		}
		fmt.Fprintf(b, "  %3d  %-26s  %s\n", f.Field, f.Name, value)
		for _, p := range f.Parts {
			fmt.Fprintf(b, "       %-7s %-24s  %s\n", p.Part, p.Name,
				strings.TrimSpace(isoClean(p.Value)+"  "+p.Meaning))
		}
	}
}
