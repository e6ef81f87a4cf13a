package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// answerMax bounds the body of one answer: 5,000 results with room.
	answerMax = 8 << 20
	// tryTimeout bounds one try; the switch's own budget is shorter.
	tryTimeout = 10 * time.Second
	// backOffFirst and backOffMax bound the pause between tries; it doubles.
	backOffFirst = 5 * time.Millisecond
	backOffMax   = 250 * time.Millisecond
	// counterSkip leads past the window of counters that the switch remembers.
	counterSkip = 1024
	// retryForDefault is how long one request is tried: longer than a restart takes.
	retryForDefault = 30 * time.Second
)

// ErrGaveUp reports a request that got no final answer in time. It may have been executed.
var ErrGaveUp = errors.New("no answer within the time to try")

// Terminal is a terminal's identity: id, key and signature counter. Safe for concurrent
// use.
type Terminal struct {
	ID      string
	key     []byte
	counter atomic.Uint64
}

// NewTerminal returns the terminal id with the key that the switch gave out. Its signature
// counter begins at the microseconds of the clock, so that a later life of the same terminal
// begins above the counters of this one.
func NewTerminal(id string, key []byte) *Terminal {
	t := &Terminal{ID: id, key: key}
	t.counter.Store(uint64(time.Now().UnixMicro()))
	return t
}

// jump makes next the least counter that is used from now on.
func (t *Terminal) jump(next uint64) {
	for {
		now := t.counter.Load()
		if now+1 >= next || t.counter.CompareAndSwap(now, next-1) {
			return
		}
	}
}

// ClientOptions make a Client.
type ClientOptions struct {
	// Addr is the gate's host:port.
	Addr string
	// Now is the clock for signatures; nil is the wall clock.
	Now func() time.Time
	// RetryFor bounds how long one request is tried; 0 is 30 s, less than 0 one try.
	RetryFor time.Duration
	// Connections is how many are kept open; 0 is 64.
	Connections int
}

// Client speaks to the gate as terminals and operators do. A request that got no answer,
// or one that says try again, is sent again with the same id, signed anew.
type Client struct {
	addr     atomic.Pointer[string]
	now      func() time.Time
	retryFor time.Duration
	http     http.Client
}

// NewClient returns a Client; Close frees its connections.
func NewClient(o ClientOptions) *Client {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.RetryFor == 0 {
		o.RetryFor = retryForDefault
	}
	if o.Connections == 0 {
		o.Connections = 64
	}
	c := &Client{now: o.Now, retryFor: o.RetryFor, http: http.Client{
		Timeout: tryTimeout,
		Transport: &http.Transport{
			MaxIdleConns: o.Connections, MaxIdleConnsPerHost: o.Connections,
			DisableCompression: true,
		},
	}}
	c.SetAddr(o.Addr)
	return c
}

// SetAddr points the client at another address, for a gate that came back elsewhere.
func (c *Client) SetAddr(addr string) { c.addr.Store(&addr) }

// Close frees idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Reply is the final answer to a request.
type Reply struct {
	Status int
	Body   []byte
	// Tries counts how often the request was sent.
	Tries int
	// Unanswered counts tries without any answer: the switch may have executed them.
	Unanswered int
	// Took is the time from the first try to the answer.
	Took time.Duration
	// Refused is the error object of an answer of 400 and above.
	Refused *APIError
}

// Send posts a terminal's request and returns the final answer. The error is ErrGaveUp or
// the context's; a refusal by the switch is a Reply.
func (c *Client) Send(ctx context.Context, t *Terminal, path string, body []byte) (Reply, error) {
	return c.persist(ctx, call{terminal: t, method: http.MethodPost, path: path, body: body})
}

// Operate makes an operator's call with a bearer token; body may be nil.
func (c *Client) Operate(
	ctx context.Context, token, method, path string, body []byte,
) (Reply, error) {
	return c.persist(ctx, call{token: token, method: method, path: path, body: body})
}

type call struct {
	terminal     *Terminal // nil for an operator's call
	token        string
	method, path string
	body         []byte
}

// persist tries until there is a final answer or the time is over.
func (c *Client) persist(ctx context.Context, k call) (Reply, error) {
	began := time.Now()
	wait := backOffFirst
	var r Reply
	for {
		r.Tries++
		err := c.try(ctx, k, &r)
		r.Took = time.Since(began)
		if err == nil && !r.again(k.terminal) {
			return r, nil
		}
		if err == nil {
			err = r.Refused
		} else {
			r.Unanswered++
		}
		if c.retryFor < 0 || r.Took+wait > c.retryFor {
			return r, fmt.Errorf("%s: %w: %d tries in %s: %w",
				k.path, ErrGaveUp, r.Tries, r.Took.Round(time.Millisecond), err)
		}
		if err := pause(ctx, wait); err != nil {
			return r, err
		}
		wait = min(2*wait, backOffMax)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// again reports whether the answer asks for another try, and makes the terminal ready.
func (r *Reply) again(t *Terminal) bool {
	if r.Refused == nil {
		return false
	}
	switch {
	case t != nil && r.Refused.Code == "counter_too_low":
		t.jump(r.Refused.NextCounter)
		return true
	case t != nil && r.Refused.Code == "signature_replayed":
		// The connection sent it twice, or somebody else signs as this terminal.
		t.counter.Add(counterSkip)
		return true
	case t != nil && r.Refused.Code == "clock_skew":
		return false // waiting does not set a clock
	default:
		return r.Refused.Retryable
	}
}

func (c *Client) try(ctx context.Context, k call, r *Reply) error {
	req, err := http.NewRequestWithContext(ctx, k.method, "http://"+*c.addr.Load()+k.path,
		bytes.NewReader(k.body))
	if err != nil {
		return fmt.Errorf("request: %w", err)
	}
	if len(k.body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if k.terminal == nil {
		req.Header.Set("Authorization", "Bearer "+k.token)
	} else {
		k.terminal.Sign(req, k.body, c.now())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMax+1))
	if err != nil || len(body) > answerMax {
		return fmt.Errorf("answer of %d bytes broke off: %w", len(body), err)
	}
	r.Status, r.Body, r.Refused = resp.StatusCode, body, nil
	if r.Status >= http.StatusBadRequest {
		r.Refused = parseError(r.Status, body)
	}
	return nil
}

// Sign signs a call of the terminal: its body, and the headers that say who calls and when.
func (t *Terminal) Sign(req *http.Request, body []byte, now time.Time) {
	s := Signed{Method: req.Method, Path: req.URL.RequestURI(), Terminal: t.ID,
		TimestampMS: now.UnixMilli(), Counter: t.counter.Add(1)}
	req.Header[headerTerminal] = []string{t.ID}
	req.Header[headerTimestamp] = []string{strconv.FormatInt(s.TimestampMS, 10)}
	req.Header[headerCounter] = []string{strconv.FormatUint(s.Counter, 10)}
	req.Header[headerSignature] = []string{Sign(t.key, s, body)}
}

// parseError reads the error object; an answer without one, as a proxy would give, gets a
// code of its own and is worth another try when the server was at fault.
func parseError(status int, body []byte) *APIError {
	var a struct {
		Error *APIError `json:"error"`
	}
	if json.Unmarshal(body, &a) == nil && a.Error != nil {
		return a.Error
	}
	return &APIError{Type: "unavailable", Code: "http_" + strconv.Itoa(status),
		Message: "answer without an error object",
		Retryable: status == http.StatusServiceUnavailable ||
			status == http.StatusTooManyRequests || status == http.StatusBadGateway}
}
