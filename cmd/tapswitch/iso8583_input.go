package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// isoInput says how frames are written in a file.
type isoInput string

// The forms.
const (
	isoAuto   isoInput = "auto"
	isoHex    isoInput = "hex"
	isoBase64 isoInput = "base64"
	isoRaw    isoInput = "raw"
)

func (i *isoInput) add(c *cobra.Command) {
	*i = isoAuto
	c.Flags().Var(i, "input",
		"hex or base64 (a frame a line), raw (a file is a frame, or a stream of\n"+
			"frames with --framing), or auto")
}

// String returns the form's name.
func (i *isoInput) String() string { return string(*i) }

// Set reads the form's name.
func (i *isoInput) Set(s string) error {
	switch v := isoInput(s); v {
	case isoAuto, isoHex, isoBase64, isoRaw:
		*i = v
		return nil
	}
	return fmt.Errorf("%q is not hex, base64, raw or auto", s)
}

// Type names the value in help texts.
func (i *isoInput) Type() string { return "form" }

// isoFrame is a frame of a file, or why there is none.
type isoFrame struct {
	source string
	line   int // of the file; in raw files the number of the frame
	data   []byte
	err    error
}

// String says where the frame stands.
func (f isoFrame) String() string { return fmt.Sprintf("%s:%d", f.source, f.line) }

const (
	// isoLineMax is the longest line in bytes: the longest frame in hex with a space after
	// every byte fits.
	isoLineMax = 4 * message.FrameMax
	// isoLookAt is how much of a file is looked at to see what is in it.
	isoLookAt = 4 << 10
)

// each calls do for every frame of the files; no file, and -, is standard input. An error of
// do ends it.
func (i isoInput) each(c *cobra.Command, o *isoFormat, files []string,
	do func(isoFrame) error) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, name := range files {
		if err := i.file(c, o, name, do); err != nil {
			return err
		}
	}
	return nil
}

func (i isoInput) file(c *cobra.Command, o *isoFormat, name string, do func(isoFrame) error) error {
	in, source := c.InOrStdin(), "stdin"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return withCode(exitUsage, err)
		}
		defer f.Close()
		in, source = f, name
	}
	r := bufio.NewReaderSize(in, 64<<10)
	if i == isoAuto {
		if _, err := r.Peek(1); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", source, err)
		}
		look, _ := r.Peek(min(r.Buffered(), isoLookAt))
		i = isoGuess(look)
	}
	if i == isoRaw {
		return isoRawFrames(r, o, source, do)
	}
	return i.lines(r, source, do)
}

var (
	isoHexLine    = regexp.MustCompile(`^(0[xX])?([0-9A-Fa-f]{2}[ :]?)+$`)
	isoBase64Line = regexp.MustCompile(`^[A-Za-z0-9+/]+={0,2}$`)
)

// isoGuess looks at the first line that is one. The last line may be cut off.
func isoGuess(look []byte) isoInput {
	whole, rest, found := bytes.Cut(look, []byte("\n"))
	for found && isoComment(string(whole)) {
		whole, rest, found = bytes.Cut(rest, []byte("\n"))
	}
	line := strings.TrimSpace(string(whole))
	switch {
	case isoComment(line):
		return isoHex
	case isoHexLine.MatchString(line):
		return isoHex
	case !found && len(look) == isoLookAt &&
		isoHexLine.MatchString(strings.TrimSpace(line[:len(line)&^1])):
		return isoHex
	case isoBase64Line.MatchString(line) && (len(line)%4 == 0 || !found && len(look) == isoLookAt):
		return isoBase64
	}
	return isoRaw
}

// isoComment reports whether a line holds no frame.
func isoComment(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || line[0] == '#'
}

func (i isoInput) lines(r io.Reader, source string, do func(isoFrame) error) error {
	scan := bufio.NewScanner(r)
	scan.Buffer(make([]byte, 0, isoLookAt), isoLineMax)
	number := 0
	for scan.Scan() {
		number++
		line := strings.TrimSpace(scan.Text())
		if isoComment(line) {
			continue
		}
		f := isoFrame{source: source, line: number}
		if f.data, f.err = i.decode(line); f.err != nil {
			f.data = nil
		}
		if err := do(f); err != nil {
			return err
		}
	}
	if err := scan.Err(); err != nil {
		if errors.Is(err, bufio.ErrTooLong) {
			return do(isoFrame{source, number + 1, nil,
				errors.New("the line is longer than any frame")})
		}
		return fmt.Errorf("%s: %w", source, err)
	}
	return nil
}

// decode reads a line; its errors show nothing of it.
func (i isoInput) decode(line string) ([]byte, error) {
	if i == isoBase64 {
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

// isoRawFrames takes a stream of frames, or with auto or no framing a file as one frame.
func isoRawFrames(r io.Reader, o *isoFormat, source string, do func(isoFrame) error) error {
	if len(o.framings) == 1 && o.framings[0].form != nil {
		return isoStream(r, o, source, do)
	}
	const most = message.FrameMax + 4
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", source, err)
	case len(data) > most:
		return do(isoFrame{source, 1, nil,
			errors.New("longer than any frame: a stream needs --framing")})
	}
	return do(isoFrame{source, 1, data, nil})
}

// isoStream hands on frames with their length, as they stand in a line of text.
func isoStream(r io.Reader, o *isoFormat, source string, do func(isoFrame) error) error {
	form := *o.framings[0].form
	frames := message.NewReader(r, form)
	for number := 1; ; number++ {
		frame, err := frames.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		f := isoFrame{source: source, line: number}
		if err == nil {
			f.data, err = form.Append(nil, frame)
		}
		if err != nil {
			f.err = fmt.Errorf("the stream ends here: %w", err)
			return do(f)
		}
		if err := do(f); err != nil {
			return err
		}
	}
}
