package inspect

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/knadh/koanf/parsers/yaml"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// golden is a message of the codec's tests.
type golden struct {
	ID, Spec, Hex, MTI, MAK string
	Fields                  map[string]string
}

func goldens(t testing.TB) []golden {
	t.Helper()
	text, err := os.ReadFile("../message/testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []golden
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// formatOf is a built-in format that tries every framing.
func formatOf(t testing.TB, name string) *Format {
	t.Helper()
	s, err := message.Named(name)
	if err != nil {
		t.Fatal(err)
	}
	return &Format{Spec: s, Framings: Framings()}
}

// formats are all built-in formats.
func formats(t testing.TB) (all []*Format) {
	t.Helper()
	for _, name := range message.Names() {
		all = append(all, formatOf(t, name))
	}
	return all
}

// show is how a test wants messages described.
type show struct {
	in           Input
	reveal, json bool
}

// describe describes every frame of a text, and says how many cannot be read.
func describe(t testing.TB, o *Format, how show, content string) (out string, unread int) {
	t.Helper()
	if how.in == "" {
		how.in = Auto
	}
	var b bytes.Buffer
	err := o.Frames(how.in, strings.NewReader(content), "stdin", func(f Frame) error {
		d := o.Describe(f, how.reveal)
		if d.Error != "" {
			unread++
		}
		return d.Write(&b, how.json)
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), unread
}

// packedBy packs messages that are given as text.
func packedBy(p Packer, text string) (string, error) {
	var b bytes.Buffer
	p.Out, p.YAML = &b, yaml.Parser().Unmarshal
	err := p.Pack(strings.NewReader(text))
	return b.String(), err
}
