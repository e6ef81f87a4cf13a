package book

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// linePages is how many documents the lines of cards are spread over. A document has room for
// about a hundred lines.
const linePages = 4096

// lineBook keeps the lines of cards about which something is to be said. It holds the
// documents that it has read: a process does not see what another one wrote to them until it
// writes itself, which can cost a remark about a card and never money.
type lineBook struct {
	cards     store.Cards
	tokenizer *pan.Tokenizer

	none linePage // of which nothing was ever written; never changed
	// pages are replaced and never changed; who replaces them holds mu.
	pages [linePages]atomic.Pointer[linePage]

	mu   sync.Mutex // guards what follows
	lost int        // lines that found no room
}

type linePage struct {
	version uint64
	lines   []upload.Line
}

func linePageOf(card pan.Token) int {
	return (int(card[2])<<8 | int(card[3])) % linePages
}

func (b *lineBook) token(page int) pan.Token {
	return b.tokenizer.Derive("uploads/lines", strconv.Itoa(page))
}

// find returns a copy of a card's line, a zero one when there is none.
func (b *lineBook) find(ctx context.Context, card pan.Token) (upload.Line, error) {
	at := linePageOf(card)
	p := b.pages[at].Load()
	if p == nil {
		b.mu.Lock()
		var err error
		p, err = b.readLocked(ctx, at)
		b.mu.Unlock()
		if err != nil {
			return upload.Line{}, err
		}
	}
	for i := range p.lines {
		if l := p.lines[i]; l.Card == card {
			l.Seq.Gaps = slices.Clone(l.Seq.Gaps)
			return l, nil
		}
	}
	return upload.Line{Card: card}, nil
}

// readLocked returns a page.
func (b *lineBook) readLocked(ctx context.Context, at int) (*linePage, error) {
	if p := b.pages[at].Load(); p != nil {
		return p, nil
	}
	l, err := b.cards.Load(ctx, b.token(at), nil)
	if err != nil {
		return nil, fmt.Errorf("lines of cards: %w", err)
	}
	if l.Version == 0 { // most pages: one piece of memory for them all
		b.pages[at].Store(&b.none)
		return &b.none, nil
	}
	p := &linePage{version: l.Version}
	if p.lines, err = upload.ReadLines(l.State); err != nil {
		return nil, err
	}
	b.pages[at].Store(p)
	return p, nil
}

// commit puts changed lines in place together with other documents, in one list.
func (b *lineBook) commit(ctx context.Context, changed []upload.Line, list []*store.Commit) error {
	if len(changed) == 0 {
		return commitAll(ctx, b.cards, list)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	next := map[int]*linePage{}
	for i := range changed {
		at := linePageOf(changed[i].Card)
		if next[at] == nil {
			p, err := b.readLocked(ctx, at)
			if err != nil {
				return err
			}
			next[at] = &linePage{version: p.version + 1, lines: slices.Clone(p.lines)}
		}
		next[at].put(&changed[i])
	}
	for at, p := range next {
		state := b.fit(p)
		list = append(list, &store.Commit{Card: b.token(at), Version: p.version - 1, State: state})
	}
	if err := commitAll(ctx, b.cards, list); err != nil {
		for at := range next {
			b.pages[at].Store(nil) // another process may have written it
		}
		return err
	}
	for at, p := range next {
		b.pages[at].Store(p)
	}
	return nil
}

// put replaces a card's line, or removes one that says nothing.
func (p *linePage) put(l *upload.Line) {
	i := slices.IndexFunc(p.lines, func(o upload.Line) bool { return o.Card == l.Card })
	switch {
	case i < 0 && !l.Quiet():
		p.lines = append(p.lines, *l)
	case i >= 0 && l.Quiet():
		p.lines = slices.Delete(p.lines, i, i+1)
	case i >= 0:
		p.lines[i] = *l
	}
}

// fit returns the stored form of a page, without the oldest lines that find no room.
func (b *lineBook) fit(p *linePage) []byte {
	for {
		state := upload.AppendLines(nil, p.lines)
		if len(state) <= store.StateMax {
			return state
		}
		p.lines = slices.Delete(p.lines, 0, 1)
		b.lost++
	}
}

// all calls yield for every line.
func (b *lineBook) all(ctx context.Context, yield func(*upload.Line) bool) error {
	for at := range linePages {
		b.mu.Lock()
		p, err := b.readLocked(ctx, at)
		b.mu.Unlock()
		if err != nil {
			return err
		}
		for i := range p.lines {
			if !yield(&p.lines[i]) {
				return nil
			}
		}
	}
	return nil
}

// commitAll commits a list of which every part must hold.
func commitAll(ctx context.Context, cards store.Cards, list []*store.Commit) error {
	if err := cards.Commit(ctx, list); err != nil {
		return fmt.Errorf("state of uploads: %w", err)
	}
	for _, c := range list {
		if c.Status == store.OutboxFull {
			return fmt.Errorf("state of uploads: %w: %s", store.ErrUnavailable, c.Status)
		}
		if c.Status != store.Committed {
			return ErrBusy
		}
	}
	return nil
}
