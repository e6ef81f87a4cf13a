package list

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// recalled is what a file of the past tells.
type recalled struct {
	scopes  []txn.App
	states  []state
	content master
	// since are the changes after the epoch of the content.
	since    []op
	complete bool // the content is all there
	bucket   int  // of the cards read last
	last     processID
	wrote    processID // whose the last epoch is
	good     int64     // bytes of whole frames
}

var errFrame = errors.New("frame is not whole")

// recall makes the history of the process before ours, when the registry says that the last
// epoch was its own. Nothing recalled is no fault: gates then take full files.
func (p *Publisher) recall(r record) {
	if p.past.path == "" {
		return
	}
	past, err := p.readPast()
	switch {
	case errors.Is(err, os.ErrNotExist):
		return
	case err != nil:
		p.o.Report(fmt.Errorf("list: the history of epochs is dropped, gates take full files: %w", err))
		return
	}
	if e := past.states[len(past.states)-1].epoch; e <= p.clockEpoch()+claimSlack {
		p.last = max(p.last, e)
	}
	if r.by == (processID{}) || r.by != past.last && r.by != past.wrote {
		p.o.Report(fmt.Errorf("list: the history of epochs is dropped, gates take full files: "+
			"epoch %d in the registry was made elsewhere", r.epoch))
		return
	}
	if err := p.past.resume(past.good); err != nil {
		p.o.Report(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.master = past.content
	for _, s := range past.states {
		p.history.push(s)
	}
}

func (p *Publisher) readPast() (*recalled, error) {
	file, err := os.Open(p.past.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	past := &recalled{scopes: p.o.Scopes}
	if err := past.read(file, info.Size(), p.past.head); err != nil {
		return nil, err
	}
	return past, past.finish()
}

// read takes every whole frame. What ends in the middle of one was torn off: the epochs before
// it are as good as ever.
func (r *recalled) read(file io.Reader, size int64, head []byte) error {
	in := bufio.NewReaderSize(file, pastRoom)
	var frame []byte
	for {
		var err error
		if frame, err = readFrame(in, frame, size-r.good); err != nil {
			if r.complete {
				return nil
			}
			return fmt.Errorf("%w: the list in it is not whole", ErrDamaged)
		}
		payload := frame[5 : len(frame)-4]
		if r.good == 0 && (frame[0] != frameHead || !bytes.Equal(payload, head)) {
			return fmt.Errorf("%w: another list, or another version", ErrDamaged)
		}
		if err := r.take(frame[0], payload); err != nil {
			return err
		}
		r.good += int64(len(frame))
	}
}

// readFrame reads a frame of at most left bytes into memory that it may take over.
func readFrame(in *bufio.Reader, frame []byte, left int64) ([]byte, error) {
	start, err := in.Peek(5)
	if err != nil {
		return frame, errFrame
	}
	n := int64(binary.BigEndian.Uint32(start[1:])) + frameExtra
	if n > left {
		return frame, errFrame
	}
	frame = slices.Grow(frame[:0], int(n))[:n]
	if _, err := io.ReadFull(in, frame); err != nil {
		return frame, errFrame
	}
	body := frame[:n-4]
	if crc32.Checksum(body, castagnoli()) != binary.BigEndian.Uint32(frame[n-4:]) {
		return frame, errFrame
	}
	return frame, nil
}

func (r *recalled) take(kind byte, payload []byte) error {
	switch {
	case kind == frameHead && r.good == 0:
		return nil
	case kind == frameProcess && len(payload) == len(r.last):
		copy(r.last[:], payload)
		return nil
	case kind == frameEpoch:
		return r.takeState(payload)
	case kind == frameCards && !r.complete && len(r.states) > 0:
		return r.takeCards(payload)
	case kind == frameContent && !r.complete && len(r.states) > 0:
		r.complete = true
		return nil
	}
	return fmt.Errorf("%w: frame %d of %d bytes at %d", ErrDamaged, kind, len(payload), r.good)
}

// takeState reads an epoch and proves that its changes lead to it from the one before.
func (r *recalled) takeState(b []byte) error {
	fixed := epochExtra + sumBytes*len(r.scopes)
	if len(b) < fixed || (len(b)-fixed)%opBytes != 0 {
		return fmt.Errorf("%w: epoch of %d bytes", ErrDamaged, len(b))
	}
	s := state{epoch: Epoch(binary.BigEndian.Uint64(b)), at: txn.Millis(binary.BigEndian.Uint64(b[8:]))}
	for i := range r.scopes {
		at := b[epochExtra+sumBytes*i:]
		s.summaries = append(s.summaries, summary{binary.BigEndian.Uint64(at),
			Check{binary.BigEndian.Uint64(at[8:]), binary.BigEndian.Uint64(at[16:])}})
	}
	for b = b[fixed:]; len(b) > 0; b = b[opBytes:] {
		scope := func(i int) txn.App { return txn.App(binary.BigEndian.Uint16(b[Wide+2*i:])) }
		s.ops = append(s.ops, op{tokenOf(b[:Wide]), scope(0), scope(1), scope(2), scope(3)})
	}
	if err := r.follows(&s); err != nil {
		return err
	}
	if len(r.states) == 0 {
		s.ops = nil
	}
	if r.complete {
		r.since = append(r.since, s.ops...)
	}
	r.states, r.wrote = append(r.states, s), r.last
	return nil
}

func (r *recalled) follows(s *state) error {
	n := len(r.states)
	if n == 0 {
		return nil
	}
	before := &r.states[n-1]
	if s.epoch <= before.epoch {
		return fmt.Errorf("%w: epoch %d after %d", ErrDamaged, s.epoch, before.epoch)
	}
	for i, app := range r.scopes {
		if before.summaries[i].after(s.ops, app) != s.summaries[i] {
			return fmt.Errorf("%w: epoch %d is not what its changes make of %d", ErrDamaged, s.epoch,
				before.epoch)
		}
	}
	return nil
}

func (r *recalled) takeCards(b []byte) error {
	if len(b) == 0 || len(b)%cardBytes != 0 {
		return fmt.Errorf("%w: cards of %d bytes", ErrDamaged, len(b))
	}
	bucket := int(txn.BucketOf(tokenOf(b[:Wide])))
	c := &r.content.buckets[bucket]
	for ; len(b) > 0; b = b[cardBytes:] {
		card, scope := tokenOf(b[:Wide]), txn.App(binary.BigEndian.Uint16(b[Wide:]))
		n := len(c.tokens)
		if bucket < r.bucket || int(txn.BucketOf(card)) != bucket || scope == 0 ||
			n > 0 && compare(c.tokens[n-1], card) >= 0 {
			return fmt.Errorf("%w: cards are not in order", ErrDamaged)
		}
		c.tokens, c.scopes = append(c.tokens, card), append(c.scopes, scope)
	}
	r.bucket = bucket
	return nil
}

// finish makes the content that of the last epoch and proves that it is.
func (r *recalled) finish() error {
	slices.SortStableFunc(r.since, func(a, b op) int { return compare(a.card, b.card) })
	var parts [txn.BucketCount][]entry
	for i, o := range r.since {
		if i+1 < len(r.since) && r.since[i+1].card == o.card {
			continue // a later epoch changed it again
		}
		b := txn.BucketOf(o.card)
		parts[b] = append(parts[b], entry{o.card, o.new})
	}
	for b, entries := range parts {
		r.content.buckets[b].apply(entries, nil)
	}
	r.since = nil
	last := r.states[len(r.states)-1]
	if !slices.Equal(r.content.summaries(r.scopes), last.summaries) {
		return fmt.Errorf("%w: the list in it is not that of epoch %d", ErrDamaged, last.epoch)
	}
	return nil
}

// summaries adds up the whole content for each scope.
func (m *master) summaries(scopes []txn.App) []summary {
	all := make([]summary, len(scopes))
	var before pan.Token
	for i, app := range scopes {
		sum := &all[i]
		for b := range m.buckets {
			c := &m.buckets[b]
			for j, card := range c.tokens {
				if c.scopes[j]&app == 0 {
					continue
				}
				sum.check.Wide += wideCheck(card)
				if sum.count == 0 || prefix(before) != prefix(card) {
					sum.check.Narrow += narrowCheck(prefix(card))
				}
				before = card
				sum.count++
			}
		}
	}
	return all
}
