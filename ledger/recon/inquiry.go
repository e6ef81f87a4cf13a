package recon

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Inquiry finds out why rows are left over. It is made of these rows, is then shown every row
// of the run once more (See, SeeClaim), and then concludes. Its memory is bounded by what is
// left, not by the run.
type Inquiry struct {
	plan  *Plan
	day   txn.BusinessDate
	names [2][]string // of the sources of each side

	findings []*finding
	index    [2]sideIndex
	batches  map[string]*batch
	claims   []map[uint64][]*finding // by identity
	asked    bool                    // claims were shown
	free     [2]int64                // rows of one side alone that move no money
}

// finding is what is known about one row that is left.
type finding struct {
	row  *Row
	side Side
	// twin is the first row of the same side with the same content, reuse one with the same
	// trace number and other content.
	twin, reuse *sighting
	batch       *batch
	claim       *Row
	paired      bool
}

// sighting is a row that was seen elsewhere.
type sighting struct {
	Place
	amount int64
	at     txn.Millis
	left   bool // it is left over itself
}

// batch is a terminal's batch that has rows among those left. Each side counts for itself.
type batch struct {
	terminal, number string
	seen, left       [2]int64
	sum              [2]int64
	undone           [2]int64 // of those seen: cancelled within their side
}

// UndoneMax bounds the batches whose cancelled rows are counted, a batch that is not counted is
// not said to be missing.
const UndoneMax = 1 << 20

// Undone counts the rows that were cancelled within their own side, by batch: a batch that
// arrived nowhere is missing also where one of its sales was taken back. The zero value is ready.
// Not safe for concurrent use.
type Undone struct {
	byBatch map[string][2]int64
	key     []byte
}

// Count adds rows of one side.
func (u *Undone) Count(side Side, rows []*Row) {
	if u.byBatch == nil {
		u.byBatch = map[string][2]int64{}
	}
	for _, r := range rows {
		if r.Text[Terminal] == "" || r.Free() {
			continue
		}
		u.key = batchKey(u.key[:0], r)
		n, known := u.byBatch[string(u.key)]
		if !known && len(u.byBatch) == UndoneMax {
			continue
		}
		n[side]++
		u.byBatch[string(u.key)] = n
	}
}

type sideIndex struct {
	content map[uint64][]*finding
	traces  map[string][]*finding
	left    map[Place]bool
	rows    []int64 // seen, by source
	key     []byte
}

// Facts are what an Inquiry needs to know of the run.
type Facts struct {
	Plan *Plan
	// Day is the business date that is reconciled.
	Day txn.BusinessDate
	// Names are those of the sources of each side, by their numbers.
	Names [2][]string
	// Left are the rows that nothing matched, in order of place.
	Left [2][]*Row
	// Undone are the rows that were cancelled, nil for none.
	Undone *Undone
}

// NewInquiry begins with the rows that are left.
func NewInquiry(f Facts) *Inquiry {
	q := &Inquiry{plan: f.Plan, day: f.Day, names: f.Names, batches: map[string]*batch{},
		claims: make([]map[uint64][]*finding, len(f.Plan.Identity))}
	for i := range q.claims {
		q.claims[i] = map[uint64][]*finding{}
	}
	for side := range q.index {
		q.index[side] = sideIndex{content: map[uint64][]*finding{}, traces: map[string][]*finding{},
			left: map[Place]bool{}, rows: make([]int64, len(f.Names[side]))}
		for _, r := range f.Left[side] {
			q.enter(Side(side), r)
		}
	}
	if f.Undone != nil {
		for key, b := range q.batches {
			b.undone = f.Undone.byBatch[key]
		}
	}
	return q
}

