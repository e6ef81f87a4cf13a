package setup

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/tapswitch/tapswitch/switch/bank/certificate"
	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// FrameMax is the longest frame of a link or listener in bytes.
const FrameMax = 4 << 10

// framing is message.Framing as a link wants it.
type framing struct{ of message.Framing }

// ReadFrame reads one frame. What it allocates is what has been checked against limit.
func (f framing) ReadFrame(r *bufio.Reader, limit int) ([]byte, error) {
	head, err := r.Peek(headSize(f.of.Form))
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	size, err := f.of.Size(head)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, message.ErrFrame
	}
	if _, err := r.Discard(len(head)); err != nil {
		return nil, err
	}
	frame := make([]byte, size)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return frame, nil
}

// AppendFrame appends body with its length.
func (f framing) AppendFrame(dst, body []byte) ([]byte, error) { return f.of.Append(dst, body) }

func headSize(form message.LengthForm) int {
	if form == message.ASCII4 {
		return 4
	}
	return 2
}

var _ link.Framing = framing{}

// Server is the TLS of a listener; nil for none.
func (t *TLS) Server(log *slog.Logger) (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	return t.files().Server(log)
}

// Client gives the TLS of the connections of a link; nil for none.
func (t *TLS) Client(log *slog.Logger) (func() (*tls.Config, error), error) {
	if t == nil {
		return nil, nil
	}
	return t.files().Client(log)
}

func (t *TLS) files() certificate.Files {
	return certificate.Files{Cert: t.Cert, Key: t.Key, CA: t.CA, ServerName: t.ServerName}
}

// OpenSpec returns a built-in spec or the one of a file, with another envelope where one is
// named.
func OpenSpec(name, envelope string) (*message.Spec, error) {
	spec, err := message.Named(name)
	if err != nil && strings.ContainsAny(name, "./") {
		f, openErr := os.Open(filepath.Clean(name))
		if openErr != nil {
			return nil, openErr
		}
		defer f.Close()
		spec, err = message.Load(f)
	}
	if err != nil || envelope == "" {
		return spec, err
	}
	e, err := message.ParseEnvelope(envelope)
	if err != nil {
		return nil, err
	}
	return spec.WithEnvelope(e), nil
}
