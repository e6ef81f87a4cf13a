package txn

import (
	"encoding/binary"

	"github.com/tapswitch/tapswitch/crypto/pan"
)

// ChangeSet names the parts of a card that a CardChange sets.
type ChangeSet uint16

// The parts of a card that the agency decides about.
const (
	ChangeStatus      ChangeSet = 1 << iota // Active
	ChangeApps                              // Apps
	ChangeBankWaiting                       // BankWaiting
	ChangeRider                             // Rider and RiderUntil
	ChangeExpiry                            // ExpiresAt
	ChangeServed                            // ServedUntil
	ChangeSuccessor                         // Successor
	ChangeAccount                           // Account and Predecessor
	ChangeTrust                             // Widen and WidenUntil
)

// CardChange sets what the agency decided about a card; what Set does not name stays. It says
// what shall be, not what shall differ, so made twice it is made once.
type CardChange struct {
	Set         ChangeSet
	Active      bool
	Apps        App
	BankWaiting bool
	Rider       RiderCategory
	RiderUntil  Millis // from then on the rider is ordinary; 0 for no end
	ExpiresAt   Millis
	ServedUntil Millis // service goes on until then, expired or not (HD25)
	Successor   pan.Token
	Account     pan.Token
	Predecessor pan.Token
	// Widen is what a city's trust file adds to the limit of post-paid riding until WidenUntil.
	Widen      Minor
	WidenUntil Millis
}

func (a *CardChange) append(dst []byte) []byte {
	if a == nil {
		return dst
	}
	dst = append(dst, byte(a.Set), boolByte(a.Active), boolByte(a.BankWaiting), byte(a.Rider))
	dst = binary.BigEndian.AppendUint16(dst, uint16(a.Apps))
	for _, v := range [...]Millis{a.RiderUntil, a.ExpiresAt, a.ServedUntil} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(v))
	}
	for _, t := range [...]pan.Token{a.Successor, a.Account, a.Predecessor} {
		dst = append(dst, t[:]...)
	}
	if a.Set&ChangeTrust != 0 || a.Widen != 0 || a.WidenUntil != 0 {
		dst = append(dst, byte(a.Set>>8))
		dst = binary.BigEndian.AppendUint64(dst, uint64(a.Widen))
		dst = binary.BigEndian.AppendUint64(dst, uint64(a.WidenUntil))
	}
	return dst
}

// Move is one transfer from a replaced card to its successor. Seq counts the transfers of
// the replaced card from 1, so that each arrives once.
type Move struct {
	Seq uint32
	// Other is the successor for TransferOut, the replaced card for TransferIn.
	Other pan.Token
	// Arrived ends a TransferOut: the successor has it.
	Arrived bool
	// Journey is the ride that goes along, with EnteredAt set.
	EnteredAt Millis
	Station   string
	Line      string
	Operator  string
	Entry     RequestID
	// Rides are what the price of the replaced card's next ride rests on, and its passes, as
	// the card holds them; empty for none.
	Rides []byte
}

func (m *Move) append(dst []byte) []byte {
	if m == nil {
		return dst
	}
	dst = binary.BigEndian.AppendUint32(dst, m.Seq)
	dst = append(append(dst, m.Other[:]...), boolByte(m.Arrived))
	return binary.BigEndian.AppendUint64(dst, uint64(m.EnteredAt))
}
