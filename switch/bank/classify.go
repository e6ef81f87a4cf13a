package bank

import (
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/route"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// action is the way that a message takes through the switch.
type action uint8

const (
	actUnknown    action = iota
	actTransact          // money: committed, forwarded, committed
	actReverse           // undoes money: committed, answered, and the bank is told
	actBalance           // forwarded without state
	actCashLoad          // loads a purse of this switch against cash
	actTell              // noted and answered: script results, e-signatures
	actSignOn            // and keys
	actSignOff           //
	actEcho              //
	actKeyChange         //
	actParameters        //
	actBlacklist         //
	actSettle            // the end of a terminal's batch
	actUpload            // a part of a batch
	actUploadEnd         //
)

// ask is what a message wants.
type ask struct {
	action action
	kind   txn.Kind
	class  route.Class
	// advice: it is done already, and told.
	advice bool
}

var (
	askPurchase   = ask{actTransact, txn.BankPurchase, route.Purchase, false}
	askRefund     = ask{actTransact, txn.BankRefund, route.Refund, false}
	askPreAuth    = ask{actTransact, txn.BankPreAuth, route.PreAuth, false}
	askCompletion = ask{actTransact, txn.BankCompletion, route.Completion, false}
	askVoid       = ask{actTransact, txn.BankVoid, route.Void, false}
	askLoad       = ask{actTransact, txn.BankLoad, route.Load, false}
	askCompleted  = ask{actTransact, txn.BankCompletion, route.Advice, true}
	askSold       = ask{actTransact, txn.BankPurchase, route.Advice, true}
	askReversal   = ask{actReverse, txn.BankReversal, route.ClassNone, true}
	askBalance    = ask{actBalance, txn.KindNone, route.Balance, false}
)

// posType is what tells UnionPay terminals' transactions apart (DOMAIN.md 2.4): message
// type, processing code, condition (field 25) and type (field 60.1).
type posType struct {
	mti                   message.MTI
	code, condition, kind string
}

var posTypes = map[posType]ask{
	{0x0200, "00", "00", "22"}: askPurchase,
	{0x0200, "20", "00", "23"}: askVoid,
	{0x0220, "20", "00", "25"}: askRefund,
	{0x0100, "03", "06", "10"}: askPreAuth,
	{0x0100, "20", "06", "11"}: askVoid,
	{0x0200, "00", "06", "20"}: askCompletion,
	{0x0200, "20", "06", "21"}: askVoid,
	{0x0220, "00", "06", "24"}: askCompleted,
	{0x0220, "00", "00", "30"}: askSold,
	{0x0220, "00", "00", "32"}: askSold,
	{0x0220, "00", "00", "34"}: askSold,
	{0x0200, "31", "00", "01"}: askBalance,
	{0x0200, "60", "91", "45"}: askLoad,
	{0x0200, "62", "91", "47"}: askLoad,
	{0x0200, "63", "91", "46"}: {actCashLoad, txn.Load, route.Load, false},
}

// posNetwork tells the management messages of UnionPay terminals apart by field 60.3.
var posNetwork = map[string]action{
	"001": actSignOn, "003": actSignOn, "004": actSignOn, "002": actSignOff, "301": actEcho,
	"360": actParameters, "364": actParameters, "394": actParameters, "395": actParameters,
	"390": actBlacklist, "391": actBlacklist, "570": actBlacklist,
}

// otherNetwork tells those of acquirers and networks apart by field 70.
var otherNetwork = map[string]action{
	"001": actSignOn, "002": actSignOff, "301": actEcho, "101": actKeyChange,
	"201": actTell, "202": actTell,
}

// classify says what a message wants. The zero ask is a message that nobody defined.
func classify(d message.Dialect, sum *message.Summary) ask {
	first := sum.MTI.First()
	switch first.Class() {
	case message.Reversal:
		if first.Expects() {
			return askReversal
		}
	case message.Network:
		table := otherNetwork
		if d == message.POS {
			table = posNetwork
		}
		return ask{action: table[string(sum.Network[:])]}
	case message.Reconciliation:
		return ask{action: actSettle}
	case message.File:
		if network := string(sum.Network[:]); network == "202" || network == "207" {
			return ask{action: actUploadEnd}
		}
		return ask{action: actUpload}
	case message.Administrative:
		return ask{action: actTell}
	case message.Authorization, message.Financial:
		if d == message.POS {
			return posTypes[posType{first, string(sum.ProcessingCode[:2]),
				string(sum.Condition[:]), string(sum.POSType[:])}]
		}
		return classifyOther(d, first, sum)
	}
	return ask{}
}

// classifyOther goes by message type, processing code and condition (ISO 8583:1987 4.3.8).
func classifyOther(d message.Dialect, first message.MTI, sum *message.Summary) ask {
	code := string(sum.ProcessingCode[:2])
	inquiry := code == "30" || code == "31"
	switch first {
	case message.AuthorizationRequest:
		if inquiry {
			return askBalance
		}
		return otherHolds[code]
	case message.FinancialRequest, message.FinancialAdvice:
		if inquiry {
			return askBalance
		}
		return classifyFinancial(d, first, sum)
	}
	return ask{}
}

// otherHolds tells authorizations apart by processing code.
var otherHolds = map[string]ask{"00": askPreAuth, "03": askPreAuth, "20": askVoid}

// classifyFinancial tells transactions apart that move money.
func classifyFinancial(d message.Dialect, first message.MTI, sum *message.Summary) ask {
	held := string(sum.Condition[:]) == "06"
	advice := first == message.FinancialAdvice
	switch string(sum.ProcessingCode[:2]) {
	case "00", "01":
		switch {
		case held && advice:
			return askCompleted
		case held:
			return askCompletion
		case advice:
			return askSold
		}
		return askPurchase
	case "20":
		if !advice && (d == message.CUPS || sum.Has(90)) {
			return askVoid
		}
		return askRefund
	case "60", "62":
		return askLoad
	case "63":
		return ask{actCashLoad, txn.Load, route.Load, false}
	}
	return ask{}
}
