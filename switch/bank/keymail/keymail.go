// Package keymail moves keys in messages (DOMAIN.md 2.3): it reads and writes the fields that
// bring a key, puts one into force that came, gives one out that is asked for, and orders one.
//
// A network message with code 101 brings a key or asks for one. Field 53 has its kind (1 PIN,
// 2 MAC) and algorithm (0 DES, 6 3DES), field 48 "NK" with key and check value in hex, or field
// 96 a key of 8 bytes and field 48 its check value; one that asks has neither.
//
// Every change stands in the audit trail before it is in force, with check value, time and who.
// A change that cannot be noted is not made. What comes is refused when its check value is
// wrong, when it is a key of before, or with a wrong MAC; the keys in force stay then. Safe for
// concurrent use. It keeps no keys itself (package secure does), and sends nothing: the caller
// has the line.
package keymail

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/switch/bank/audit"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/secure"
)

// Prefix begins field 48 where it brings a key.
const Prefix = "NK"

// checkSize is how many bytes of a check value are sent.
const checkSize = 4

var (
	// ErrFormat reports fields that are no key (code 30).
	ErrFormat = errors.New("the message brings no key that can be read")
	// ErrRefused reports a key that is not taken (code A7): check value, age, length.
	ErrRefused = errors.New("key refused")
	// ErrMAC reports a key whose message has a wrong MAC (code A0).
	ErrMAC = errors.New("the message that brings the key has a wrong MAC")
	// ErrAnswer reports a peer that did not send the key it was asked for.
	ErrAnswer = errors.New("no new key")
)

// Code is the response code for what Take or Issue returns.
func Code(err error) string {
	switch {
	case err == nil:
		return "00"
	case errors.Is(err, ErrFormat):
		return "30"
	case errors.Is(err, ErrMAC):
		return "A0"
	case errors.Is(err, ErrRefused):
		return "A7"
	case errors.Is(err, secure.ErrNoKey), errors.Is(err, secure.ErrOptions):
		return "40"
	default:
		return "96"
	}
}

// Message is a message as it came in, with what was read of it.
type Message struct {
	Spec  *message.Spec
	View  *message.View
	Sum   *message.Summary
	Frame []byte
}

// Brings reports whether a network message brings a key; otherwise it asks for one.
func Brings(v *message.View) bool { return v.Has(48) || v.Has(96) }

// KindOf reads which key field 53 is about; MACKey where it does not say.
func KindOf(v *message.View) secure.Kind {
	if control := v.Append(nil, 53); len(control) > 0 && control[0] == '1' {
		return secure.PINKey
	}
	return secure.MACKey
}

// Control is field 53 for a key of a kind and algorithm.
func Control(k secure.Kind, a keyring.Algorithm) string {
	kind, length := "2", "6"
	if k == secure.PINKey {
		kind = "1"
	}
	if a == keyring.DES {
		length = "0"
	}
	return kind + length + "00000000000000"
}

// Read takes the key out of a message.
func Read(v *message.View) (t secure.Transfer, ok bool) {
	control := string(v.Append(nil, 53))
	if len(control) != 16 {
		return t, false
	}
	switch control[0] {
	case '1':
		t.Kind = secure.PINKey
	case '2':
		t.Kind = secure.MACKey
	default:
		return t, false
	}
	size := 8
	t.Algorithm = keyring.DES
	if control[1] == '6' {
		size, t.Algorithm = 16, keyring.TDES2
	}
	raw, err := hex.DecodeString(strings.TrimSpace(strings.TrimPrefix(string(v.Append(nil, 48)), Prefix)))
	if err != nil {
		return t, false
	}
	if v.Has(96) && size == 8 {
		t.Wrapped, t.KCV = v.Append(nil, 96), raw
		return t, len(raw) >= 3
	}
	if len(raw) < size+3 {
		return t, false
	}
	t.Wrapped, t.KCV = raw[:size], raw[size:]
	return t, true
}

// Field is a field of a message with its content.
type Field struct {
	Number int
	Value  []byte
}

// Fields are the fields that bring a key, in ascending order.
func Fields(t secure.Transfer) []Field {
	check := strings.ToUpper(hex.EncodeToString(t.KCV[:min(len(t.KCV), checkSize)]))
	control := Field{53, []byte(Control(t.Kind, t.Algorithm))}
	if t.Algorithm == keyring.DES {
		return []Field{{48, []byte(Prefix + check)}, control, {96, t.Wrapped}}
	}
	return []Field{{48, []byte(Prefix + strings.ToUpper(hex.EncodeToString(t.Wrapped)) + check)},
		control}
}

// Options make a Desk.
type Options struct {
	Keys  *secure.LinkKeys
	Trail *audit.Trail
	// Subject names the link or acquirer in the trail.
	Subject string
	// Overlap is how long a former key verifies.
	Overlap time.Duration
	Now     func() time.Time
}

// Desk changes the keys of one link or acquirer.
type Desk struct {
	Options
	issuing chan struct{} // holds a token while a key is given out

	mu      sync.Mutex // guards waiting
	waiting [2]chan error
}

// NewDesk returns a Desk.
func NewDesk(o Options) *Desk { return &Desk{Options: o, issuing: make(chan struct{}, 1)} }

// note begins a line of the trail.
func (d *Desk) note(ctx context.Context, k secure.Kind, by audit.Actor) (*audit.Entry, error) {
	return d.Trail.Begin(ctx, audit.Line{Actor: by, Action: "key change",
		Subject: d.Subject + " " + k.String()})
}

