package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/card"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Bounds of the work.
const (
	// batchMax is how many cards one list of the engine holds; a tap waits for no more.
	batchMax = 64
	// triesMax bounds the tries of a list, and the rounds of a change against others.
	triesMax   = 5
	retryPause = 200 * time.Millisecond
	restMin    = 2 * time.Millisecond
	restMax    = 50 * time.Millisecond
	// BadMax bounds the refused lines that are kept by name.
	BadMax = 500
)

// Who stands in the entries of the list: a source, or what is left when a source let go.
const (
	actorForeign = "foreign/"
	actorKept    = "kept/"
)

// Offer is a list as it came.
type Offer struct {
	Source string // by which call it came
	Body   []byte
	Proof  []byte
	By     string // the operator
}

// BadLine is a line that was not taken.
type BadLine struct {
	Line int     `json:"line"`
	Code Refusal `json:"code"`
	Card string  `json:"card"` // masked
}

// Report says what became of a list.
type Report struct {
	Refusal  Refusal `json:"refusal,omitempty"`
	Source   string  `json:"source"`
	Epoch    uint64  `json:"epoch"`
	Cards    int     `json:"cards"`    // of the list that are held now
	Frozen   int     `json:"frozen"`   // by this list
	Already  int     `json:"already"`  // were closed as far before
	Released int     `json:"released"` // the list names them no more
	Kept     int     `json:"kept"`     // not named any more, and closed for another's sake
	Replay   bool    `json:"replay"`
	Bad      []BadLine
}

// ErrBusy reports that a list of the source is being taken in.
var ErrBusy = errors.New("a list of this source is being taken in")

// Import takes a source's list in. A refusal stands in the report; an error that wraps
// ErrStore says that the same list is to be given again, and then goes on.
func (s *Service) Import(ctx context.Context, o Offer) (Report, error) {
	r := Report{Source: o.Source, Bad: []BadLine{}}
	w, source, refusal, err := s.accept(ctx, &o)
	if err != nil || refusal != "" {
		r.Refusal = refusal
		return r, err
	}
	r.Epoch = w.epoch
	var h head
	version, err := s.get(ctx, headPrefix+source.Name, &h)
	if err != nil {
		return r, err
	}
	switch {
	case h.Taking && s.o.Now() < h.Lease:
		return r, fmt.Errorf("%w: %s", ErrBusy, source.Name)
	case w.epoch < h.Epoch:
		r.Refusal = EpochOld
	case w.epoch == h.Epoch && version > 0 && w.digest != h.Digest:
		r.Refusal = EpochReused
	case w.epoch == h.Epoch && version > 0 && !h.Taking:
		r.Replay, r.Cards, r.Bad = true, h.Cards, append(r.Bad, h.Refused...)
	}
	if r.Refusal != "" || r.Replay {
		return r, nil
	}
	t := &taking{Service: s, source: source, list: w, by: o.By, report: &r, head: head{Epoch: w.epoch, Made: w.made,
		Expires: w.expires, Taken: s.o.Now(), Digest: w.digest, By: o.By}, version: version, was: h.Cards}
	if err := t.run(ctx); err != nil {
		t.giveUp(ctx)
		return r, err
	}
	return r, nil
}

// leaseMax is longer than a call works on a list; a process that died holds it for so long.
const leaseMax txn.Millis = 60_000

// accept proves a list and reads it.
func (s *Service) accept(ctx context.Context, o *Offer) (*wanted, *Source, Refusal, error) {
	if !plain(o.Source) {
		return nil, nil, Unknown, nil
	}
	source := new(Source)
	if version, err := s.get(ctx, sourcePrefix+o.Source, source); err != nil || version == 0 {
		return nil, nil, Unknown, err
	}
	verify, err := source.verifier()
	if err != nil {
		return nil, nil, "", err
	}
	if !verify(o.Body, o.Proof) {
		return nil, nil, ProofWrong, nil
	}
	w, err := read(o.Body, s.o.Tokenizer)
	if err != nil {
		return nil, nil, "", err
	}
	now := s.o.Now()
	switch {
	case w.source != o.Source:
		return nil, nil, OtherSource, nil
	case w.made > now+futureMax:
		return nil, nil, MadeInFuture, nil
	case w.expires <= now:
		return nil, nil, Expired, nil
	}
	return w, source, "", nil
}

// taking is an import at work.
type taking struct {
	*Service
	source  *Source
	list    *wanted
	by      string
	report  *Report
	head    head
	version uint64 // of the head
	was     int    // cards of the list before

	parts   [256][]pan.Token // as they are to be in the end
	gone    []pan.Token
	fresh   []listed // not held before
	counter uint32
}

