package bank

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/intent"
	"github.com/tapswitch/tapswitch/switch/bank/keymail"
	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/secure"
	"github.com/tapswitch/tapswitch/switch/bank/setup"
	"github.com/tapswitch/tapswitch/switch/bank/till"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// requestMax bounds the work on one message of a terminal: the longest way to a bank, and
// what is committed before and after.
const requestMax = 2 * time.Minute

// listener is an address that terminals or acquirers connect to.
type listener struct {
	sw        *Switch
	cfg       *Listener
	spec      *message.Spec
	bare      *message.Spec // the same without what stands in front of a message
	code      string        // tells its terminals apart from those of other listeners
	server    *link.Server
	terminals *till.List       // nil for acquirers
	keys      *secure.LinkKeys // of the acquirer; nil for terminals
	desk      *keymail.Desk    // changes them; nil for terminals
	peers     []netip.Prefix
	bound     string
	orders    sync.Pool // *order
	writers   sync.Pool // *message.Writer
}

func (s *Switch) newListener(ctx context.Context, cfg *Listener) (*listener, error) {
	l := &listener{sw: s, cfg: cfg, code: till.CodeOf(cfg.Name)}
	for _, other := range s.listeners {
		if other.code == l.code {
			return nil, fmt.Errorf("%w: its code is that of listener %s: take another name",
				ErrConfig, other.cfg.Name)
		}
	}
	var err error
	if l.spec, err = setup.OpenSpec(cfg.Spec, cfg.Envelope); err != nil {
		return nil, err
	}
	l.bare = l.spec.WithEnvelope(message.Bare)
	l.orders.New = func() any { return new(order) }
	l.writers.New = func() any { return new(message.Writer) }
	if cfg.Terminals != "" {
		if l.terminals, err = till.Load(cfg.Terminals); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		if s.o.Ring == nil {
			if name := l.terminals.WithKey(); name != "" {
				return nil, fmt.Errorf("%w: terminal %s has a master key and there is no key ring",
					ErrConfig, name)
			}
		}
	} else if l.desk, err = s.openKeys(ctx, "in."+cfg.Name, &cfg.Keys); err != nil {
		return nil, err
	} else {
		l.keys = l.desk.Keys
	}
	for _, p := range cfg.Peers {
		l.peers = append(l.peers, netip.MustParsePrefix(p)) // checked
	}
	secured, err := cfg.TLS.Server(s.log)
	if err != nil {
		return nil, err
	}
	l.server, err = link.NewServer(link.ServerConfig{
		Name: cfg.Name, Framing: cfg.Frames(), Protocol: inbound{l}, Handler: l, Admit: l.admit,
		TLS: secured, Now: s.clock, Log: s.log,
		Limits: link.Limits{FrameMax: setup.FrameMax, ConnectionsMax: cfg.Connections,
			ConnectionsPerPeerMax: cfg.Connections, InFlightMax: cfg.InFlight, IdleTimeout: cfg.Idle,
			InFlightPerConnMax: cfg.InFlightPerConnection(), AnswerTimeout: requestMax},
	})
	return l, err
}

// admit names the peer of a connection.
func (l *listener) admit(from netip.AddrPort) (string, bool) {
	if len(l.peers) == 0 {
		return from.Addr().String(), l.terminals != nil || from.Addr().IsLoopback()
	}
	for _, p := range l.peers {
		if p.Contains(from.Addr()) {
			return p.String(), true
		}
	}
	return "", false
}

// inbound is what a link must know of the messages of terminals and acquirers. Sign-on and
// the like belong to a terminal, not to its connection, so that nothing is link management.
type inbound struct{ *listener }

// Make has no messages: a listener asks nothing.
func (inbound) Make(link.Management, uint32, time.Time) ([]byte, link.Key, error) {
	return nil, link.Key{}, nil
}

// Accepted is never asked.
func (inbound) Accepted(link.Management, []byte) error { return nil }

// Reply is never asked.
func (inbound) Reply([]byte) ([]byte, link.Management, error) {
	return nil, link.OtherManagement, nil
}

