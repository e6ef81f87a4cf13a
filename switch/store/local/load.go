package local

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// loadBucket reads one bucket's part of the checkpoint at start.
func (s *Store) loadBucket(b txn.Bucket) error {
	k := &s.buckets[b]
	k.outbox.last.Bucket, k.outbox.confirmed.Bucket = b, b
	var meta bucketMeta
	found, err := s.get([]byte{keyBucket, byte(b)}, func(v []byte) (err error) {
		meta, err = decodeMeta(b, v)
		return err
	})
	if err != nil || !found {
		return err
	}
	k.outbox, k.date, k.listSeq = meta.outbox, meta.date, meta.listSeq
	if err := s.loadListed(b, meta.frozen); err != nil {
		return err
	}
	if err := s.loadChanges(b); err != nil {
		return err
	}
	if err := s.loadDue(b); err != nil {
		return err
	}
	k.cold, err = s.hasCards(b)
	return err
}

func (s *Store) loadListed(b txn.Bucket, frozen int) error {
	shard := blacklist.NewBuilder(frozen)
	lower, upper := tokenRange(keyListed, b)
	err := s.scan(s.db, lower, upper, func(k, v []byte) error {
		token, mark, err := decodeListed(k, v)
		shard.Put(token, mark)
		return err
	})
	if err != nil {
		return err
	}
	if shard.Len() != frozen {
		return fmt.Errorf("%w: checkpoint: %d cards of %v are frozen, its meta says %d",
			store.ErrDamaged, shard.Len(), b, frozen)
	}
	s.listed.ReplaceShard(b, shard)
	return nil
}

// decodeListed reads what a start needs of a blacklist entry, without the texts.
func decodeListed(k, v []byte) (pan.Token, txn.Mark, error) {
	if len(k) != 1+pan.TokenSize || len(v) < listHead-8 {
		return pan.Token{}, txn.Mark{}, fmt.Errorf("%w: checkpoint: blacklist entry of %d bytes",
			store.ErrDamaged, len(v))
	}
	return pan.Token(k[1:]), txn.MarkOf(binary.LittleEndian.Uint32(v)), nil
}

func (s *Store) loadChanges(b txn.Bucket) error {
	k := &s.buckets[b]
	lower, upper := bucketRange(keyChange, b)
	err := s.scan(s.db, lower, upper, func(key, v []byte) error {
		if len(key) != 10 || len(v) != pan.TokenSize+4 {
			return fmt.Errorf("%w: checkpoint: list change of %d bytes", store.ErrDamaged, len(v))
		}
		seq := store.ListSeq(binary.BigEndian.Uint64(key[2:]))
		if len(k.changes.ring) > 0 && seq != k.changes.last+1 {
			return fmt.Errorf("%w: checkpoint: list changes %d to %d of %v are missing",
				store.ErrDamaged, k.changes.last+1, seq-1, b)
		}
		mark := txn.MarkOf(binary.LittleEndian.Uint32(v[pan.TokenSize:]))
		k.changes.add(store.Change{Seq: seq, Card: pan.Token(v[:pan.TokenSize]), Mark: mark})
		return nil
	})
	if err == nil && k.changes.last != k.listSeq {
		err = fmt.Errorf("%w: checkpoint: list changes of %v end at %d instead of %d",
			store.ErrDamaged, b, k.changes.last, k.listSeq)
	}
	return err
}

func (s *Store) loadDue(b txn.Bucket) error {
	k := &s.buckets[b]
	lower, upper := bucketRange(keyDue, b)
	return s.scan(s.db, lower, upper, func(key, v []byte) error {
		if len(v) != 8 || len(key) < 3 || len(key) > 2+store.DueKeyMax {
			return fmt.Errorf("%w: checkpoint: due entry of %d bytes", store.ErrDamaged, len(key))
		}
		at := txn.Millis(binary.LittleEndian.Uint64(v))
		k.due.load(key[2:], at)
		return nil
	})
}

// hasCards reports whether the checkpoint has any card of the bucket.
func (s *Store) hasCards(b txn.Bucket) (found bool, err error) {
	lower, upper := tokenRange(keyState, b)
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return false, damagedIf(err)
	}
	found = it.First()
	return found, damagedIf(errors.Join(it.Error(), it.Close()))
}
