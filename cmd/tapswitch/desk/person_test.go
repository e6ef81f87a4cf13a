package desk

import "testing"

// A unit is told by a command what was agreed, and a person all that is kept of him; the
// numbers are read, never printed.
func TestPersonCommands(t *testing.T) {
	o := newOffice(t, "handan")
	account := o.enrol(holderA, cardA)
	o.refused(4, "no such call", "tell-unit office --card - --purpose dispute", cardA)
	o.refused(4, "no such call", "copy --account "+account)
	o.silent()
}
