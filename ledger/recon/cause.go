package recon

import (
	"fmt"
	"strconv"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// skewSpread is how far the offsets of one terminal may lie apart and still be one clock.
const skewSpread = 2 * 60 * 1000

// repeatedShare is the share in percent of a source's rows that repeat another source, from
// which on the source is a copy.
const repeatedShare = 90

// judge finds causes. It looks at all differences first: a tariff and a clock show in many.
type judge struct {
	q       *Inquiry
	tariffs map[tariffKey]int
	clocks  map[string]*offsets
	copied  [2][]int64 // rows of a source that repeat another one
}

type tariffKey struct {
	operator, line string
	ours, theirs   int64
}

// offsets are theirs less ours of the times of one terminal, in milliseconds.
type offsets struct {
	n        int
	min, max int64
}

func newJudge(q *Inquiry, cases []*kase) *judge {
	j := &judge{q: q, tariffs: map[tariffKey]int{}, clocks: map[string]*offsets{}}
	for side := range j.copied {
		j.copied[side] = make([]int64, len(q.names[side]))
	}
	for _, k := range cases {
		o, t := k.f[Ours], k.f[Theirs]
		switch k.difference {
		case Repeated:
			f := k.one()
			if f.twin.Source != f.row.Source {
				j.copied[f.side][f.row.Source]++
			}
		case OtherSum:
			j.tariffs[tariffOf(o.row, t.row)]++
		case OtherDate, OtherTime:
			j.clock(o.row, t.row)
		case OursOnly, TheirsOnly:
			if f := k.one(); f.batch != nil && !f.row.Free() {
				f.batch.left[f.side]++
				f.batch.sum[f.side] += f.row.Amount
			}
		}
	}
	return j
}

// one is the row of a difference of one side.
func (k *kase) one() *finding {
	if k.f[Ours] != nil {
		return k.f[Ours]
	}
	return k.f[Theirs]
}

func tariffOf(o, t *Row) tariffKey {
	return tariffKey{either(o, t, Operator), either(o, t, Line), o.Amount, t.Amount}
}

// either takes a field from the side that has it.
func either(a, b *Row, f Field) string {
	if a.Text[f] != "" {
		return a.Text[f]
	}
	return b.Text[f]
}

func (j *judge) clock(o, t *Row) {
	d := int64(t.At - o.At)
	c := j.clocks[either(o, t, Terminal)]
	switch {
	case o.At == 0 || t.At == 0 || max(d, -d) <= skewSpread:
		return
	case c == nil:
		c = &offsets{min: d, max: d}
		j.clocks[either(o, t, Terminal)] = c
	}
	c.n, c.min, c.max = c.n+1, min(c.min, d), max(c.max, d)
}

// judge makes a break of a difference.
func (j *judge) judge(k *kase) *Break {
	b := &Break{Difference: k.difference, Opened: j.q.day, Owner: j.q.plan.Owner, Evidence: []string{}}
	for side, f := range k.f {
		if f == nil {
			continue
		}
		if Side(side) == Ours {
			b.Ours, b.Gap = f.row, f.row.Amount
		} else {
			b.Theirs, b.Gap = f.row, b.Gap-f.row.Amount
		}
		if f.row.Since != 0 && f.row.Since < b.Opened {
			b.Opened = f.row.Since
		}
		if b.Claim == nil {
			b.Claim = f.claim
		}
		b.Where += " " + j.place(Side(side), f.row.Place, f.row.Text[Origin])
	}
	b.Where = b.Where[1:]
	if j.q.asked && k.difference != Repeated && k.difference != HeldLine {
		b.Odd = oddOf(b.Ours, b.Theirs, b.Claim)
	}
	b.Cause = j.cause(k, b)
	return b
}

// place names a place; a carried row keeps the one where it was read.
func (j *judge) place(side Side, p Place, origin string) string {
	if origin != "" {
		return origin
	}
	return j.q.names[side][p.Source] + ":" + strconv.FormatUint(p.Line, 10)
}

// cause goes from the surest evidence to the weakest.
func (j *judge) cause(k *kase, b *Break) Cause {
	f := k.one()
	say := func(format string, args ...any) { b.Evidence = append(b.Evidence, fmt.Sprintf(format, args...)) }
	switch k.difference {
	case HeldLine:
		say("%s", f.row.Text[Note])
		return UnreadableLine
	case Repeated:
		return j.repeated(f, say)
	case OtherState:
		if j.exposed(k, say) {
			return ListLag
		}
	case OtherSum:
		if j.tariff(k, say) {
			return TariffVersion
		}
	case OtherDate:
		switch {
		case j.skewed(k, say):
			return ClockSkew
		case j.nearCutOff(k, say):
			return CutOffShift
		case j.late(k, say):
			return LateUpload
		}
	case OtherTime:
		if j.skewed(k, say) {
			return ClockSkew
		}
	default:
		return j.absent(k, say)
	}
	return Unknown
}

type sayer func(format string, args ...any)

// repeated tells a copied file from a single row.
func (j *judge) repeated(f *finding, say sayer) Cause {
	say("the same as %s", j.place(f.side, f.twin.Place, ""))
	own := f.row.Source
	n, of := j.copied[f.side][own], j.q.index[f.side].rows[own]
	if f.twin.Source != own && n*100 >= of*repeatedShare {
		say("%d of %d rows of %s repeat another file", n, of, j.q.names[f.side][own])
		return DuplicateFile
	}
	return RepeatedRow
}

// exposed: a frozen card that was served from an old list.
func (j *judge) exposed(k *kase, say sayer) bool {
	for _, f := range k.f {
		if f != nil && f.row.Marks&Exposed != 0 {
			say("the card was frozen at %s and the terminal's list did not have it yet",
				j.time(f.row.At))
			return true
		}
	}
	return false
}

func (j *judge) tariff(k *kase, say sayer) bool {
	o, t := k.f[Ours].row, k.f[Theirs].row
	if a, b := o.Text[Tariff], t.Text[Tariff]; a != b && a != "" && b != "" {
		say("priced by tariff %s here and %s there", a, b)
		return true
	}
	key := tariffOf(o, t)
	n := j.tariffs[key]
	if n < j.q.plan.ClusterMin || key.operator+key.line == "" {
		return false
	}
	say("%d charges of operator %s, line %s are %d here and %d there", n, key.operator, key.line,
		key.ours, key.theirs)
	return true
}

func (j *judge) skewed(k *kase, say sayer) bool {
	o, t := k.f[Ours].row, k.f[Theirs].row
	terminal := either(o, t, Terminal)
	c := j.clocks[terminal]
	d := int64(t.At - o.At)
	if c == nil || max(d, -d) <= skewSpread || o.At == 0 || t.At == 0 ||
		c.n < j.q.plan.ClusterMin || c.max-c.min > skewSpread {
		return false
	}
	say("%d times of terminal %s are apart by %v to %v", c.n, terminal,
		time.Duration(c.min)*time.Millisecond, time.Duration(c.max)*time.Millisecond)
	return true
}

// nearCutOff: the row lies where two calendars may disagree.
func (j *judge) nearCutOff(k *kase, say sayer) bool {
	for _, f := range k.f {
		if f == nil || f.row.At == 0 {
			continue
		}
		d := j.q.plan.sinceCutOff(f.row.At)
		if d.Abs() > j.q.plan.CutOffWindow {
			continue
		}
		say("%s is %v from the counterparty's cut-off, its day is %v", j.time(f.row.At), d,
			j.q.plan.dayOf(f.row.At))
		return true
	}
	return false
}

// late: the side that has it got it long after.
func (j *judge) late(k *kase, say sayer) bool {
	for _, f := range k.f {
		if f == nil || f.row.Received == 0 || f.row.At == 0 {
			continue
		}
		if d := time.Duration(f.row.Received-f.row.At) * time.Millisecond; d >= j.q.plan.LateAfter {
			say("served at %s and received at %s, %v later", j.time(f.row.At), j.time(f.row.Received), d)
			return true
		}
	}
	return false
}

// absent finds why a side does not have a row.
func (j *judge) absent(k *kase, say sayer) Cause {
	f := k.one()
	switch {
	case j.exposed(k, say):
		return ListLag
	case j.late(k, say):
		return LateUpload
	case f.reuse != nil:
		say("terminal %s used trace number %s also at %s, amount %d, %s", f.row.Text[Terminal],
			f.row.Text[STAN], j.time(f.reuse.at), f.reuse.amount, j.place(f.side, f.reuse.Place, ""))
		return StanReuse
	case j.batchAbsent(f, say):
		return MissingBatch
	case j.nearCutOff(k, say):
		return CutOffShift
	}
	return Unknown
}

// batchAbsent: the other side has nothing of a batch of several rows.
func (j *judge) batchAbsent(f *finding, say sayer) bool {
	b := f.batch
	if b == nil || b.seen[f.side.Other()] > 0 || b.left[f.side]+b.undone[f.side] < b.seen[f.side] ||
		b.left[f.side] < int64(j.q.plan.BatchMin) {
		return false
	}
	say("none of the %d rows of terminal %s, batch %q arrived, %d in all", b.left[f.side], b.terminal,
		b.number, b.sum[f.side])
	return true
}

func (j *judge) time(at txn.Millis) string {
	return at.Time().In(j.q.plan.Zone).Format("2006-01-02 15:04:05 -07:00")
}
