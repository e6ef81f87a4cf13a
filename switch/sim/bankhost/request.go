package bankhost

import (
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// Kind is what a request wants.
type Kind uint8

// The kinds. They are read off MTI, processing code and condition code, which the dialects
// have in common (DOMAIN.md 2.4).
const (
	Unknown Kind = iota
	Purchase
	Void
	Refund
	PreAuth
	PreAuthVoid
	Completion
	CompletionVoid
	OfflineSale
	Balance
	Load
	Reversal
	Notice
	kindEnd
)

var kindNames = [kindEnd]string{"unknown", "purchase", "void", "refund", "pre_auth",
	"pre_auth_void", "completion", "completion_void", "offline_sale", "balance", "load", "reversal", "notice"}

// String returns the name as in reports and rules.
func (k Kind) String() string { return kindNames[min(k, kindEnd-1)] }

// MarshalText returns String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what String prints.
func (k *Kind) UnmarshalText(text []byte) error {
	*k, _ = kindNamed(string(text))
	return nil
}

func kindNamed(name string) (Kind, bool) {
	for i, n := range kindNames {
		if n == name {
			return Kind(i), true
		}
	}
	return Unknown, false
}

// declinable reports whether a bank may say no to the request without a reason of the book.
func (q *request) declinable() bool {
	switch q.kind {
	case Purchase, PreAuth, Load, Refund:
		return true
	case Completion:
		return !q.told()
	}
	return false
}

// told reports whether the request is an advice of what has happened already.
func (q *request) told() bool {
	return q.kind == OfflineSale || q.kind == Notice ||
		q.kind == Completion && q.sum.MTI.First() == message.FinancialAdvice
}

// kindOf reads the kind off a request.
func kindOf(s *message.Summary) Kind {
	switch s.MTI.Class() {
	case message.Reversal:
		return Reversal
	case message.Administrative:
		return Notice
	}
	held := string(s.Condition[:]) == "06"
	switch s.MTI.First() {
	case message.AuthorizationRequest:
		switch string(s.ProcessingCode[:2]) {
		case "03", "00":
			return PreAuth
		case "20":
			return PreAuthVoid
		}
	case message.FinancialRequest:
		return financialKind(string(s.ProcessingCode[:2]), held)
	case message.FinancialAdvice:
		switch code := string(s.ProcessingCode[:2]); {
		case code == "20":
			return Refund
		case code == "00" && held:
			return Completion
		case code == "00":
			return OfflineSale
		}
	}
	return Unknown
}

func financialKind(code string, held bool) Kind {
	switch {
	case code == "00" && held:
		return Completion
	case code == "00":
		return Purchase
	case code == "20" && held:
		return CompletionVoid
	case code == "20":
		return Void
	case code == "31":
		return Balance
	case code == "60" || code == "62" || code == "63":
		return Load
	}
	return Unknown
}

// Key is what makes a request of a peer the same request: trace number, time of
// transmission, acquirer, terminal, and for a terminal its batch. A reversal and what it
// reverses are told apart, since a terminal gives both one number.
type Key struct {
	Reversal bool
	STAN     uint32
	Sent     [10]byte
	Acquirer [11]byte
	Terminal [8]byte
	Batch    [6]byte
}

// hash is the part of a draw that the request decides. The time of transmission is not in
// it, so that a run of tomorrow behaves as the run of today.
func (k *Key) hash() uint64 {
	h := uint64(k.STAN)
	if k.Reversal {
		h |= 1 << 32
	}
	for _, part := range [...][]byte{k.Acquirer[:], k.Terminal[:], k.Batch[:]} {
		for _, c := range part {
			h = (h ^ uint64(c)) * 0x100000001B3
		}
	}
	return mix(h)
}

// request is what the host reads of a financial message. It is reused.
type request struct {
	sum  message.Summary
	kind Kind
	key  Key
	// content is what a repeat must have the same.
	amount int64
	card   pan.Token
	number pan.Number
	auth   [6]byte
	// original is what the request refers to; originalMTI is 0 where the dialect does not
	// say it.
	original    Key
	originalMTI message.MTI
	refers      bool
	text        string // field 48 of a notice
	// track2 and PIN block are looked at and cleared.
	room [128]byte
}

// begins reports whether the card number begins with prefix.
func (q *request) begins(prefix string) bool {
	return !q.number.IsZero() && strings.HasPrefix(q.number.Digits(), prefix)
}

// read fills q from a frame that v has open. It returns the response code of a request that
// cannot be understood, "" when it can.
func (q *request) read(v *message.View, dialect message.Dialect) (code string) {
	q.kind, q.amount, q.number = kindOf(&q.sum), q.sum.Amount, q.sum.PAN
	q.auth, q.refers, q.originalMTI = [6]byte{}, false, 0
	q.key = Key{Reversal: q.kind == Reversal, STAN: q.sum.STAN, Sent: q.sum.Sent,
		Terminal: q.sum.Terminal}
	q.key.Acquirer = padded(v.Append(q.room[:0], 32))
	v.Append(q.auth[:0], 38)
	if q.text = ""; q.kind == Notice && v.Has(48) {
		q.text = string(v.Append(nil, 48))
	}
	if dialect == message.POS {
		q.key.Batch, q.key.Sent, q.key.Acquirer = q.sum.Batch, [10]byte{}, padded(nil)
		q.readTerminalOriginal(v)
	} else {
		code = q.readOriginal(v)
	}
	if q.number.IsZero() && v.Has(35) {
		q.readTrack(v)
	}
	if !q.sum.Has(11) || q.number.IsZero() && q.kind != Reversal && q.kind != Notice {
		return "30"
	}
	return code
}

// padded writes an institution with zeros in front, as in field 90.
func padded(id []byte) (out [11]byte) {
	copy(out[:], "00000000000")
	copy(out[len(out)-min(len(id), len(out)):], id)
	return out
}

func (q *request) readTrack(v *message.View) {
	track := v.Append(q.room[:0], 35)
	if t, err := pan.ParseTrack2(track); err == nil {
		q.number = t.Number
	}
	clear(track)
}

// readOriginal reads field 90: MTI, STAN, time, acquirer, forwarder. The terminal is that of
// the request: field 90 does not have it.
func (q *request) readOriginal(v *message.View) (code string) {
	if !v.Has(90) {
		return ""
	}
	e, err := message.ParseOriginalElements(string(v.Append(q.room[:0], 90)))
	if err != nil {
		return "30"
	}
	if q.originalMTI, err = message.ParseMTI(e.MTI); err != nil {
		return "30"
	}
	q.originalMTI = q.originalMTI.First()
	q.original = Key{STAN: decimal(e.STAN), Acquirer: padded([]byte(e.Acquirer)),
		Terminal: q.key.Terminal}
	copy(q.original.Sent[:], e.Sent)
	q.refers = true
	return ""
}

// readTerminalOriginal reads field 61: batch and trace number. A terminal's reversal has the
// number of what it reverses.
func (q *request) readTerminalOriginal(v *message.View) {
	q.original = q.key
	q.original.Reversal = false
	q.refers = q.kind == Reversal
	o, err := message.ParseOriginal(string(v.Append(q.room[:0], 61)))
	if err != nil || o.STAN == "" {
		return
	}
	q.original.STAN = decimal(o.STAN)
	copy(q.original.Batch[:], o.Batch)
	q.refers = true
}

// decimal reads digits that the codec has checked.
func decimal(digits string) (n uint32) {
	for _, c := range []byte(digits) {
		n = n*10 + uint32(c-'0')
	}
	return n
}
