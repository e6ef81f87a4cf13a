package qr

import (
	"encoding/binary"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/sm"
)

func proofOf(i int) (p proof) {
	binary.BigEndian.PutUint64(p[8:], uint64(i))
	p[0] = byte(i)
	return p
}

// TestCacheFull: at its limit the cache forgets the oldest and holds no more.
func TestCacheFull(t *testing.T) {
	const limit = 64
	c, ca, key := newCache(limit), &CA{}, &sm.PublicKey{}
	for i := range 10 * limit {
		c.put(proofOf(i), proven{ca, key})
		c.put(proofOf(i), proven{ca, key}) // again: takes no second place
		if c.get(proofOf(i), ca) != key {
			t.Fatalf("entry %d is not held", i)
		}
		if n := c.len(); n > limit {
			t.Fatalf("%d entries, limit %d", n, limit)
		}
	}
	if c.len() != limit {
		t.Errorf("%d entries, want %d", c.len(), limit)
	}
	for i := range 10 * limit {
		if held := c.get(proofOf(i), ca) != nil; held != (i >= 9*limit) {
			t.Errorf("entry %d: held %v", i, held)
		}
	}
}

// TestCacheOfAnotherCA: an entry counts under its own CA only, and is replaced in place.
func TestCacheOfAnotherCA(t *testing.T) {
	c, first, second := newCache(shardCount), &CA{Index: 1}, &CA{Index: 1}
	a, b := &sm.PublicKey{}, &sm.PublicKey{}
	c.put(proofOf(1), proven{first, a})
	if c.get(proofOf(1), second) != nil {
		t.Error("an entry of another CA counts")
	}
	c.put(proofOf(1), proven{second, b})
	if c.get(proofOf(1), second) != b || c.get(proofOf(1), first) != nil || c.len() != 1 {
		t.Error("the entry is not replaced")
	}
}

// TestNoCache: sizes that the shards cannot share evenly add up, and 0 holds nothing.
func TestNoCache(t *testing.T) {
	for _, limit := range []int{0, 1, 2, 15, 16, 17} {
		c := newCache(limit)
		for i := range 100 {
			c.put(proofOf(i), proven{&CA{}, &sm.PublicKey{}})
		}
		if c.len() != limit {
			t.Errorf("%d entries, limit %d", c.len(), limit)
		}
	}
}

// TestCachesFill: one issuer and one entry a card.
func TestCachesFill(t *testing.T) {
	k, v := benchKit(t, Options{})
	for i := range 3 {
		card, err := k.Issue(k.Spec(i))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			b, err := card.Code(k.now)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(b, Tap{Now: k.now}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if v.issuers.len() != 1 || v.authorisations.len() != 3 {
		t.Errorf("%d issuers and %d authorisations held", v.issuers.len(), v.authorisations.len())
	}
}
