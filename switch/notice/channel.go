package notice

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// answerMax is how much of a party's answer is read, to use its connection again. What it
// says is not looked at.
const answerMax = 4 << 10

// drainMax is how long the reading of an answer may take once its status is there.
const drainMax = 200 * time.Millisecond

// connectMax bounds the making of a connection, within the time of the whole try.
const connectMax = 3 * time.Second

// errChannel reports a party whose channel this process does not have.
var errChannel = errors.New("channel not configured in this process")

// wire is the body of a notice. Fields are only ever added.
type wire struct {
	Notice     string   `json:"notice"`
	Kind       string   `json:"kind"`
	Party      string   `json:"party"`
	Card       string   `json:"card"`
	Last4      string   `json:"last4,omitempty"`
	Scope      []string `json:"scope"`
	Reason     string   `json:"reason"`
	Case       string   `json:"case,omitempty"`
	ListEpoch  uint64   `json:"list_epoch"`
	AcceptedAt string   `json:"accepted_at"`
	Supersedes string   `json:"supersedes,omitempty"`
	Clause     string   `json:"clause,omitempty"`
	WindowSec  int64    `json:"window_seconds,omitempty"`
	// Acknowledge is the path to answer to.
	Acknowledge string `json:"acknowledge"`
}

// bodyOf returns the body for one party: the same bytes at every try.
func bodyOf(d *Document, party string) []byte {
	w := wire{Notice: d.ID, Kind: d.Kind.String(), Party: party, Card: d.Card.String(),
		Last4: d.Last4.String(), Scope: d.Scope.Names(), Reason: d.Reason.String(), Case: d.Case,
		ListEpoch: d.ListEpoch, AcceptedAt: instant(d.AcceptedAt), Supersedes: d.Supersedes,
		Clause: d.Policy.Clause, WindowSec: int64(d.Policy.Window / time.Second),
		Acknowledge: ackPath(d.ID, party)}
	body, err := json.Marshal(&w)
	if err != nil {
		panic(fmt.Sprintf("notice: internal error: body of %s: %v", d.ID, err))
	}
	return body
}

func instant(at txn.Millis) string { return at.Time().Format("2006-01-02T15:04:05.000Z07:00") }

// channels are the ways to the parties.
type channels struct {
	o      *Options
	client *http.Client
}

// newChannels makes the client of the webhooks: TLS 1.2 or later, no proxy, no redirects, a
// bounded answer. A redirect is a failure, because the address was checked and signed for.
func newChannels(o *Options) *channels {
	dialer := &net.Dialer{Timeout: connectMax}
	t := &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: connectMax,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		ResponseHeaderTimeout: o.Timeout, MaxResponseHeaderBytes: answerMax,
		MaxIdleConnsPerHost: o.PerParty, MaxConnsPerHost: PerPartyMax, MaxIdleConns: RosterMax,
		IdleConnTimeout: time.Minute, DisableCompression: true}
	return &channels{o: o, client: &http.Client{Transport: t, Timeout: o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}}}
}

func (c *channels) close() { c.client.CloseIdleConnections() }

// send returns nil when the channel of the party took the message.
func (c *channels) send(ctx context.Context, m *member, msg Message) error {
	switch m.channel() {
	case Webhook:
		return c.post(ctx, m.URL, msg)
	case Topic:
		if c.o.Publisher != nil {
			return c.o.Publisher.Publish(ctx, m.Topic, msg)
		}
	case IssuerLink:
		if c.o.Links != nil {
			return c.o.Links.NotifyLink(ctx, m.Link, msg)
		}
	}
	return fmt.Errorf("%w: %s", errChannel, m.Channel)
}

func (c *channels) post(ctx context.Context, url string, msg Message) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(msg.Body))
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "tapswitch")
	r.Header.Set(IdempotencyHeader, msg.ID)
	if msg.Signature != "" {
		r.Header.Set(SignatureHeader, msg.Signature)
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("webhook: status %d", answer.StatusCode)
	}
	// The status came: the party has it, whatever becomes of the rest.
	slow := time.AfterFunc(drainMax, func() { _ = answer.Body.Close() })
	_, _ = io.CopyN(io.Discard, answer.Body, answerMax)
	slow.Stop()
	return nil
}
