package purse

import "testing"

func keyOf(i int) (cacheKey, uint64) {
	k := cacheKey{factor: [LevelsMax]uint64{uint64(i)}}
	return k, k.hash()
}

// TestCacheBounded: the table never grows, keeps the newest of a set, and forgets the oldest.
func TestCacheBounded(t *testing.T) {
	for n, entries := range map[int]int{-1: 0, 0: 0, 1: 4, 4: 4, 5: 8, 100: 128} {
		c := newCache[macKey](n)
		if len(c.sets)*ways != entries {
			t.Errorf("%d: %d entries, want %d", n, len(c.sets)*ways, entries)
		}
		found := 0
		for i := range 1000 {
			k, h := keyOf(i)
			c.put(&k, h, &macKey{uint32(i)})
			var v macKey
			if ok := c.get(&k, h, &v); ok != (entries > 0) || ok && v[0] != uint32(i) {
				t.Fatalf("%d: entry %d is %d, %v", n, i, v[0], ok)
			}
			c.touch(h)
		}
		for i := range 1000 {
			k, h := keyOf(i)
			var v macKey
			if c.get(&k, h, &v) {
				found++
				if v[0] != uint32(i) {
					t.Fatalf("%d: entry %d is %d", n, i, v[0])
				}
			}
		}
		if found != entries {
			t.Errorf("%d: %d entries kept, want %d", n, found, entries)
		}
	}
}

// TestCacheCollision: entries with the same hash are told apart by all of their key.
func TestCacheCollision(t *testing.T) {
	c := newCache[macKey](ways)
	const hash = 42
	keys := []cacheKey{{factor: [LevelsMax]uint64{1}}, {factor: [LevelsMax]uint64{1, 2}},
		{factor: [LevelsMax]uint64{0, 1}}, {master: &Master{}, factor: [LevelsMax]uint64{1}}}
	for i := range keys {
		c.put(&keys[i], hash, &macKey{uint32(i)})
	}
	for i := range keys {
		var v macKey
		if !c.get(&keys[i], hash, &v) || v[0] != uint32(i) {
			t.Errorf("entry %d is %d", i, v[0])
		}
	}
	oldest, newest := keys[0], cacheKey{}
	c.put(&newest, hash, &macKey{99})
	var v macKey
	if c.get(&oldest, hash, &v) || !c.get(&keys[1], hash, &v) {
		t.Error("not the oldest entry went")
	}
}

// TestCachePurge: nothing of a key stays in memory.
func TestCachePurge(t *testing.T) {
	c := newCache[macKey](64)
	for i := range 64 {
		k, h := keyOf(i + 1)
		c.put(&k, h, &macKey{7, 7, 7})
	}
	c.purge()
	for i := range c.sets {
		for _, e := range c.sets[i].entry {
			if e.value != (macKey{}) || e.key != (cacheKey{}) {
				t.Fatal("a key is still there")
			}
		}
	}
}

// TestHashSpreads: serial numbers in a row do not crowd in few sets.
func TestHashSpreads(t *testing.T) {
	c := newCache[macKey](1 << 12)
	found := 0
	for i := range 1 << 11 {
		k, h := keyOf(i * 0x10)
		c.put(&k, h, &macKey{})
	}
	for i := range 1 << 11 {
		k, h := keyOf(i * 0x10)
		if c.get(&k, h, &macKey{}) {
			found++
		}
	}
	if found < 1900 {
		t.Errorf("%d of 2048 entries kept in a table twice as large", found)
	}
}
