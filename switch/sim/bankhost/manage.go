package bankhost

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// manage answers what moves no money: sign-on and off, echo, keys, settlement and upload.
// It is not hot and unpacks the whole message.
func (c *conn) manage(frame []byte) {
	m, err := message.Parse(c.host.o.Spec, frame)
	if err != nil {
		return
	}
	r, ok := m.Reply()
	if !ok {
		c.host.count(func(n *Counts) { n.Unasked++ })
		return
	}
	var how manner
	if c.host.o.Spec.Dialect() == message.POS {
		err = c.manageTerminal(m, r)
	} else {
		how, err = c.manageBank(m, r)
	}
	if err != nil {
		c.host.count(func(n *Counts) { n.Broken++ })
		return
	}
	if how.silent {
		return
	}
	var out []byte
	if how.by != nil {
		out, err = r.AppendMAC(nil, how.by)
	} else {
		out, err = r.Append(nil)
	}
	if err == nil {
		c.send(out, how.after)
	}
}

// manner is how an answer goes out: by makes its MAC where there is one.
type manner struct {
	by     *mac.MAC
	after  time.Duration
	silent bool
}

// manageBank fills in the answer to a bank's peer.
func (c *conn) manageBank(m, r *message.Message) (how manner, err error) {
	h := c.host
	if m.MTI().Class() == message.Reconciliation {
		return c.reconcile(m, r)
	}
	code := "00"
	network, _ := m.Digits(70)
	switch network {
	case "001":
		code = h.signOn()
	case "101":
		f48, _ := m.Text(48)
		f96, _ := m.Bytes(96)
		if w, ok := ParseKeyField(f48, f96); !ok {
			return c.keyOrdered(m, r)
		} else if how.by, ok = h.vault.install(w); !ok {
			code = "96"
		} else {
			h.count(func(n *Counts) { n.KeyChanges++ })
		}
	case "301":
		h.count(func(n *Counts) { n.Echoes++ })
	}
	return how, c.fill(m, r, code)
}

// fill writes what every answer to a bank's peer has.
func (c *conn) fill(m, r *message.Message, code string) error {
	return errors.Join(r.Copy(m, 7, 11, 32, 33, 37, 41, 42, 53, 70),
		r.SetDigits(15, c.host.o.Now().Format("0102")), r.SetText(39, code))
}

// keyOrdered meets the order of a key as the behaviour has it.
func (c *conn) keyOrdered(m, r *message.Message) (how manner, err error) {
	h := c.host
	n := h.keyOrders.Add(1)
	h.count(func(n *Counts) { n.KeyOrders++ })
	way := h.plan.KeyOrder
	if h.plan.KeyOrderTimes > 0 && n > uint64(h.plan.KeyOrderTimes) {
		way = KeyAnswered
	}
	control, _ := m.Digits(53)
	pin := strings.HasPrefix(control, "1")
	switch way {
	case KeyOffered:
		if pin {
			c.offerPINKey()
		} else {
			c.offerKey()
		}
		return how, c.fill(m, r, "00")
	case KeyNever:
		return manner{silent: true}, nil
	case KeyRefused:
		return how, c.fill(m, r, "96")
	case KeyLate:
		how.after = time.Duration(h.plan.LateAfter)
	}
	w, by, ok := h.vault.answerKey(pin, way == KeyWrongKCV)
	if !ok {
		return how, c.fill(m, r, "96")
	}
	how.by = by
	f48, f96 := KeyField(w)
	err = errors.Join(c.fill(m, r, "00"), r.SetDigits(53, keyKind(pin, len(w.Key))),
		r.SetText(48, f48))
	if f96 != nil {
		err = errors.Join(err, r.SetBytes(96, f96))
	}
	return how, err
}

// signOn counts a sign-on and returns its code.
func (h *Host) signOn() string {
	n := h.signOns.Add(1)
	refused := int(mix(h.o.Seed^saltSignOn+n)%RateMax) < h.plan.RefuseSignOn
	h.count(func(c *Counts) {
		c.SignOns++
		if refused {
			c.SignOnsRefused++
		}
	})
	if refused {
		return h.plan.SignOnCode
	}
	return "00"
}

