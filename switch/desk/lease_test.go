package desk

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/lease"
	"github.com/tapswitch/tapswitch/switch/liability"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A ride of a lost card after the end of its lease is the operator's, although the boundary had
// not come and the party was in time; it is judged once, by what the record says.
func TestTheLeaseIsJudgedOnce(t *testing.T) {
	r := newRig(t, "handan")
	policy := r.engine.Policy()
	policy.Lease = lease.Terms{Length: hour, Margin: minute, RenewedBy: lease.All()}
	if err := r.engine.SetPolicy(policy); err != nil {
		t.Fatal(err)
	}
	token := r.open(1)
	r.wants(r.request(txn.Load, cardToken(1), 5000), txn.ReasonNone) // until an hour from now
	r.must(token, "li.lei", lossReport)
	r.notices.clocks = map[string][]notice.Clock{"": {{Row: notice.Row{Party: "transit",
		SentFirst: morning + second, Received: morning + minute}}}} // it has time until 2 h 1 min
	r.pass(5 * hour)
	for n, at := range []txn.Millis{morning + hour/2, morning + hour + hour/2, morning + 3*hour} {
		r.wants(r.request(txn.BusBoarding, cardToken(1), 200, func(q *txn.Request) {
			q.FullFare, q.FareGiven, q.Offline, q.OfflineCounter, q.ServiceAt = 200, true, true, uint32(n)+1, at
		}), txn.ReasonNone)
	}
	for range 2 {
		if _, err := r.desk.JudgeAll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.sum("loss/transit"); got != -400 {
		t.Fatalf("the operator bears %d, want both rides after the lease", -got)
	}
	if got := r.card(cardToken(1)).Balance; got != 4800 {
		t.Fatalf("balance %d: the holder pays the ride in the lease only", got)
	}
	losses, err := r.desk.Losses(t.Context(), token)
	if err != nil || len(losses) != 1 {
		t.Fatalf("%d losses, %v", len(losses), err)
	}
	all, err := r.desk.Judgement(t.Context(), losses[0])
	if err != nil || len(all) != 3 {
		t.Fatalf("%d verdicts, %v", len(all), err)
	}
	why := map[string]int{}
	for _, v := range all {
		why[v.Verdict.Why]++
	}
	if why[liability.WhyLease] != 2 || why[liability.WhyBefore] != 1 {
		t.Errorf("why: %v", why)
	}
}
