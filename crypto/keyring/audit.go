package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
)

// Actor is who does a management call, for the audit trail. The ring does not know whether
// somebody is who they say they are; its caller does.
type Actor struct {
	Name string `json:"name"`
	// Second is the second person, where material enters, leaves or is destroyed. It must
	// be another name, apart from case and spaces around it.
	Second string `json:"second,omitempty"`
}

// nameMax bounds a name in characters' bytes.
const nameMax = 64

// check refuses a call without a name, and where two persons are needed one without a
// second.
func (a Actor) check(two bool) error {
	if !isName(a.Name) || a.Second != "" && !isName(a.Second) {
		return fmt.Errorf("%w: 1 to %d printable characters", ErrActor, nameMax)
	}
	if two && (a.Second == "" ||
		strings.EqualFold(strings.TrimSpace(a.Name), strings.TrimSpace(a.Second))) {
		return ErrTwoPersons
	}
	return nil
}

func isName(s string) bool {
	return len(s) <= nameMax && strings.TrimSpace(s) != "" &&
		strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// The outcomes of an Event.
const (
	OutcomeBegin   = "begin"   // about to be done; nothing has changed yet
	OutcomeDone    = "done"    // done, and durable
	OutcomeRefused = "refused" // refused; nothing has changed
	OutcomeFailed  = "failed"  // the store could not be written
)

// Event is one line of the audit trail. It holds no secret.
type Event struct {
	Time time.Time `json:"time"`
	// Action is a management call ("generate", "import", "rotate", ...), "first_use", or
	// the name of an operation that failed.
	Action  string `json:"action"`
	Outcome string `json:"outcome"`
	// Ref is the key's name; it is empty where the store is meant.
	Ref    string `json:"ref,omitempty"`
	Actor  string `json:"actor,omitempty"`
	Second string `json:"second,omitempty"`
	KCV    KCV    `json:"kcv,omitempty"`
	// Reason is the class of a refusal or failure: a word that never changes.
	Reason string `json:"reason,omitempty"`
	// Count is how many failures of this class there were since the ring was opened.
	Count uint64 `json:"count,omitempty"`
	// Generation is that of the store.
	Generation uint64 `json:"generation"`
}

// Sink takes the audit trail.
type Sink interface {
	// Append keeps an event; it is durable on return. It is called from operations too,
	// seldom, so it must not wait for long. It is safe for concurrent use, and must not
	// call the ring. A management call whose first event it does not take is not done.
	Append(Event) error
}

// FileSink appends events as JSON lines to a file, and syncs each.
type FileSink struct {
	mu   sync.Mutex // lines are not mixed
	file *os.File
}

// OpenFileSink opens or makes the file, of mode 0600; one that others can write is refused.
func OpenFileSink(path string) (*FileSink, error) {
	if err := checkDir(path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open audit trail: %w", err)
	}
	info, err := f.Stat()
	if err == nil && (info.Mode().Perm()&0o022 != 0 || !info.Mode().IsRegular()) {
		err = fmt.Errorf("%w: audit trail %s", ErrOpenToOthers, path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &FileSink{file: f}, nil
}

// Append implements Sink.
func (s *FileSink) Append(e Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.file.Write(append(line, '\n')); err != nil {
		return err
	}
	return s.file.Sync()
}

// Close closes the file.
func (s *FileSink) Close() error { return s.file.Close() }

// WriterSink appends events as JSON lines to a writer, and leaves it to the writer how long
// they last. It is safe for concurrent use.
type WriterSink struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriterSink returns a sink that writes to w.
func NewWriterSink(w io.Writer) *WriterSink { return &WriterSink{w: w} }

// Append implements Sink.
func (s *WriterSink) Append(e Event) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = s.w.Write(append(line, '\n'))
	return err
}
