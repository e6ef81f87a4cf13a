package bankhost

import (
	"sync"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

const (
	// EntriesMax is how many requests a Book remembers unless told otherwise; the oldest are
	// forgotten first and counted. Cards and totals keep what they did. A million take
	// about 350 MB.
	EntriesMax = 1 << 20
	// lostMax is how many lost requests are counted apart; then the counts start anew.
	lostMax = 1 << 16
	// completionPercent is how much of a pre-authorization a completion may take (UnionPay:
	// 115 %).
	completionPercent = 115
)

// entry is a request in the book. It holds no pointer, so that a million of them cost the
// collector nothing.
type entry struct {
	key      Key
	kind     Kind
	mti      message.MTI
	code     [2]byte
	reversed bool
	// closed says that a void or a completion has used the entry up; refunded is how much of
	// it has gone back.
	closed   bool
	refunded int64
	// forestalled says that the reversal came first.
	forestalled bool
	seen        uint32
	amount      int64
	card        pan.Token
	rrn         [12]byte
	auth        [6]byte
	original    uint64 // number of the entry that it refers to, 0 none
	balance     int64
	at          int64 // Unix milliseconds
	text        string
	period      uint32 // in which it came
}

func (e *entry) approved() bool { return e.code == [2]byte{'0', '0'} }

// account is what a card has done: posted is what its holder owes, held what is reserved.
type account struct{ posted, held int64 }

// batchKey names a batch of a terminal.
type batchKey struct {
	terminal [8]byte
	batch    [6]byte
}

// sale names a transaction as the peer's reference number does.
type sale struct {
	terminal [8]byte
	rrn      [12]byte
	kind     Kind
}

// book decides and remembers. It reads no clock and no network; the time is given.
type book struct {
	mu sync.Mutex
	// All below is guarded by mu.
	counts  Counts // but for its maps
	tally   tally
	entries []entry // entry number n stands at (n-1) % max
	count   uint64  // numbers given
	byKey   map[Key]uint64
	bySale  map[sale]uint64
	cards   map[pan.Token]*account
	batches map[batchKey]*Batch
	lost    map[Key]uint32
	// recon are the totals since the peer's last reconciliation, which began period; reviving
	// says that the reversal of a void of this period is being worked on.
	recon    reconTotals
	period   uint32
	recons   recons
	reviving bool

	max     int
	funds   int64
	dialect message.Dialect
	seed    uint64
}

func newBook(o *Options) *book {
	return &book{max: o.EntriesMax, funds: o.Funds, dialect: o.Spec.Dialect(), seed: o.Seed,
		byKey: map[Key]uint64{}, bySale: map[sale]uint64{}, cards: map[pan.Token]*account{},
		batches: map[batchKey]*Batch{}, lost: map[Key]uint32{},
		tally: tally{codes: map[[2]byte]int64{}}}
}

// at returns the entry of a number, nil when it is forgotten or none.
func (b *book) at(n uint64) *entry {
	if n == 0 || n > b.count || b.count-n >= uint64(b.max) {
		return nil
	}
	return &b.entries[(n-1)%uint64(b.max)]
}

func (b *book) find(k *Key) (uint64, *entry) {
	n := b.byKey[*k]
	return n, b.at(n)
}

// add makes room for a new entry.
func (b *book) add(k *Key) (uint64, *entry) {
	b.count++
	at := int((b.count - 1) % uint64(b.max))
	if at < len(b.entries) {
		b.forget(&b.entries[at])
	} else {
		b.entries = append(b.entries, entry{})
	}
	b.entries[at] = entry{key: *k}
	b.byKey[*k] = b.count
	return b.count, &b.entries[at]
}

func (b *book) forget(e *entry) {
	b.counts.Forgotten++
	delete(b.byKey, e.key)
	delete(b.bySale, sale{e.key.Terminal, e.rrn, e.kind})
}

func (b *book) account(card pan.Token) *account {
	a := b.cards[card]
	if a == nil {
		a = new(account)
		b.cards[card] = a
	}
	return a
}

// before returns how often a request has been seen, also those that the behaviour lost.
func (b *book) before(k *Key) uint32 {
	n := b.lost[*k]
	if _, e := b.find(k); e != nil {
		n += e.seen
	}
	return n
}

// lose counts a request that never arrived.
func (b *book) lose(k *Key) {
	if len(b.lost) >= lostMax {
		clear(b.lost)
	}
	b.lost[*k]++
}

// outcome is what the book says to a request.
type outcome struct {
	code    [2]byte
	rrn     [12]byte
	auth    [6]byte
	balance int64
	// balanced says that there is a balance to show.
	balanced bool
}

// decide carries q out once: a repeat gets the answer of the first time. refusal is the
// code that the behaviour wants, "" none.
func (b *book) decide(q *request, refusal string, now time.Time) outcome {
	b.counts.Requests++
	n, e := b.find(&q.key)
	switch {
	case e != nil && e.seen > 0:
		return b.repeat(q, e)
	case e != nil:
		// Its reversal came first, and the peer believes that it never happened.
		b.fill(e, q, now)
		b.counts.Forestalled++
		refusal = "12"
	default:
		n, e = b.add(&q.key)
		b.fill(e, q, now)
	}
	if q.kind == Reversal {
		return b.reverse(q, n)
	}
	original := b.original(q, e)
	if refusal == "" {
		refusal = b.admit(q, original)
	}
	if refusal == "" {
		refusal = "00"
		b.apply(e, original, +1)
		b.checkSale(n, e)
	}
	copy(e.code[:], refusal)
	b.tally.decided(e)
	a := b.account(e.card)
	e.balance = b.available(a)
	return b.outcome(e)
}

func (b *book) outcome(e *entry) outcome {
	return outcome{code: e.code, rrn: e.rrn, auth: e.auth, balance: e.balance,
		balanced: e.kind == Balance && e.approved()}
}

// unlimited is what the balance of a card without a limit counts down from.
const unlimited = 100_000_000

func (b *book) available(a *account) int64 {
	funds := b.funds
	if funds == 0 {
		funds = unlimited
	}
	return funds - a.posted - a.held
}

// fill writes what the request says into its entry.
func (b *book) fill(e *entry, q *request, now time.Time) {
	n := b.byKey[q.key]
	e.kind, e.mti, e.amount, e.card = q.kind, q.sum.MTI.First(), q.amount, q.card
	e.text, e.period = q.text, b.period
	e.seen, e.at = 1, now.UnixMilli()
	e.rrn = q.sum.RRN
	if b.dialect == message.POS || !q.sum.Has(37) {
		putDigits(e.rrn[:], n)
	}
	putDigits(e.auth[:], mix(q.key.hash()^b.seed^saltApproval)%1_000_000)
}

// putDigits writes n right-aligned with zeros in front, cut to the room.
func putDigits(to []byte, n uint64) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = '0' + byte(n%10)
		n /= 10
	}
}

