package desk

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// A transaction is judged by the party that answers for its operator.
func TestServedBy(t *testing.T) {
	p := &scheme.Policy{Parties: []scheme.Party{
		{ID: "hrss", Kind: scheme.PartySocialSecurity},
		{ID: "metro", Kind: scheme.PartyTransit, Operators: []string{"M1", "地铁五号线"}},
		{ID: "transit", Kind: scheme.PartyTransit},
		{ID: "ferry", Kind: scheme.PartyTransit},
		{ID: "icbc", Kind: scheme.PartyBank},
		{ID: "others", Kind: scheme.PartyBank, Operators: []string{"BOC"}}}}
	for _, tt := range []struct {
		kind             txn.Kind
		operator, issuer string
		want             string
		own              bool
	}{
		{txn.MetroExit, "m1", "", "metro", true}, {txn.MetroExit, "地铁五号线", "", "metro", true},
		{txn.BusBoarding, "B7", "", "transit", false}, {txn.BusBoarding, "", "", "transit", false},
		{txn.BusBoarding, "Ferry", "", "ferry", true}, {txn.Purchase, "icbc", "", "transit", false},
		{txn.BankPurchase, "M1", "ICBC", "icbc", true}, {txn.BankPurchase, "M1", "BOC", "others", true},
		{txn.BankPurchase, "", "CCB", "icbc", false},
	} {
		r := &txn.Record{Kind: tt.kind, Issuer: tt.issuer, Place: txn.Place{Operator: tt.operator}}
		if got, own := servedBy(p, r); got != tt.want || own != tt.own {
			t.Errorf("%s of %q %q: %s %v, want %s %v", tt.kind, tt.operator, tt.issuer, got, own, tt.want, tt.own)
		}
	}
}

// What one operator serves late is never booked to another: a party that was told beside the
// scheme has its own clock, and no clause of the scheme.
func TestDuty_HD19_NobodyPaysForAnotherPartysDelay(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	r.wants(r.request(txn.Load, cardToken(1), 5000), txn.ReasonNone)
	r.must(token, "li.lei", lossReport)
	r.notices.clocks = map[string][]notice.Clock{"": {
		{Row: notice.Row{Party: "transit", SentFirst: morning + second, Received: morning + minute,
			Effective: morning + 2*minute}},
		{Row: notice.Row{Party: "metro", SentFirst: morning + second, Received: morning + minute}}}}
	r.pass(5 * hour)
	ride := func(n uint32, operator string) {
		r.wants(r.request(txn.BusBoarding, cardToken(1), 200, func(q *txn.Request) {
			q.FullFare, q.FareGiven, q.Offline, q.OfflineCounter = 200, true, true, n
			q.ServiceAt, q.Place.Operator = morning+3*hour, operator
		}), txn.ReasonNone)
	}
	ride(1, "Metro")
	ride(2, "bus 7")
	if _, err := r.desk.JudgeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if transit, metro, agency := r.sum("loss/transit"), r.sum("loss/metro"), r.sum("loss/agency"); transit != -200 ||
		metro != 0 || agency != -200 {
		t.Errorf("transit bears %d, metro %d, the agency %d", -transit, -metro, -agency)
	}
}
