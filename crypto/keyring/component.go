package keyring

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// componentSize is the length of a component and of the master key: AES-256.
const componentSize = 32

// componentTitle is the first line of a component's file.
const componentTitle = "tapswitch master key component 1"

// componentFileMax bounds a component's file, for those who read it by themselves.
const componentFileMax = 512

// Component is one of the two parts of a master key, in the hands of one custodian. It
// cannot be printed; WriteFile is the one way out. It is not safe for concurrent use with
// Close.
type Component struct{ secret secret }

// NewComponent draws a component from random, crypto/rand when nil, and returns it with its
// check value, which is no secret.
func NewComponent(random io.Reader) (*Component, KCV, error) {
	if random == nil {
		random = rand.Reader
	}
	b := make([]byte, componentSize)
	if _, err := io.ReadFull(random, b); err != nil {
		return nil, "", fmt.Errorf("cannot draw a component: %w", err)
	}
	c := &Component{newSecret(b)}
	if err := block.Check(block.AES, b); err != nil {
		c.Close()
		return nil, "", fmt.Errorf("the random source gave no component: %w", err)
	}
	return c, c.KCV(), nil
}

// ParseComponent reads a component's file, and refuses it unless its check value is right.
func ParseComponent(text []byte) (*Component, error) {
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if len(text) > componentFileMax || len(lines) != 3 || lines[0] != componentTitle {
		return nil, fmt.Errorf("%w: want the line %q, KEY and KCV", ErrComponentFile, componentTitle)
	}
	digits, ok := strings.CutPrefix(lines[1], "KEY ")
	want, ok2 := strings.CutPrefix(lines[2], "KCV ")
	if !ok || !ok2 {
		return nil, fmt.Errorf("%w: want KEY in line 2 and KCV in line 3", ErrComponentFile)
	}
	b := make([]byte, componentSize)
	c := &Component{newSecret(b)}
	digits = strings.ReplaceAll(digits, " ", "")
	if len(digits) != 2*componentSize {
		return nil, fmt.Errorf("%w: KEY has %d hex digits, want %d", ErrComponentFile, len(digits),
			2*componentSize)
	}
	if _, err := hex.Decode(b, []byte(digits)); err != nil {
		c.Close()
		return nil, fmt.Errorf("%w: KEY is not hexadecimal", ErrComponentFile)
	}
	if subtle.ConstantTimeCompare([]byte(c.KCV()), []byte(want)) != 1 {
		c.Close()
		return nil, fmt.Errorf("%w: of the component in the file", ErrKCV)
	}
	return c, nil
}

// ReadComponent reads a component from a file that only its owner can use.
func ReadComponent(path string) (*Component, error) {
	text, err := osDisk{}.Read(path)
	defer clear(text)
	if err != nil {
		return nil, fmt.Errorf("cannot read component: %w", err)
	}
	c, err := ParseComponent(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// WriteFile writes the component to a file of mode 0600 that is not there yet. It is durable
// on return.
func (c *Component) WriteFile(path string) error {
	if len(c.secret.open()) == 0 {
		return ErrClosed
	}
	text := c.text()
	defer clear(text)
	err := writeFile(path, text, os.O_EXCL)
	switch {
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%w: %s", ErrExists, path)
	case err == nil:
		err = syncDir(path)
	}
	if err != nil {
		return fmt.Errorf("cannot write component: %w", err)
	}
	return nil
}

// text is the content of the file: the key in groups of four digits, for eyes.
func (c *Component) text() []byte {
	text := make([]byte, 0, componentFileMax)
	text = append(text, componentTitle+"\nKEY"...)
	for part := c.secret.open(); len(part) > 0; part = part[2:] {
		text = append(text, fmt.Sprintf(" %02X%02X", part[0], part[1])...)
	}
	return append(text, "\nKCV "+string(c.KCV())+"\n"...)
}

// KCV returns the check value of the component: the left five bytes of an AES-CMAC over 16
// zero bytes, in hex. It is no secret.
func (c *Component) KCV() KCV { return masterKCV(c.secret.open()) }

// Close zeroes the component.
func (c *Component) Close() { c.secret.wipe() }

// String returns a fixed text: no printer shows the component.
func (c *Component) String() string { return masked }

// GoString returns String.
func (c *Component) GoString() string { return masked }

// Format writes String for every verb.
func (c *Component) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(masked)) }

// MarshalText returns String.
func (c *Component) MarshalText() ([]byte, error) { return []byte(masked), nil }

// LogValue returns String for slog.
func (c *Component) LogValue() slog.Value { return slog.StringValue(masked) }

// CombinedKCV returns the check value of the master key of two components, as a ceremony
// shows it. Equal components are refused: their XOR is known to all.
func CombinedKCV(a, b *Component) (KCV, error) {
	m, err := combine(a, b)
	if err != nil {
		return "", err
	}
	defer m.wipe()
	return masterKCV(m.open()), nil
}

// combine returns the master key of two components.
func combine(a, b *Component) (secret, error) {
	if a == nil || b == nil {
		return secret{}, fmt.Errorf("%w: a component is missing", ErrComponents)
	}
	x, y := a.secret.open(), b.secret.open()
	switch {
	case len(x) != componentSize || len(y) != componentSize:
		return secret{}, fmt.Errorf("%w: a component is closed", ErrClosed)
	case subtle.ConstantTimeCompare(x, y) == 1:
		return secret{}, fmt.Errorf("%w: both are the same", ErrComponents)
	}
	m := make([]byte, componentSize)
	subtle.XORBytes(m, x, y)
	if err := block.Check(block.AES, m); err != nil {
		clear(m)
		return secret{}, fmt.Errorf("master key: %w", err)
	}
	return newSecret(m), nil
}

// masterKCV returns the check value of 32 bytes, "" of none.
func masterKCV(key []byte) KCV {
	if len(key) != componentSize {
		return ""
	}
	v, err := kcvOf(AES256, key)
	if err != nil {
		return ""
	}
	return v
}
