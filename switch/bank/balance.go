package bank

import (
	"context"
	"errors"
	"hash/maphash"

	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// balance asks the bank without keeping any state: nothing moves, and a frozen card is
// refused by the blacklist in memory. The same message while the first is under way is a
// duplicate; soon after, it gets the first one's answer.
func (o *order) balance(ctx context.Context) answer {
	if code := o.read(); code != "" {
		return answer{code: code}
	}
	if !o.sw.flights.First(o.id, o.token) || o.sw.flights.Enter(o.id) != nil {
		o.sw.stats.Copies.Add(1)
		return answer{code: codeDuplicate}
	}
	defer o.sw.flights.Leave(o.id)
	if reason := card.Refusal(o.sw.o.Marks.Mark(o.token), txn.AppBank); reason != txn.ReasonNone {
		return answer{code: reason.Text().Field39}
	}
	sum := o.digest()
	if a, ok := o.sw.recalled.Find(o.id, sum, o.now); ok {
		o.sw.stats.Replays.Add(1)
		return a
	}
	a, answered := o.inquire(ctx)
	if answered {
		a.at = o.now
		o.sw.recalled.Keep(o.id, sum, o.now, a)
	}
	return a
}

// inquire asks the bank by the first link that takes the inquiry. answered says that the bank
// said something.
func (o *order) inquire(ctx context.Context) (a answer, answered bool) {
	w := o.route()
	if !w.known {
		return answer{code: txn.NoRoute.Text().Field39}, false
	}
	if o.rrn == [12]byte{} {
		rrn, err := o.sw.reference(ctx, o.now)
		if err != nil {
			o.sw.fault("balance", err)
			return answer{code: codeMalfunction}, false
		}
		o.rrn = rrn
	}
	o.work.RRN = o.rrn
	for {
		out := w.take(o.sw)
		if out == nil {
			return answer{code: codeUnavailable}, false
		}
		if err := o.place7(ctx, &o.work, out); err != nil {
			continue
		}
		reply, sent, err := o.forward(ctx, out, engine.Answer{})
		var code *codeError
		switch {
		case errors.As(err, &code):
			return answer{code: code.reason.Text().Field39}, false
		case sent == link.NotSent:
			continue
		case sent == link.Unknown:
			return answer{code: txn.IssuerTimeout.Text().Field39, rrn: o.rrn}, false
		}
		said := out.read(reply)
		out.views.Put(reply)
		d := txn.Decision{Outcome: txn.Declined, Reason: txn.IssuerDeclined}
		if message.MeaningOf(string(said.code[:])).Approved {
			d = txn.Decision{Outcome: txn.Approved}
		}
		return answer{code: codeFor(d, said.code), extra: said.extra, rrn: o.rrn,
			auth: said.auth}, true
	}
}

// digest tells one message from another that claims to be it: an answer is repeated to the
// same PIN and chip only.
func (o *order) digest() uint64 {
	var room [1024]byte
	b := append(room[:0], o.token[:]...)
	for _, n := range [...]int{3, 4, 12, 13, 14, 22, 23, 25, 26, 35, 36, 49, 52, 53, 55} {
		b = append(append(b, byte(n)), '=')
		b = o.view.Append(b, n)
	}
	return maphash.Bytes(o.sw.seed, b)
}

// since returns when the message was first taken up, as far as that is recalled: a repeat
// says the same time.
func (o *order) since() txn.Millis {
	sum := o.digest()
	if first, ok := o.sw.recalled.Find(o.id, sum, o.now); ok {
		return first.at
	}
	o.sw.recalled.Keep(o.id, sum, o.now, answer{at: o.now})
	return o.now
}
