package bankhost

import (
	"crypto/tls"
	"encoding/binary"
	"net"
	"time"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// serve handles one frame. It returns false when the connection is to end.
func (c *conn) serve(frame []byte) bool {
	h, q := c.host, &c.request
	if err := c.view.Open(h.o.Spec, frame); err != nil {
		h.count(func(n *Counts) { n.Broken++ })
		return true
	}
	defer c.view.Close()
	var err error
	if q.sum, err = c.view.Summary(); err != nil {
		h.count(func(n *Counts) { n.Broken++ })
		return true
	}
	if q.sum.MTI.IsResponse() {
		c.answered(q)
		return true
	}
	switch q.sum.MTI.Class() {
	case message.Authorization, message.Financial, message.Reversal:
		return c.financial(frame)
	case message.Administrative:
		if h.o.Spec.Dialect() != message.POS {
			return c.financial(frame)
		}
	}
	c.manage(frame)
	return true
}

// financial decides a request, then does to its answer what the behaviour wants.
func (c *conn) financial(frame []byte) bool {
	h, q := c.host, &c.request
	refused := q.read(&c.view, h.o.Spec.Dialect())
	if h.vault.wanted() && !h.vault.verify(h.o.Spec, frame, &q.sum) {
		h.count(func(n *Counts) { n.Requests++; n.BadMAC++ })
		return c.refuse("A0", frame)
	}
	if refused != "" {
		h.count(func(n *Counts) { n.Requests++ })
		return c.refuse(refused, frame)
	}
	if q.card = [16]byte{}; !q.number.IsZero() {
		q.card = h.tokenizer.Token(q.number)
	}
	if c.view.Has(52) && q.kind != Reversal && q.kind != Notice {
		refused = h.vault.pinRefused(q, c.view.Append(q.room[:0], 52))
	}
	out, in, executed := h.decide(q, refused)
	if !executed {
		return true
	}
	return c.answer(frame, &out, &in)
}

// decide takes a request to the book; executed is false when the behaviour loses it.
func (h *Host) decide(q *request, refused string) (out outcome, in intent, executed bool) {
	now := h.o.Now()
	h.book.mu.Lock()
	defer h.book.mu.Unlock()
	in = h.plan.intend(q, h.o.Seed, h.book.before(&q.key))
	if in.effect != None {
		h.book.tally.effects[in.effect]++
	}
	// A lost request leaves no entry, so that its repeat is new to the book; how often it
	// came is kept apart, or the same draw would lose it again each time.
	if in.effect == LoseRequest {
		h.book.lose(&q.key)
		return out, in, false
	}
	if refused != "" {
		h.book.counts.BadPIN++
		in.code = refused
	}
	if q.kind == Reversal {
		in.code = ""
	}
	h.book.counts.Answers++
	return h.book.decide(q, in.code, now), in, true
}

// refuse answers a request that the book never sees.
func (c *conn) refuse(code string, frame []byte) bool {
	out := outcome{rrn: c.request.sum.RRN}
	copy(out.code[:], code)
	return c.answer(frame, &out, &intent{})
}

// answer sends the answer as the effect has it. It returns false when the connection ends.
func (c *conn) answer(frame []byte, out *outcome, in *intent) bool {
	switch in.effect {
	case LoseAnswer:
		return true
	case Close:
		return false
	case ChangeKey:
		c.offerKey()
	}
	composed, err := c.compose(frame, out, in.effect)
	if err != nil {
		c.host.count(func(n *Counts) { n.Broken++ })
		return true
	}
	switch in.effect {
	case CloseInFrame:
		c.cut(composed)
		return true
	case Garbage:
		base := c.request.key.hash() ^ c.host.o.Seed
		for i := range composed {
			composed[i] = byte(mix(base ^ saltGarbage + uint64(i)))
		}
	case Twice:
		c.send(composed, 0)
	}
	c.send(composed, in.delay)
	if in.effect == Stall {
		return c.stall(time.Duration(c.host.plan.StallFor))
	}
	return true
}

// stall reads nothing for a time, with a small buffer, so that the window closes soon.
func (c *conn) stall(d time.Duration) bool {
	nc := c.nc
	if secured, ok := nc.(*tls.Conn); ok {
		nc = secured.NetConn()
	}
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(stallBuffer)
		defer func() { _ = tcp.SetReadBuffer(readSize) }()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.done:
		return false
	}
}

// The fields of an answer in order: what is echoed and what is set. A terminal gets its time
// and private field, a bank's peer its field 7.
var (
	bankFields     = [...]int{2, 3, 4, 7, 11, 15, 32, 37, 38, 39, 41, 42, 49, 54}
	terminalFields = [...]int{2, 3, 4, 11, 12, 13, 15, 25, 32, 37, 38, 39, 41, 42, 49, 54, 60}
)

// stallBuffer is what the kernel takes of a peer while the host reads nothing.
const stallBuffer = 4 << 10

// hostID is field 32 of an answer to a terminal.
const hostID = "48021560"

// compose writes the answer to the request that c.view has open.
func (c *conn) compose(frame []byte, out *outcome, effect Effect) ([]byte, error) {
	s, q, w := c.host.o.Spec, &c.request, &c.writer
	mti, ok := q.sum.MTI.Answer()
	if !ok {
		mti = message.FinancialResponse
	}
	w.TPDU, w.Header = q.sum.TPDU.Reply(), q.sum.Header
	pos := s.Dialect() == message.POS
	if pos && (effect == ChangeKey || message.MeaningOf(string(out.code[:])).SignOn) {
		w.Header = w.Header.WithRequirement(message.SignOnAgain)
	}
	if s.Envelope() == message.CUPSHead {
		var head message.CUPSHeader
		copy(head[:], frame)
		w.CUPS = head.Reply()
	}
	w.Begin(c.scratch[:0], s, mti)
	fields := bankFields[:]
	if pos {
		fields = terminalFields[:]
	}
	for _, n := range fields {
		c.put(n, out, effect)
	}
	by := c.host.vault.signer(q.sum.Terminal)
	var err error
	if by == nil {
		c.scratch, err = w.Finish()
	} else {
		c.scratch, err = w.FinishMAC(by)
	}
	if err != nil {
		return nil, err
	}
	if effect == WrongMAC && by != nil {
		c.scratch[len(c.scratch)-by.Size()] ^= 1
	}
	return c.scratch, nil
}

