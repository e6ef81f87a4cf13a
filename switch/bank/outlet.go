package bank

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/switch/bank/guise"
	"github.com/tapswitch/tapswitch/switch/bank/kept"
	"github.com/tapswitch/tapswitch/switch/bank/keymail"
	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/secure"
	"github.com/tapswitch/tapswitch/switch/bank/setup"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// outlet is a link to a bank with what messages need on it.
type outlet struct {
	sw      *Switch
	cfg     *Link
	name    string
	spec    *message.Spec
	pos     bool // the bank speaks as terminals do: see package guise
	header  message.CUPSHeader
	keys    *secure.LinkKeys
	desk    *keymail.Desk // changes keys
	badMACs atomic.Int32  // in a row
	link    *link.Link
	waiting atomic.Int64 // reversals and advices that the bank has not heard of: its backlog
	seed    maphash.Seed
	views   sync.Pool // *message.View
	writers sync.Pool // *message.Writer
}

// openKeys opens the keys of a link or of an acquirer.
func (s *Switch) openKeys(ctx context.Context, name string, k *Keys) (*keymail.Desk, error) {
	o := secure.LinkOptions{Ring: s.o.Ring, Registry: s.o.Registry, Link: name,
		Scheme: k.Scheme(), Overlap: k.Overlap, Now: s.clock}
	o.MAC, _ = keyring.ParseRef(k.MACKey) // checked; "" is the zero Ref
	o.PIN, _ = keyring.ParseRef(k.PINKey)
	o.ZMK, _ = keyring.ParseRef(k.Zone)
	if s.o.Ring == nil && (k.MACKey != "" || k.PINKey != "" || k.Zone != "") {
		return nil, fmt.Errorf("%w: keys are named and there is no key ring", ErrConfig)
	}
	keys, err := secure.OpenLink(ctx, o)
	return keymail.NewDesk(keymail.Options{Keys: keys, Trail: s.trail, Subject: name,
		Overlap: k.Overlap, Now: s.clock}), err
}

func (s *Switch) newOutlet(ctx context.Context, cfg *Link) (*outlet, error) {
	l := &outlet{sw: s, cfg: cfg, name: cfg.Name, seed: maphash.MakeSeed()}
	var err error
	if l.spec, err = setup.OpenSpec(cfg.Spec, cfg.Envelope); err != nil {
		return nil, err
	}
	l.pos = l.spec.Dialect() == message.POS
	if l.header, err = message.NewCUPSHeader(cfg.Station, cfg.Home); err != nil {
		return nil, err
	}
	if l.desk, err = s.openKeys(ctx, cfg.Name, &cfg.Keys); err != nil {
		return nil, err
	}
	l.keys = l.desk.Keys
	if _, ok := l.spec.Field(cfg.Originals); cfg.Originals != 0 && !ok {
		return nil, fmt.Errorf("%w: originals: spec %s has no field %d", ErrConfig, cfg.Spec,
			cfg.Originals)
	}
	if cfg.Reconcile.At != "" && !l.reconciles() {
		return nil, fmt.Errorf("%w: spec %s has no fields of totals to reconcile with", ErrConfig,
			cfg.Spec)
	}
	secured, err := cfg.TLS.Client(s.log)
	if err != nil {
		return nil, err
	}
	l.views.New = func() any { return new(message.View) }
	l.writers.New = func() any { return new(message.Writer) }
	l.link, err = link.Open(link.Config{
		Name: cfg.Name, Addresses: cfg.Addresses, Balance: cfg.Spread(), Framing: cfg.Frames(),
		Protocol: outbound{l}, Handler: l, TLSNext: secured, SignOnce: cfg.SignOn == "link",
		Limits: link.Limits{FrameMax: setup.FrameMax, AnswerTimeout: cfg.Timeout, EchoAfter: cfg.Echo,
			InFlightMax: cfg.InFlight, InFlightPerConnMax: cfg.InFlight,
			WriteTimeout: cfg.WriteTimeout, QueueMax: max(1024, cfg.InFlight/4)},
		Reserver: kept.Numbers{Registry: s.o.Registry}, NumberBlock: stanBlock, Late: l.late, Changed: l.changed,
		Dial: s.o.Dial, Now: s.clock, Log: s.log,
	})
	return l, err
}

// usable reports whether the link may get new transactions.
func (l *outlet) usable() bool {
	return l.link.IsUp() && l.waiting.Load() < int64(l.cfg.Backlog)
}

// late is told of an answer that came after its transaction was given up. The reversal
// stands.
func (l *outlet) late(_ []byte, key link.Key) {
	l.sw.stats.Late.Add(1)
	if key.Class == uint8(message.Network) {
		l.sw.log.Warn("late answer of a bank: a key in it is not taken", "link", l.name)
		return
	}
	l.sw.log.Warn("late answer of a bank: the reversal stands", "link", l.name, "message", key.String())
}

func (l *outlet) changed(index int, c link.Change) {
	l.sw.log.Info("link", "name", l.name, "connection", index, "state", c.State.String(),
		"cause", c.Cause)
	if c.State == link.Up {
		l.sw.teller.wake()
	}
}

// outbound is what a link must know of the messages of banks.
type outbound struct{ *outlet }

var managementCodes = map[link.Management]string{link.SignOn: "001", link.SignOff: "002",
	link.Echo: "301"}

// Make writes a management request.
func (p outbound) Make(what link.Management, stan uint32, at time.Time) ([]byte, link.Key, error) {
	if what != link.Echo && p.cfg.SignOn == "none" {
		return nil, link.Key{}, nil
	}
	if _, ok := p.spec.Field(70); !ok && (what != link.Echo || !p.pos) {
		return nil, link.Key{}, nil
	}
	w := p.writers.Get().(*message.Writer)
	defer p.writers.Put(w)
	w.CUPS = p.header
	sent := sentAt(txn.MillisOf(at))
	if p.pos {
		frame, err := guise.Echo(w, p.spec, stan, sent)
		return frame, link.Key{Class: uint8(message.Network), STAN: stan}, err
	}
	w.Begin(nil, p.spec, message.NetworkRequest)
	w.Put(7, sent[:])
	w.PutNumber(11, int64(stan))
	if p.sw.o.Config.Forwarder != "" {
		p.putIf(w, 33, []byte(p.sw.o.Config.Forwarder))
	}
	w.Put(70, []byte(managementCodes[what]))
	frame, err := w.Finish()
	return frame, link.Key{Class: uint8(message.Network), STAN: stan, Time: sent}, err
}

func (l *outlet) putIf(w *message.Writer, n int, value []byte) {
	if _, ok := l.spec.Field(n); ok && len(value) > 0 {
		w.Put(n, value)
	}
}

// Accepted judges the answer to a management request.
func (p outbound) Accepted(what link.Management, answer []byte) error {
	sum, err := message.Peek(p.spec, answer)
	if err != nil {
		return err
	}
	if code := string(sum.Response[:]); !message.MeaningOf(code).Approved {
		return fmt.Errorf("%v refused with code %q", what, code)
	}
	return nil
}

var errBadMAC = errors.New("message has a wrong MAC")

// Classify verifies the MAC of what is about money before any field is believed, and says
// what the message is.
func (p outbound) Classify(frame []byte) (link.Kind, link.Key, error) {
	v := p.views.Get().(*message.View)
	defer p.views.Put(v)
	if err := v.Open(p.spec, frame); err != nil {
		return 0, link.Key{}, err
	}
	defer v.Close()
	sum, err := v.Summary()
	if err != nil {
		return 0, link.Key{}, err
	}
	network := sum.MTI.Class() == message.Network
	if p.keys.MACs() && !network {
		field, _ := p.spec.MACField(frame, &sum)
		if p.keys.Check(sum.Covered.Of(frame), field[:]) != nil {
			p.sw.stats.BadMAC.Add(1)
			p.countMAC(false)
			return 0, link.Key{}, errBadMAC
		}
		p.countMAC(string(sum.Response[:]) != codeMAC)
	}
	key := p.key(v, &sum)
	switch {
	case sum.MTI.IsResponse():
		return link.KindAnswer, key, nil
	case network && string(sum.Network[:]) != "101" && sum.MTI.Expects():
		return link.KindManagement, key, nil
	default:
		return link.KindRequest, key, nil
	}
}

// key is what ties an answer to its request: trace number, reference, terminal, time,
// acquirer and amount, and what it repeats of card number, processing code and currency.
func (l *outlet) key(v *message.View, sum *message.Summary) link.Key {
	k := link.Key{Class: uint8(sum.MTI.Class()), STAN: sum.STAN, RRN: sum.RRN,
		Terminal: sum.Terminal, Time: sum.Sent}
	if sum.MTI.Class() != message.Network {
		var room [40]byte
		acquirer := room[:0]
		if !l.pos {
			acquirer = v.Append(acquirer, 32)
		}
		k.Rest = l.rest(acquirer, sum.Amount)
		k.AnyRest = sum.MTI.IsResponse() && string(sum.Response[:]) == codePartial
		if v.Has(2) {
			k.Said[0] = l.said(room[:0], sum.PAN.Digits())
		}
		if v.Has(3) {
			k.Said[1] = l.said(room[:0], string(sum.ProcessingCode[:]))
		}
		if v.Has(49) {
			currency := number(v.Append(room[:0], 49))
			k.Said[2] = l.said(room[:0], strconv.Itoa(int(currency)))
		}
	}
	return k
}

