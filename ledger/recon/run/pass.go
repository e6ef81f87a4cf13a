package run

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/ledger/recon"
)

// passes applies the rules one after the other and returns what is left.
func (r *running) passes(ctx context.Context) (left [2][]*recon.Row, err error) {
	r.sums = make([]RuleSums, len(r.Plan.Rules))
	for side := range r.free {
		if r.free[side], err = r.spill(fmt.Sprintf("free%d", side)); err != nil {
			return left, err
		}
	}
	from := r.all
	for i := range r.Plan.Rules {
		r.sums[i].Rule = r.Plan.Rules[i].Name
		p := &pass{running: r, rule: &r.Plan.Rules[i], sums: &r.sums[i], from: from}
		if i+1 < len(r.Plan.Rules) {
			p.next = r.Plan.Rules[i+1].Key
			for side := range p.to {
				if p.to[side], err = r.spill(fmt.Sprintf("rule%d-%d", i+1, side)); err != nil {
					return left, err
				}
			}
		}
		if err := p.run(ctx); err != nil {
			return left, err
		}
		if i > 0 {
			for _, s := range from {
				if err := s.file.Truncate(0); err != nil { // its rows are in the next ones
					return left, fmt.Errorf("cannot free a spill file: %w", err)
				}
			}
		}
		from, left = p.to, p.left
	}
	if err := r.takeFree(ctx, &left); err != nil {
		return left, err
	}
	for side := range left {
		slices.SortFunc(left[side], byPlace)
	}
	r.result.Rules = r.sums
	slices.SortFunc(r.closed, func(a, b Closing) int { return strings.Compare(a.ID, b.ID) })
	r.result.Closed = append(r.result.Closed, r.closed...)
	return left, nil
}

// pass is one rule over all partitions.
type pass struct {
	*running
	rule *recon.Rule
	sums *RuleSums
	from [2]*spill
	to   [2]*spill // of the next rule; nil after the last
	next []recon.Field
	left [2][]*recon.Row // after the last rule
}

func (p *pass) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var next atomic.Int64
	errs := make([]error, p.Workers)
	var wg sync.WaitGroup
	for w := range p.Workers {
		wg.Go(func() {
			work := worker{pass: p, matcher: recon.Matcher{Rule: p.rule}}
			for part := int(next.Add(1)) - 1; part < partitions; part = int(next.Add(1)) - 1 {
				if errs[w] = work.partition(ctx, part); errs[w] != nil {
					stop()
					return
				}
			}
		})
	}
	wg.Wait()
	if err := firstError(errs); err != nil {
		return err
	}
	for _, s := range p.to {
		if s == nil {
			continue
		}
		if err := s.seal(); err != nil {
			return err
		}
	}
	return nil
}

// worker matches one partition after the other in the same memory.
type worker struct {
	*pass
	matcher recon.Matcher
	loaders [2]loader
}

func (p *worker) partition(ctx context.Context, part int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var rows [2][]*recon.Row
	for side := range rows {
		var err error
		if rows[side], err = p.loaders[side].load(p.from[side], part); err != nil {
			return err
		}
	}
	t := tally{pass: p.pass}
	p.matcher.Matched = t.matched
	left, err := p.matcher.Match(rows[recon.Ours], rows[recon.Theirs])
	if err == nil {
		err = t.flush()
	}
	if err != nil {
		return err
	}
	p.progress(0, int64(len(rows[0])+len(rows[1])))
	return p.hand(left)
}

