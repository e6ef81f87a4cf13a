package bankhost

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// Counts are what a host has seen and done.
type Counts struct {
	Connections int64 `json:"connections"`
	Requests    int64 `json:"requests"`
	Answers     int64 `json:"answers"`
	// Kinds are the first sightings, Approved and Declined their decisions, by kind.
	Kinds    map[Kind]int64 `json:"kinds"`
	Approved map[Kind]int64 `json:"approved"`
	Declined map[Kind]int64 `json:"declined"`
	// Codes are the answers given to first sightings.
	Codes map[string]int64 `json:"codes"`
	// Effects are what the behaviour did.
	Effects map[Effect]int64 `json:"effects"`

	// Repeats are requests seen before, Unmarked those of them whose MTI does not say so,
	// Conflicts those that said something else and got 94.
	Repeats   int64 `json:"repeats"`
	Unmarked  int64 `json:"repeats_unmarked"`
	Conflicts int64 `json:"conflicts"`
	// DoubleExecuted are transactions carried out under two trace numbers: the peer has
	// retried blindly. It must be 0.
	DoubleExecuted int64 `json:"double_executed"`

	// Reversed are transactions taken back, ReversalsOfUnknown reversals of nothing that the
	// book has, Forestalled requests that came after their reversal, ReversalsRefused
	// reversals of what a void, completion or refund has used.
	Reversed           int64 `json:"reversed"`
	ReversalsOfUnknown int64 `json:"reversals_of_unknown"`
	ReversalsRefused   int64 `json:"reversals_refused"`
	Forestalled        int64 `json:"forestalled"`
	// WrongOriginalMTI are field 90s that name a request of the book by another MTI than it
	// came with. It is not found then: 25.
	WrongOriginalMTI int64 `json:"wrong_original_mti"`

	SignOns        int64 `json:"sign_ons"`
	SignOnsRefused int64 `json:"sign_ons_refused"`
	Echoes         int64 `json:"echoes"`
	KeyChanges     int64 `json:"key_changes"`
	// KeyOrders are orders of a key, Reconciled 0500 that were worked on.
	KeyOrders  int64 `json:"key_orders"`
	Reconciled int64 `json:"reconciled"`
	BadMAC     int64 `json:"bad_mac"`
	BadPIN     int64 `json:"bad_pin"`
	// Broken are frames that are no message, Unasked answers to nothing, Forgotten entries
	// that had to go.
	Broken    int64 `json:"broken"`
	Unasked   int64 `json:"unasked"`
	Forgotten int64 `json:"forgotten"`
}

// tally is what Counts has as maps, as the book counts it.
type tally struct {
	kinds, approved, declined [kindEnd]int64
	effects                   [effectEnd]int64
	codes                     map[[2]byte]int64
}

// decided counts the decision about a new entry.
func (t *tally) decided(e *entry) {
	t.kinds[e.kind]++
	t.codes[e.code]++
	if e.approved() {
		t.approved[e.kind]++
	} else {
		t.declined[e.kind]++
	}
}

// fill writes the tally into c.
func (t *tally) fill(c *Counts) {
	*c = Counts{Kinds: map[Kind]int64{}, Approved: map[Kind]int64{}, Declined: map[Kind]int64{},
		Codes: map[string]int64{}, Effects: map[Effect]int64{}}
	for k := range kindEnd {
		addTo(c.Kinds, k, t.kinds[k])
		addTo(c.Approved, k, t.approved[k])
		addTo(c.Declined, k, t.declined[k])
	}
	for e := range effectEnd {
		addTo(c.Effects, e, t.effects[e])
	}
	for code, n := range t.codes {
		c.Codes[string(code[:])] = n
	}
}

func addTo[K comparable](m map[K]int64, k K, n int64) {
	if n > 0 {
		m[k] = n
	}
}

// Batch is a terminal's batch: its totals, and what the terminal said at settlement.
type Batch struct {
	Terminal     string `json:"terminal"`
	Number       string `json:"number"`
	DebitAmount  int64  `json:"debit_minor"`
	DebitCount   int    `json:"debits"`
	CreditAmount int64  `json:"credit_minor"`
	CreditCount  int    `json:"credits"`
	// Settled says that the terminal has asked, Verdict what it was told (1 balanced,
	// 2 not), UploadedRows and UploadedMinor what it sent afterwards, Ended that it is done.
	Settled       bool            `json:"settled"`
	Verdict       message.Verdict `json:"verdict"`
	UploadedRows  int             `json:"uploaded_rows,omitempty"`
	UploadedMinor int64           `json:"uploaded_minor,omitempty"`
	Ended         bool            `json:"ended"`
	lastUpload    uint32          // trace number, so that a repeat counts once
}