// said digests what stands in Key.Said; never 0.
func (l *outlet) said(room []byte, value string) uint64 {
	return maphash.Bytes(l.seed, append(room, value...)) | 1
}

// rest digests what of a message stands in Key.Rest; it uses the room behind acquirer.
func (l *outlet) rest(acquirer []byte, amount int64) uint64 {
	return maphash.Bytes(l.seed, strconv.AppendInt(append(acquirer, '/'), amount, 10))
}

// Reply answers what a bank asks about the link.
func (p outbound) Reply(frame []byte) ([]byte, link.Management, error) {
	v := p.views.Get().(*message.View)
	defer p.views.Put(v)
	if err := v.Open(p.spec, frame); err != nil {
		return nil, link.OtherManagement, err
	}
	defer v.Close()
	sum, err := v.Summary()
	if err != nil {
		return nil, link.OtherManagement, err
	}
	what := link.OtherManagement
	for m, code := range managementCodes {
		if string(sum.Network[:]) == code {
			what = m
		}
	}
	answer, err := p.answer(v, &sum, frame, codeApproved)
	return answer, what, err
}

// answer writes the answer to a request of the bank, under the key of the request. One whose key
// went out of force since Classify saw it has none: the bank asks again.
func (l *outlet) answer(v *message.View, sum *message.Summary, frame []byte, code string,
) ([]byte, error) {
	mti, ok := sum.MTI.Answer()
	if !ok {
		return nil, nil
	}
	w := l.writers.Get().(*message.Writer)
	defer l.writers.Put(w)
	if l.spec.Envelope() == message.CUPSHead {
		copy(w.CUPS[:], frame)
		w.CUPS = w.CUPS.Reply()
	}
	w.Begin(nil, l.spec, mti)
	coded := false
	for _, n := range []int{2, 3, 4, 7, 11, 32, 33, 37, 39, 41, 42, 49, 53, 70, 100} {
		if n == 39 && !coded {
			w.Put(39, []byte(code))
			coded = true
			continue
		}
		w.Copy(v, n)
	}
	if l.keys.MACs() && mti.Class() != message.Network {
		field, _ := l.spec.MACField(frame, sum)
		key, err := l.keys.Match(sum.Covered.Of(frame), field[:])
		if err != nil {
			return nil, err
		}
		return w.FinishSum(key)
	}
	return w.Finish()
}

// Handle works on what a bank asks: a change of key, and nothing else.
func (l *outlet) Handle(r *link.Request) {
	var v message.View
	if err := v.Open(l.spec, r.Frame); err != nil {
		_ = r.Drop()
		return
	}
	sum, err := v.Summary()
	if err != nil {
		_ = r.Drop()
		return
	}
	code := codeInvalid
	if sum.MTI.Class() == message.Network && string(sum.Network[:]) == "101" {
		ctx, cancel := context.WithTimeout(context.Background(), l.cfg.Timeout)
		code = l.sw.takeKey(ctx, l.desk, keymail.Message{Spec: l.spec, View: &v, Sum: &sum,
			Frame: r.Frame})
		cancel()
	}
	frame, err := l.answer(&v, &sum, r.Frame, code)
	if err != nil || frame == nil {
		_ = r.Drop()
		return
	}
	_ = r.Answer(frame)
}

// Refuse has no answer: a bank asks again.
func (l *outlet) Refuse(*link.Request, error) []byte { return nil }

// codeError is a refusal of the switch itself, before anything left.
type codeError struct{ reason txn.Reason }

func (e *codeError) Error() string { return "not sent: " + e.reason.String() }

// forward sends the order's message to a bank and waits for the answer, which the caller
// gives back to l.views.
func (o *order) forward(ctx context.Context, l *outlet, a engine.Answer) (*message.View, link.Sent, error) {
	msg := telling{mti: o.sum.MTI.First(), stan: o.work.STAN, sent: o.work.Sent, rrn: o.work.RRN,
		original: a.BankOriginal, private: true}
	frame, key, err := l.write(o, &msg)
	if err != nil {
		return nil, link.NotSent, err
	}
	return l.exchange(ctx, frame, key, false)
}

