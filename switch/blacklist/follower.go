package blacklist

import (
	"errors"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// never is the confirmation of a bucket without a snapshot.
const never = math.MinInt64

// follower is a replica's knowledge about one bucket besides the cards.
type follower struct {
	// confirmed is the monotonic clock, in nanoseconds, at which the source last
	// confirmed that the bucket is complete.
	confirmed atomic.Int64

	mu      sync.Mutex // also held while the bucket's part of the set is written
	synced  bool       // false while a snapshot is needed
	applied store.ListSeq
	// replaced counts the snapshots taken: what was asked before one says nothing about
	// the numbers after it.
	replaced int
	// early are changes that were applied before the source sent them; an older change
	// of the same card must not undo them. learned are cards to verify, with the mark.
	early   map[pan.Token]store.Change
	learned map[pan.Token]txn.Mark
}

func (f *follower) init() {
	f.confirmed.Store(never)
	f.early, f.learned = map[pan.Token]store.Change{}, map[pan.Token]txn.Mark{}
}

// position returns the last change applied; ok is false while a snapshot is needed.
func (f *follower) position() (applied store.ListSeq, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applied, f.synced
}

// generation returns how many snapshots were taken; ok is false while one is needed.
func (f *follower) generation() (n int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.replaced, f.synced
}

// confirm notes that the source confirmed the bucket at an instant, if everything up to
// tail has been applied.
func (f *follower) confirm(asked time.Duration, tail store.ListSeq) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.synced && f.applied >= tail {
		f.confirmedAtLocked(asked)
	}
}

// confirmedAt notes a confirmation; it never goes back.
func (f *follower) confirmedAt(asked time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.confirmedAtLocked(asked)
}

func (f *follower) confirmedAtLocked(asked time.Duration) {
	f.confirmed.Store(max(f.confirmed.Load(), int64(asked)))
}

// lose asks for a snapshot.
func (f *follower) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.synced = false
}

// errJump reports changes that do not follow on the last one.
var errJump = errors.New("list changes are not in sequence")

// apply writes changes that follow on the last one; errJump when they do not.
func (f *follower) apply(set *Set, changes []store.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		if c.Seq != f.applied+1 {
			return errJump
		}
		f.applied = c.Seq
		if f.early[c.Card].Seq <= c.Seq {
			set.Put(c.Card, c.Mark)
		}
	}
	maps.DeleteFunc(f.early, func(_ pan.Token, c store.Change) bool { return c.Seq <= f.applied })
	return nil
}

// ahead applies a change that this process made, unless it came from the source already.
func (f *follower) ahead(set *Set, c store.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.synced && c.Seq <= f.applied || c.Seq <= f.early[c.Card].Seq {
		return
	}
	set.Put(c.Card, c.Mark)
	if len(f.early) < aheadMax {
		f.early[c.Card] = c
		return
	}
	f.overflowLocked()
}

// learn writes a mark and has it verified.
func (f *follower) learn(set *Set, card pan.Token, mark txn.Mark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if set.Get(card) == mark {
		return
	}
	set.Put(card, mark)
	if len(f.learned) < aheadMax {
		f.learned[card] = mark
		return
	}
	f.overflowLocked()
}

// overflowLocked gives up what is to be remembered; a snapshot knows it all.
func (f *follower) overflowLocked() {
	f.synced = false
	clear(f.early)
	clear(f.learned)
}

// unverified returns the cards that were learned.
func (f *follower) unverified() []pan.Token {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.learned) == 0 {
		return nil
	}
	return slices.Collect(maps.Keys(f.learned))
}

// verified writes what the source says about a card that was learned.
func (f *follower) verified(set *Set, card pan.Token, mark txn.Mark) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.learned, card)
	if _, ok := f.early[card]; !ok { // else that change is on its way, and newer
		set.Put(card, mark)
	}
}

// begin prepares for a snapshot: it will be newer than what was learned before it.
func (f *follower) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.learned)
}

// replace makes a complete snapshot the content of the bucket, and puts back what was
// applied early and is newer, or learned while it was taken.
func (f *follower) replace(set *Set, b txn.Bucket, built *Builder, seq store.ListSeq) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for card, mark := range f.learned {
		built.Put(card, mark)
	}
	for card, c := range f.early {
		if c.Seq <= seq {
			delete(f.early, card)
			continue
		}
		built.Put(card, c.Mark)
	}
	set.ReplaceShard(b, built)
	f.synced, f.applied = true, seq
	f.replaced++
}
