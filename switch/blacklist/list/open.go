package list

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"
	"sort"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist/list/fuse"
)

// OverlayMax is the most keys that deltas may add to or take from an opened file. Beyond it
// a full file is the shorter way.
const OverlayMax = 1 << 20

// List is the list as a gate holds it: a full file, and what the deltas since then changed.
// It never changes, Apply returns another one, and so it is safe for concurrent use.
type List struct {
	header Header // of the file that was read last: Epoch, Check and Count are the list's
	format Format // of the full file
	body   []byte
	filter *fuse.Filter

	adds, removes []pan.Token // sorted, none in both; narrow keys end in zeros
}

// Open reads a full file and keeps it: the bytes must not change afterwards. It checks
// form, order, hash and signature, and (but for filters and numbers) that the content is
// the one that the header means. With keys nil no signature is asked for: only for a file
// whose way here is trusted. It allocates nothing that grows with the file. Errors are
// ErrDamaged and ErrUnsigned.
func Open(file []byte, keys *Keys) (*List, error) {
	h, body, err := readFile(file, keys)
	if err != nil {
		return nil, err
	}
	l := &List{header: h, format: h.Format, body: body}
	switch h.Format {
	case Delta:
		return nil, fmt.Errorf("%w: a delta is no full list", ErrDamaged)
	case Filter8, Filter16:
		l.filter, err = fuse.Decode(body)
		if err == nil && l.filter.Bits() != 8*int(h.Format-Filter8+1) {
			err = fmt.Errorf("%w: filter of %d bits", ErrDamaged, l.filter.Bits())
		}
	case Exact:
		err = l.checkExact()
	default:
		_, err = l.checkOrder()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: content of epoch %d: %w", ErrDamaged, h.Epoch, err)
	}
	return l, nil
}

// readFile takes a file apart and checks hash and signature.
func readFile(file []byte, keys *Keys) (Header, []byte, error) {
	h, err := readHeader(file)
	if err != nil {
		return h, nil, err
	}
	rest := uint64(len(file) - HeaderSize)
	if h.BodySize > rest {
		return h, nil, fmt.Errorf("%w: %d bytes of content, %d are there", ErrDamaged, h.BodySize, rest)
	}
	body := file[HeaderSize : HeaderSize+h.BodySize]
	if sha256.Sum256(body) != h.BodyHash {
		return h, nil, fmt.Errorf("%w: content does not have the hash of its header", ErrDamaged)
	}
	return h, body, keys.verify(file[:HeaderSize], file[HeaderSize+h.BodySize:])
}

// key returns the i-th key of the file.
func (l *List) key(i int) []byte { return l.body[i*l.width():][:l.width()] }

func (l *List) width() int { return l.header.Width }

func (l *List) len() int { return len(l.body) / l.width() }

// checkOrder wants whole keys in order and returns how many.
func (l *List) checkOrder() (int, error) {
	if len(l.body)%l.width() != 0 {
		return 0, fmt.Errorf("%d bytes in keys of %d", len(l.body), l.width())
	}
	for i := 1; i < l.len(); i++ {
		if bytes.Compare(l.key(i-1), l.key(i)) >= 0 {
			return 0, fmt.Errorf("key %d is out of order", i)
		}
	}
	return l.len(), nil
}

// checkExact wants the keys to add up to the check of the header.
func (l *List) checkExact() error {
	n, err := l.checkOrder()
	if err != nil {
		return err
	}
	sum := uint64(0)
	for i := range n {
		sum += keyCheck(l.width(), tokenOf(l.key(i)))
	}
	if sum != l.header.Check.of(l.width()) || l.width() == Wide && uint64(n) != l.header.Count {
		return fmt.Errorf("%d keys do not add up to the check", n)
	}
	return nil
}

// tokenOf returns a key as a token; a narrow one ends in zeros.
func tokenOf(key []byte) (t pan.Token) {
	copy(t[:], key)
	return t
}

func keyCheck(width int, key pan.Token) uint64 {
	if width == Wide {
		return wideCheck(key)
	}
	return narrowCheck(prefix(key))
}

// Header returns the header of the list at its epoch: that of the last file read.
func (l *List) Header() Header { return l.header }

// Epoch returns the epoch of the list.
func (l *List) Epoch() Epoch { return l.header.Epoch }

// Overlay returns how many keys deltas have added and taken since the full file.
func (l *List) Overlay() int { return len(l.adds) + len(l.removes) }

// Contains reports whether the card is listed. A filter, and to a far lesser degree narrow
// keys, may say so of a card that is not; no list ever misses a card that is. A list of
// numbers knows no tokens and says that every card is listed.
func (l *List) Contains(card pan.Token) bool {
	if l.format == Numbers {
		return true
	}
	key := tokenOf(card[:l.width()])
	switch {
	case has(l.adds, key):
		return true
	case has(l.removes, key):
		return false
	case l.filter != nil:
		return l.filter.Contains(prefix(card))
	}
	return l.find(key[:l.width()])
}

// ContainsNumber reports whether the card number is listed, for a list of numbers; any other
// list knows no numbers and says that every card is listed.
func (l *List) ContainsNumber(n pan.Number) bool {
	key := bcd(n)
	return l.format != Numbers || l.find(key[:])
}

func (l *List) find(key []byte) bool {
	i := sort.Search(l.len(), func(i int) bool { return bytes.Compare(l.key(i), key) >= 0 })
	return i < l.len() && bytes.Equal(l.key(i), key)
}