// put writes one field of the answer.
func (c *conn) put(n int, out *outcome, effect Effect) {
	w, q := &c.writer, &c.request
	approved := out.code == [2]byte{'0', '0'}
	switch n {
	case 4:
		if q.sum.Has(4) {
			w.PutNumber(4, wrongIf(effect == WrongAmount, q.amount, message.AmountMax+1))
		}
	case 11:
		if q.sum.Has(11) {
			w.PutNumber(11, wrongIf(effect == WrongSTAN, int64(q.sum.STAN), 1_000_000))
		}
	case 12, 13, 15:
		c.putTime(n)
	case 37:
		rrn := out.rrn
		if effect == WrongRRN {
			rrn[11] = '0' + (rrn[11]+1)%10
		}
		if rrn != [12]byte{} {
			w.Put(37, rrn[:])
		}
	case 38:
		if approved && q.kind != Reversal && q.kind != Balance && q.kind != Notice {
			w.Put(38, out.auth[:])
		}
	case 39:
		w.Put(39, out.code[:])
	case 41:
		terminal := q.sum.Terminal
		if effect == WrongTerminal {
			terminal[7] = '0' + (terminal[7]+1)%10
		}
		if q.sum.Has(41) {
			w.Put(41, terminal[:])
		}
	case 54:
		if out.balanced {
			c.putBalance(out.balance)
		}
	default:
		c.echo(n)
	}
}

// wrongIf returns v, or another value below the limit.
func wrongIf(wrong bool, v, limit int64) int64 {
	if wrong {
		return (v + 1) % limit
	}
	return v
}

func (c *conn) echo(n int) {
	if n == 32 && c.host.o.Spec.Dialect() == message.POS && !c.request.sum.Has(32) {
		c.writer.Put(32, []byte(hostID))
		return
	}
	c.writer.Copy(&c.view, n)
}

// putTime writes field 12, 13 or 15: the host's time, date and settlement date.
func (c *conn) putTime(n int) {
	now := c.host.o.Now()
	if n == 12 {
		c.writer.PutNumber(12, int64(now.Hour()*10_000+now.Minute()*100+now.Second()))
		return
	}
	c.writer.PutNumber(n, int64(int(now.Month())*100+now.Day()))
}

func (c *conn) putBalance(minor int64) {
	text, err := message.BalanceText([]message.Balance{{AccountType: "10", AmountType: "02",
		Currency: "156", Minor: minor}})
	if err == nil {
		c.writer.Put(54, []byte(text))
	}
}

// offerKey sends a new MAC key to a bank's peer.
func (c *conn) offerKey() bool {
	w, by, ok := c.host.vault.offer()
	return ok && c.sendKey(w, by, false)
}

// offerPINKey sends a new PIN key, which is believed at once.
func (c *conn) offerPINKey() bool {
	w, by, ok := c.host.vault.offerPIN()
	return ok && c.sendKey(w, by, true)
}

// sendKey sends a key in a message of its own.
func (c *conn) sendKey(w message.WrappedKey, by *mac.MAC, pin bool) bool {
	h := c.host
	m := message.New(h.o.Spec, message.NetworkRequest)
	if h.o.Spec.Envelope() == message.CUPSHead {
		head, err := message.NewCUPSHeader("", hostID)
		if err != nil {
			return false
		}
		m.CUPS = head
	}
	now := h.o.Now()
	f48, f96 := KeyField(w)
	stan := uint32(binary.BigEndian.Uint16(w.Check[:]))
	ok := m.SetDigits(7, now.Format("0102150405")) == nil && m.SetSTAN(stan) == nil &&
		m.SetDigits(53, keyKind(pin, len(w.Key))) == nil && m.SetText(48, f48) == nil &&
		m.SetDigits(70, "101") == nil && m.SetDigits(32, hostID) == nil
	if f96 != nil {
		ok = ok && m.SetBytes(96, f96) == nil
	}
	if !ok {
		return false
	}
	var frame []byte
	var err error
	if by != nil {
		frame, err = m.AppendMAC(nil, by)
	} else {
		frame, err = m.Append(nil)
	}
	if err != nil {
		return false
	}
	framed, err := h.o.Framing.Append(nil, frame)
	if err != nil {
		return false
	}
	c.enqueue(framed, 0)
	return true
}

// keyKind is field 53 of a key change: 1 for a PIN key and 2 for a MAC key, then 0 for a single
// and 6 for a double key.
func keyKind(pin bool, size int) string {
	kind, length := "2", "6"
	if pin {
		kind = "1"
	}
	if size == 8 {
		length = "0"
	}
	return kind + length + "00000000000000"
}

// answered takes an answer of the peer: that to a key that was offered, or none that anyone
// asked for.
func (c *conn) answered(q *request) {
	accepted := q.sum.MTI.Class() == message.Network && string(q.sum.Network[:]) == "101" &&
		string(q.sum.Response[:]) == "00" && c.host.vault.acceptFor(c.view.Append(q.room[:0], 53))
	c.host.count(func(n *Counts) {
		if accepted {
			n.KeyChanges++
		} else {
			n.Unasked++
		}
	})
}
