package bank

import (
	"github.com/tapswitch/tapswitch/switch/bank/guise"
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
// do, which gave that of the original.
func (c *composer) reference() []byte {
	switch {
	case !c.l.pos:
		return c.t.rrn[:]
	case c.byTerminal() && c.o.sum.Has(37):
		return c.o.sum.RRN[:]
	case c.t.mti.Class() == message.Reversal:
		return nil
	}
	return guise.Reference(c.t.original)
}

// asTerminal writes fields 60 and 61 as terminals do.
func (c *composer) asTerminal() {
	c.put(60, guise.Private(&guise.Message{MTI: c.t.mti, Kind: c.o.ask.Kind, Sum: &c.o.sum,
		Was: c.o.sum.MTI, Sent: c.t.sent}))
	switch original := c.t.original; {
	case original != nil && original.STAN != 0:
		c.put(61, guise.Original(original))
	case c.byTerminal():
		c.copy(61)
	case c.elsewhere():
		c.put(61, guise.OriginalOf(c.o.view.Append(nil, 90)))
	}
}

// originals is the field in which the bank wants to be told of the original; 0 for none.
func (c *composer) originals() int {
	if !c.byTerminal() || c.l.pos {
		return 0
	}
	return c.l.cfg.Originals
}

// nameOriginal writes that field: reference, batch, trace number and day.
func (c *composer) nameOriginal() {
	var room [128]byte
	text := room[:0]
	if c.o.sum.Has(37) {
		text = append(text, c.o.sum.RRN[:]...)
	} else {
		text = append(text, "            "...)
	}
	c.put(c.l.cfg.Originals, c.o.view.Append(text, 61))
}
