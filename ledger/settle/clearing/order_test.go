package clearing

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// What a run held was never sent: the next run orders all of it, to the bank account that is
// known by then, and what was sent is not ordered again.
func TestHeldOrdersAreOrderedAgain(t *testing.T) {
	terms := testTerms()
	records := []txn.Record{ride("operator/M1", 500), ride("operator/M9", 70)}
	first := settle(t, terms, records, Run{Number: 1})
	held := 0
	for _, o := range first.Orders {
		if (o.Held != "") != (o.Party == "operator/M9") {
			t.Fatalf("held: %+v", o)
		} else if o.Held != "" {
			held++
		}
	}
	if held != 1 {
		t.Fatalf("%d orders held: %+v", held, first.Orders)
	}
	terms.Parties = append(terms.Parties, Party{Name: "operator/M9",
		Accounts: []txn.Account{"operator/M9"}, Lag: -1, Bank: BankAccount{"ICBC", "6223", "M9"}})
	second := settle(t, terms, records, Run{Number: 2, Prior: first.Orders})
	if len(second.Orders) != 1 || second.Orders[0].Party != "operator/M9" ||
		second.Orders[0].Held != "" || second.Orders[0].Bank.Number != "6223" {
		t.Fatalf("second run: %+v", second.Orders)
	}
	third := settle(t, terms, records, Run{Number: 3, Prior: append(first.Orders, second.Orders...)})
	if len(third.Orders) != 0 {
		t.Errorf("third run orders again: %+v", third.Orders)
	}
}
