package share

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"unicode"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Exchange says what the topics of the city's exchange platform carry (SY8, ZZ11, WZ5). An
// Exchange without topics does nothing.
type Exchange struct {
	// Inbound are topics of suppliers' batches, the same as by HTTP: a message is a batch, with
	// its signature in the header "signature", in hexadecimal.
	Inbound map[string]Inbound `json:"inbound"`
	// Outbound are topics for units, a message a record, minimised as the agreement says.
	Outbound map[string]Outbound `json:"outbound"`
}

// Inbound is whose batches come by a topic, and in which form.
type Inbound struct {
	Supplier string `json:"supplier"`
	Format   Format `json:"format"`
}

// Outbound is for whom a topic is, and for which purpose.
type Outbound struct {
	Consumer string `json:"consumer"`
	Purpose  string `json:"purpose"`
}

// topicMax is the longest name of a Kafka topic.
const topicMax = 249

// Check returns an error that wraps ErrConfig for a topic that cannot be.
func (e *Exchange) Check() error {
	for topic, in := range e.Inbound {
		if !topicName(topic) || !plainName(in.Supplier) || in.Format != JSON && in.Format != CSV {
			return fmt.Errorf("%w: inbound topic %q: want supplier, and format json or csv", ErrConfig, topic)
		}
	}
	for topic, out := range e.Outbound {
		if !topicName(topic) || !plainName(out.Consumer) || out.Purpose == "" {
			return fmt.Errorf("%w: outbound topic %q: want consumer and purpose", ErrConfig, topic)
		}
		if _, both := e.Inbound[topic]; both {
			return fmt.Errorf("%w: topic %q goes both ways", ErrConfig, topic)
		}
	}
	return nil
}

