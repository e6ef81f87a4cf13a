package bank

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// chip answers a terminal that asks for public keys (field 60.3 372 their list, 370 one, 371
// it has them) or applications (382, 380, 381).
func (o *order) chip() answer {
	network := string(o.sum.Network[:])
	set := o.sw.chips.Keys
	if network[1] == '8' {
		set = o.sw.chips.Applications
	}
	if set == nil {
		return answer{code: codeUnsupported}
	}
	a := answer{code: codeApproved, rrn: o.sw.rrnOf(o.now, o.sum.STAN)}
	ask := set.Item
	switch network[2] {
	case '1':
		return a
	case '2':
		ask = set.List
	}
	var room [64]byte
	text, ok := ask(o.view.Append(room[:0], 62))
	if !ok {
		return answer{code: codeFormat}
	}
	a.fields = []field{{62, text}}
	return a
}

const signaturePrefix = "bank/signature/"

// Signature is what a card holder wrote on a terminal's screen, kept with its transaction.
type Signature struct {
	Request string     `json:"request"` // the id of the transaction
	RRN     string     `json:"rrn,omitempty"`
	Card    string     `json:"card,omitempty"` // the token
	Amount  int64      `json:"amount,omitempty"`
	Image   string     `json:"image"` // field 62 in hex, as the terminal sent it
	At      txn.Millis `json:"at"`
}

// ErrNoSignature reports a transaction without a signature.
var ErrNoSignature = errors.New("no signature is kept of this request id")

// Signature returns what is kept of the signature of a transaction.
func (s *Switch) Signature(ctx context.Context, request string) (sig Signature, err error) {
	value, version, err := s.o.Registry.Get(ctx, signaturePrefix+request)
	switch {
	case err != nil:
		return sig, err
	case version == 0 || len(value) == 0:
		return sig, ErrNoSignature
	}
	if err := json.Unmarshal(value, &sig); err != nil {
		return sig, fmt.Errorf("%w: signature of %s: %w", store.ErrDamaged, request, err)
	}
	return sig, nil
}

// signature keeps a signature (0820, field 60.1 07 and 60.3 800) under the terminal, batch and
// trace number of its transaction. One that is sent again takes the place of the first.
func (o *order) signature(ctx context.Context) answer {
	image := o.view.Append(nil, 62)
	switch {
	case o.sum.MTI.First() != message.NetworkAdvice || string(o.sum.POSType[:]) != "07":
		return answer{code: codeUnsupported}
	case len(image) == 0 || o.sum.STAN == 0:
		return answer{code: codeFormat}
	}
	id := txn.RequestID{Terminal: o.in.terminalID(o.sum.Terminal), Boot: number(o.sum.Batch[:]),
		Counter: o.sum.STAN}
	s := Signature{Request: id.String(), RRN: trimmed(o.sum.RRN[:]), Amount: o.sum.Amount, Image: hex.EncodeToString(image), At: o.now}
	if !o.sum.PAN.IsZero() {
		s.Card = o.sw.tokens.Token(o.sum.PAN).String()
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = o.sw.answers.Put(ctx, signaturePrefix+s.Request, text)
	}
	if err == nil {
		o.sw.stats.Signatures.Add(1)
	}
	return o.kept(err)
}
