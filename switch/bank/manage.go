package bank

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/bank/secure"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// batchMax is the last batch number; 1 follows it.
const batchMax = 999_999

// terminalState is what is kept of a terminal from one sign-on to the next.
type terminalState struct {
	// Batch is the batch that is open.
	Batch uint32 `json:"batch"`
	// SignedOn is when the terminal last signed on.
	SignedOn txn.Millis `json:"signed_on"`
}

func terminalKey(id txn.TerminalID) string { return "bank/terminal/" + id.String() }

// terminalState returns what is kept of a terminal.
func (s *Switch) terminalState(ctx context.Context, id txn.TerminalID) (t terminalState, err error) {
	value, version, err := s.o.Registry.Get(ctx, terminalKey(id))
	t = terminalState{Batch: 1}
	if err == nil && version > 0 {
		if err = json.Unmarshal(value, &t); err != nil {
			err = fmt.Errorf("%w: terminal %s: %w", store.ErrDamaged, id, err)
		}
	}
	return t, err
}

// changeTerminal changes what is kept of a terminal.
func (s *Switch) changeTerminal(ctx context.Context, id txn.TerminalID, change func(*terminalState)) (
	t terminalState, err error,
) {
	for range stanTriesMax {
		value, version, err := s.o.Registry.Get(ctx, terminalKey(id))
		if err != nil {
			return t, err
		}
		t = terminalState{Batch: 1}
		if version > 0 {
			if err := json.Unmarshal(value, &t); err != nil {
				return t, fmt.Errorf("%w: terminal %s: %w", store.ErrDamaged, id, err)
			}
		}
		change(&t)
		text, err := json.Marshal(t)
		if err != nil {
			return t, err
		}
		if err = s.o.Registry.Put(ctx, terminalKey(id), text, version); !errors.Is(err, store.ErrConflict) {
			return t, err
		}
	}
	return t, store.ErrConflict
}

// workingForms are the forms of working keys by field 60.3 of a sign-on.
var workingForms = map[string]keyring.WorkingForm{"001": keyring.Working24, "003": keyring.Working40,
	"004": keyring.Working60}

// signOn begins a terminal's session: its batch number, and new working keys where it has a
// master key. An acquirer's is answered, nothing more.
func (o *order) signOn(ctx context.Context) answer {
	if o.terminal == nil {
		return answer{code: codeApproved}
	}
	id := o.in.terminalID(o.sum.Terminal)
	t, err := o.sw.changeTerminal(ctx, id, func(t *terminalState) { t.SignedOn = o.now })
	if err != nil {
		o.sw.fault("sign-on", err)
		return answer{code: codeMalfunction}
	}
	a := answer{code: codeApproved, rrn: o.sw.rrnOf(o.now, o.sum.STAN)}
	network := string(o.sum.Network[:])
	private := message.Private{Type: "00", Batch: fmt.Sprintf("%06d", t.Batch), Network: network}
	if digits, err := private.Digits(); err == nil {
		a.fields = append(a.fields, field{60, []byte(digits)})
	}
	if o.terminal.MasterKey == "" {
		return a
	}
	keys, err := o.sw.keys.SignOn(ctx, o.terminal.Name, o.terminal.MasterKey, workingForms[network])
	if err != nil {
		o.sw.fault("working keys of "+o.terminal.Name, err)
		return answer{code: codeMalfunction}
	}
	a.fields = append(a.fields, field{62, keys})
	return a
}

// changeKey takes a key that an acquirer sends under the zone key.
func (o *order) changeKey(ctx context.Context) answer {
	if o.in.keys == nil {
		return answer{code: codeInvalid}
	}
	code := takeKey(ctx, o.in.keys, received{o.in.spec, &o.view, &o.sum, o.frame})
	o.sw.log.Info("change of key", "listener", o.in.cfg.Name, "code", code)
	return answer{code: code}
}

// keyPrefix begins field 48 where it brings a key.
const keyPrefix = "NK"

// received is a message as it came in, with what was read of it.
type received struct {
	spec  *message.Spec
	view  *message.View
	sum   *message.Summary
	frame []byte
}

// takeKey puts a key into force that came in a network message (DOMAIN.md 2.3): field 53 has
// its kind (1 PIN, 2 MAC) and algorithm (0 DES, 6 3DES), field 48 "NK" with key and check
// value in hex, or field 96 a key of 8 bytes and field 48 its check value. Where the message
// has a MAC it is made with a MAC key that comes, or else with the one in force.
func takeKey(ctx context.Context, keys *secure.LinkKeys, m received) (code string) {
	t, ok := readTransfer(m.view)
	if !ok {
		return codeFormat
	}
	pending, err := keys.Receive(t)
	if err != nil {
		return codeSecurity
	}
	if value, has := m.spec.MACField(m.frame, m.sum); has {
		check := keys.Check
		if t.Kind == secure.MACKey {
			check = pending.Check
		}
		covered := m.sum.Covered.Of(m.frame)
		if check(covered, value[:]) != nil && keys.Check(covered, value[:]) != nil {
			return codeMAC
		}
	}
	if err := pending.Commit(ctx); err != nil {
		return codeMalfunction
	}
	return codeApproved
}

// codeSecurity refuses a key.
const codeSecurity = "A7"