func (t *taking) run(ctx context.Context) error {
	if err := t.sift(ctx); err != nil {
		return err
	}
	t.head.Taking, t.head.Lease = true, t.o.Now()+leaseMax
	t.head.Cards = max(t.was, len(t.list.cards))
	if err := t.putHead(ctx); err != nil {
		return err
	}
	versions, err := t.widen(ctx)
	if err != nil {
		return err
	}
	// A new version of the head has every process read what the source holds.
	for _, step := range []func(context.Context) error{t.putHead, t.claims, t.freeze, t.release} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	for n, tokens := range t.parts {
		if err := t.putPart(ctx, t.source.Name, byte(n), tokens, versions[n]); err != nil {
			return err
		}
	}
	t.head.Taking, t.head.Lease = false, 0
	t.head.Cards, t.report.Cards = len(t.list.cards), len(t.list.cards)
	if err := t.forget(ctx); err != nil {
		return err
	}
	return t.putHead(ctx)
}

// giveUp lets the list be given again at once. Without it the lease ends by itself.
func (t *taking) giveUp(ctx context.Context) {
	if !t.head.Taking || t.version == 0 {
		return
	}
	t.head.Lease = 0
	_ = t.putHead(context.WithoutCancel(ctx)) // the lease ends by itself
}

// sift takes out the lines that are not the institution's to freeze.
func (t *taking) sift(ctx context.Context) error {
	kept := t.list.cards[:0]
	for _, l := range t.list.cards {
		known, err := t.o.Local(ctx, l.card)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
		var bad Refusal
		switch {
		case known.Home:
			bad = CardHome
		case known.Issuer != "" && known.Issuer != t.source.Institution:
			bad = CardOther
		default:
			kept = append(kept, l)
			continue
		}
		if len(t.report.Bad) < BadMax {
			t.report.Bad = append(t.report.Bad, BadLine{l.line, bad, "****" + l.last4.String()})
		}
	}
	t.list.cards = kept
	slices.SortFunc(t.report.Bad, func(a, b BadLine) int { return a.Line - b.Line })
	t.head.Refused = t.report.Bad
	return nil
}

func (t *taking) putHead(ctx context.Context) error {
	err := t.put(ctx, headPrefix+t.source.Name, t.head, t.version)
	if errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("%w: %s", ErrBusy, t.source.Name)
	}
	t.version++
	return err
}

// widen writes what the source holds until the list is in force: what it held and what it
// will hold. It returns the versions of the parts.
func (t *taking) widen(ctx context.Context) (versions [256]uint64, err error) {
	for _, l := range t.list.cards {
		t.parts[l.card[0]] = append(t.parts[l.card[0]], l.card)
	}
	var both [256][]pan.Token
	held := map[pan.Token]bool{}
	err = t.eachPart(ctx, t.source.Name, func(n byte, old []pan.Token, version uint64) {
		versions[n], both[n] = version, slices.Concat(old, t.parts[n])
		slices.SortFunc(both[n], func(a, b pan.Token) int { return bytes.Compare(a[:], b[:]) })
		both[n] = slices.Compact(both[n])
		for _, card := range old {
			held[card] = true
			if _, ok := slices.BinarySearchFunc(t.parts[n], card,
				func(a, b pan.Token) int { return bytes.Compare(a[:], b[:]) }); !ok {
				t.gone = append(t.gone, card)
			}
		}
	})
	if err != nil {
		return versions, err
	}
	for _, l := range t.list.cards {
		if !held[l.card] {
			t.fresh = append(t.fresh, l)
		}
	}
	for n := range both {
		if err := t.putPart(ctx, t.source.Name, byte(n), both[n], versions[n]); err != nil {
			return versions, err
		}
		versions[n]++
		if len(both[n]) == 0 { // an empty value removes the key
			versions[n] = 0
		}
	}
	return versions, nil
}

// claims notes what others closed on cards that the source did not hold before.
func (t *taking) claims(ctx context.Context) error {
	for _, l := range t.fresh {
		e, ok, err := t.o.List.Entry(ctx, l.card)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
		if !ok || e.Mark.Reason == txn.NotFrozen || strings.HasPrefix(e.Actor, actorForeign) {
			continue
		}
		if err := t.Claim(ctx, l.card, e.Mark); err != nil {
			return err
		}
	}
	return nil
}

// freeze freezes all cards of the list: those that were held before too, since a store may
// have been restored from an older copy.
func (t *taking) freeze(ctx context.Context) error {
	requests := make([]*txn.Request, 0, batchMax)
	for _, l := range t.list.cards {
		r := t.request(txn.Freeze, l.card, l.last4)
		r.Listing = txn.Listing{Mark: frozen, Actor: actorForeign + t.source.Name, Note: t.note()}
		if requests = append(requests, r); len(requests) == batchMax {
			if err := t.all(ctx, requests); err != nil {
				return err
			}
			requests = requests[:0]
		}
	}
	return t.all(ctx, requests)
}

