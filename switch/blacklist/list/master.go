package list

import (
	"math/bits"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// master is the content of the list at the current epoch: per bucket every frozen card in
// order, with the applications that are closed.
type master struct {
	buckets [txn.BucketCount]content
}

// content is one bucket.
type content struct {
	tokens []pan.Token
	scopes []txn.App // of the token at the same place, never 0
}

// op is what an epoch changed about one card. The scopes of the prefix are those of all
// cards that share its first half; they are the same but for one case in many millions.
type op struct {
	card                 pan.Token
	old, new             txn.App
	prefixOld, prefixNew txn.App
}

const opBytes = 24

// scopeOf returns what a mark closes.
func scopeOf(m txn.Mark) txn.App {
	if m.Reason == txn.NotFrozen {
		return 0
	}
	return m.Scope
}

// find returns where a card stands, or would. Tokens are keyed hashes, so that their values say
// about where they stand: the search begins there and takes a few steps, not one a bit.
func (c *content) find(card pan.Token) (at int, ok bool) {
	n := len(c.tokens)
	if n == 0 {
		return 0, false
	}
	low, high := c.around(card)
	at, ok = slices.BinarySearchFunc(c.tokens[low:high], card, compare)
	return low + at, ok
}

// around returns places between which a card stands: every card below the first is smaller,
// every one from the second on is greater.
func (c *content) around(card pan.Token) (low, high int) {
	n := len(c.tokens)
	key := prefix(card)
	first := key &^ (1<<(64-bucketBits) - 1) // the least key of the bucket
	share, _ := bits.Mul64((key-first)<<bucketBits, uint64(n))
	guess := min(int(share), n-1)
	step := 16
	if compare(c.tokens[guess], card) <= 0 {
		low, high = guess, n
		for next := guess + step; next < n; next += step {
			if compare(c.tokens[next], card) > 0 {
				return low, next
			}
			low, step = next, 2*step
		}
		return low, high
	}
	low, high = 0, guess
	for next := guess - step; next > 0; next -= step {
		if compare(c.tokens[next], card) <= 0 {
			return next, high
		}
		high, step = next, 2*step
	}
	return low, high
}

// bucketBits are the bits of a token that name its bucket.
const bucketBits = 6

// prefixScope returns what is closed on any card with the same first half; at is where the
// card stands, or would.
func (c *content) prefixScope(card pan.Token, at int) (all txn.App) {
	first := prefix(card)
	for i := at; i < len(c.tokens) && prefix(c.tokens[i]) == first; i++ {
		all |= c.scopes[i]
	}
	for i := at - 1; i >= 0 && prefix(c.tokens[i]) == first; i-- {
		all |= c.scopes[i]
	}
	return all
}

// entry is a card with its new scope; 0 takes it off.
type entry struct {
	card  pan.Token
	scope txn.App
}

// last returns the last change of each card, in the order of cards.
func last(changes []store.Change) []entry {
	entries, order := make([]entry, len(changes)), make([]int32, len(changes))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if way := compare(changes[a].Card, changes[b].Card); way != 0 {
			return way
		}
		return int(a - b) // the later change of a card counts
	})
	for i, from := range order {
		entries[i] = entry{changes[from].Card, scopeOf(changes[from].Mark)}
	}
	kept := entries[:0]
	for i, e := range entries {
		if i+1 == len(entries) || entries[i+1].card != e.card {
			kept = append(kept, e)
		}
	}
	return kept
}

// apply makes the changes (sorted, none twice) and returns what they did, appended to ops.
func (c *content) apply(entries []entry, ops []op) []op {
	first := len(ops)
	places := make([]int, 0, len(entries)) // where each op's card stands, or would
	for _, e := range entries {
		at, listed := c.find(e.card)
		o := op{card: e.card, new: e.scope, prefixOld: c.prefixScope(e.card, at)}
		if listed {
			o.old = c.scopes[at]
		}
		if o.old != o.new {
			ops, places = append(ops, o), append(places, at)
		}
	}
	done := ops[first:]
	c.write(done, places)
	for i := range done {
		done[i].prefixNew = c.prefixScope(done[i].card, places[i])
	}
	return ops
}

// write puts the cards of ops in, takes them out, or changes them where they are. It makes
// places those after the change.
func (c *content) write(ops []op, places []int) {
	var gone, at []int // places in the content as it was, and between the two moves
	var tokens []pan.Token
	var scopes []txn.App
	for i, o := range ops {
		place := places[i]
		places[i] += len(at) - len(gone)
		switch {
		case o.new == 0:
			gone = append(gone, place)
		case o.old == 0:
			at = append(at, place-len(gone))
			tokens, scopes = append(tokens, o.card), append(scopes, o.new)
		default:
			c.scopes[place] = o.new
		}
	}
	c.tokens, c.scopes = without(c.tokens, gone), without(c.scopes, gone)
	c.tokens, c.scopes = with(c.tokens, at, tokens), with(c.scopes, at, scopes)
}

// without removes the elements at the given places, which are in order, in place.
func without[T any](s []T, places []int) []T {
	if len(places) == 0 {
		return s
	}
	to := places[0]
	for i, p := range places {
		end := len(s)
		if i+1 < len(places) {
			end = places[i+1]
		}
		to += copy(s[to:], s[p+1:end])
	}
	return s[:to]
}

// with inserts values before the given places of s, which are in order, and moves each
// element once. It grows s by a little more than needed.
func with[T any](s []T, places []int, values []T) []T {
	n := len(s)
	if need := n + len(values); need > cap(s) {
		s = slices.Grow(s, len(values)+need/16)
	}
	s = s[:n+len(values)]
	end := n
	for i := len(places) - 1; i >= 0; i-- {
		copy(s[places[i]+i+1:], s[places[i]:end])
		s[places[i]+i] = values[i]
		end = places[i]
	}
	return s
}

// distinct sorts what a snapshot gave. A card may come twice, when it changed meanwhile:
// either will do, since that change is still to come.
func distinct(fresh []entry) []entry {
	slices.SortFunc(fresh, func(a, b entry) int { return compare(a.card, b.card) })
	return slices.CompactFunc(fresh, func(a, b entry) bool { return a.card == b.card })
}

// replaceBy returns the changes that make the content what was read anew, sorted.
func (c *content) replaceBy(fresh []entry) []entry {
	var changes []entry
	i := 0
	for _, e := range fresh {
		for ; i < len(c.tokens) && compare(c.tokens[i], e.card) < 0; i++ {
			changes = append(changes, entry{c.tokens[i], 0})
		}
		if i < len(c.tokens) && c.tokens[i] == e.card {
			if c.scopes[i] != e.scope {
				changes = append(changes, e)
			}
			i++
			continue
		}
		changes = append(changes, e)
	}
	for ; i < len(c.tokens); i++ {
		changes = append(changes, entry{c.tokens[i], 0})
	}
	return changes
}

// tokens returns every card of which app is closed, in order, in memory of its own.
func (m *master) tokens(app txn.App, about uint64) []pan.Token {
	all := make([]pan.Token, 0, about)
	for i := range m.buckets {
		b := &m.buckets[i]
		for j, s := range b.scopes {
			if s&app != 0 {
				all = append(all, b.tokens[j])
			}
		}
	}
	return all
}

// len returns how many cards are frozen for anything.
func (m *master) len() (n int) {
	for i := range m.buckets {
		n += len(m.buckets[i].tokens)
	}
	return n
}