func (q *Inquiry) enter(side Side, r *Row) {
	f := &finding{row: r, side: side}
	q.findings = append(q.findings, f)
	x := &q.index[side]
	x.left[r.Place] = true
	if r.Marks&Unreadable != 0 {
		return
	}
	h := r.contentHash()
	x.content[h] = append(x.content[h], f)
	if key, ok := traceKey(nil, r); ok {
		x.traces[string(key)] = append(x.traces[string(key)], f)
	}
	if r.Text[Terminal] != "" {
		key := string(batchKey(nil, r))
		if q.batches[key] == nil {
			q.batches[key] = &batch{terminal: r.Text[Terminal], number: r.Text[Batch]}
		}
		f.batch = q.batches[key]
	}
	for i, identity := range q.plan.Identity {
		if key, ok := r.AppendKey(nil, identity); ok {
			h := HashKey(key)
			q.claims[i][h] = append(q.claims[i][h], f)
		}
	}
}

func traceKey(dst []byte, r *Row) ([]byte, bool) {
	return r.AppendKey(dst, []Field{Terminal, STAN})
}

func batchKey(dst []byte, r *Row) []byte {
	return append(append(append(dst, r.Text[Terminal]...), 0), r.Text[Batch]...)
}

// See is shown every row of a side that can be matched, matched or not, in any order. It keeps
// nothing of the row. The sides may be shown by two goroutines.
func (q *Inquiry) See(side Side, r *Row) {
	x := &q.index[side]
	x.rows[r.Source]++
	for _, f := range x.content[r.contentHash()] {
		if f.row.Place != r.Place && f.row.same(r) {
			q.note(&f.twin, side, r)
		}
	}
	var ok bool
	if x.key, ok = traceKey(x.key[:0], r); ok {
		for _, f := range x.traces[string(x.key)] {
			if f.row.Place != r.Place && reused(f.row, r) {
				q.note(&f.reuse, side, r)
			}
		}
	}
	if r.Text[Terminal] == "" {
		return
	}
	x.key = batchKey(x.key[:0], r)
	if b := q.batches[string(x.key)]; b != nil && !r.Free() {
		b.seen[side]++
	}
}

// reuseWithin is how near two uses of a trace number are to mean a terminal that counted anew:
// a terminal needs longer for a million transactions.
const reuseWithin = 36 * 60 * 60 * 1000

// reused reports whether two rows share a trace number that should tell them apart.
func reused(a, b *Row) bool {
	batch := a.Text[Batch] == b.Text[Batch] || a.Text[Batch] == "" || b.Text[Batch] == ""
	chain := a.Text[Chain] != "" && a.Text[Chain] == b.Text[Chain] // a reversal and its original
	other := a.Text[RRN] != b.Text[RRN] || a.At != b.At || a.Amount != b.Amount
	return batch && !chain && other && a.Text[Kind] == b.Text[Kind] &&
		distance(int64(a.At), int64(b.At)) <= reuseWithin
}

// note keeps the sighting that was read first.
func (q *Inquiry) note(to **sighting, side Side, r *Row) {
	if *to != nil && (*to).Place.Before(r.Place) {
		return
	}
	*to = &sighting{Place: r.Place, amount: r.Amount, at: r.At,
		left: q.index[side].left[r.Place]}
}

// Asked says that there is a third side, also one without a row.
func (q *Inquiry) Asked() { q.asked = true }

// SeeClaim is shown every row of the third side, in any order. Not beside See.
func (q *Inquiry) SeeClaim(r *Row) {
	for i, identity := range q.plan.Identity {
		key, ok := r.AppendKey(nil, identity)
		if !ok {
			continue
		}
		for _, f := range q.claims[i][HashKey(key)] {
			own, _ := f.row.AppendKey(nil, identity)
			first := f.claim == nil || r.Place.Before(f.claim.Place)
			if first && string(own) == string(key) && agree(f.row, r) {
				claim := *r
				claim.Text = cloneTexts(r)
				f.claim = &claim
			}
		}
	}
}

// cloneTexts copies the texts, so that they outlive what they were cut from.
func cloneTexts(r *Row) (texts [TextCount]string) {
	for f, t := range r.Text {
		texts[f] = string([]byte(t))
	}
	return texts
}

// agree reports whether nothing speaks against two rows being the same transaction.
func agree(a, b *Row) bool {
	for _, f := range [...]Field{Card, Last4, RRN} {
		if a.Text[f] != b.Text[f] && a.Text[f] != "" && b.Text[f] != "" {
			return false
		}
	}
	return true
}