// Classify reads the type of a message only; what is wrong with the rest is answered.
func (p inbound) Classify(frame []byte) (link.Kind, link.Key, error) {
	sum, err := message.Peek(p.spec, frame)
	if err != nil {
		if mti, ok := message.PeekType(p.spec, frame); ok && mti.Expects() {
			return link.KindRequest, link.Key{Class: uint8(mti.Class())}, nil
		}
		return 0, link.Key{}, err
	}
	if sum.MTI.IsResponse() {
		return link.KindAnswer, link.Key{Class: uint8(sum.MTI.Class()), STAN: sum.STAN}, nil
	}
	return link.KindRequest, link.Key{Class: uint8(sum.MTI.Class()), STAN: sum.STAN,
		RRN: sum.RRN, Terminal: sum.Terminal, Time: sum.Sent}, nil
}

// Handle works on one message; see link.Handler.
func (l *listener) Handle(r *link.Request) {
	s := l.sw
	o := l.orders.Get().(*order)
	o.orderOf = orderOf{sw: s, in: l, req: r, frame: r.Frame, received: r.Received, now: s.o.Now()}
	s.stats.In.Add(1)
	o.handle(context.Background()) // every wait on the way has a bound of its own
	o.view.Close()
	l.orders.Put(o)
}

// Refuse answers what is not taken: too many at once, or the switch stops.
func (l *listener) Refuse(r *link.Request, why error) []byte {
	l.sw.stats.Refused.Add(1)
	if errors.Is(why, link.ErrDraining) {
		return nil // the terminal connects elsewhere and repeats
	}
	o := order{orderOf: orderOf{sw: l.sw, in: l, req: r, frame: r.Frame, now: l.sw.o.Now()}}
	if err := o.view.Open(l.spec, r.Frame); err != nil {
		return nil
	}
	o.sum, _ = o.view.Summary()
	frame, _ := o.reply(answer{code: codeUnavailable})
	return frame
}

// handle takes the way that the message asks for and answers it.
func (o *order) handle(ctx context.Context) {
	if err := o.view.Open(o.in.spec, o.frame); err != nil {
		o.refuseFormat(err)
		return
	}
	o.sum, _ = o.view.Summary()
	o.ask = intent.Of(o.in.spec.Dialect(), &o.sum)
	if code := o.identify(); code != "" {
		o.send(answer{code: code})
		return
	}
	key, code := o.authenticate(ctx)
	if code != "" {
		o.sw.stats.BadMAC.Add(1)
		o.send(answer{code: code, key: key})
		return
	}
	a := o.actInCurrency(ctx)
	a.key = key
	if a.none {
		o.sw.stats.Unanswered.Add(1)
		_ = o.req.Drop()
		return
	}
	o.send(a)
}

// actInCurrency is act for what is in the one currency. What is in another one is declined: a
// transaction by the engine, which keeps the reason.
func (o *order) actInCurrency(ctx context.Context) answer {
	switch o.ask.Action {
	case intent.Transact, intent.Balance, intent.CashLoad:
		if o.currency() == o.sw.currency {
			break
		}
		o.sw.stats.Currency.Add(1)
		o.sw.log.Warn("declined: another currency", "listener", o.in.cfg.Name,
			"currency", uint16(o.currency()), "reason", txn.UnknownCurrency.String())
		if o.ask.Action == intent.Balance {
			return answer{code: txn.UnknownCurrency.Text().Field39}
		}
	}
	return o.act(ctx)
}

// act is the way of each message.
func (o *order) act(ctx context.Context) answer {
	switch o.ask.Action {
	case intent.Transact:
		return o.transact(ctx)
	case intent.Reverse:
		return o.reverse(ctx)
	case intent.Balance:
		return o.balance(ctx)
	case intent.CashLoad:
		return o.cashLoad(ctx)
	case intent.SignOn:
		return o.signOn(ctx)
	case intent.SignOff, intent.Echo:
		return answer{code: codeApproved}
	case intent.Tell:
		return o.note(ctx)
	case intent.KeyChange:
		return o.changeKey(ctx)
	case intent.Signature:
		return o.signature(ctx)
	case intent.Chip:
		return o.chip()
	case intent.Parameters:
		return o.parameters()
	case intent.Blacklist:
		return o.blacklist(ctx)
	case intent.Settle:
		return o.settle(ctx)
	case intent.Upload, intent.UploadEnd:
		return o.upload(ctx)
	default:
		if o.sum.MTI.Class() == message.Network {
			return answer{code: codeUnsupported}
		}
		return answer{code: codeInvalid}
	}
}