// hand gives rows to the next rule, or keeps them as left.
func (p *pass) hand(left [2][]*recon.Row) error {
	for side := range left {
		if p.next == nil {
			if err := p.keepLeft(side, left[side]); err != nil {
				return err
			}
			continue
		}
		for _, row := range left[side] {
			if err := p.to[side].add(partitionOf(row, p.next), row); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepLeft copies rows out of their partition, which is much greater. Those of no amount go to
// disk: a side that lists no free rides leaves all of the other side's.
func (p *pass) keepLeft(side int, rows []*recon.Row) error {
	var money []*recon.Row
	for _, row := range rows {
		if !row.Free() {
			money = append(money, row)
		} else if err := p.free[side].add(int(row.Line%partitions), row); err != nil {
			return err
		}
	}
	return p.keepMoney(side, money)
}

func (p *pass) keepMoney(side int, rows []*recon.Row) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.left[side]) + len(rows); n > recon.BreaksMax {
		return fmt.Errorf("%w: over %d rows of %s; look at the day, the files and the plan %s",
			recon.ErrTooManyBreaks, recon.BreaksMax, recon.Side(side), p.Plan.Name)
	}
	for _, row := range rows {
		p.left[side] = append(p.left[side], kept(row))
	}
	return nil
}

// kept copies a row with all of its texts.
func kept(row *recon.Row) *recon.Row {
	clone := *row
	for f, t := range row.Text {
		clone.Text[f] = strings.Clone(t)
	}
	clone.Carried = strings.Clone(row.Carried)
	return &clone
}

// tally adds up the matches of one partition before it takes the lock.
type tally struct {
	*pass
	sums   RuleSums
	sides  [2]SideSums
	closed []Closing
	err    error
}

func (t *tally) matched(ours, theirs []*recon.Row) {
	cancelled := len(ours) == 0 || len(theirs) == 0
	for side, rows := range [2][]*recon.Row{ours, theirs} {
		s := &t.sides[side]
		for _, r := range rows {
			if cancelled {
				s.Cancelled++
			} else {
				s.Matched++
				s.MatchedBy += r.Amount
			}
			if r.Carried != "" {
				t.closed = append(t.closed, Closing{strings.Clone(r.Carried), t.rule.Name})
			}
		}
	}
	if len(t.Claims) > 0 {
		t.mu.Lock()
		if err := t.accounts.Matched(ours, theirs); err != nil && t.err == nil {
			t.err = err
		}
		t.mu.Unlock()
	}
	if cancelled {
		t.mu.Lock()
		t.undone.Count(recon.Ours, ours)
		t.undone.Count(recon.Theirs, theirs)
		t.mu.Unlock()
	}
	t.sums.Ours += int64(len(ours))
	t.sums.Theirs += int64(len(theirs))
}

func (t *tally) flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	to := t.pass.sums
	to.Ours, to.Theirs = to.Ours+t.sums.Ours, to.Theirs+t.sums.Theirs
	if t.rule.Shape != recon.Cancel {
		to.Amount += t.sides[recon.Ours].MatchedBy
		to.Gap += t.sides[recon.Ours].MatchedBy - t.sides[recon.Theirs].MatchedBy
	}
	for side := range t.sides {
		s := &t.result.Sides[side]
		s.Matched += t.sides[side].Matched
		s.MatchedBy += t.sides[side].MatchedBy
		s.Cancelled += t.sides[side].Cancelled
	}
	t.running.closed = append(t.running.closed, t.closed...)
	return t.err
}

// conclude finds the causes of what is left and checks that no row was lost on the way.
func (r *running) conclude(ctx context.Context, left [2][]*recon.Row) error {
	for side := range left {
		s := &r.result.Sides[side]
		for _, row := range left[side] {
			s.Left++
			s.LeftBy += row.Amount
		}
		if s.Rows != s.Matched+s.Cancelled+s.Left+s.Free+s.Held || s.Amount != s.MatchedBy+s.LeftBy {
			panic(fmt.Sprintf("run: internal error: %s has %d rows of %d, but %+v", recon.Side(side),
				s.Rows, s.Amount, *s))
		}
		left[side] = append(left[side], r.held[side]...)
	}
	q := recon.NewInquiry(recon.Facts{Plan: r.Plan, Day: r.Day, Names: r.names, Left: left,
		Undone: &r.undone})
	if err := r.show(ctx, q); err != nil {
		return err
	}
	breaks, err := q.Conclude()
	if err != nil {
		return err
	}
	for side, free := range q.Free() {
		r.result.Sides[side].Left -= free
		r.result.Sides[side].Free += free
	}
	for _, b := range breaks {
		if err := r.accounts.Break(b); err != nil {
			return err
		}
	}
	claims, err := r.accounts.Breaks(r.Plan, r.Day)
	if err != nil {
		return err
	}
	r.result.Breaks = append(append(r.result.Breaks, breaks...), claims...)
	r.result.Accounts = r.accounts.All()
	return nil
}

// show lets the inquiry see every row again, each side by a goroutine.
func (r *running) show(ctx context.Context, q *recon.Inquiry) error {
	var errs [2]error
	var wg sync.WaitGroup
	for side := range r.all {
		wg.Go(func() {
			errs[side] = each(ctx, r.all[side], func(row *recon.Row) { q.See(recon.Side(side), row) })
		})
	}
	wg.Wait()
	if err := firstError(errs[:]); err != nil || len(r.Third) == 0 {
		return err
	}
	q.Asked()
	return each(ctx, r.third, q.SeeClaim)
}

// each calls f for every row of a spill file.
func each(ctx context.Context, s *spill, f func(*recon.Row)) error {
	var l loader
	for part := range partitions {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := l.load(s, part)
		if err != nil {
			return err
		}
		for _, row := range rows {
			f(row)
		}
	}
	return nil
}
