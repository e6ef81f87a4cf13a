// Package inspect takes ISO 8583 messages apart for people, puts them together from text, and
// says what a strict reader dislikes in them. It serves tools and tests, not the way of a
// transaction: it is built to show, not to be fast.
//
// What describes and lints shows nothing of a card, a key or a PIN unless asked to reveal it,
// and no error quotes the content of a message. Amounts are shown in units of 100 minor ones.
// Whatever arrives is described, linted or refused, never a panic. A Format is safe for
// concurrent use, a Packer is not. The package opens no file and keeps none: it reads and
// writes what it is handed.
package inspect

import (
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// DefaultSpec is what messages are taken for when nothing is said.
const DefaultSpec = "cup_pos"

// Framing is a length in front of a frame, with its name.
type Framing struct {
	Name string
	Form *message.Framing // nil is none
}

// Framings are the framings that have a name, in the order in which they are tried.
func Framings() []Framing {
	form := func(f message.LengthForm, inclusive bool) *message.Framing {
		return &message.Framing{Form: f, Inclusive: inclusive, Max: message.FrameMax}
	}
	return []Framing{
		{"none", nil},
		{"binary2", form(message.Binary2, false)},
		{"ascii4", form(message.ASCII4, false)},
		{"binary2_inclusive", form(message.Binary2, true)},
		{"ascii4_inclusive", form(message.ASCII4, true)},
	}
}

// Format says how frames are read.
type Format struct {
	Spec     *message.Spec
	Framings []Framing // tried in this order; at least one
	MAC      *mac.MAC  // nil: MACs are not verified
}

// reading is a message that was read.
type reading struct {
	*message.Message
	frame   []byte // without its length
	framing string
}

// parse takes data as one frame, with or without its length. The error says nothing of the
// content; of several it is the first.
func (o *Format) parse(data []byte) (*reading, error) {
	var first error
	for _, f := range o.Framings {
		m, err := o.parseFramed(f, data)
		if err == nil {
			return m, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, first
}

func (o *Format) parseFramed(f Framing, data []byte) (*reading, error) {
	frame := data
	if f.Form != nil {
		next, size, err := f.Form.Next(data)
		if err == nil && size != len(data) {
			err = fmt.Errorf("%w: %s: the length is not that of the frame", message.ErrFrame,
				f.Name)
		}
		if err != nil {
			return nil, err
		}
		frame = next
	}
	m, err := message.Parse(o.Spec, frame)
	if err != nil {
		return nil, err
	}
	return &reading{m, frame, f.Name}, nil
}
