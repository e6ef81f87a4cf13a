package desk

import (
	"errors"
	"testing"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// cancelled opens and cancels an account with a printed serial.
func (r *rig) cancelled(n byte) (token [16]byte, serial [16]byte) {
	r.t.Helper()
	holder := r.desk.HolderToken("id-1")
	serial = r.desk.NumberToken(account.SerialNumber, "S-1")
	at, _, err := r.desk.AccountOf(r.t.Context(), holder)
	if err != nil {
		r.t.Fatal(err)
	}
	r.must(at, "li.lei", account.OpenAccount{Holder: holder, Who: atDesk, Checked: true, Unit: "U-7",
		Carrier: account.NewCarrier{Token: cardToken(n), Kind: account.Chip, Family: "t_union", Ready: true},
		Numbers: []account.Number{{Kind: account.SerialNumber, Token: serial}}})
	r.must(at, "li.lei", account.GiveConsent{Party: "office", Purpose: "research", Scope: txn.AppAll})
	open := r.must(at, "li.lei", account.RequestCancellation{Who: atDesk})
	r.must(at, "li.lei", account.CompleteCancellation{Case: open.Outcome.Case, Outlet: "d1"})
	r.settle()
	return at, serial
}

// What is forgotten leads nowhere, what must stay stays, and the step is in the audit trail.
func TestEraseForgetsTheHolder(t *testing.T) {
	r := newRig(t, "handan")
	token, serial := r.cancelled(1)
	listed, err := r.desk.ClosedAccounts(t.Context())
	if err != nil || len(listed) != 1 || listed[0] != token {
		t.Fatal(listed, err)
	}
	if at, _, err := r.desk.indexed(t.Context(), serial); err != nil || at != token {
		t.Fatal(at, err)
	}
	all := Erasure{Holder: true, Ended: func(*account.Ended) bool { return true },
		Consent: func(*account.Consent) bool { return true }}
	for _, want := range []bool{true, false} {
		if done, err := r.desk.Erase(t.Context(), token, all, "job"); err != nil || done != want {
			t.Fatalf("done %v, %v, want %v", done, err, want)
		}
	}
	doc := r.account(token)
	if !doc.Holder.IsZero() || doc.Unit != "" || len(doc.Numbers)+len(doc.Ended)+len(doc.Consents) > 0 {
		t.Errorf("%+v", doc)
	}
	if at, _, err := r.desk.indexed(t.Context(), serial); err != nil || !at.IsZero() {
		t.Errorf("the index still leads to %s, %v", at, err)
	}
	if r.listed(cardToken(1)).Reason != txn.Cancelled || doc.Gone(cardToken(1)) == nil {
		t.Error("the dead number is forgotten")
	}
	if listed, err := r.desk.ClosedAccounts(t.Context()); err != nil || len(listed) != 0 {
		t.Error(listed, err)
	}
	records := r.records()
	if last := records[len(records)-1].Listing; !eraseNoted(records) {
		t.Errorf("no record of it, last %+v", last)
	}
	// The same person may come again, with the same paper and the same serial.
	again, _, err := r.desk.AccountOf(t.Context(), r.desk.HolderToken("id-1"))
	if err != nil || again == token {
		t.Fatal(again, err)
	}
	r.must(again, "li.lei", account.OpenAccount{Holder: r.desk.HolderToken("id-1"), Who: atDesk, Checked: true,
		Carrier: account.NewCarrier{Token: cardToken(2), Kind: account.Chip, Family: "t_union", Ready: true},
		Numbers: []account.Number{{Kind: account.SerialNumber, Token: serial}}})
	if at, _, err := r.desk.Find(t.Context(), serial); err != nil || at != again {
		t.Error(at, err)
	}
}

func eraseNoted(records []txn.Record) bool {
	for i := range records {
		if records[i].Kind == txn.Desk && records[i].Listing.Actor == "job" &&
			records[i].Listing.Note == "erase holder cases 1 consents 1" {
			return true
		}
	}
	return false
}

// What lives, or is not there, is not erased.
func TestEraseRefuses(t *testing.T) {
	r := newRig(t, "handan")
	token := r.open(1)
	if _, err := r.desk.Erase(t.Context(), token, Erasure{Holder: true}, "job"); !errors.Is(err, ErrNotErasable) {
		t.Errorf("%v", err)
	}
	if _, err := r.desk.Erase(t.Context(), cardToken(9), Erasure{Holder: true}, "job"); !errors.Is(err, ErrNoAccount) {
		t.Errorf("%v", err)
	}
	if err := r.memory.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.desk.Erase(t.Context(), token, Erasure{Holder: true}, "job"); !errors.Is(err, ErrStore) {
		t.Errorf("%v", err)
	}
	if _, err := r.desk.ClosedAccounts(t.Context()); !errors.Is(err, ErrStore) {
		t.Errorf("%v", err)
	}
}