func topicName(s string) bool {
	if s == "" || len(s) > topicMax {
		return false
	}
	for _, c := range s {
		if c > unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c) && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

const exchangeKey = "share/exchange"

// PutExchange registers the topics; a process goes by them from its next start on.
func (s *Service) PutExchange(ctx context.Context, e Exchange) error {
	if err := e.Check(); err != nil {
		return err
	}
	return s.replace(ctx, exchangeKey, &e)
}

// Exchange returns the registered topics, none where there are none.
func (s *Service) Exchange(ctx context.Context) (Exchange, error) {
	var e Exchange
	_, err := s.read(ctx, exchangeKey, &e)
	return e, err
}

// Message is one of the platform's. At is when the platform took it.
type Message struct {
	Topic   string
	Key     []byte
	Body    []byte
	Headers map[string]string
	At      txn.Millis
}

// SignatureHeader is the header of a batch's signature.
const SignatureHeader = "signature"

// Messages are what the platform has for us, in order within a topic.
type Messages interface {
	// Fetch waits for the next message; it returns ctx's error when ctx ends first.
	Fetch(ctx context.Context) (Message, error)
	// Done says that a message need not come again. What was fetched and is not done comes
	// again after a restart.
	Done(ctx context.Context, m Message) error
}

// Publisher hands messages to the platform.
type Publisher interface {
	// Publish is durable on return. After an error the message may be there, and is sent again.
	Publish(ctx context.Context, m Message) error
}

// Lag is how late a topic is.
type Lag struct {
	Topic   string `json:"topic"`
	Count   int    `json:"count"`
	Refused int    `json:"refused"`
	LastMS  int64  `json:"last_ms"`
	MaxMS   int64  `json:"max_ms"`
}

// Platform is the adapter to the exchange platform. Safe for concurrent use.
type Platform struct {
	s   *Service
	e   Exchange
	out Publisher

	mu      sync.Mutex // guards the two below
	lags    map[string]*Lag
	streams map[string]*outlet
}

// outlet is an open stream of a topic; its mutex lets one record at a time through.
type outlet struct {
	mu     sync.Mutex
	stream *Stream
}

// NewPlatform returns the adapter. out may be nil where nothing goes out.
func (s *Service) NewPlatform(e Exchange, out Publisher) (*Platform, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	if len(e.Outbound) > 0 && out == nil {
		return nil, fmt.Errorf("%w: outbound topics need a publisher", ErrConfig)
	}
	return &Platform{s: s, e: e, out: out, lags: map[string]*Lag{}, streams: map[string]*outlet{}}, nil
}

// Run takes messages until ctx ends or the store does not answer; whoever runs it runs it
// again. A message that is refused is counted, logged and done: it must not stop the others.
func (p *Platform) Run(ctx context.Context, in Messages) error {
	for {
		m, err := in.Fetch(ctx)
		if err != nil {
			return err
		}
		if _, err := p.Receive(ctx, m); err != nil {
			return fmt.Errorf("topic %s: %w", m.Topic, err)
		}
		if err := in.Done(ctx, m); err != nil {
			return fmt.Errorf("topic %s: %w", m.Topic, err)
		}
	}
}

// Receive takes one message.
func (p *Platform) Receive(ctx context.Context, m Message) (Report, error) {
	in, known := p.e.Inbound[m.Topic]
	if !known {
		p.note(m.Topic, 0, true)
		return Report{Refusal: SupplierUnknown}, nil
	}
	signature, err := hex.DecodeString(m.Headers[SignatureHeader])
	if err != nil {
		signature = nil
	}
	r, err := p.s.Deliver(ctx, Delivery{Supplier: in.Supplier, Format: in.Format, Body: m.Body,
		Signature: signature})
	if err != nil {
		return r, err
	}
	if r.Refusal != RefusalNone {
		p.s.log.Warn("a batch of the exchange platform was refused", "topic", m.Topic,
			"refusal", r.Refusal.String(), "why", r.Why)
	}
	p.note(m.Topic, p.s.now()-m.At, r.Refusal != RefusalNone)
	return r, nil
}

// Send hands a record to every outbound topic whose unit may have it. A unit whose agreement
// has ended is told nothing and counted; it keeps nobody else from being told.
func (p *Platform) Send(ctx context.Context, r *txn.Record) error {
	var errs []error
	for topic, to := range p.e.Outbound {
		if err := p.send(ctx, topic, to, r); err != nil {
			errs = append(errs, fmt.Errorf("topic %s: %w", topic, err))
		}
	}
	return errors.Join(errs...)
}

func (p *Platform) send(ctx context.Context, topic string, to Outbound, r *txn.Record) error {
	p.mu.Lock()
	o := p.streams[topic]
	if o == nil {
		o = &outlet{}
		p.streams[topic] = o
	}
	p.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stream == nil {
		t, refusal, err := p.s.OpenStream(ctx, Ask{Consumer: to.Consumer, Purpose: to.Purpose,
			Operator: "exchange"}, "stream "+topic)
		if err != nil || refusal != RefusalNone {
			p.note(topic, 0, true)
			return err
		}
		o.stream = t
	}
	if p.s.dayOf(r.ReceivedAt) < o.stream.c.From {
		return nil // of before the agreement
	}
	line, refusal, err := o.stream.Line(ctx, r)
	if refusal != RefusalNone {
		o.stream = nil // asked for anew with the next record: the agreement may be renewed
		p.note(topic, 0, true)
	}
	if err != nil || line == nil {
		return err
	}
	key := p.s.pseudonym(to.Consumer, r.Card)
	if err := p.out.Publish(ctx, Message{Topic: topic, Key: []byte(key), Body: line}); err != nil {
		return err
	}
	p.note(topic, p.s.now()-r.ReceivedAt, false)
	return nil
}

func (p *Platform) note(topic string, lag txn.Millis, refused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lags[topic]
	if l == nil {
		l = &Lag{Topic: topic}
		p.lags[topic] = l
	}
	if refused {
		l.Refused++
		return
	}
	l.Count++
	l.LastMS = max(0, int64(lag))
	l.MaxMS = max(l.MaxMS, l.LastMS)
}

// Lags tells how late each topic is that was used.
func (p *Platform) Lags() []Lag {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Lag, 0, len(p.lags))
	for _, l := range p.lags {
		all = append(all, *l)
	}
	return all
}
