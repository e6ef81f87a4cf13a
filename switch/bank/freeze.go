package bank

import (
	"context"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/bank/advice"
	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// Freezes: a bank is told that a card of the scheme was frozen or released. Who calls
// AdviseCard keeps the advice and asks again until it returns nil.

var (
	// ErrNoLink reports a link that the bank file does not have, or whose messages have no
	// field 48.
	ErrNoLink = errors.New("no link for advices of cards has this name")
	// ErrNotTold reports an advice that the bank has not acknowledged: ask again later.
	ErrNotTold = errors.New("the bank has not acknowledged the advice")
)

// adviceField is the private field that says what became of which card.
const adviceField = 48

// AdviseCard sends an advice (0620, repeats 0621) and returns nil when the bank has answered
// it (0630) with an approval. It keeps to ctx. The numbers are durable before anything is
// sent, so that a repeat after a restart is the same message to the bank.
func (s *Switch) AdviseCard(ctx context.Context, name string, c advice.Card) error {
	l := s.links[name]
	if l == nil {
		return fmt.Errorf("%w: %q", ErrNoLink, name)
	}
	if _, ok := l.spec.Field(adviceField); !ok {
		return fmt.Errorf("%w: the spec of %q has no field %d", ErrNoLink, name, adviceField)
	}
	if !l.link.IsUp() {
		return fmt.Errorf("%w: link %s is down", ErrNotTold, name)
	}
	n, err := s.adviceBook().Of(ctx, name, c.ID, func() (n advice.Numbers, err error) {
		n.At = s.o.Now()
		sent := sentAt(n.At)
		n.Sent = string(sent[:])
		n.STAN, err = l.link.Number(ctx)
		return n, err
	})
	if err != nil {
		return err
	}
	code, err := l.advise(ctx, &n, &c)
	switch {
	case err != nil:
		return err
	case !message.MeaningOf(code).Approved:
		return fmt.Errorf("%w: it answered %q", ErrNotTold, code)
	}
	s.stats.Forwarded.Add(1)
	if err := s.adviceBook().Done(ctx, &n); err != nil {
		s.fault("numbers of an advice", err) // forgotten when they are old
	}
	return nil
}

func (s *Switch) adviceBook() advice.Book {
	return advice.Book{Registry: s.o.Registry, Now: s.o.Now}
}

// advise sends an advice once and returns the code of its answer.
func (l *outlet) advise(ctx context.Context, n *advice.Numbers, c *advice.Card) (string, error) {
	frame, key, err := l.writeAdvice(n, c)
	if err != nil {
		return "", fmt.Errorf("advice %s cannot be written: %w", c.ID, err)
	}
	l.sw.stats.Told.Add(1)
	reply, sent, err := l.exchange(ctx, frame, key, n.Again)
	if sent != link.Answered {
		return "", fmt.Errorf("%w: %s: %w", ErrNotTold, sent, err)
	}
	defer l.views.Put(reply)
	said := l.read(reply)
	return trimmed(said.code[:]), nil
}

// writeAdvice makes the frame of an advice, and the key that its answer carries.
func (l *outlet) writeAdvice(n *advice.Numbers, a *advice.Card) (frame []byte, key link.Key, err error) {
	w := l.writers.Get().(*message.Writer)
	defer l.writers.Put(w)
	mti := message.AdministrativeAdvice
	if n.Again {
		mti = mti.Repeat()
	}
	c, rrn := l.sw.o.Config, l.sw.rrnOf(n.At, n.STAN)
	w.CUPS, w.TPDU = l.header, message.NewTPDU(0, 0)
	w.Begin(make([]byte, 0, replyMax), l.spec, mti)
	l.putIf(w, 7, []byte(n.Sent))
	w.PutNumber(11, int64(n.STAN))
	l.putIf(w, 32, []byte(c.Acquirer))
	l.putIf(w, 33, []byte(c.Forwarder))
	l.putIf(w, 37, rrn[:])
	l.putIf(w, adviceField, []byte(a.Text()))
	if l.keys.MACs() {
		frame, err = w.FinishSum(l.keys.Make)
	} else {
		frame, err = w.Finish()
	}
	key = link.Key{Class: uint8(mti.Class()), STAN: n.STAN, RRN: rrn}
	copy(key.Time[:], n.Sent)
	var room [40]byte
	key.Rest = l.rest(append(room[:0], c.Acquirer...), 0)
	if _, ok := l.spec.Field(37); !ok {
		key.RRN = [12]byte{}
	}
	return frame, key, err
}