func (t *taking) note() string {
	return fmt.Sprintf("%s epoch %d by %s", t.source.Institution, t.list.epoch, t.by)
}

// request makes a request of the import. Its id is of the list, so that one that is given
// again asks the same.
func (t *taking) request(kind txn.Kind, of pan.Token, last4 pan.Last4) *txn.Request {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s/%d", t.source.Name, t.list.epoch) // a hash never fails
	t.counter++
	now := t.o.Now()
	return &txn.Request{ID: txn.RequestID{Terminal: t.terminal, Boot: h.Sum32(), Counter: t.counter}, Kind: kind,
		Card: of, Last4: last4, Currency: t.o.Currency, ServiceAt: now, ReceivedAt: now}
}

// release lifts what the source names no more, down to what others closed.
func (t *taking) release(ctx context.Context) error {
	requests := make([]*txn.Request, 0, batchMax)
	held, err := t.Held(ctx, t.gone...)
	if err != nil {
		return err
	}
	for _, of := range t.gone {
		left, actor, err := t.left(ctx, of, held[of])
		if err != nil {
			return err
		}
		if left.Reason.Terminal() {
			t.report.Kept++
			continue
		}
		r := t.request(txn.Release, of, pan.Last4{})
		r.Listing = txn.Listing{Mark: left, Actor: actor, Note: t.note()}
		if requests = append(requests, r); len(requests) == batchMax {
			if err := t.all(ctx, requests); err != nil {
				return err
			}
			requests = requests[:0]
		}
	}
	return t.all(ctx, requests)
}

// left is what remains in force on a card when the source lets go, and for whom.
func (t *taking) left(ctx context.Context, of pan.Token, holders []string) (txn.Mark, string, error) {
	known, err := t.o.Local(ctx, of)
	if err != nil {
		return txn.Mark{}, "", fmt.Errorf("%w: %w", ErrStore, err)
	}
	mark, _, err := t.claim(ctx, of)
	if err != nil {
		return mark, "", err
	}
	mark = card.Merge(mark, known.Mark)
	for _, other := range holders {
		if other != t.source.Name {
			return card.Merge(mark, frozen), actorForeign + other, nil
		}
	}
	if mark.Reason != txn.NotFrozen {
		return mark, actorKept + t.source.Name, nil
	}
	return mark, actorForeign + t.source.Name, nil
}

// forget drops the claims of cards that no source holds any more.
func (t *taking) forget(ctx context.Context) error {
	held, err := t.Held(ctx, t.gone...)
	if err != nil {
		return err
	}
	for _, of := range t.gone {
		if slices.ContainsFunc(held[of], func(name string) bool { return name != t.source.Name }) {
			continue
		}
		if err := t.dropClaim(ctx, of); err != nil {
			return err
		}
	}
	return nil
}

// all has the engine decide requests, those again that were not decided, and rests as long as
// it worked: taps come first.
func (t *taking) all(ctx context.Context, requests []*txn.Request) error {
	for try := 0; len(requests) > 0; try++ {
		if try == triesMax {
			return fmt.Errorf("%w: epoch %d of %s is not whole", ErrStore, t.list.epoch, t.source.Name)
		}
		if try > 0 {
			if err := t.o.Pause(ctx, retryPause); err != nil {
				return fmt.Errorf("%w: %w", ErrStore, err)
			}
		}
		began := time.Now()
		requests = t.settle(requests, t.o.Engine.AuthorizeAll(ctx, requests))
		if err := t.o.Pause(ctx, min(max(time.Since(began), restMin), restMax)); err != nil {
			return fmt.Errorf("%w: %w", ErrStore, err)
		}
	}
	return nil
}

// settle counts what was answered and returns what was not.
func (t *taking) settle(requests []*txn.Request, answers []engine.Answer) (again []*txn.Request) {
	for i, a := range answers {
		freeze := requests[i].Kind == txn.Freeze
		switch {
		case a.Err != nil || a.Decision.Reason.Retryable():
			again = append(again, requests[i])
		case a.Decision.Outcome == txn.Approved && freeze:
			t.report.Frozen++
		case freeze:
			t.report.Already++
		case a.Decision.Outcome == txn.Approved && requests[i].Listing.Mark.Reason == txn.NotFrozen:
			t.report.Released++
		default:
			t.report.Kept++
		}
	}
	return again
}
