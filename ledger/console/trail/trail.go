// Package trail keeps what was done and looked at in the console: a file of JSON lines, each
// with the SHA-256 of the line before, so that a line that was changed, dropped or put in is
// found by Open and by Check.
//
// Write is durable on return (fsync); what cannot be written must not be done. One process
// writes one file. A line holds names, tokens and purposes, never a card number. A half line at
// the end, of a process that was killed while it wrote, was never confirmed and is cut off by
// Open. Safe for concurrent use. It refuses to forget: there is no call that removes a line.
package trail

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Limits.
const (
	// RecentMax is how many lines are kept in memory to be shown.
	RecentMax = 1000
	// textMax bounds each text of a line; a longer one is cut, since it came from a form.
	textMax = 400
	// lineMax bounds a line as read.
	lineMax = 16 << 10
)

// ErrDamaged reports a line that is not the one that was written.
var ErrDamaged = errors.New("the console's audit trail was changed")

// Line is one thing that somebody did or looked at.
type Line struct {
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Role   string    `json:"role,omitempty"`
	Action string    `json:"action"`
	// Subject is what it was done to: a date, a break, a token's job; never a number.
	Subject string `json:"subject,omitempty"`
	// Purpose is why a holder's data was looked at.
	Purpose string `json:"purpose,omitempty"`
	// Detail is what the person wrote, or what was found.
	Detail string `json:"detail,omitempty"`
	From   string `json:"from,omitempty"`
	Prev   string `json:"prev"`
}

// Trail is an open file.
type Trail struct {
	mu     sync.Mutex // guards the fields below, and is held while a line is written
	file   *os.File
	prev   string
	recent []Line
	bad    error // a write failed: what stands in the file is unknown
}

// Open opens or makes the file and reads it. Its error is ErrDamaged or of the disk.
func Open(path string) (*Trail, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit trail: %w", err)
	}
	t := &Trail{file: f}
	if err := t.load(path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

// load reads the lines and goes to the end of the last whole one.
func (t *Trail) load(path string) error {
	end, err := each(t.file, func(l Line, sum string) {
		t.prev = sum
		t.keepLocked(l)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := t.file.Truncate(end); err != nil {
		return fmt.Errorf("audit trail: cutting a half line: %w", err)
	}
	if _, err := t.file.Seek(end, io.SeekStart); err != nil {
		return fmt.Errorf("audit trail: %w", err)
	}
	return nil
}

// Check reads a whole trail and returns how many lines it has; ErrDamaged names the first that
// does not fit.
func Check(r io.Reader) (lines int, err error) {
	_, err = each(r, func(Line, string) { lines++ })
	return lines, err
}

// each calls visit for every whole line and returns where the last ends.
func each(r io.Reader, visit func(l Line, sum string)) (end int64, err error) {
	in := bufio.NewReaderSize(r, lineMax)
	prev := ""
	for n := 1; ; n++ {
		text, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return end, nil // a half line was never confirmed
		}
		if err != nil {
			return end, fmt.Errorf("%w: line %d: %w", ErrDamaged, n, err)
		}
		var l Line
		if json.Unmarshal(text, &l) != nil || l.Prev != prev {
			return end, fmt.Errorf("%w: line %d", ErrDamaged, n)
		}
		end += int64(len(text))
		prev = sumOf(text)
		visit(l, prev)
	}
}

// sumOf is the digest of a line without its end.
func sumOf(line []byte) string {
	sum := sha256.Sum256(bytes.TrimSuffix(line, []byte("\n")))
	return hex.EncodeToString(sum[:])
}

// Write appends a line; it is durable on return. After a failure the trail takes no more: the
// process must be started again.
func (t *Trail) Write(l Line) error {
	for _, text := range []*string{&l.Actor, &l.Role, &l.Action, &l.Subject, &l.Purpose, &l.Detail, &l.From} {
		*text = cut(*text)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bad != nil {
		return t.bad
	}
	l.At, l.Prev = l.At.UTC().Truncate(time.Millisecond), t.prev
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("audit trail: %w", err)
	}
	if _, err = t.file.Write(append(text, '\n')); err == nil {
		err = t.file.Sync()
	}
	if err != nil {
		t.bad = fmt.Errorf("audit trail cannot be written, start the process again when the disk is well: %w", err)
		return t.bad
	}
	t.prev = sumOf(text)
	t.keepLocked(l)
	return nil
}

// cut bounds a text without splitting a character.
func cut(s string) string {
	if len(s) <= textMax {
		return s
	}
	return string(bytes.ToValidUTF8([]byte(s[:textMax]), nil)) + "…"
}

func (t *Trail) keepLocked(l Line) {
	t.recent = append(t.recent, l)
	if len(t.recent) >= 2*RecentMax {
		t.recent = append([]Line(nil), t.recent[len(t.recent)-RecentMax:]...)
	}
}

// Recent returns at most n of the last lines, the last first.
func (t *Trail) Recent(n int) []Line {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = min(n, len(t.recent), RecentMax)
	out := make([]Line, 0, n)
	for i := range n {
		out = append(out, t.recent[len(t.recent)-1-i])
	}
	return out
}

// Close closes the file.
func (t *Trail) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bad == nil {
		t.bad = errors.New("audit trail is closed")
	}
	return t.file.Close()
}
