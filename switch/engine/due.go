package engine

import (
	"errors"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Due keys name the card and the request that a due entry is about; the first byte says
// what is to be done.
const dueLapse = 'j'

const lapseKeySize = 1 + pan.TokenSize + txn.RequestIDSize

// errDueKey reports a due key that this engine did not make.
var errDueKey = errors.New("engine: due key of an unknown form")

func appendLapseKey(dst []byte, card pan.Token, entry txn.RequestID) []byte {
	dst = append(dst, dueLapse)
	dst = append(dst, card[:]...)
	return entry.AppendBinary(dst)
}

func parseLapseKey(key []byte) (card pan.Token, entry txn.RequestID, err error) {
	if len(key) != lapseKeySize || key[0] != dueLapse {
		return card, entry, errDueKey
	}
	copy(card[:], key[1:])
	return card, txn.DecodeRequestID(key[1+pan.TokenSize:]), nil
}
