// Package intent says what a message of a terminal, an acquirer or a network wants: the way
// that it takes through the switch, the kind of transaction, and the class that it is routed
// by. It goes by message type, processing code, condition and field 60 or 70 (DOMAIN.md 2.4
// and ISO 8583:1987 4.3.8), and it is pure.
package intent

import (
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/route"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Action is the way that a message takes through the switch.
type Action uint8

// The actions.
const (
	Unknown    Action = iota
	Transact          // money: committed, forwarded, committed
	Reverse           // undoes money: committed, answered, and the bank is told
	Balance           // forwarded without state
	CashLoad          // loads a purse of this switch against cash
	Tell              // noted and answered: script results, cut-overs
	Signature         // a signature on the terminal's screen
	Chip              // what a chip terminal downloads
	SignOn            // and keys
	SignOff           //
	Echo              //
	KeyChange         //
	Parameters        //
	Blacklist         //
	Settle            // the end of a terminal's batch
	Upload            // a part of a batch
	UploadEnd         //
)

// Ask is what a message wants.
type Ask struct {
	Action Action
	Kind   txn.Kind
	Class  route.Class
	// Advice: it is done already, and told.
	Advice bool
}

var (
	askPurchase   = Ask{Transact, txn.BankPurchase, route.Purchase, false}
	askRefund     = Ask{Transact, txn.BankRefund, route.Refund, false}
	askPreAuth    = Ask{Transact, txn.BankPreAuth, route.PreAuth, false}
	askCompletion = Ask{Transact, txn.BankCompletion, route.Completion, false}
	askVoid       = Ask{Transact, txn.BankVoid, route.Void, false}
	askLoad       = Ask{Transact, txn.BankLoad, route.Load, false}
	askCompleted  = Ask{Transact, txn.BankCompletion, route.Advice, true}
	askSold       = Ask{Transact, txn.BankPurchase, route.Advice, true}
	askAmendment  = Ask{Transact, txn.BankAdjustment, route.Advice, true}
	askReversal   = Ask{Reverse, txn.BankReversal, route.ClassNone, true}
	askBalance    = Ask{Balance, txn.KindNone, route.Balance, false}
)

// posType is what tells UnionPay terminals' transactions apart (DOMAIN.md 2.4): message
// type, processing code, condition (field 25) and type (field 60.1).
type posType struct {
	mti                   message.MTI
	code, condition, kind string
}

var posTypes = map[posType]Ask{
	{0x0200, "00", "00", "22"}:         askPurchase,
	{0x0200, "20", "00", "23"}:         askVoid,
	{0x0220, "20", "00", "25"}:         askRefund,
	{0x0100, "03", "06", "10"}:         askPreAuth,
	{0x0100, "20", "06", "11"}:         askVoid,
	{0x0200, "00", "06", "20"}:         askCompletion,
	{0x0200, "20", "06", "21"}:         askVoid,
	{0x0220, "00", "06", "24"}:         askCompleted,
	{0x0220, "00", "00", "30"}:         askSold,
	{0x0220, "00", "00", TypeAdjust}:   askAmendment,
	{0x0220, "00", "00", TypeTip}:      askAmendment,
	{0x0200, "31", "00", "01"}:         askBalance,
	{0x0200, "60", "91", "45"}:         askLoad,
	{0x0200, "62", "91", "47"}:         askLoad,
	{0x0200, CodeCashLoad, "91", "46"}: {CashLoad, txn.Load, route.Load, false},
}

// TypeAdjust and TypeTip are field 60.1 of an adjustment and of a tip.
const (
	TypeAdjust = "32"
	TypeTip    = "34"
)

// CodeCashLoad begins the processing code of a load against cash, and of its reversal.
const CodeCashLoad = "63"

// posNetwork tells the management messages of UnionPay terminals apart by field 60.3.
var posNetwork = map[string]Action{
	"001": SignOn, "003": SignOn, "004": SignOn, "002": SignOff, "301": Echo,
	"360": Parameters, "364": Parameters, "394": Parameters, "395": Parameters,
	"390": Blacklist, "391": Blacklist, "570": Blacklist,
	"370": Chip, "371": Chip, "372": Chip,
	"380": Chip, "381": Chip, "382": Chip,
	"800": Signature,
}

// otherNetwork tells those of acquirers and networks apart by field 70.
var otherNetwork = map[string]Action{
	"001": SignOn, "002": SignOff, "301": Echo, "101": KeyChange,
	"201": Tell, "202": Tell,
}

// Of says what a message wants. The zero Ask is a message that nobody defined.
func Of(d message.Dialect, sum *message.Summary) Ask {
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
		return Ask{Action: table[string(sum.Network[:])]}
	case message.Reconciliation:
		return Ask{Action: Settle}
	case message.File:
		if first != message.FileAdvice {
			return Ask{} // nobody changes a file of this switch
		}
		if network := string(sum.Network[:]); network == "202" || network == "207" {
			return Ask{Action: UploadEnd}
		}
		return Ask{Action: Upload}
	case message.Administrative:
		if first != message.AdministrativeAdvice {
			return Ask{} // it wants something, and nobody has defined what
		}
		return Ask{Action: Tell}
	case message.Authorization, message.Financial:
		if d == message.POS {
			return posTypes[posType{first, string(sum.ProcessingCode[:2]),
				string(sum.Condition[:]), string(sum.POSType[:])}]
		}
		return classifyOther(d, first, sum)
	}
	return Ask{}
}

// classifyOther goes by message type, processing code and condition (ISO 8583:1987 4.3.8).
func classifyOther(d message.Dialect, first message.MTI, sum *message.Summary) Ask {
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
	return Ask{}
}

// otherHolds tells authorizations apart by processing code.
var otherHolds = map[string]Ask{"00": askPreAuth, "03": askPreAuth, "20": askVoid}

// classifyFinancial tells transactions apart that move money.
func classifyFinancial(d message.Dialect, first message.MTI, sum *message.Summary) Ask {
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
	case CodeCashLoad:
		return Ask{CashLoad, txn.Load, route.Load, false}
	}
	return Ask{}
}

// TypeOf returns the first type of the message that a terminal's reversal undoes: it has its
// original's processing code, condition and field 60.1.
func TypeOf(sum *message.Summary) message.MTI {
	t := posType{0, string(sum.ProcessingCode[:2]), string(sum.Condition[:]),
		string(sum.POSType[:])}
	for _, t.mti = range [...]message.MTI{message.AuthorizationRequest, message.FinancialAdvice} {
		if _, ok := posTypes[t]; ok {
			return t.mti
		}
	}
	return message.FinancialRequest
}
