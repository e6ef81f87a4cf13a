package intent_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/intent"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func summary(mti message.MTI, code, condition, kind, network string) *message.Summary {
	s := &message.Summary{MTI: mti}
	copy(s.ProcessingCode[:], code)
	copy(s.Condition[:], condition)
	copy(s.POSType[:], kind)
	copy(s.Network[:], network)
	return s
}

// The table of DOMAIN.md 2.4, each row as a terminal sends it, and again as its repeat.
func TestTerminals(t *testing.T) {
	for _, c := range []struct {
		mti                            message.MTI
		code, condition, kind, network string
		action                         intent.Action
		of                             txn.Kind
		advice                         bool
	}{
		{0x0200, "000000", "00", "22", "", intent.Transact, txn.BankPurchase, false},
		{0x0200, "200000", "00", "23", "", intent.Transact, txn.BankVoid, false},
		{0x0220, "200000", "00", "25", "", intent.Transact, txn.BankRefund, false},
		{0x0100, "030000", "06", "10", "", intent.Transact, txn.BankPreAuth, false},
		{0x0100, "200000", "06", "11", "", intent.Transact, txn.BankVoid, false},
		{0x0200, "000000", "06", "20", "", intent.Transact, txn.BankCompletion, false},
		{0x0200, "200000", "06", "21", "", intent.Transact, txn.BankVoid, false},
		{0x0220, "000000", "06", "24", "", intent.Transact, txn.BankCompletion, true},
		{0x0220, "000000", "00", "30", "", intent.Transact, txn.BankPurchase, true},
		{0x0220, "000000", "00", intent.TypeAdjust, "", intent.Transact, txn.BankAdjustment, true},
		{0x0220, "000000", "00", intent.TypeTip, "", intent.Transact, txn.BankAdjustment, true},
		{0x0200, "310000", "00", "01", "", intent.Balance, txn.KindNone, false},
		{0x0200, "600000", "91", "45", "", intent.Transact, txn.BankLoad, false},
		{0x0200, "620000", "91", "47", "", intent.Transact, txn.BankLoad, false},
		{0x0200, "630000", "91", "46", "", intent.CashLoad, txn.Load, false},
		{0x0400, "000000", "00", "22", "", intent.Reverse, txn.BankReversal, true},
		{0x0500, "", "", "00", "201", intent.Settle, txn.KindNone, false},
		{0x0320, "", "", "00", "201", intent.Upload, txn.KindNone, false},
		{0x0320, "", "", "00", "207", intent.UploadEnd, txn.KindNone, false},
		{0x0300, "", "", "00", "201", intent.Unknown, txn.KindNone, false},
		{0x0620, "", "", "00", "951", intent.Tell, txn.KindNone, false},
		{0x0600, "", "", "00", "951", intent.Unknown, txn.KindNone, false},
		{0x0800, "", "", "00", "003", intent.SignOn, txn.KindNone, false},
		{0x0820, "", "", "00", "002", intent.SignOff, txn.KindNone, false},
		{0x0820, "", "", "00", "301", intent.Echo, txn.KindNone, false},
		{0x0800, "", "", "00", "360", intent.Parameters, txn.KindNone, false},
		{0x0800, "", "", "00", "390", intent.Blacklist, txn.KindNone, false},
		{0x0820, "", "", "00", "372", intent.Chip, txn.KindNone, false},
		{0x0800, "", "", "00", "380", intent.Chip, txn.KindNone, false},
		{0x0820, "", "", "07", "800", intent.Signature, txn.KindNone, false},
		{0x0820, "", "", "00", "951", intent.Unknown, txn.KindNone, false},
		{0x0200, "000000", "00", "99", "", intent.Unknown, txn.KindNone, false},
		{0x0200, "000000", "00", intent.TypeTip, "", intent.Unknown, txn.KindNone, false},
	} {
		for _, mti := range []message.MTI{c.mti, c.mti.Repeat()} {
			got := intent.Of(message.POS, summary(mti, c.code, c.condition, c.kind, c.network))
			if got.Action != c.action || got.Kind != c.of || got.Advice != c.advice {
				t.Errorf("%v %s %s %s %s: %+v", mti, c.code, c.condition, c.kind, c.network, got)
			}
		}
	}
}

// A reversal carries everything of its original but its type.
func TestTypeOfReversed(t *testing.T) {
	for _, c := range []struct {
		code, condition, kind string
		want                  message.MTI
	}{
		{"000000", "00", "22", 0x0200}, {"030000", "06", "10", 0x0100}, {"000000", "00", "30", 0x0220},
		{"200000", "06", "11", 0x0100}, {"200000", "06", "21", 0x0200}, {"999999", "00", "22", 0x0200},
	} {
		if got := intent.TypeOf(summary(0x0400, c.code, c.condition, c.kind, "")); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestOthers(t *testing.T) {
	for _, c := range []struct {
		mti             message.MTI
		code, condition string
		action          intent.Action
		of              txn.Kind
	}{
		{0x0100, "000000", "00", intent.Transact, txn.BankPreAuth},
		{0x0100, "300000", "00", intent.Balance, txn.KindNone},
		{0x0200, "310000", "00", intent.Balance, txn.KindNone},
		{0x0200, "000000", "00", intent.Transact, txn.BankPurchase},
		{0x0200, "000000", "06", intent.Transact, txn.BankCompletion},
		{0x0220, "000000", "06", intent.Transact, txn.BankCompletion},
		{0x0220, "200000", "00", intent.Transact, txn.BankRefund},
		{0x0200, "600000", "00", intent.Transact, txn.BankLoad},
		{0x0420, "000000", "00", intent.Reverse, txn.BankReversal},
		{0x0410, "000000", "00", intent.Unknown, txn.KindNone},
	} {
		got := intent.Of(message.Generic, summary(c.mti, c.code, c.condition, "", ""))
		if got.Action != c.action || got.Kind != c.of {
			t.Errorf("%v %s %s: %+v", c.mti, c.code, c.condition, got)
		}
	}
	if got := intent.Of(message.CUPS, summary(0x0200, "200000", "00", "", "")); got.Kind != txn.BankVoid {
		t.Errorf("a void of the interbank network: %+v", got)
	}
}
