package redisstore

import (
	"context"
	"fmt"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Load implements store.Cards: state and mark of one moment, in one round trip.
func (s *Store) Load(ctx context.Context, card pan.Token, dst []byte) (store.Loaded, error) {
	if err := s.begin(); err != nil {
		return store.Loaded{}, fmt.Errorf("redisstore: load: %w", err)
	}
	defer s.end()
	b := txn.BucketOf(card)
	r := s.ask(place(b), s.scripts.load,
		[]string{s.keys.card(card), s.keys.bucket[b].frozen}, card[:])
	if err := s.query(ctx, r); err != nil {
		return store.Loaded{}, err
	}
	version, state, err := decodeState(r.text(0))
	if err != nil {
		return store.Loaded{}, fmt.Errorf("redisstore: load: %w", err)
	}
	mark, err := r.entryMark(1)
	if err != nil {
		return store.Loaded{}, fmt.Errorf("redisstore: load: %w", err)
	}
	return store.Loaded{State: append(dst[:0], state...), Version: version, Mark: mark}, nil
}

// entryMark reads the mark of the entry in value i of a reply.
func (r *request) entryMark(i int) (txn.Mark, error) {
	text := r.text(i)
	if text == "" {
		return txn.Mark{}, nil
	}
	e, err := decodeEntry(text)
	return e.Mark, err
}
