package notice

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Where the indexes stand in the registry. An entry of the open index lists the ids of
// notices made together, one a line; its key begins with when they were made, so that keys
// are in that order. An entry of the late index lists the tokens of documents in which a
// party became late; its key begins with the day on which that was seen, in UTC.
const (
	openPrefix = "notice/open/"
	latePrefix = "notice/late/"
)

// register writes the index entry of a batch, before the notices: what is open is always
// listed.
func (s *Service) register(ctx context.Context, births []*birth) {
	var ids []string
	for _, b := range births {
		if b.err == nil && len(b.commits) > 0 {
			ids = append(ids, b.notice.ID)
		}
	}
	if len(ids) == 0 {
		return
	}
	key := fmt.Sprintf("%s%013d-%s", openPrefix, s.o.Now(), ids[0])
	if err := s.putIndex(ctx, key, []byte(strings.Join(ids, "\n"))); err != nil {
		for _, b := range births {
			if b.err == nil && len(b.commits) > 0 {
				b.err = fmt.Errorf("notice %s not written: %w", b.notice.ID, err)
			}
		}
	}
}

// putIndex writes an entry whose key is its own; a second one with the key, within the same
// millisecond, is written behind the first.
func (s *Service) putIndex(ctx context.Context, key string, value []byte) error {
	for range casTriesMax {
		old, version, err := s.o.Registry.Get(ctx, key)
		if err != nil {
			return fmt.Errorf("index of notices: %w", err)
		}
		next := value
		if len(old) > 0 && string(old) != string(value) {
			next = append(append(slices.Clone(old), '\n'), value...)
		}
		err = s.o.Registry.Put(ctx, key, next, version)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("index of notices: %w", store.ErrConflict)
}

// openEntry is an entry of the open index.
type openEntry struct {
	key     string
	version uint64
	ids     []string
	madeAt  txn.Millis
}

// openEntries calls yield for every entry from a key on, oldest first, until it returns
// false.
func (s *Service) openEntries(
	ctx context.Context, from string, yield func(*openEntry) bool,
) error {
	keys, err := s.o.Registry.Keys(ctx, openPrefix)
	if err != nil {
		return fmt.Errorf("index of open notices: %w", err)
	}
	for _, k := range keys {
		if k < from {
			continue
		}
		value, version, err := s.o.Registry.Get(ctx, k)
		if err != nil {
			return fmt.Errorf("index of open notices: %w", err)
		}
		if value == nil {
			continue
		}
		e := &openEntry{key: k, version: version, ids: strings.Split(string(value), "\n")}
		_, _ = fmt.Sscanf(strings.TrimPrefix(k, openPrefix), "%d-", &e.madeAt)
		if !yield(e) {
			return nil
		}
	}
	return nil
}

// ended reports whether a listed notice needs no place in the index: all its parts are
// closed, or it was never made and never will be.
func (s *Service) ended(
	ctx context.Context, id string, madeAt txn.Millis,
) ([]*Document, bool, error) {
	parts, err := s.parts(ctx, id)
	if errors.Is(err, ErrNoNotice) {
		return nil, s.o.Now()-madeAt > millis(orphanAfter), nil
	}
	if err != nil {
		return nil, false, err
	}
	open := slices.ContainsFunc(parts, func(d *Document) bool { return d.ClosedAt == 0 })
	return parts, !open, nil
}

// heal takes ended notices out of an entry when half of it has ended or all.
func (s *Service) heal(ctx context.Context, e *openEntry, open []string) error {
	if 2*len(open) > len(e.ids) {
		return nil
	}
	err := s.o.Registry.Put(ctx, e.key, []byte(strings.Join(open, "\n")), e.version)
	if errors.Is(err, store.ErrConflict) {
		return nil // another process healed it
	}
	return err
}

// indexLate lists the documents in which a party is about to be recorded as late.
func (s *Service) indexLate(ctx context.Context, sheets []*sheet) error {
	var tokens []string
	for _, h := range sheets {
		if h.err == nil && len(h.all.Late) > 0 {
			tokens = append(tokens, h.token.String())
		}
	}
	if len(tokens) == 0 {
		return nil
	}
	now := s.o.Now()
	key := fmt.Sprintf("%s%013d-%s", lateDay(now), now, tokens[0])
	return s.putIndex(ctx, key, []byte(strings.Join(tokens, "\n")))
}

func lateDay(at txn.Millis) string { return latePrefix + at.Time().Format("20060102") + "/" }

// lateTokens reads an entry of the late index.
func lateTokens(value []byte) ([]pan.Token, error) {
	var tokens []pan.Token
	for line := range strings.SplitSeq(string(value), "\n") {
		var t pan.Token
		if n, err := hex.Decode(t[:], []byte(line)); err != nil || n != len(t) {
			return nil, fmt.Errorf("%w: index of late notices: %q", store.ErrDamaged, line)
		}
		tokens = append(tokens, t)
	}
	return tokens, nil
}