// identify finds whose message it is.
func (o *order) identify() (code string) {
	if o.in.terminals == nil {
		o.place = o.in.acquirerPlace(o)
		return ""
	}
	o.terminal = o.in.terminals.Find(o.sum.Terminal)
	if o.terminal == nil {
		return codeTerminal
	}
	if merchant := trimmed(o.sum.Merchant[:]); merchant != "" && merchant != o.terminal.Merchant {
		return codeMerchant
	}
	o.place = o.terminal.Place
	return ""
}

// acquirerPlace is where an acquirer's transaction was made.
func (l *listener) acquirerPlace(o *order) txn.Place {
	merchant := bytes.TrimRight(o.sum.Merchant[:], " \x00")
	p := txn.Place{Merchant: textOf(&o.texts.merchant, merchant), Acquirer: l.cfg.Acquirer,
		Payee: txn.Account(l.cfg.Payee), Funding: txn.Account(l.cfg.Payee)}
	var room [16]byte
	if mcc := o.view.Append(room[:0], 18); len(mcc) > 0 {
		p.MCC = textOf(&o.texts.mcc, mcc)
	}
	return p
}

func trimmed(b []byte) string {
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == 0) {
		b = b[:len(b)-1]
	}
	return string(b)
}

// maker makes the MAC of an answer; nil for none.
type maker func(dst, covered []byte) ([]byte, error)

// authenticate verifies the MAC over the raw bytes before any field is believed. A message
// about the link itself needs none, but must not have a wrong one.
func (o *order) authenticate(ctx context.Context) (make maker, code string) {
	covered := o.sum.Covered.Of(o.frame)
	field, has := o.in.spec.MACField(o.frame, &o.sum)
	var value []byte
	if has {
		value = field[:]
	}
	free := !has && unsigned(o.sum.MTI.Class())
	switch {
	case o.terminal == nil && (!o.in.keys.MACs() || free):
		return nil, ""
	case o.terminal == nil:
		made, err := o.in.keys.Match(covered, value)
		if err != nil {
			return maker(made), codeMAC
		}
		return maker(made), ""
	case o.terminal.MasterKey == "" && has:
		return nil, codeMAC // nobody can have made it
	case o.terminal.MasterKey == "" || free:
		return nil, ""
	}
	key, err := o.sw.keys.Check(ctx, o.terminal.Name, covered, value)
	if err != nil {
		return nil, codeMAC
	}
	return key.Make, ""
}

// unsigned reports whether messages of a class come without a MAC (DOMAIN.md 3.3): what is
// about the link, and the end of a terminal's day. They move no money.
func unsigned(c message.Class) bool {
	return c == message.Network || c == message.Reconciliation || c == message.File
}

// refuseFormat answers a message that cannot be read, where its type can.
func (o *order) refuseFormat(err error) {
	o.sw.stats.BadFormat.Add(1)
	o.sw.log.Warn("message refused", "listener", o.in.cfg.Name, "peer", o.req.Peer.Name, "error", err)
	frame, ok := message.Refusal(o.in.spec, o.frame, codeFormat)
	if !ok {
		_ = o.req.Drop()
		return
	}
	_ = o.req.Answer(frame)
}

// send answers the message.
func (o *order) send(a answer) {
	frame, err := o.reply(a)
	if err != nil {
		o.sw.log.Error("answer cannot be written", "listener", o.in.cfg.Name, "error", err)
		_ = o.req.Drop()
		return
	}
	o.sw.stats.Out.Add(1)
	_ = o.req.Answer(frame) // a lost answer is counted by the server; the terminal reverses
}
