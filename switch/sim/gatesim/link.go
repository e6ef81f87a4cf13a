package gatesim

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/sim"
)

// Limits of a call.
const (
	answerMax   = 64 << 20 // a full list
	callTimeout = 10 * time.Second
	// triesMax is how often a call is tried that the switch cannot take just now, and
	// triesRest the pause before the second; it doubles.
	triesMax  = 6
	triesRest = 10 * time.Millisecond
)

// errNoNetwork reports that there was no answer: the gate goes on off line.
var errNoNetwork = errors.New("no network")

// link is a gate's way to the switch: it signs, and tries again what can be tried again.
// Belongs to one goroutine.
type link struct {
	addr     string
	id       string
	key      []byte
	terminal *sim.Terminal
	http     http.Client
}

func newLink(addr string, id *Identity) (*link, error) {
	key, err := hex.DecodeString(id.Key)
	if err != nil {
		return nil, fmt.Errorf("gate %s: its key is not hexadecimal", id.ID)
	}
	l := &link{id: id.ID, key: key, terminal: sim.NewTerminal(id.ID, key), http: http.Client{
		Timeout: callTimeout, Transport: &http.Transport{DisableCompression: true}}}
	l.addr = bare(addr)
	return l, nil
}

// bare returns host:port of an address that may be written as a URL.
func bare(addr string) string {
	return strings.TrimRight(strings.TrimPrefix(addr, "http://"), "/")
}

func (l *link) close() { l.http.CloseIdleConnections() }

// question is one call; body nil is a GET.
type question struct {
	path    string
	body    []byte
	media   string // of the body, JSON unless named
	headers map[string]string
}

// answer is what came: any status below 400.
type answer struct {
	status int
	body   []byte
	header http.Header
}

// ask makes a call. The error is errNoNetwork where no final answer came, a *sim.APIError where
// the switch refused.
func (l *link) ask(ctx context.Context, q question) (*answer, error) {
	rest := triesRest
	var a *answer
	var err error
	for try := range triesMax {
		if try > 0 {
			timer := time.NewTimer(rest)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return nil, ctx.Err()
			}
			rest *= 2
		}
		a, err = l.once(ctx, &q)
		var refused *sim.APIError
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.As(err, &refused):
			return a, err // there, or no network: which a gate does not insist on
		case refused.Code == "counter_too_low" || refused.Code == "signature_replayed":
			l.terminal = sim.NewTerminal(l.id, l.key) // its counter begins at the clock
		case !refused.Retryable:
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: %s: %w", errNoNetwork, q.path, err)
}

// once makes a call one time.
func (l *link) once(ctx context.Context, q *question) (*answer, error) {
	method := http.MethodGet
	if q.body != nil {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+l.addr+q.path,
		bytes.NewReader(q.body))
	if err != nil {
		return nil, fmt.Errorf("gate %s: %w", l.id, err)
	}
	if q.body != nil {
		req.Header.Set("Content-Type", "application/json")
		if q.media != "" {
			req.Header.Set("Content-Type", q.media)
		}
	}
	for name, value := range q.headers {
		req.Header.Set(name, value)
	}
	l.terminal.Sign(req, q.body, time.Now())
	resp, err := l.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoNetwork, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMax+1))
	if err != nil || len(body) > answerMax {
		return nil, fmt.Errorf("%w: answer of %d bytes broke off: %w", errNoNetwork, len(body), err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return nil, refusalOf(resp.StatusCode, body)
	}
	return &answer{resp.StatusCode, body, resp.Header}, nil
}

// refusalOf reads the error object of an answer; one without is a proxy's.
func refusalOf(status int, body []byte) error {
	var a struct {
		Error *sim.APIError `json:"error"`
	}
	if json.Unmarshal(body, &a) == nil && a.Error != nil {
		return a.Error
	}
	return fmt.Errorf("%w: status %d", errNoNetwork, status)
}
