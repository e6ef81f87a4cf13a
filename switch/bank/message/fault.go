package message

import (
	"errors"
	"fmt"
)

var (
	// ErrFormat is what every refusal of a frame or a value is: the bytes are not a message
	// of the spec. The answer, where one is possible, is response code 30.
	ErrFormat = errors.New("not a message of the format")
	// ErrSpec is what every refusal of a spec file is.
	ErrSpec = errors.New("not a message spec")
)

// FormatError says where a frame or a value breaks its spec. It shows no content.
type FormatError struct {
	// Spec is the name of the spec, Field the field: 0 is the MTI, 1 the bitmap, -1 what
	// stands in front of the message or after it.
	Spec  string
	Field int
	// Offset is where the field starts in the frame, in bytes; -1 when there is no frame.
	Offset int
	// Reason is what is wrong, in words.
	Reason string
}

// Error returns the whole sentence.
func (e *FormatError) Error() string {
	where := fmt.Sprintf("field %d", e.Field)
	switch e.Field {
	case frameLevel:
		where = "frame"
	case mtiField:
		where = "message type"
	case bitmapField:
		where = "bitmap"
	}
	if e.Offset < 0 {
		return fmt.Sprintf("%s: %s: %s", e.Spec, where, e.Reason)
	}
	return fmt.Sprintf("%s: %s at offset %d: %s", e.Spec, where, e.Offset, e.Reason)
}

// Unwrap makes errors.Is(err, ErrFormat) true.
func (e *FormatError) Unwrap() error { return ErrFormat }

// The numbers of what is no data field.
const (
	frameLevel  = -1
	mtiField    = 0
	bitmapField = 1
)

// fault is what a field codec finds wrong. rest is how many bytes were left where the field
// started, from which the offset follows.
type fault struct {
	rest   int
	reason string
}

func (f *fault) Error() string { return f.reason }

// The reasons. They are constants so that no content can slip into one.
const (
	reasonShort      = "the frame ends inside it"
	reasonLength     = "its length prefix is not a number"
	reasonLong       = "it is longer than the spec allows"
	reasonBrief      = "it is shorter than the spec allows"
	reasonFixed      = "it has not the length of the spec"
	reasonDigit      = "it holds something that is no digit"
	reasonSign       = "its sign is none of C, D, 0"
	reasonFiller     = "its filler nibble is not one of the spec's, 0 or F"
	reasonPrintable  = "it holds a character that cannot be printed"
	reasonHex        = "it holds something that is no hex digit"
	reasonTrack      = "it holds something that no track has"
	reasonUnknown    = "the spec does not have this field"
	reasonThird      = "a third bitmap is not supported"
	reasonType       = "it is not four digits with a class and a function"
	reasonTrailing   = "bytes follow the last field"
	reasonOversize   = "it is longer than any message may be"
	reasonEnvelope   = "the frame ends inside the TPDU or header"
	reasonHeader     = "the header is not one of this network"
	reasonHeaderSize = "the length in the header is not the frame's"
	reasonCodec      = "the codec failed"
	reasonOrder      = "fields have to be written in ascending order"
	reasonBegun      = "nothing was begun"
	reasonKind       = "the value does not go with the field's type"
	reasonRange      = "the value is out of range"
	reasonText       = "the text cannot be written in the field's characters"
)
