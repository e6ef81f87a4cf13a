package account_test

import (
	"maps"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
	"pgregory.net/rapid"
)

// heard is a command with the instant at which it came.
type heard struct {
	cmd account.Command
	now txn.Millis
}

// TestScheduleDoesNotMatter sends one random history to two desks. One carries every effect
// out at once; the other is restarted after every command and carries them out whenever it
// can hold no more. In the end both have told the cards the same.
func TestScheduleDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		rules := schemes()[rapid.IntRange(0, len(schemes())-1).Draw(r, "scheme")]
		w := &town{desk: newDesk(t, rules), r: r, fresh: 100, dead: map[pan.Token]txn.FreezeReason{},
			fees: map[uint32]account.Fee{}}
		var history []heard
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			w.now += txn.Millis(rapid.Int64Range(1, 3*int64(day)).Draw(r, "later"))
			w.staff.ID = []string{"clerk-1", "clerk-2"}[w.pick(2, "clerk")]
			w.staff.Role = []string{"desk", "social_dept"}[w.pick(2, "role")]
			cmd := w.command(w.step())
			history = append(history, heard{cmd: cmd, now: w.now})
			w.send(cmd)
			w.desk.settle()
		}
		late := newDesk(t, rules)
		for _, h := range history {
			late.hear(h)
		}
		late.settle()
		if !maps.Equal(w.marks, late.marks) || !maps.Equal(w.cards, late.cards) ||
			!maps.Equal(w.successor, late.successor) || len(w.notices) != len(late.notices) ||
			len(w.booked) != len(late.booked) {
			r.Fatalf("at once %v %v, late %v %v", w.marks, w.cards, late.marks, late.cards)
		}
	})
}

// hear takes a command as the other desk took it, after a restart.
func (d *desk) hear(h heard) {
	back, err := account.Decode(d.doc.Append(nil))
	if err != nil {
		d.t.Fatal(err)
	}
	d.doc, d.now = back, h.now
	out := d.send(h.cmd)
	if out.Refusal == account.TooManyEffects {
		d.settle()
		d.send(h.cmd)
	}
}
