package bank

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/guise"
	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/notice"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Notices: what terminals and acquirers tell that moves no money is kept here, and goes to the
// bank of the card where that wants it. The tellers that reversals have carry them too, so that
// a card's messages go one after the other.

// counterNotice marks the id of a notice: it may have the trace number of a transaction.
const counterNotice = 1 << 27

// noticesMax bounds how many notices are handed to the tellers at a time.
const noticesMax = 256

// deadNotice and deadForwarding are Kind and Was of a dead letter that is a notice.
const (
	deadNotice     = "notice"
	deadForwarding = "forwarding"
)

// note keeps a notice and answers it. One that is sent again takes the place of the first, and
// is told to nobody twice.
func (o *order) note(ctx context.Context) answer {
	id := o.in.terminalID(o.sum.Terminal)
	n := notice.Notice{Terminal: id.String(), MTI: o.sum.MTI.First().String(),
		Network: trimmed(o.sum.Network[:]), STAN: o.sum.STAN, RRN: trimmed(o.sum.RRN[:]), At: o.now}
	if !o.sum.PAN.IsZero() {
		n.Card = o.sw.tokens.Token(o.sum.PAN).String()
	}
	key := notice.Key(n.Terminal, o.sw.localTime(o.now, "20060102"), n.STAN)
	if o.sum.MTI.Class() == message.Administrative {
		n.Chip = hex.EncodeToString(o.view.Append(nil, 55))
		if err := o.post(ctx, &n, key); err != nil {
			return o.kept(err)
		}
	}
	return o.kept(notice.Keep(ctx, o.sw.o.Registry, key, func(old notice.Notice) notice.Notice {
		if old.Request != "" && old.Request == n.Request {
			n.ToldAt, n.Said = old.ToldAt, old.Said
		}
		return n
	}))
}

// post puts a notice into the box of those that a bank must hear, where its bank wants it.
func (o *order) post(ctx context.Context, n *notice.Notice, key string) error {
	if code := o.read(); code != "" {
		return nil // of no card that could be routed: kept, that is all
	}
	o.id.Counter |= counterNotice
	n.Request, n.Card = o.id.String(), o.token.String()
	w := o.route()
	for _, name := range w.choice.Links {
		if l := o.sw.links[name]; l != nil && l.cfg.Notices != "" {
			n.Link = name
			break
		}
	}
	if n.Link == "" {
		return nil
	}
	old, err := notice.Read(ctx, o.sw.o.Registry, key)
	if err != nil || old.Request == n.Request && old.ToldAt != 0 {
		return err
	}
	sealed, err := o.sealNotice()
	if err != nil {
		return err
	}
	l := notice.Letter{Request: o.id, Card: hex.EncodeToString(o.token[:]), Key: key, Link: n.Link,
		RRN: n.RRN, Sealed: sealed, Due: o.now}
	if err := o.sw.letters.Add(ctx, l, o.sw.links[n.Link].cfg.Backlog); err != nil {
		return err
	}
	o.sw.teller.add(errand{o.token, o.id})
	return nil
}

