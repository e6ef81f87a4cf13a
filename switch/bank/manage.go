package bank

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/kept"
	"github.com/tapswitch/tapswitch/switch/bank/message"
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
	for range kept.TriesMax {
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
