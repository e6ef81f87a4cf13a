package engine

import (
	"errors"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Due keys name the card and the request that a due entry is about; the first byte says
// what is to be done.
const (
	dueLapse = 'j'
	dueBank  = 'b'
	// DueMove owns the transfers of replaced cards, DueDocument the clocks of accounts and
	// cases, DueNotice those of notices.
	DueMove     = 't'
	DueDocument = 'a'
	DueNotice   = 'n'
)

// ownerOf returns whose entry a key is, zero for the engine's own and for none that is known.
func ownerOf(key []byte) byte {
	if len(key) == 0 {
		return 0
	}
	switch key[0] {
	case DueMove, DueDocument, DueNotice:
		return key[0]
	default:
		return 0
	}
}

const lapseKeySize = 1 + pan.TokenSize + txn.RequestIDSize

// errDueKey reports a due key that this engine did not make.
var errDueKey = errors.New("engine: due key of an unknown form")

func appendLapseKey(dst []byte, card pan.Token, entry txn.RequestID) []byte {
	dst = append(dst, dueLapse)
	dst = append(dst, card[:]...)
	return entry.AppendBinary(dst)
}

func appendBankKey(dst []byte, card pan.Token, id txn.RequestID) []byte {
	dst = append(dst, dueBank)
	dst = append(dst, card[:]...)
	return id.AppendBinary(dst)
}

// BankDue is a bank transaction about which the switch must act.
type BankDue struct {
	Card pan.Token
	ID   txn.RequestID
	At   txn.Millis
}

// parseBankKey reads the key of a bank transaction; false for one of another kind.
func parseBankKey(key []byte) (d BankDue, ok bool) {
	if len(key) != lapseKeySize || key[0] != dueBank {
		return d, false
	}
	copy(d.Card[:], key[1:])
	d.ID = txn.DecodeRequestID(key[1+pan.TokenSize:])
	return d, true
}

func parseLapseKey(key []byte) (card pan.Token, entry txn.RequestID, err error) {
	if len(key) != lapseKeySize || key[0] != dueLapse {
		return card, entry, errDueKey
	}
	copy(card[:], key[1:])
	return card, txn.DecodeRequestID(key[1+pan.TokenSize:]), nil
}