func readTransfer(v *message.View) (t secure.Transfer, ok bool) {
	control := string(v.Append(nil, 53))
	if len(control) != 16 {
		return t, false
	}
	switch control[0] {
	case '1':
		t.Kind = secure.PINKey
	case '2':
		t.Kind = secure.MACKey
	default:
		return t, false
	}
	size := 8
	t.Algorithm = keyring.DES
	if control[1] == '6' {
		size, t.Algorithm = 16, keyring.TDES2
	}
	text := strings.TrimPrefix(string(v.Append(nil, 48)), keyPrefix)
	raw, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil {
		return t, false
	}
	if v.Has(96) && size == 8 {
		t.Wrapped, t.KCV = v.Append(nil, 96), raw
		return t, len(raw) >= 3
	}
	if len(raw) < size+3 {
		return t, false
	}
	t.Wrapped, t.KCV = raw[:size], raw[size:]
	return t, true
}

// Notice is what a terminal or network told that moves no money: the result of an issuer's
// script on the card's chip, a cut-over of the network.
type Notice struct {
	Terminal string     `json:"terminal"`
	MTI      string     `json:"mti"`
	Network  string     `json:"network,omitempty"`
	STAN     uint32     `json:"stan"`
	RRN      string     `json:"rrn,omitempty"`
	Card     string     `json:"card,omitempty"` // the token
	Chip     string     `json:"chip,omitempty"` // field 55 of a script result in hex
	At       txn.Millis `json:"at"`
}

// note keeps a notice and answers it. One that is sent again takes the place of the first.
func (o *order) note(ctx context.Context) answer {
	n := Notice{Terminal: o.in.terminalID(o.sum.Terminal).String(), MTI: o.sum.MTI.First().String(),
		Network: trimmed(o.sum.Network[:]), STAN: o.sum.STAN, RRN: trimmed(o.sum.RRN[:]), At: o.now}
	if !o.sum.PAN.IsZero() {
		n.Card = o.sw.tokens.Token(o.sum.PAN).String()
	}
	if o.sum.MTI.Class() == message.Administrative {
		n.Chip = hex.EncodeToString(o.view.Append(nil, 55))
	}
	text, err := json.Marshal(n)
	if err != nil {
		return o.kept(err)
	}
	key := fmt.Sprintf("bank/notice/%s/%s/%06d", n.Terminal, o.sw.localTime(o.now, "20060102"), n.STAN)
	_, version, err := o.sw.o.Registry.Get(ctx, key)
	if err == nil {
		err = o.sw.o.Registry.Put(ctx, key, text, version)
	}
	return o.kept(err)
}

// parameters answers a terminal that asks for its parameters: two digits of tag and the
// value, one after the other.
func (o *order) parameters() answer {
	a := answer{code: codeApproved}
	tags := make([]string, 0, len(o.in.cfg.Parameters))
	for tag := range o.in.cfg.Parameters {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	var text strings.Builder
	for _, tag := range tags {
		text.WriteString(tag + o.in.cfg.Parameters[tag])
	}
	if text.Len() > 0 {
		a.fields = []field{{62, []byte(text.String())}}
	}
	return a
}

// blacklistPageMax is how many cards one answer holds: 40 tokens of 16 bytes fit field 62.
const blacklistPageMax = 40

// blacklist answers a terminal that asks for the frozen cards. Field 62 of the request says
// where to go on (8 digits: bucket and number within it; none for the beginning), that of the
// answer "1" and where to go on or "0" and zeros at the end, two digits of count, and the
// cards as their tokens: the switch keeps no card numbers.
func (o *order) blacklist(ctx context.Context) answer {
	if string(o.sum.Network[:]) == "391" || o.sw.o.List == nil {
		return answer{code: codeApproved}
	}
	bucket, skip := uint32(0), uint32(0)
	if at := o.view.Append(nil, 62); len(at) >= 8 {
		bucket, skip = number(at[:2]), number(at[2:8])
	}
	var page []pan.Token
	next := "000000000"
	for ; bucket < txn.BucketCount; bucket, skip = bucket+1, 0 {
		full, err := o.sw.pageOf(ctx, txn.Bucket(bucket), skip, &page)
		if err != nil {
			o.sw.fault("blacklist", err)
			return answer{code: codeMalfunction}
		}
		if full > 0 {
			next = fmt.Sprintf("1%02d%06d", bucket, full)
			break
		}
	}
	text := append([]byte(next), fmt.Sprintf("%02d", len(page))...)
	for _, token := range page {
		text = append(text, token[:]...)
	}
	return answer{code: codeApproved, fields: []field{{62, text}}}
}

// pageOf adds the frozen cards of a bucket behind the first skip, in the order of their
// tokens, and returns where to go on, 0 when the bucket is done.
func (s *Switch) pageOf(ctx context.Context, b txn.Bucket, skip uint32, page *[]pan.Token) (uint32, error) {
	var all []pan.Token
	_, err := s.o.List.Snapshot(ctx, b, func(card pan.Token, m txn.Mark) {
		if m.Frozen(txn.AppBank) {
			all = append(all, card)
		}
	})
	if err != nil {
		return 0, err
	}
	slices.SortFunc(all, func(a, b pan.Token) int { return slices.Compare(a[:], b[:]) })
	rest := all[min(int(skip), len(all)):]
	room := blacklistPageMax - len(*page)
	if len(rest) > room {
		*page = append(*page, rest[:room]...)
		return skip + uint32(room), nil
	}
	*page = append(*page, rest...)
	return 0, nil
}
