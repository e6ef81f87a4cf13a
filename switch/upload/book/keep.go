package book

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// The documents: the state of a terminal, the line of a security module, and the pages.

func (s *Service) gateToken(id txn.TerminalID) pan.Token {
	return s.o.Tokenizer.Derive("uploads/gate", id.String())
}

func (s *Service) moduleToken(psam [6]byte) pan.Token {
	return s.o.Tokenizer.Derive("uploads/module", fmt.Sprintf("%x", psam))
}

// readGate reads the state of a terminal, a new one when there is none.
func (s *Service) readGate(ctx context.Context, id txn.TerminalID) (*upload.Gate, uint64, error) {
	g := &upload.Gate{Terminal: id.String()}
	version, err := s.readDocument(ctx, s.gateToken(id), g)
	return g, version, err
}

func (s *Service) readDocument(ctx context.Context, token pan.Token, v any) (uint64, error) {
	l, err := s.o.Cards.Load(ctx, token, nil)
	if err != nil || l.Version == 0 {
		return 0, err
	}
	if err := json.Unmarshal(l.State, v); err != nil {
		return 0, fmt.Errorf("%w: %w", upload.ErrStored, err)
	}
	return l.Version, nil
}

// document makes the commit of a document.
func document(token pan.Token, version uint64, v any) (*store.Commit, error) {
	state, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("state of uploads: %w", err)
	}
	return &store.Commit{Card: token, Version: version, State: state, Reserve: true}, nil
}

// moduleOf reads the line of a security module, once a frame.
func (w *work) moduleOf(ctx context.Context, psam [6]byte) error {
	for i := range w.modules {
		if w.modules[i].psam == psam {
			return nil
		}
	}
	m := module{psam: psam}
	var err error
	if m.version, err = w.s.readDocument(ctx, w.s.moduleToken(psam), &m.Sequence); err != nil {
		return fmt.Errorf("line of a security module: %w", err)
	}
	if w.whiteFrom != 0 {
		if m.white, err = w.s.White(ctx, hex.EncodeToString(psam[:])); err != nil {
			return err
		}
	}
	w.modules = append(w.modules, m)
	return nil
}

func (w *work) module(psam [6]byte) *module {
	for i := range w.modules {
		if w.modules[i].psam == psam {
			return &w.modules[i]
		}
	}
	panic("book: internal error: a record's security module was not read")
}

// pageCommits makes the commits of the pages that changed.
func (w *work) pageCommits(list []*store.Commit) []*store.Commit {
	for i := range w.pages {
		if p := &w.pages[i]; p.Dirty {
			list = append(list, &store.Commit{Card: w.s.pageToken(p.psam, p.number),
				Version: p.Version, State: p.Append(nil), Reserve: true})
		}
	}
	return list
}

// stored says that the pages are.
func (w *work) stored() {
	for i := range w.pages {
		if p := &w.pages[i]; p.Dirty {
			p.Version, p.Dirty = p.Version+1, false
		}
	}
}

// commitTaken is the first step: the pages and what the lines of cards make of the records.
func (w *work) commitTaken(ctx context.Context) error {
	var lines []upload.Line
	for i := range w.parts {
		lines = append(lines, w.parts[i].lines...)
	}
	taken := false
	for i := range w.items {
		taken = taken || w.items[i].fate.State == upload.Taken
	}
	if !taken && len(lines) == 0 {
		return nil // nothing is booked, so there is nothing to remember before it
	}
	if err := w.s.lines.commit(ctx, lines, w.pageCommits(nil)); err != nil {
		return err
	}
	w.stored()
	return nil
}

// commitFates is the last step: held records, pages, lines, modules and the terminal.
func (w *work) commitFates(ctx context.Context, gate *upload.Gate, version uint64) error {
	var lines []upload.Line
	for i := range w.items {
		it := &w.items[i]
		if it.page >= 0 && it.fate.State != upload.Duplicate {
			if err := w.settle(ctx, it); err != nil {
				return err
			}
		} else if it.fate.State == upload.Held { // a dispute
			if err := w.s.hold(ctx, w.terminal, it, w.now); err != nil {
				return err
			}
		}
		if it.seen && it.fate.State != upload.Accepted && it.fate.State != upload.Taken {
			line, err := w.s.lines.find(ctx, it.token)
			if err != nil {
				return err
			}
			line.Seq.Known, line.Seq.High = true, max(line.Seq.High, uint32(it.record.Counter()))
			line.NotBooked(txn.Minor(it.record.Amount()))
			line.Last4 = it.last4
			lines = append(lines, line)
		}
	}
	c, err := document(w.s.gateToken(w.terminal), version, gate)
	if err != nil {
		return err
	}
	list := []*store.Commit{c}
	for i := range w.modules {
		m := &w.modules[i]
		if c, err = document(w.s.moduleToken(m.psam), m.version, &m.Sequence); err != nil {
			return err
		}
		list = append(list, c)
	}
	if err := w.s.lines.commit(ctx, lines, w.pageCommits(list)); err != nil {
		return err
	}
	return w.release(ctx)
}

// settle writes a record's fate to its page, and keeps it when it is held.
func (w *work) settle(ctx context.Context, it *item) error {
	e := upload.Entry{Digest: it.digest, Fate: it.fate}
	if it.fate.State == upload.Taken { // what it was before it was taken is not forgotten
		e.Reason = w.pages[it.page].At(it.record.TermSeq()).Reason
	}
	w.pages[it.page].Set(it.record.TermSeq(), e)
	if it.fate.State == upload.Held {
		return w.s.hold(ctx, w.terminal, it, w.now)
	}
	return nil
}

// release removes what was held and is not any more.
func (w *work) release(ctx context.Context) error {
	for i := range w.items {
		it := &w.items[i]
		was := it.prior.State == upload.Held &&
			(it.prior.Reason == upload.KeyUnknown || it.prior.Reason == upload.Torn)
		if !was || it.fate.State == upload.Duplicate || it.fate.State == upload.Taken ||
			it.fate.State == upload.Held && it.torn == it.digest {
			continue
		}
		digest := it.torn
		if digest == 0 {
			digest = it.digest
		}
		id := heldID(it.record.PSAM(), it.record.TermSeq(), digest)
		if err := w.s.drop(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// drop removes a held record; one that is gone already is no error.
func (s *Service) drop(ctx context.Context, id string) error {
	_, version, err := s.o.Registry.Get(ctx, heldPrefix+id)
	if err == nil && version > 0 {
		err = s.o.Registry.Put(ctx, heldPrefix+id, nil, version)
	}
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return fmt.Errorf("held record %s: %w", id, err)
	}
	return nil
}
