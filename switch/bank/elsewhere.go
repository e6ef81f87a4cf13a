package bank

import (
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A refund of what this switch does not remember is the bank's to judge. The bank finds the
// original by what the terminal or acquirer says of it, which is handed on here, also when the
// refund is told again.

// elsewhere reports whether the message is such a refund.
func (c *composer) elsewhere() bool {
	return c.o.ask.Kind == txn.BankRefund && c.t.original == nil &&
		c.t.mti.Class() != message.Reversal
}

// byTerminal reports whether fields 37 and 61 of the request name the original: so they do in
// the messages of terminals.
func (c *composer) byTerminal() bool {
	return c.elsewhere() && c.o.in.spec.Dialect() == message.POS
}

// reference is field 37: the switch's own reference, but for a bank that speaks as terminals
// do, to which a refund names its original there.
func (c *composer) reference() []byte {
	if c.l.spec.Dialect() == message.POS && c.byTerminal() && c.o.sum.Has(37) {
		return c.o.sum.RRN[:]
	}
	return c.t.rrn[:]
}

// originals is the field in which the bank wants to be told of the original; 0 for none.
func (c *composer) originals() int {
	switch {
	case !c.byTerminal():
		return 0
	case c.l.spec.Dialect() == message.POS:
		return 61
	}
	return c.l.cfg.Originals
}

// nameOriginal writes that field: field 61 as it came to a bank that speaks as terminals do;
// reference, batch, trace number and day to another one.
func (c *composer) nameOriginal() {
	n := c.originals()
	if n == 61 && c.l.spec.Dialect() == message.POS {
		c.copy(61)
		return
	}
	var room [128]byte
	text := room[:0]
	if c.o.sum.Has(37) {
		text = append(text, c.o.sum.RRN[:]...)
	} else {
		text = append(text, "            "...)
	}
	c.put(n, c.o.view.Append(text, 61))
}
