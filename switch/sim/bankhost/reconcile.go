package bankhost

import (
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// reconTotals are the totals of a reconciliation (ISO 8583:1987, fields 74 to 77 and 86 to
// 89): debits are sales, completions and loads, credits refunds.
type reconTotals struct{ debits, credits reconSide }

// reconSide is one side of them. What was taken back or voided stands in both, gross and
// reversed.
type reconSide struct{ count, minor, reversed, reversedMinor int64 }

// fields are the fields of the totals.
func (t *reconTotals) fields() map[int]*int64 {
	return map[int]*int64{74: &t.credits.count, 75: &t.credits.reversed, 76: &t.debits.count,
		77: &t.debits.reversed, 86: &t.credits.minor, 87: &t.credits.reversedMinor,
		88: &t.debits.minor, 89: &t.debits.reversedMinor}
}

// tell counts a transaction, or with sign -1 its reversal, in the period in which it is done;
// revived, the reversal of a void of this period, takes the void's reversal back.
func (s *reconSide) tell(minor, sign int64, revived bool) {
	switch {
	case sign < 0:
		s.reversed++
		s.reversedMinor += minor
	case revived:
		s.reversed--
		s.reversedMinor -= minor
	default:
		s.count++
		s.minor += minor
	}
}

// recons remembers the last reconciliation, so that its repeat gets the same answer.
type recons struct {
	stan   uint32
	sent   string
	totals reconTotals
	lost   int
}

// reconcile compares the peer's totals with the book's and begins to count anew.
func (c *conn) reconcile(m, r *message.Message) (how manner, err error) {
	h, b := c.host, c.host.book
	var theirs reconTotals
	for n, to := range theirs.fields() {
		if digits, ok := m.Digits(n); ok {
			*to = int64(wide(digits))
		}
	}
	stan, _ := m.STAN()
	sent, _ := m.Digits(7)
	b.mu.Lock()
	if !m.MTI().IsRepeat() || b.recons.stan != stan || b.recons.sent != sent {
		b.recons.stan, b.recons.sent, b.recons.totals = stan, sent, b.recon
		b.recon = reconTotals{}
		b.period++
		b.counts.Reconciled++
	}
	ours := b.recons.totals
	how.silent = b.recons.lost < h.plan.LoseReconciliations
	b.recons.lost++
	b.mu.Unlock()
	ours.debits.minor += h.plan.ReconcileOff
	verdict := "2"
	if ours == theirs {
		verdict = "1"
	}
	how.by = h.vault.signer([8]byte{})
	return how, errors.Join(c.fill(m, r, "00"), r.SetDigits(66, verdict), ours.write(r))
}

// write puts the totals into an answer.
func (t *reconTotals) write(r *message.Message) error {
	var errs []error
	for n, v := range t.fields() {
		width := 10
		if n >= 86 {
			width = 16
		}
		errs = append(errs, r.SetDigits(n, fmt.Sprintf("%0*d", width, max(*v, 0))))
	}
	return errors.Join(errs...)
}

// wide reads the digits of a total.
func wide(digits string) (n uint64) {
	for _, c := range []byte(digits) {
		n = n*10 + uint64(c-'0')
	}
	return n
}
