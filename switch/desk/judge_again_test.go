package desk

import (
	"context"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// unaware is a ledger that has not heard of liability yet.
type unaware struct{ History }

func (b unaware) Records(ctx context.Context, card pan.Token, from txn.BusinessDate,
	yield func(*txn.Record) error) error {
	return b.History.Records(ctx, card, from, func(r *txn.Record) error {
		if r.Kind == txn.Liable {
			return nil
		}
		return yield(r)
	})
}

// A loss that is judged again before the ledger has the entries of the first time is booked
// once, and the second judgement is no fault.
func TestALossIsBookedOnceHoweverOftenItIsJudged(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.wants(r.request(txn.Load, cardToken(1), 5000), txn.ReasonNone)
	r.must(token, "li.lei", account.ReportLoss{Who: atDesk, Form: account.Written, FormNo: "f", BankTold: true})
	at := r.now()
	r.notices.clocks = map[string][]notice.Clock{"": {{Row: notice.Row{Party: "transit", SentFirst: at, Received: at}}}}
	r.pass(3 * hour) // the operator has two
	r.wants(r.request(txn.BusBoarding, cardToken(1), 0, func(q *txn.Request) {
		q.Offline, q.OfflineCounter = true, 1
	}), txn.ReasonNone)
	whole := r.desk.o.History
	r.desk.o.History = unaware{whole}
	for range 3 {
		r.pass(minute)
		if _, err := r.desk.JudgeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.desk.o.History = whole
	if made, err := r.desk.JudgeAll(t.Context()); made != 0 || err != nil {
		t.Errorf("%d more entries, %v", made, err)
	}
	if got := r.sum("loss/transit"); got != -200 {
		t.Errorf("the operator bears %d, want -200", got)
	}
}
