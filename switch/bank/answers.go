package bank

import (
	"context"
	"crypto/rand"

	"github.com/tapswitch/tapswitch/switch/bank/kept"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// What a bank said beyond code and authorization, its fields 54 and 55, stays with the
// transaction, enciphered, for its repeats. An issuer's script can be longer than the room
// that a card's state has: such an answer stands in the registry, under the hour in which the
// transaction was taken up, and goes when kept.AnswerKeep is over.

// keepAnswer puts what a repeat must get into the work that commits the bank's answer, or
// into the registry before it. A registry that fails costs a repeat these fields, no money.
func (o *order) keepAnswer(ctx context.Context, work *txn.BankWork) {
	work.Settled = o.extra.settled
	if len(o.extra.balance)+len(o.extra.chip) == 0 {
		return
	}
	sealed := o.sealAnswer()
	room := card.BankSealedMax
	if o.ask.Kind == txn.BankLoad {
		room -= len(work.Sealed) // which stays
	}
	if len(sealed) <= room {
		work.Answer = sealed
		return
	}
	s := o.sw
	if err := s.answers.Put(ctx, kept.AnswerKey(o.taken, o.id), sealed); err != nil {
		s.fault("keeping a long answer", err)
		return
	}
	work.AnswerElsewhere = true
	s.serving.Go(func() { s.answers.Sweep(o.now) })
}

// sealAnswer enciphers fields 54 and 55, bound to the card and the transaction.
func (o *order) sealAnswer() []byte {
	aead := o.sw.aead
	size := 1 + len(o.extra.balance) + len(o.extra.chip)
	sealed := make([]byte, aead.NonceSize(), aead.NonceSize()+size+aead.Overhead())
	_, _ = rand.Read(sealed) // never fails: the runtime ends the process instead
	plain := make([]byte, 0, size)
	plain = append(plain, byte(len(o.extra.balance)))
	plain = append(append(plain, o.extra.balance...), o.extra.chip...)
	return aead.Seal(sealed, sealed, plain, o.answerOwner())
}

func (o *order) answerOwner() []byte {
	return o.id.AppendBinary(append(make([]byte, 0, len(o.token)+txn.RequestIDSize), o.token[:]...))
}

// keptAnswer returns what of the bank's first answer was kept.
func (o *order) keptAnswer(ctx context.Context, b *card.BankTxn) (e extra) {
	e.settled = b.Settled
	sealed := b.Answer
	if b.AnswerElsewhere {
		var err error
		if sealed, _, err = o.sw.o.Registry.Get(ctx, kept.AnswerKey(b.At, b.ID)); err != nil {
			o.sw.fault("reading a long answer", err)
		}
	}
	n := o.sw.aead.NonceSize()
	if len(sealed) < n {
		return e
	}
	plain, err := o.sw.aead.Open(nil, sealed[:n], sealed[n:], o.answerOwner())
	if err != nil || len(plain) == 0 || len(plain) < 1+int(plain[0]) {
		o.sw.fault("reading an answer", errSealed)
		return e
	}
	e.balance, e.chip = plain[1:1+plain[0]], plain[1+plain[0]:]
	return e
}