// errNoCode is what an answer without field 39 is: it says nothing, so nobody knows what the bank
// did.
var errNoCode = errors.New("the answer has no response code (field 39)")

// exchange sends a frame and opens the answer.
func (l *outlet) exchange(ctx context.Context, frame []byte, key link.Key, repeat bool,
) (*message.View, link.Sent, error) {
	send := l.link.Exchange
	if repeat {
		send = l.link.Repeat
	}
	reply, sent, err := send(ctx, frame, key)
	if sent != link.Answered {
		return nil, sent, err
	}
	v := l.views.Get().(*message.View)
	if err = v.Open(l.spec, reply); err == nil && !v.Has(39) {
		err = errNoCode
	}
	if err != nil {
		l.views.Put(v)
		return nil, link.Unknown, err
	}
	return v, sent, nil
}

// telling is what a message to a bank says beyond the order that it is made of.
type telling struct {
	mti      message.MTI
	stan     uint32
	sent     [10]byte
	rrn      [12]byte
	auth     txn.AuthCode
	original *card.BankTxn // field 90
	// private: PIN, track and chip data go with it: it is the first time that it is sent.
	private bool
	// chip: chip data go with it, all that it is about.
	chip bool
}

// write makes the frame of a message to the bank, and the key that its answer carries.
func (l *outlet) write(o *order, t *telling) ([]byte, link.Key, error) {
	w := l.writers.Get().(*message.Writer)
	defer l.writers.Put(w)
	w.CUPS, w.TPDU, w.Header = l.header, message.NewTPDU(0, 0), guise.Header
	w.Begin(make([]byte, 0, replyMax), l.spec, t.mti)
	c := composer{o: o, l: l, t: t, w: w}
	if err := c.write(); err != nil {
		return nil, link.Key{}, err
	}
	var frame []byte
	var err error
	if l.keys.MACs() {
		frame, err = w.FinishSum(l.keys.Make)
	} else {
		frame, err = w.Finish()
	}
	if err != nil {
		o.sw.log.Error("message to a bank cannot be written", "link", l.name, "error", err)
		return nil, link.Key{}, &codeError{txn.IssuerUnavailable}
	}
	return frame, c.key(), nil
}

// composer writes the fields of a message to a bank in ascending order.
type composer struct {
	o    *order
	l    *outlet
	t    *telling
	w    *message.Writer
	acqu []byte
	room [16]byte // of acqu
}

func (c *composer) write() error {
	o, t := c.o, c.t
	c.put(2, []byte(o.number.Digits()))
	c.copy(3, 4)
	c.put(7, t.sent[:])
	c.w.PutNumber(11, int64(t.stan))
	c.local()
	c.copy(14)
	if o.view.Has(18) || o.place.MCC == "" {
		c.copy(18)
	} else {
		c.put(18, []byte(o.place.MCC))
	}
	c.copy(22, 23, 25)
	if t.private {
		c.copy(26)
	}
	c.institutions()
	if t.private {
		c.copy(35, 36)
	}
	c.put(37, c.reference())
	c.authCode()
	if c.l.pos && t.mti.Class() == message.Reversal {
		c.put(39, []byte(guise.NoAnswer))
	}
	c.copy(41, 42, 43, 49)
	if !o.view.Has(49) {
		c.put(49, strconv.AppendInt(nil, int64(o.sw.currency), 10))
	}
	if t.private {
		if err := c.pin(); err != nil {
			return err
		}
	}
	if n := c.originals(); n != 0 && n < 55 {
		c.nameOriginal()
	}
	if t.private || t.chip {
		c.copy(55)
	}
	if c.originals() > 55 {
		c.nameOriginal()
	}
	switch {
	case c.l.pos:
		c.asTerminal()
	case t.original != nil && t.original.STAN != 0:
		c.elements()
	case c.elsewhere():
		c.copy(90)
	}
	return nil
}

func (c *composer) put(n int, value []byte) {
	if !c.l.pos || !guise.Leaves(n) {
		c.l.putIf(c.w, n, value)
	}
}

func (c *composer) copy(fields ...int) {
	for _, n := range fields {
		if _, ok := c.l.spec.Field(n); ok && !(c.l.pos && guise.Leaves(n)) {
			c.w.Copy(&c.o.view, n)
		}
	}
}