// manageTerminal fills in the answer to a terminal.
func (c *conn) manageTerminal(m, r *message.Message) error {
	h, sum := c.host, &c.request.sum
	now := h.o.Now()
	err := errors.Join(r.Copy(m, 3, 4, 11, 25, 41, 42, 49, 60, 63), r.SetDigits(32, hostID),
		r.SetDigits(12, now.Format("150405")), r.SetDigits(13, now.Format("0102")),
		r.SetText(37, "000000"+pad6(sum.STAN)))
	code := "00"
	var more error
	switch network := string(sum.Network[:]); sum.MTI.First() {
	case message.NetworkRequest:
		if network == "001" || network == "003" || network == "004" {
			code, more = c.terminalSignOn(r, network)
		}
	case message.NetworkAdvice:
		h.count(func(n *Counts) { n.Echoes++ })
	case message.SettlementRequest:
		code, more = c.settle(m, r)
	case message.FileAdvice:
		code = c.upload(m)
	}
	return errors.Join(err, more, r.SetText(39, code))
}

func pad6(n uint32) string {
	var out [6]byte
	putDigits(out[:], uint64(n))
	return string(out[:])
}

// terminalSignOn gives a terminal its batch and working keys.
func (c *conn) terminalSignOn(r *message.Message, network string) (code string, err error) {
	h, sum := c.host, &c.request.sum
	if code = h.signOn(); code != "00" {
		return code, nil
	}
	digits, err := message.Private{Type: "00", Batch: h.book.currentBatch(sum.Terminal),
		Network: network}.Digits()
	if err != nil {
		return "96", err
	}
	keys, err := h.vault.signOn(sum.Terminal, network)
	if err != nil {
		return "96", nil
	}
	if keys != nil {
		err = r.SetBytes(62, keys)
	}
	return "00", errors.Join(err, r.SetDigits(60, digits))
}

// currentBatch is one more than the last batch of the terminal that has ended, at least 1.
func (b *book) currentBatch(terminal [8]byte) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := 0
	for k, t := range b.batches {
		if n, err := strconv.Atoi(t.Number); err == nil && k.terminal == terminal && t.Ended {
			last = max(last, n)
		}
	}
	return pad6(uint32(last%999_999) + 1)
}

// settle compares the terminal's totals with the book's and writes the verdict into field 48.
func (c *conn) settle(m, r *message.Message) (code string, err error) {
	digits, _ := m.Digits(48)
	s, err := message.ParseSettlement(digits)
	if err != nil {
		return "30", nil
	}
	b, sum := c.host.book, &c.request.sum
	b.mu.Lock()
	t := b.batch(sum.Terminal, sum.Batch)
	ours := message.Totals{DebitAmount: t.DebitAmount, DebitCount: t.DebitCount,
		CreditAmount: t.CreditAmount, CreditCount: t.CreditCount}
	said := s.Domestic
	said.Verdict = message.Unsettled
	s.Domestic.Verdict, s.Foreign.Verdict = message.Unbalanced, message.Balanced
	if said == ours {
		s.Domestic.Verdict = message.Balanced
	}
	t.Settled, t.Verdict = true, s.Domestic.Verdict
	t.Ended = t.Verdict == message.Balanced
	b.mu.Unlock()
	digits, err = s.Digits()
	if err != nil {
		return "96", err
	}
	return "00", r.SetDigits(48, digits)
}

// upload takes rows of a batch, or its end.
func (c *conn) upload(m *message.Message) (code string) {
	b, sum := c.host.book, &c.request.sum
	digits, _ := m.Digits(48)
	network := string(sum.Network[:])
	end := network == "207" || network == "202"
	var rows []message.UploadRow
	var err error
	if !end {
		if rows, err = message.ParseUpload(digits); err != nil {
			return "30"
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.batch(sum.Terminal, sum.Batch)
	if end {
		t.Ended = true
		return "00"
	}
	if sum.MTI.IsRepeat() && sum.STAN == t.lastUpload {
		return "00"
	}
	t.lastUpload = sum.STAN
	for _, r := range rows {
		t.UploadedRows++
		t.UploadedMinor += r.Amount
	}
	return "00"
}