// Entry is a request of the Book.
type Entry struct {
	Number   uint64    `json:"number"`
	At       time.Time `json:"at"`
	MTI      string    `json:"mti"`
	Kind     Kind      `json:"kind"`
	STAN     uint32    `json:"stan"`
	Sent     string    `json:"sent,omitempty"`
	Acquirer string    `json:"acquirer"`
	Terminal string    `json:"terminal"`
	Batch    string    `json:"batch,omitempty"`
	Card     string    `json:"card"`
	Minor    int64     `json:"minor"`
	RRN      string    `json:"rrn"`
	Auth     string    `json:"auth,omitempty"`
	Code     string    `json:"code"`
	Seen     uint32    `json:"seen"`
	// Reversed, Closed (voided or completed) and Refunded say what became of it; Original is
	// the number of the entry that it refers to.
	Reversed    bool   `json:"reversed,omitempty"`
	Closed      bool   `json:"closed,omitempty"`
	Refunded    int64  `json:"refunded_minor,omitempty"`
	Forestalled bool   `json:"forestalled,omitempty"`
	Original    uint64 `json:"original,omitempty"`
	// Text is field 48 of a notice: what it says of a card that has no number in it.
	Text string `json:"text,omitempty"`
}

// Approved reports whether the request was carried out and stands.
func (e *Entry) Approved() bool { return e.Code == "00" && !e.Reversed }

// Card is what a card has done: Posted is what its holder owes, Held what is reserved.
type Card struct {
	Card   string `json:"card"`
	Posted int64  `json:"posted_minor"`
	Held   int64  `json:"held_minor"`
}

// Summary is a Book without its entries and cards.
type Summary struct {
	Seed   uint64  `json:"seed"`
	Counts Counts  `json:"counts"`
	Cards  int     `json:"cards"`
	Posted int64   `json:"posted_minor"`
	Held   int64   `json:"held_minor"`
	Batch  []Batch `json:"batches,omitempty"`
}

// Book is everything that a host remembers, at one moment.
type Book struct {
	Summary
	Entries  []Entry `json:"entries"`
	Accounts []Card  `json:"accounts"`
}

// Find returns the entry of a request by trace number and terminal, a reversal or not; nil
// when there is none. It is for tests, which know their numbers.
func (b *Book) Find(stan uint32, terminal string, reversal bool) *Entry {
	for i := range b.Entries {
		e := &b.Entries[i]
		if e.STAN == stan && e.Terminal == terminal && (e.Kind == Reversal) == reversal {
			return e
		}
	}
	return nil
}

func (b *book) summary() Summary {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.summaryLocked()
}

// allCounts returns the counts with their maps; mu is held.
func (b *book) allCounts() Counts {
	scalars := b.counts
	var out Counts
	b.tally.fill(&out)
	scalars.Kinds, scalars.Approved, scalars.Declined = out.Kinds, out.Approved, out.Declined
	scalars.Codes, scalars.Effects = out.Codes, out.Effects
	return scalars
}

func (b *book) summaryLocked() Summary {
	s := Summary{Seed: b.seed, Cards: len(b.cards)}
	s.Counts = b.allCounts()
	for _, a := range b.cards {
		s.Posted += a.posted
		s.Held += a.held
	}
	for _, t := range b.batches {
		s.Batch = append(s.Batch, *t)
	}
	slices.SortFunc(s.Batch, func(x, y Batch) int {
		return strings.Compare(x.Terminal+x.Number, y.Terminal+y.Number)
	})
	return s
}

func (b *book) snapshot() *Book {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := &Book{Summary: b.summaryLocked(), Entries: make([]Entry, 0, len(b.entries))}
	for n := b.count - uint64(len(b.entries)) + 1; n <= b.count; n++ {
		out.Entries = append(out.Entries, b.at(n).shown(n))
	}
	for card, a := range b.cards {
		out.Accounts = append(out.Accounts, Card{card.String(), a.posted, a.held})
	}
	slices.SortFunc(out.Accounts, func(x, y Card) int { return strings.Compare(x.Card, y.Card) })
	return out
}

func (e *entry) shown(n uint64) Entry {
	out := Entry{Number: n, MTI: e.mti.String(), Kind: e.kind, STAN: e.key.STAN,
		Sent: text(e.key.Sent[:]), Acquirer: text(e.key.Acquirer[:]),
		Terminal: text(e.key.Terminal[:]),
		Batch:    text(e.key.Batch[:]), Minor: e.amount, RRN: text(e.rrn[:]), Code: text(e.code[:]),
		Seen: e.seen, Reversed: e.reversed, Closed: e.closed, Refunded: e.refunded,
		Forestalled: e.forestalled, Original: e.original, Text: e.text}
	if !e.card.IsZero() {
		out.Card = e.card.String()
	}
	if e.seen > 0 {
		out.At = time.UnixMilli(e.at).UTC()
	}
	if e.approved() && e.kind != Reversal && e.kind != Notice {
		out.Auth = text(e.auth[:])
	}
	return out
}

// text returns characters without the zero bytes of a field that was not there.
func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }
