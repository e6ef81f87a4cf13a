package inspect

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// Input says how frames are written in a file. It is a flag's value too.
type Input string

// The forms: a frame a line in hex or base64, bytes as they were sent, or what looks most
// like it.
const (
	Auto   Input = "auto"
	Hex    Input = "hex"
	Base64 Input = "base64"
	Raw    Input = "raw"
)

// String returns the form's name.
func (i *Input) String() string { return string(*i) }

// Set reads the form's name.
func (i *Input) Set(s string) error {
	switch v := Input(s); v {
	case Auto, Hex, Base64, Raw:
		*i = v
		return nil
	}
	return fmt.Errorf("%q is not hex, base64, raw or auto", s)
}

// Type names the value in help texts.
func (i *Input) Type() string { return "form" }

// Frame is a frame of a file, or why there is none.
type Frame struct {
	Source string
	Line   int // of the file; in raw files the number of the frame
	Data   []byte
	Err    error
}

// String says where the frame stands.
func (f Frame) String() string { return fmt.Sprintf("%s:%d", f.Source, f.Line) }

const (
	// lineMax is the longest line in bytes: the longest frame in hex with a space after
	// every byte fits.
	lineMax = 4 * message.FrameMax
	// lookAt is how much of a file is looked at to see what is in it.
	lookAt = 4 << 10
)

// Frames calls do for every frame of in, which is called source in what it says. An error of
// do ends it. Raw input with one framing is a stream of frames, otherwise one frame.
func (o *Format) Frames(i Input, in io.Reader, source string, do func(Frame) error) error {
	r := bufio.NewReaderSize(in, 64<<10)
	if i == Auto {
		if _, err := r.Peek(1); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", source, err)
		}
		look, _ := r.Peek(min(r.Buffered(), lookAt))
		i = guess(look)
	}
	if i == Raw {
		return rawFrames(r, o, source, do)
	}
	return i.lines(r, source, do)
}

var (
	hexLine    = regexp.MustCompile(`^(0[xX])?([0-9A-Fa-f]{2}[ :]?)+$`)
	base64Line = regexp.MustCompile(`^[A-Za-z0-9+/]+={0,2}$`)
)

// guess looks at the first line that is one. The last line may be cut off.
func guess(look []byte) Input {
	whole, rest, found := bytes.Cut(look, []byte("\n"))
	for found && isComment(string(whole)) {
		whole, rest, found = bytes.Cut(rest, []byte("\n"))
	}
	line := strings.TrimSpace(string(whole))
	switch {
	case isComment(line):
		return Hex
	case hexLine.MatchString(line):
		return Hex
	case !found && len(look) == lookAt &&
		hexLine.MatchString(strings.TrimSpace(line[:len(line)&^1])):
		return Hex
	case base64Line.MatchString(line) && (len(line)%4 == 0 || !found && len(look) == lookAt):
		return Base64
	}
	return Raw
}

// isComment reports whether a line holds no frame.
func isComment(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#'
}

func (i Input) lines(r io.Reader, source string, do func(Frame) error) error {
	scan := bufio.NewScanner(r)
	scan.Buffer(make([]byte, 0, lookAt), lineMax)
	number := 0
	for scan.Scan() {
		number++
		line := strings.TrimSpace(scan.Text())
		if isComment(line) {
			continue
		}
		f := Frame{Source: source, Line: number}
		if f.Data, f.Err = i.decode(line); f.Err != nil {
			f.Data = nil
		}
		if err := do(f); err != nil {
			return err
		}
	}
	if err := scan.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return do(Frame{source, number + 1, nil,
				errors.New("the line is longer than any frame")})
		}
		return fmt.Errorf("%s: %w", source, err)
	}
	return nil
}

// decode reads a line; its errors show nothing of it.
func (i Input) decode(line string) ([]byte, error) {
	if i == Base64 {
		b, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return nil, errors.New("the line is not in base64")
		}
		return b, nil
	}
	line = strings.NewReplacer(" ", "", ":", "", "\t", "").Replace(line)
	line = strings.TrimPrefix(strings.TrimPrefix(line, "0x"), "0X")
	b, err := hex.DecodeString(line)
	if err != nil {
		return nil, errors.New("the line is not in hex")
	}
	return b, nil
}

// rawFrames takes a stream of frames, or with auto or no framing a file as one frame.
func rawFrames(r io.Reader, o *Format, source string, do func(Frame) error) error {
	if len(o.Framings) == 1 && o.Framings[0].Form != nil {
		return stream(r, o, source, do)
	}
	const most = message.FrameMax + 4
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", source, err)
	case len(data) > most:
		return do(Frame{source, 1, nil,
			errors.New("longer than any frame: a stream needs --framing")})
	}
	return do(Frame{source, 1, data, nil})
}

// stream hands on frames with their length, as they stand in a line of text.
func stream(r io.Reader, o *Format, source string, do func(Frame) error) error {
	form := *o.Framings[0].Form
	frames := message.NewReader(r, form)
	for number := 1; ; number++ {
		frame, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		f := Frame{Source: source, Line: number}
		if err == nil {
			f.Data, err = form.Append(nil, frame)
		}
		if err != nil {
			f.Err = fmt.Errorf("the stream ends here: %w", err)
			return do(f)
		}
		if err := do(f); err != nil {
			return err
		}
	}
}