// local writes the terminal's time, or that of the switch.
func (c *composer) local() {
	at := c.o.now.Time().In(c.o.sw.zone)
	var room [16]byte
	if c.o.view.Has(12) {
		c.copy(12)
	} else {
		c.put(12, at.AppendFormat(room[:0], "150405"))
	}
	if c.o.view.Has(13) {
		c.copy(13)
	} else {
		c.put(13, at.AppendFormat(room[:0], "0102"))
	}
}

// institutions writes acquirer and forwarder.
func (c *composer) institutions() {
	c.acqu = c.o.view.Append(c.room[:0], 32)
	if len(c.acqu) == 0 {
		c.acqu = []byte(c.o.sw.o.Config.Acquirer)
		if c.o.place.Acquirer != "" {
			c.acqu = []byte(c.o.place.Acquirer)
		}
	}
	c.put(32, c.acqu)
	c.put(33, []byte(c.o.sw.o.Config.Forwarder))
}

// authCode writes the code of what a completion, void or reversal refers to.
func (c *composer) authCode() {
	switch {
	case c.t.auth != txn.AuthCode{}:
		c.put(38, c.t.auth[:])
	case c.t.original != nil && c.t.original.Advised:
		// Its code is this switch's own: field 90 names it.
	case c.t.original != nil && c.t.original.Auth != txn.AuthCode{}:
		c.put(38, c.t.original.Auth[:])
	default:
		c.copy(38)
	}
}

// pin translates the PIN block from the key that it came under to the bank's.
func (c *composer) pin() error {
	if !c.o.view.Has(52) {
		return nil
	}
	from, ok := c.o.pinFrom()
	if !ok {
		return &codeError{txn.IssuerUnavailable}
	}
	var block, out [16]byte
	from.Block = c.o.view.Append(block[:0], 52)
	translated, err := c.l.keys.TranslatePIN(out[:0], &from)
	if err != nil && c.o.terminal == nil {
		// It may have been under way when the acquirer's key changed.
		if former, ok := c.o.in.keys.FormerPINKey(); ok {
			from.Key = former
			translated, err = c.l.keys.TranslatePIN(out[:0], &from)
		}
	}
	if err != nil {
		c.o.sw.log.Warn("PIN not translated", "link", c.l.name, "error", err)
		return &codeError{txn.PINUnreadable}
	}
	c.put(52, translated)
	c.put(53, []byte("2600000000000000"))
	return nil
}

// elements writes field 90.
func (c *composer) elements() {
	c.put(90, []byte(guise.Elements(c.o.sum.MTI.Class(), c.t.original, guise.Parties{
		Acquirer: c.acqu, Forwarder: []byte(c.o.sw.o.Config.Forwarder)})))
}

// key is the key of the answer. A bank that speaks as terminals do answers with its own
// reference, and with no time or institution of ours.
func (c *composer) key() link.Key {
	var room [40]byte
	k := link.Key{Class: uint8(c.t.mti.Class()), STAN: c.t.stan, Terminal: c.o.sum.Terminal}
	acquirer := room[:0]
	if !c.l.pos {
		k.Time, acquirer = c.t.sent, append(acquirer, c.acqu...)
		if _, ok := c.l.spec.Field(37); ok {
			k.RRN = c.t.rrn
		}
	}
	k.Rest = c.l.rest(acquirer, c.o.sum.Amount)
	k.Said[0] = c.l.said(room[:0], c.o.number.Digits())
	if c.o.view.Has(3) {
		k.Said[1] = c.l.said(room[:0], string(c.o.sum.ProcessingCode[:]))
	}
	k.Said[2] = c.l.said(room[:0], strconv.Itoa(int(c.o.currency())))
	return k
}

// said is what a bank's answer says.
type said struct {
	code [2]byte
	// amount is field 4 of an answer with codePartial.
	amount txn.Minor
	auth   txn.AuthCode
	// rrn is the reference number where the bank gives it.
	rrn   [12]byte
	extra extra
}

func (l *outlet) read(v *message.View) (s said) {
	var room [8]byte
	copy(s.code[:], v.Append(room[:0], 39))
	copy(s.auth[:], v.Append(room[:0], 38))
	copy(s.extra.settled[:], v.Append(room[:0], 15))
	if l.pos && v.Has(37) {
		copy(s.rrn[:], v.Append(nil, 37))
	}
	if string(s.code[:]) == codePartial {
		sum, _ := v.Summary() // it is open
		s.amount = txn.Minor(sum.Amount)
	}
	if v.Has(54) {
		s.extra.balance = v.Append(nil, 54)
	}
	if v.Has(55) {
		s.extra.chip = v.Append(nil, 55)
	}
	return s
}

// stanBlock is how many trace numbers a link reserves at a time.
const stanBlock = 2000