// repeat answers a request that has been seen: alike when it says the same, else with 94.
func (b *book) repeat(q *request, e *entry) outcome {
	if e.kind != q.kind || e.amount != q.amount || e.card != q.card {
		b.counts.Conflicts++
		out := b.outcome(e)
		copy(out.code[:], "94")
		return out
	}
	e.seen++
	b.counts.Repeats++
	if !q.sum.MTI.IsRepeat() {
		b.counts.Unmarked++
	}
	return b.outcome(e)
}

// checkSale finds a transaction that comes again under a new trace number: the blind retry
// that no switch may make. Terminals have no reference number of their own.
func (b *book) checkSale(n uint64, e *entry) {
	if b.dialect == message.POS || e.rrn == [12]byte{} || e.kind == Balance || e.kind == Notice {
		return
	}
	s := sale{e.key.Terminal, e.rrn, e.kind}
	if other := b.at(b.bySale[s]); other != nil && !other.reversed && other.card == e.card &&
		other.amount == e.amount {
		b.counts.DoubleExecuted++
	}
	b.bySale[s] = n
}

// original finds what a void, completion or refund refers to.
func (b *book) original(q *request, e *entry) *entry {
	if !q.refers {
		return nil
	}
	n, o := b.find(&q.original)
	if o == nil || o == e {
		return nil
	}
	if q.originalMTI != 0 && o.mti != q.originalMTI && !o.forestalled {
		b.counts.WrongOriginalMTI++
		return nil
	}
	e.original = n
	return o
}

// reverse takes back what entry n, a reversal, names: once, and only what stands.
func (b *book) reverse(q *request, n uint64) outcome {
	code := "00"
	e := b.at(n)
	o := b.original(q, e)
	switch {
	case !q.refers:
		code = "30"
	case o == nil:
		code = "25"
		b.counts.ReversalsOfUnknown++
		b.forestall(&q.original)
	case !q.sameCard(o) && o.seen > 0:
		code = "25"
	case o.reversed, o.forestalled, !o.approved():
	case o.closed || o.refunded > 0:
		code = "12"
		b.counts.ReversalsRefused++
	default:
		b.apply(o, b.at(o.original), -1)
		o.reversed = true
		b.counts.Reversed++
	}
	if e = b.at(n); e == nil { // a book of one entry has no room for both
		e = &entry{}
	}
	copy(e.code[:], code)
	b.tally.decided(e)
	return b.outcome(e)
}

// sameCard reports whether a message that names a card names that of e.
func (q *request) sameCard(e *entry) bool { return q.number.IsZero() || q.card == e.card }

// forestall remembers that a request is not to be carried out when it comes. A request whose
// reversal overtook it is refused for good.
func (b *book) forestall(k *Key) {
	if _, e := b.find(k); e != nil {
		return
	}
	_, e := b.add(k)
	e.forestalled = true
}