// sealNotice is seal with the chip data that a notice is about.
func (o *order) sealNotice() ([]byte, error) {
	w := o.in.writers.Get().(*message.Writer)
	defer o.in.writers.Put(w)
	name := o.in.cfg.Name
	plain := append(append(make([]byte, 0, replyMax), byte(len(name))), name...)
	w.Begin(plain, o.in.bare, o.sum.MTI.First())
	for _, n := range sealedFields {
		switch {
		case n == 2:
			w.Put(2, []byte(o.number.Digits()))
		case o.view.Has(n):
			w.Copy(&o.view, n)
		}
	}
	if o.view.Has(55) {
		w.Copy(&o.view, 55)
	}
	plain, err := w.Finish()
	if err != nil {
		return nil, fmt.Errorf("notice cannot be kept: %w", err)
	}
	nonce := make([]byte, o.sw.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails: the runtime ends the process instead
	sealed := o.sw.aead.Seal(nonce, nonce, plain, o.token[:])
	clear(plain)
	return sealed, nil
}

// takeNotices gives the notices that are due to the tellers.
func (t *teller) takeNotices() {
	for _, l := range t.sw.letters.Due(t.sw.o.Now(), noticesMax) {
		var e errand
		raw, err := hex.DecodeString(l.Card)
		if err != nil || copy(e.card[:], raw) != len(e.card) {
			continue // no letter of ours
		}
		e.id = l.Request
		t.add(e)
	}
}

// tellNotice tells a bank of a notice: with the same numbers until it answers.
func (t *teller) tellNotice(e errand) {
	s := t.sw
	n, ok := s.letters.Find(e.id)
	l := s.links[n.Link]
	if !ok || n.Dead || l == nil {
		return
	}
	o, err := s.unseal(Transaction{e.card, card.BankTxn{ID: e.id, Sealed: n.Sealed}})
	if err != nil {
		s.fault("notice "+e.id.String(), err)
		s.buryNotice(t.ctx, e, &n, pan.Last4{}, [2]byte{})
		return
	}
	if n, err = l.claimNotice(t.ctx, e.id); err != nil || !l.link.IsUp() {
		s.stats.Waiting.Add(1)
		return // due again later
	}
	msg := telling{mti: message.AdministrativeAdvice, stan: n.STAN, chip: true}
	copy(msg.sent[:], n.Sent)
	copy(msg.rrn[:], fmt.Sprintf("%-12s", n.RRN))
	if n.Tries > 1 {
		msg.mti = msg.mti.Repeat()
	}
	frame, key, err := l.write(o, &msg)
	if err != nil {
		s.fault("notice "+e.id.String(), err)
		return
	}
	s.stats.Told.Add(1)
	reply, sent, err := l.exchange(t.ctx, frame, key, n.Tries > 1)
	if sent != link.Answered {
		s.log.Warn("bank not told of a notice", "link", l.name, "request", n.ID, "tries", n.Tries,
			"outcome", sent.String(), "error", err)
		return
	}
	said := l.read(reply)
	l.views.Put(reply)
	s.noticeTold(t.ctx, e, &n, said.code, o.number.Last4())
}

// claimNotice moves the next try of a notice on, and gives it its numbers where it has none,
// durably before it is sent.
func (l *outlet) claimNotice(ctx context.Context, id txn.RequestID) (notice.Letter, error) {
	s, up := l.sw, l.link.IsUp()
	var stan uint32
	var err error
	if old, ok := s.letters.Find(id); ok && up && old.STAN == 0 {
		if stan, err = l.link.Number(ctx); err != nil {
			s.fault("trace number", err)
			return old, err
		}
	}
	n, err := s.letters.Change(ctx, id, func(n *notice.Letter) {
		n.Due = s.laterBy(n.Tries)
		if !up {
			return
		}
		n.Tries++
		if n.STAN == 0 {
			sent := sentAt(s.o.Now())
			n.STAN, n.Sent = stan, string(sent[:])
		}
		if n.RRN == "" {
			rrn := s.rrnOf(s.o.Now(), n.STAN)
			n.RRN = string(rrn[:])
		}
	})
	if err != nil {
		s.fault("notice "+id.String(), err)
	}
	return n, err
}

// noticeTold notes what the bank said to a notice.
func (s *Switch) noticeTold(ctx context.Context, e errand, n *notice.Letter, code [2]byte,
	last4 pan.Last4) {
	text := string(code[:])
	switch {
	case guise.NotNow(text):
		return // due again later
	case !message.MeaningOf(text).Approved:
		s.buryNotice(ctx, e, n, last4, code)
		return
	}
	err := notice.Keep(ctx, s.o.Registry, n.Key, func(old notice.Notice) notice.Notice {
		if old.Request == "" || old.Request == n.ID {
			old.Request, old.ToldAt, old.Said = n.ID, s.o.Now(), text
		}
		return old
	})
	if err == nil {
		err = s.letters.Remove(ctx, e.id)
	}
	if err != nil {
		s.fault("notice "+n.ID, err) // told again, and the bank knows a repeat
		return
	}
	s.stats.Forwarded.Add(1)
}

// buryNotice makes a dead letter of a notice that its bank refused.
func (s *Switch) buryNotice(ctx context.Context, e errand, n *notice.Letter, last4 pan.Last4,
	code [2]byte) {
	text, err := json.Marshal(DeadLetter{Request: n.ID, Card: n.Card, Last4: last4.String(),
		Kind: deadNotice, Was: deadForwarding, Link: n.Link, STAN: n.STAN, RRN: n.RRN,
		Code: trimmed(code[:]), At: s.o.Now()})
	if err == nil {
		err = s.putDead(ctx, n.ID, text)
	}
	if err == nil {
		_, err = s.letters.Change(ctx, e.id, func(n *notice.Letter) { n.Dead = true })
	}
	if err != nil {
		s.fault("dead letter", err) // told again later
		return
	}
	s.stats.Dead.Add(1)
	s.log.Error("bank refuses a notice: see tapswitch bank dead", "link", n.Link, "request", n.ID,
		"code", trimmed(code[:]))
}

// resolveNotice is Resolve for a notice.
func (s *Switch) resolveNotice(ctx context.Context, request string, version uint64, retry bool) (
	out Transaction, err error,
) {
	if out.ID, err = txn.ParseRequestID(request); err != nil {
		return out, err
	}
	if retry {
		_, err = s.letters.Change(ctx, out.ID, func(n *notice.Letter) {
			n.Dead, n.Due = false, s.o.Now()
		})
		out.Phase = card.Advising
	} else {
		err = s.letters.Remove(ctx, out.ID)
		out.Phase = card.Declined
	}
	if err != nil && !errors.Is(err, notice.ErrNone) {
		return out, err
	}
	return out, s.o.Registry.Put(ctx, deadPrefix+request, nil, version)
}