func compare(a, b pan.Token) int {
	if x, y := prefix(a), prefix(b); x != y {
		return cmp.Compare(x, y)
	}
	return bytes.Compare(a[8:], b[8:])
}

func has(sorted []pan.Token, key pan.Token) bool {
	_, ok := slices.BinarySearchFunc(sorted, key, compare)
	return ok
}

// Apply returns the list after a delta that begins at its epoch. The list itself is left as
// it was, whatever happens. Errors are ErrDamaged, ErrUnsigned and ErrOther; after each of
// them a full file helps.
func (l *List) Apply(delta []byte, keys *Keys) (*List, error) {
	h, body, err := readFile(delta, keys)
	if err != nil {
		return nil, err
	}
	if err := l.accepts(h); err != nil {
		return nil, err
	}
	d := &List{header: h, body: body} // a delta's keys are read as a list's are
	adds, err := d.part(0, int(h.Adds))
	if err != nil {
		return nil, err
	}
	removes, err := d.part(int(h.Adds), int(h.Removes))
	if err != nil {
		return nil, err
	}
	sum := l.header.Check.of(h.Width)
	for _, k := range adds {
		sum += keyCheck(h.Width, k)
	}
	for _, k := range removes {
		sum -= keyCheck(h.Width, k)
	}
	if sum != h.Check.of(h.Width) {
		return nil, fmt.Errorf("%w: epoch %d does not add up to its check", ErrDamaged, h.Epoch)
	}
	next := *l
	next.header, next.header.Format = h, l.format
	next.adds = merge(subtract(l.adds, removes), adds)
	next.removes = merge(subtract(l.removes, adds), removes)
	if next.Overlay() > OverlayMax {
		return nil, fmt.Errorf("%w: %d changes since the full file, at most %d: take a full one",
			ErrOther, next.Overlay(), OverlayMax)
	}
	return &next, nil
}

// accepts compares a delta with the list that it should follow.
func (l *List) accepts(h Header) error {
	own := l.header
	switch {
	case h.Format != Delta:
		return fmt.Errorf("%w: it is a full list: open it", ErrOther)
	case l.format == Numbers:
		return fmt.Errorf("%w: a list of numbers takes no deltas: take a full one", ErrOther)
	case h.Scheme != own.Scheme || h.KeyID != own.KeyID || h.Scope != own.Scope ||
		h.Width != own.Width:
		return fmt.Errorf("%w: scheme %q, key %q, scope %d, width %d; the list has %q, %q, %d, %d",
			ErrOther, h.Scheme, h.KeyID, h.Scope, h.Width, own.Scheme, own.KeyID, own.Scope, own.Width)
	case h.Base != own.Epoch || h.BaseCheck != own.Check:
		return fmt.Errorf("%w: it begins at epoch %d with check %x, the list is at %d with %x",
			ErrOther, h.Base, h.BaseCheck.Wide, own.Epoch, own.Check.Wide)
	}
	return nil
}

// part returns n keys of a delta from number first on, which must be in order.
func (l *List) part(first, n int) ([]pan.Token, error) {
	keys := make([]pan.Token, n) // the header's check bounds n by the bytes that are there
	for i := range keys {
		keys[i] = tokenOf(l.key(first + i))
		if i > 0 && compare(keys[i-1], keys[i]) >= 0 {
			return nil, fmt.Errorf("%w: keys of the delta are out of order", ErrDamaged)
		}
	}
	return keys, nil
}

// merge returns the union of two sorted sets.
func merge(a, b []pan.Token) []pan.Token {
	out := make([]pan.Token, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch c := compare(a[0], b[0]); {
		case c < 0:
			out, a = append(out, a[0]), a[1:]
		case c > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			a = a[1:]
		}
	}
	return append(append(out, a...), b...)
}

// subtract returns sorted a without what is in sorted b.
func subtract(a, b []pan.Token) []pan.Token {
	out := make([]pan.Token, 0, len(a))
	for _, k := range a {
		for len(b) > 0 && compare(b[0], k) < 0 {
			b = b[1:]
		}
		if len(b) == 0 || b[0] != k {
			out = append(out, k)
		}
	}
	return out
}

// All yields the keys of an exact list in order, narrow ones with zeros behind. Of filters
// and numbers it yields nothing.
func (l *List) All() iter.Seq[pan.Token] {
	return func(yield func(pan.Token) bool) {
		adds := l.adds
		for i := range l.len() {
			if l.format != Exact {
				return
			}
			key := tokenOf(l.key(i))
			for ; len(adds) > 0 && compare(adds[0], key) <= 0; adds = adds[1:] {
				if adds[0] != key && !yield(adds[0]) {
					return
				}
			}
			if !has(l.removes, key) && !yield(key) {
				return
			}
		}
		for _, key := range adds {
			if l.format == Exact && !yield(key) {
				return
			}
		}
	}
}

// Compact returns an exact list with its deltas worked into the keys, in memory of its own,
// so that the overlay is empty again. Another list is returned as it is.
func (l *List) Compact() *List {
	if l.format != Exact || l.Overlay() == 0 {
		return l
	}
	next := &List{header: l.header, format: l.format}
	next.body = make([]byte, 0, len(l.body)+len(l.adds)*l.width())
	for key := range l.All() {
		next.body = append(next.body, key[:l.width()]...)
	}
	return next
}