// Free returns, once it has concluded, how many rows of each side the other side does not have
// and does not miss: they move no money.
func (q *Inquiry) Free() [2]int64 { return q.free }

// Conclude returns the breaks in order, each with its cause.
func (q *Inquiry) Conclude() ([]*Break, error) {
	var cases []*kase
	var rest [2][]*finding
	for _, f := range q.findings {
		switch {
		case f.row.Marks&Unreadable != 0:
			cases = append(cases, &kase{difference: HeldLine, f: single(f)})
		case f.twin != nil && (!f.twin.left || f.twin.Place.Before(f.row.Place)):
			cases = append(cases, &kase{difference: Repeated, f: single(f)})
		default:
			rest[f.side] = append(rest[f.side], f)
		}
	}
	pairs, err := q.pair(rest)
	if err != nil {
		return nil, err
	}
	cases = append(cases, pairs...)
	for side := range rest {
		for _, f := range rest[side] {
			if !f.paired {
				cases = append(cases, &kase{difference: [2]Difference{OursOnly, TheirsOnly}[side],
					f: single(f)})
			}
		}
	}
	j := newJudge(q, cases)
	breaks := make([]*Break, 0, len(cases))
	for _, k := range cases {
		if k.free() {
			q.free[k.one().side]++
			continue
		}
		breaks = append(breaks, j.judge(k))
	}
	return breaks, sortBreaks(q.plan, breaks)
}

// kase is one difference before its cause is known.
type kase struct {
	difference Difference
	f          [2]*finding
}

// free reports a row of one side alone that moves no money: no break.
func (k *kase) free() bool {
	return (k.difference == OursOnly || k.difference == TheirsOnly) && k.one().row.Free()
}

func single(f *finding) (both [2]*finding) {
	both[f.side] = f
	return both
}

// pair finds rows that are the same transaction told differently.
func (q *Inquiry) pair(rest [2][]*finding) ([]*kase, error) {
	var cases []*kase
	for _, identity := range q.plan.Identity {
		groups := map[string]*[2][]*finding{}
		var order []string
		for side := range rest {
			for _, f := range rest[side] {
				key, ok := f.row.AppendKey(nil, identity)
				if !ok || f.paired {
					continue
				}
				if groups[string(key)] == nil {
					groups[string(key)] = &[2][]*finding{}
					order = append(order, string(key))
				}
				g := groups[string(key)]
				g[side] = append(g[side], f)
			}
		}
		for _, key := range order {
			g := groups[key]
			if len(g[Ours])*len(g[Theirs]) > PairsMax {
				return nil, fmt.Errorf("%w: %d of ours and %d of theirs are left under one key of identity %v",
					ErrWeakKey, len(g[Ours]), len(g[Theirs]), identity)
			}
			cases = append(cases, q.pairGroup(g)...)
		}
	}
	return cases, nil
}

func (q *Inquiry) pairGroup(g *[2][]*finding) (cases []*kase) {
	for side := range g {
		slices.SortFunc(g[side], func(a, b *finding) int { return byTime(a.row, b.row) })
	}
	for _, o := range g[Ours] {
		var best *finding
		for _, t := range g[Theirs] {
			if !t.paired && agree(o.row, t.row) &&
				(best == nil || nearer(o.row, t.row, best.row)) {
				best = t
			}
		}
		if best == nil {
			continue
		}
		o.paired, best.paired = true, true
		cases = append(cases, &kase{difference: q.differenceOf(o.row, best.row),
			f: [2]*finding{o, best}})
	}
	return cases
}

// differenceOf names the gravest difference of a pair.
func (q *Inquiry) differenceOf(o, t *Row) Difference {
	switch {
	case !statusAgrees(o, t):
		return OtherState
	case o.Amount != t.Amount || o.Currency != t.Currency && o.Currency != 0 && t.Currency != 0:
		return OtherSum
	case o.Date != t.Date && o.Date != 0 && t.Date != 0:
		return OtherDate
	default:
		return OtherTime
	}
}

// ErrTooManyBreaks reports a run that has the wrong file, day or layout.
var ErrTooManyBreaks = errors.New("too many rows match nothing")
