package bank

import (
	"context"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/secure"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A load of a purse that a bank pays for moves money in two cards' states, which no commit
// covers together. The order makes it safe: the bank's part is pending, the bank says yes,
// the purse is loaded under an id that can be used once, and only then is the bank's part
// approved. Whatever stops in between, the pending part falls due and is reversed, and the
// purse is unloaded before the bank is told.

// loadsOwnPurse reports whether the order loads a purse that this switch keeps.
func (o *order) loadsOwnPurse() bool {
	if o.ask.Kind != txn.BankLoad {
		return false
	}
	_, ok := o.purse()
	return ok
}

// purse returns the card whose purse is loaded: that of field 62 where the terminal names
// another one, else the card itself.
func (o *order) purse() (pan.Number, bool) {
	target := o.number
	var room [1024]byte
	if text := strings.TrimSpace(string(o.view.Append(room[:0], 62))); text != "" {
		if n, err := pan.Parse(text); err == nil {
			target = n
		}
	}
	digits := target.Digits()
	for _, bin := range o.sw.o.Config.PurseBINs {
		if strings.HasPrefix(digits, bin) {
			return target, true
		}
	}
	return target, false
}

// purseRequest is a request about the purse that the order loads.
func (o *order) purseRequest(kind txn.Kind) *txn.Request {
	target, _ := o.purse()
	id := o.id
	id.Counter |= counterLoad
	return &txn.Request{ID: id, Kind: kind, Card: o.sw.tokens.Token(target),
		Last4: target.Last4(), Place: o.place, Currency: o.currency(),
		Amount: txn.Minor(o.sum.Amount), STAN: o.sum.STAN, ServiceAt: o.now, ReceivedAt: o.now}
}

// loadPurse loads the purse. An answer says that it cannot be: the bank is told to give the
// money back.
func (o *order) loadPurse(ctx context.Context) *answer {
	// The merchant's account, into which the bank pays, is what funds it: taken from the
	// issuer's as well, the bank would pay twice.
	a := o.sw.step(ctx, o.purseRequest(txn.Load))
	if a.Err == nil && a.Decision.Outcome == txn.Approved {
		o.extra.lease = o.in.cfg.LeaseText(&a.Decision)
		return nil
	}
	if a.Err == nil {
		o.work.Reason = a.Decision.Reason
	}
	undone := o.doubt(ctx, errPurse)
	return &undone
}

// unloadPurse takes the load back, or makes sure that it never happens. It is asked before
// the bank is told, as often as the bank is; false leaves it for the next time.
func (o *order) unloadPurse(ctx context.Context) bool {
	if _, ok := o.purse(); !ok {
		return true
	}
	load := o.purseRequest(txn.Load).ID
	r := o.purseRequest(txn.Reversal)
	r.Original, r.Amount = load, 0
	r.ID.Counter |= counterReversal
	a := o.sw.step(ctx, r)
	if a.Err != nil || a.Decision.Reason.Retryable() {
		o.sw.fault("unloading a purse", a.Err)
		return false
	}
	return true
}

// cashLoad loads a purse of this switch against cash that the merchant took. The id makes a
// repeat harmless, and there is nothing to ask a bank.
func (o *order) cashLoad(ctx context.Context) answer {
	if code := o.read(); code != "" {
		return answer{code: code}
	}
	if _, ok := o.purse(); !ok {
		return answer{code: txn.NoRoute.Text().Field39}
	}
	r := o.purseRequest(txn.Load)
	r.Untimed, r.RepeatMax = true, repeatMax // copies differ in the time of receipt only
	a := o.sw.step(ctx, r)
	o.noteOld(a)
	if a.Err != nil {
		o.sw.fault("cash load", a.Err)
		return answer{none: true}
	}
	out := answer{code: codeFor(a.Decision, [2]byte{}), auth: a.Decision.AuthCode, rrn: o.rrn}
	if a.Decision.Outcome == txn.Approved {
		out.at = o.since()
		out.extra.lease = o.in.cfg.LeaseText(&a.Decision)
		text, err := message.BalanceText([]message.Balance{{AccountType: "00", AmountType: "02",
			Currency: "156", Minor: int64(a.Decision.BalanceAfter)}})
		if err == nil {
			out.extra.balance = []byte(text)
		}
	}
	return out
}

// pinFrom says under which key the PIN block of the order came.
func (o *order) pinFrom() (secure.PINBlock, bool) {
	p := secure.PINBlock{PAN: o.number, Form: secure.PINWithPAN}
	if o.view.Has(53) {
		var room [16]byte
		s, err := message.ParseSecurity(string(o.view.Append(room[:0], 53)))
		if err == nil && s.PINFormat == secure.PINWithoutPAN {
			p.Form = secure.PINWithoutPAN
		}
	}
	if o.terminal == nil {
		if o.in.keys == nil {
			return p, false
		}
		key, err := o.in.keys.PINKey()
		p.Key = key
		return p, err == nil
	}
	if o.terminal.MasterKey == "" {
		return p, false
	}
	key, err := o.sw.keys.Key(context.Background(), o.terminal.Name)
	if err != nil {
		return p, false
	}
	p.Key = key.PINKey()
	return p, true
}