// end ends the line of a change with what came of it.
func (d *Desk) end(ctx context.Context, line *audit.Entry, k secure.Kind, err error) error {
	// Whoever asked may be gone; what was done is noted all the same.
	ctx = context.WithoutCancel(ctx)
	if err != nil {
		return errors.Join(err, line.End(ctx, "not changed: "+err.Error(), ""))
	}
	return line.End(ctx, "in force", d.kcv(k))
}

// kcv is the check value of the key in force.
func (d *Desk) kcv(k secure.Kind) string {
	auth, pin := d.Keys.KCVs()
	if k == secure.PINKey {
		return string(pin)
	}
	return string(auth)
}

// Take puts a key into force that came in a message, durably when it returns nil. Where the
// message has a MAC it is made with the MAC key that comes, or with the one in force.
func (d *Desk) Take(ctx context.Context, m Message, by audit.Actor) error {
	p, err := d.open(&m)
	if err == nil {
		err = d.commit(ctx, p, by)
	}
	d.came(KindOf(m.View), err)
	return err
}

func (d *Desk) commit(ctx context.Context, p *secure.Pending, by audit.Actor) error {
	line, err := d.note(ctx, p.Kind(), by)
	if err != nil {
		return err
	}
	return d.end(ctx, line, p.Kind(), p.Commit(ctx))
}

// open verifies a message that brings a key.
func (d *Desk) open(m *Message) (*secure.Pending, error) {
	t, ok := Read(m.View)
	if !ok {
		return nil, ErrFormat
	}
	p, err := d.Keys.Receive(t)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	value, has := m.Spec.MACField(m.Frame, m.Sum)
	if !has {
		return p, nil
	}
	covered := m.Sum.Covered.Of(m.Frame)
	if t.Kind == secure.MACKey && p.Check(covered, value[:]) == nil ||
		d.Keys.Check(covered, value[:]) == nil {
		return p, nil
	}
	return nil, ErrMAC
}

// Issue gives a new key to a peer that asks for one: durable and in force when it returns,
// while the former verifies for the overlap. A peer that asks again within the overlap gets the
// same key: it has lost the answer, and nobody can push the former key out by asking.
func (d *Desk) Issue(ctx context.Context, k secure.Kind, by audit.Actor) (t secure.Transfer,
	err error) {
	if !d.Keys.Changeable(k) {
		return t, fmt.Errorf("%s: %w to exchange %v keys under", d.Subject, secure.ErrNoKey, k)
	}
	select {
	case d.issuing <- struct{}{}: // one after the other: each sees the key of the one before
	case <-ctx.Done():
		return t, ctx.Err()
	}
	defer func() { <-d.issuing }()
	if t, since, ok := d.Keys.Issued(k); ok && d.Now().Sub(since) < d.Overlap {
		return t, nil
	}
	line, err := d.note(ctx, k, by)
	if err != nil {
		return t, err
	}
	p, err := d.Keys.New(k)
	if err == nil {
		err = p.Commit(ctx)
	}
	if err = d.end(ctx, line, k, err); err != nil {
		return t, err
	}
	return secure.Transfer{Kind: k, Algorithm: p.Algorithm(), Wrapped: p.Wrapped(), KCV: p.KCV()}, nil
}

// Ask sends the order of a key, with field 53 as given, and returns the answer, which done gives
// back.
type Ask func(ctx context.Context, control string) (reply Message, done func(), err error)

// Order asks the peer for a new key and returns when it is in force. The answer brings it, or a
// message of the peer's own before ctx ends. Whatever goes wrong, the keys in force stay.
func (d *Desk) Order(ctx context.Context, k secure.Kind, ask Ask, by audit.Actor) error {
	if !d.Keys.Changeable(k) {
		return fmt.Errorf("%s: %w to exchange %v keys under: set keys.zone", d.Subject,
			secure.ErrNoKey, k)
	}
	line, err := d.note(ctx, k, by)
	if err != nil {
		return err
	}
	return d.end(ctx, line, k, d.order(ctx, k, ask))
}

func (d *Desk) order(ctx context.Context, k secure.Kind, ask Ask) error {
	came, forget := d.expect(k)
	defer forget()
	reply, done, err := ask(ctx, Control(k, keyring.TDES2))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAnswer, err)
	}
	defer done()
	if code := string(reply.Sum.Response[:]); !message.MeaningOf(code).Approved {
		return fmt.Errorf("%w: the order is answered %q", ErrAnswer, code)
	}
	if !Brings(reply.View) {
		select {
		case err := <-came:
			return err
		case <-ctx.Done():
			return fmt.Errorf("%w: the order was taken and no key came: %w", ErrAnswer, ctx.Err())
		}
	}
	p, err := d.open(&reply)
	if err != nil {
		return err
	}
	if p.Kind() != k {
		return fmt.Errorf("%w: a %v key came in place of a %v key", ErrRefused, p.Kind(), k)
	}
	return p.Commit(ctx)
}

// expect has an order hear of the next key of a kind that comes in a message of the peer's own.
func (d *Desk) expect(k secure.Kind) (came <-chan error, forget func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := make(chan error, 1)
	d.waiting[k] = c
	return c, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.waiting[k] == c {
			d.waiting[k] = nil
		}
	}
}

// came tells the order that waits for it of a key that came.
func (d *Desk) came(k secure.Kind, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.waiting[k]; c != nil {
		d.waiting[k] = nil
		c <- err
	}
}
