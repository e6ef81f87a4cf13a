package card

import (
	"encoding/binary"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// The memory of bank transactions. BankMax is how many a card keeps, BankOpenMax how many
// of them may be open at once, and one that is younger than BankYoung is never forgotten:
// a repeat or reversal of it may come any moment. BankPreAuthKeep is how long a
// pre-authorization waits for its completion (30 days, UnionPay), BankStandInKeep how long
// what the switch approved in a bank's place counts for its limits.
const (
	BankMax                    = 14
	BankOpenMax                = 6
	BankYoung       txn.Millis = 2 * 60 * 1000
	BankPreAuthKeep txn.Millis = 30 * 24 * 60 * 60 * 1000
	BankStandInKeep txn.Millis = 24 * 60 * 60 * 1000
	BankSealedMax              = 256 // bytes of what a reversal or advice, and a repeat, needs
	BankLinkMax                = 16  // bytes of the name of a link
	BankIssuerMax              = 16  // bytes of the name of an issuer
)

// Phase is where a bank transaction stands. Numbers go to disk: append only.
type Phase uint8

// The phases. Pending, Reversing and Advising are open: their due time says when the switch
// acts again by itself.
const (
	PhaseNone Phase = iota
	// Pending: committed, and on its way to the bank or about to be. When its due time
	// passes without an answer, it is reversed.
	Pending
	// Approved, Declined and Reversed are the three ends.
	Approved
	Declined
	Reversed
	// Reversing: it ends as reversed; the bank is told until it answers.
	Reversing
	// Advising: the bank is told, not asked, until it answers. Booked says whether the
	// terminal has the approval already.
	Advising
	// Dead: the bank refuses what it was told, or never answered. A person decides.
	Dead
	phaseEnd
)

// String returns the phase's stable name.
func (p Phase) String() string {
	if p >= phaseEnd {
		return "unknown"
	}
	return [phaseEnd]string{"none", "pending", "approved", "declined", "reversed", "reversing",
		"advising", "dead"}[p]
}

// Open reports whether the switch has something left to do.
func (p Phase) Open() bool { return p == Pending || p == Reversing || p == Advising }

// Telling reports whether the bank is being told, until it answers.
func (p Phase) Telling() bool { return p == Reversing || p == Advising }

// BankTxn is one transaction of the card's bank function with what is needed to answer a
// repeat, to undo it, and to tell the bank.
type BankTxn struct {
	ID          txn.RequestID // as the terminal or acquirer sent it
	Fingerprint txn.Fingerprint
	Kind        txn.Kind
	Phase       Phase
	Reason      txn.Reason
	// Original is what a void, refund or completion refers to; zero when it is not one of
	// this switch.
	Original txn.RequestID
	Amount   txn.Minor
	// Asked is what the terminal asked for where the bank approved less; else zero.
	Asked txn.Minor
	// Used is how much of it refunds or a completion have taken, Amended what adjustments
	// and tips have added to it.
	Used, Amended txn.Minor
	// Voided: a void of it was approved. Booked: its approval is in the ledger. StandIn:
	// the switch approved in the bank's place.
	Voided, Booked, StandIn bool
	// Advised: the bank knows it as an advice.
	Advised bool
	// Adjusted: the bank refused what was approved for it, and the ledger says so.
	Adjusted bool
	// Tombstone: its reversal came before it; it must never be executed.
	Tombstone bool
	At        txn.Millis // when the switch took it up

	Auth txn.AuthCode // of the bank, or of the switch when it stood in
	// Code is the bank's field 39 as it was sent; zero before an answer.
	Code   [2]byte
	RRN    [12]byte // that the switch gave it
	Issuer string
	// Link is where it went; STAN and Sent (field 7) identify it there.
	Link string
	STAN uint32
	Sent [10]byte
	// ToldSTAN and ToldSent identify its reversal there, once one was made.
	ToldSTAN uint32
	ToldSent [10]byte
	// Due is when the switch acts next, Tries how often it told the bank.
	Due   txn.Millis
	Tries uint16
	// Sealed is what a message to the bank is made of, enciphered. Only while it may be
	// needed.
	Sealed []byte
	// Settled is field 15 of the bank's answer, Answer what else of it a repeat gets again,
	// enciphered; together with Sealed at most BankSealedMax. AnswerElsewhere says that the
	// registry has it.
	Settled         [4]byte
	Answer          []byte
	AnswerElsewhere bool
}

// Total is the amount with what adjustments and tips have added to it.
func (b *BankTxn) Total() txn.Minor { return b.Amount + b.Amended }

// more reports whether b has what few transactions have, which is stored only then.
func (b *BankTxn) more() bool {
	return b.Asked != 0 || b.Amended != 0 || b.Settled != [4]byte{} || len(b.Answer) > 0
}

// FindBank returns the index of id in the memory of bank transactions, or -1.
func (s *State) FindBank(id txn.RequestID) int {
	for i := len(s.Bank) - 1; i >= 0; i-- {
		if s.Bank[i].ID == id {
			return i
		}
	}
	return -1
}

// RoomForBank makes room for one more transaction at instant now by forgetting the oldest
// that need not be kept. It returns false when there is none.
func (s *State) RoomForBank(now txn.Millis) bool {
	return s.RoomForBankBeside(now, txn.RequestID{})
}

// RoomForBankBeside is RoomForBank for a transaction that refers to original, which is not
// forgotten for it.
func (s *State) RoomForBankBeside(now txn.Millis, original txn.RequestID) bool {
	open := 0
	for i := range s.Bank {
		if s.Bank[i].Phase.Open() || s.Bank[i].Phase == Dead {
			open++
		}
	}
	if open >= BankOpenMax {
		return false
	}
	if len(s.Bank) < BankMax {
		return true
	}
	if i := s.forgettable(now, original); i >= 0 {
		s.Bank = slices.Delete(s.Bank, i, i+1)
		return true
	}
	return false
}

// forgettable returns the transaction to be forgotten first, -1 for none: what has failed
// before what may still be voided or refunded, and of each the oldest. The original of one
// that may still move money is kept, since the money is counted there.
func (s *State) forgettable(now txn.Millis, original txn.RequestID) int {
	best := [3]int{-1, -1, -1}
	for i := range s.Bank {
		b := &s.Bank[i]
		if b.Phase.Open() || b.Phase == Dead || b.At > now-BankYoung ||
			b.ID == original || s.isOriginal(b.ID) {
			continue
		}
		class := 1
		switch {
		case b.Phase != Approved || b.Voided:
			class = 0
		case b.Kind == txn.BankPreAuth && b.Used == 0 && b.At > now-BankPreAuthKeep,
			b.StandIn && b.At > now-BankStandInKeep:
			class = 2
		}
		if best[class] < 0 {
			best[class] = i
		}
	}
	for _, i := range best {
		if i >= 0 {
			return i
		}
	}
	return -1
}

// isOriginal reports whether a transaction refers to id that may still move money.
func (s *State) isOriginal(id txn.RequestID) bool {
	return slices.ContainsFunc(s.Bank, func(b BankTxn) bool {
		return b.Original == id && b.Phase != Declined && b.Phase != Reversed
	})
}

const (
	bankVoided = 1 << iota
	bankBooked
	bankStandIn
	bankTombstone
	bankAdvised
	bankAdjusted
	bankElsewhere
	bankMore
)

func (b *BankTxn) flags() (f byte) {
	for i, set := range [...]bool{b.Voided, b.Booked, b.StandIn, b.Tombstone, b.Advised,
		b.Adjusted, b.AnswerElsewhere, b.more()} {
		if set {
			f |= 1 << i
		}
	}
	return f
}

// appendBank appends the section of bank transactions: nothing for a card without.
func (s *State) appendBank(dst []byte) []byte {
	if len(s.Bank) == 0 {
		return dst
	}
	dst = append(dst, byte(len(s.Bank)))
	for i := range s.Bank {
		dst = s.Bank[i].append(dst)
	}
	return dst
}

func (b *BankTxn) append(dst []byte) []byte {
	dst = b.ID.AppendBinary(dst)
	dst = append(dst, b.Fingerprint[:]...)
	dst = append(dst, byte(b.Kind), byte(b.Phase), byte(b.Reason), b.flags())
	dst = append(dst, b.Auth[:]...)
	dst = append(dst, b.Code[:]...)
	dst = append(dst, b.RRN[:]...)
	dst = append(dst, b.Sent[:]...)
	dst = append(dst, b.ToldSent[:]...)
	if b.Original.IsZero() {
		dst = append(dst, 0)
	} else {
		dst = b.Original.AppendBinary(append(dst, 1))
	}
	dst = binary.AppendVarint(dst, int64(b.Amount))
	dst = binary.AppendVarint(dst, int64(b.Used))
	dst = binary.AppendVarint(dst, int64(b.At))
	dst = binary.AppendVarint(dst, int64(b.Due))
	dst = binary.AppendUvarint(dst, uint64(b.STAN))
	dst = binary.AppendUvarint(dst, uint64(b.ToldSTAN))
	dst = binary.AppendUvarint(dst, uint64(b.Tries))
	dst = appendText(dst, b.Issuer, BankIssuerMax)
	dst = appendText(dst, b.Link, BankLinkMax)
	dst = binary.AppendUvarint(dst, uint64(len(b.Sealed)))
	dst = append(dst, b.Sealed...)
	if !b.more() {
		return dst
	}
	dst = append(dst, b.Settled[:]...)
	dst = binary.AppendVarint(dst, int64(b.Asked))
	dst = binary.AppendVarint(dst, int64(b.Amended))
	dst = binary.AppendUvarint(dst, uint64(len(b.Answer)))
	return append(dst, b.Answer...)
}

const bankFixed = txn.RequestIDSize + len(txn.Fingerprint{}) + 4 +
	len(txn.AuthCode{}) + 2 + 12 + 10 + 10 + 1

// bank reads a transaction. Most of a card's go the way of the last one, whose names it shares.
func (d *reader) bank(last *BankTxn) (b BankTxn) {
	f := d.take(bankFixed)
	if f == nil {
		return b
	}
	b.ID = txn.DecodeRequestID(f)
	f = f[txn.RequestIDSize:]
	f = f[copy(b.Fingerprint[:], f):]
	b.Kind, b.Phase, b.Reason = txn.Kind(f[0]), Phase(f[1]), txn.Reason(f[2])
	b.Voided, b.Booked = f[3]&bankVoided != 0, f[3]&bankBooked != 0
	b.StandIn, b.Tombstone = f[3]&bankStandIn != 0, f[3]&bankTombstone != 0
	b.Advised, b.Adjusted = f[3]&bankAdvised != 0, f[3]&bankAdjusted != 0
	b.AnswerElsewhere = f[3]&bankElsewhere != 0
	more := f[3]&bankMore != 0
	f = f[4:]
	for _, to := range [][]byte{b.Auth[:], b.Code[:], b.RRN[:], b.Sent[:], b.ToldSent[:]} {
		f = f[copy(to, f):]
	}
	switch f[0] {
	case 0:
	case 1:
		b.Original = d.requestID()
	default:
		d.bad = true
	}
	b.Amount, b.Used = txn.Minor(d.varint()), txn.Minor(d.varint())
	b.At, b.Due = txn.Millis(d.varint()), txn.Millis(d.varint())
	b.STAN, b.ToldSTAN = uint32(d.uvarint()), uint32(d.uvarint())
	b.Tries = uint16(d.uvarint())
	b.Issuer, b.Link = d.textLike(last.Issuer), d.textLike(last.Link)
	b.Sealed = d.sealed(BankSealedMax)
	if more {
		copy(b.Settled[:], d.take(len(b.Settled)))
		b.Asked, b.Amended = txn.Minor(d.varint()), txn.Minor(d.varint())
		b.Answer = d.sealed(BankSealedMax - len(b.Sealed))
		d.bad = d.bad || !b.more()
	}
	if b.Phase == PhaseNone || b.Phase >= phaseEnd || !b.Kind.IsBank() {
		d.bad = true
	}
	return b
}

// sealed reads at most limit bytes behind their count; nil for none.
func (d *reader) sealed(limit int) []byte {
	n := d.uvarint()
	if n > uint64(limit) {
		d.bad = true
		return nil
	}
	if n == 0 {
		return nil
	}
	return slices.Clone(d.take(int(n)))
}

// textLike reads a text, which is last where the two are equal: no copy is made then.
func (d *reader) textLike(last string) string {
	b := d.take(int(d.byte()))
	if string(b) == last {
		return last
	}
	return string(b)
}
