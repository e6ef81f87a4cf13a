package notice

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// PageMax is how many entries a page of a query has at most.
const PageMax = 1000

// ErrCursor reports a cursor that no page returned.
var ErrCursor = errors.New("not a cursor of this list")

// Status is a notice with the clock of every party.
type Status struct {
	Notice    Notice
	CreatedAt txn.Millis
	Closed    bool
	Clocks    []Clock // in order of the parties' names
}

// Status returns a notice as it stands, or ErrNoNotice.
func (s *Service) Status(ctx context.Context, id string) (*Status, error) {
	parts, err := s.parts(ctx, id)
	if err != nil {
		return nil, err
	}
	return statusOf(parts, s.o.Now()), nil
}

func statusOf(parts []*Document, now txn.Millis) *Status {
	st := &Status{Notice: parts[0].Notice, CreatedAt: parts[0].CreatedAt, Closed: true}
	for _, d := range parts {
		st.Closed = st.Closed && d.ClosedAt != 0
		st.Clocks = append(st.Clocks, ClocksOf(d, now)...)
	}
	return st
}

// Open returns a page of the open notices, oldest first, and the cursor of the next page,
// "" after the last. Notices may come and go between two pages; one that stays is on at
// least one of them. limit is at most PageMax.
func (s *Service) Open(ctx context.Context, cursor string, limit int) ([]*Status, string, error) {
	key, id, ok := strings.Cut(cursor, "#")
	if cursor != "" && (!ok || !strings.HasPrefix(key, openPrefix)) {
		return nil, "", fmt.Errorf("%w: %q", ErrCursor, cursor)
	}
	q := &openQuery{s: s, now: s.o.Now(), max: min(limit, PageMax)}
	var failed error
	err := s.openEntries(ctx, key, func(e *openEntry) bool {
		first := 0
		if e.key == key {
			first = slices.Index(e.ids, id) // from the start when it has ended and is gone
		}
		failed = q.entry(ctx, e, e.ids[max(first, 0):])
		return failed == nil && q.next == ""
	})
	if err == nil {
		err = failed
	}
	return q.page, q.next, err
}

// openQuery gathers one page.
type openQuery struct {
	s    *Service
	now  txn.Millis
	max  int
	page []*Status
	next string
}

// entry adds the open notices of ids, or sets the cursor when the page is full.
func (q *openQuery) entry(ctx context.Context, e *openEntry, ids []string) error {
	for _, id := range ids {
		if len(q.page) >= q.max {
			q.next = e.key + "#" + id
			return nil
		}
		parts, ended, err := q.s.ended(ctx, id, e.madeAt)
		if err != nil {
			return err
		}
		if !ended && len(parts) > 0 {
			q.page = append(q.page, statusOf(parts, q.now))
		}
	}
	return nil
}

// parseCursor reads "<key>#<place>".
func parseCursor(cursor string) (key string, place int, err error) {
	if cursor == "" {
		return "", 0, nil
	}
	key, after, ok := strings.Cut(cursor, "#")
	place, err = strconv.Atoi(after)
	if !ok || key == "" || err != nil || place < 0 {
		return "", 0, fmt.Errorf("%w: %q", ErrCursor, cursor)
	}
	return key, place, nil
}

// Period bounds a question for late parties by their deadline: from, and before to.
type Period struct{ From, To txn.Millis }

// latePeriodMax bounds a period, and latenessSeenMax how long after a deadline somebody may
// have seen that it passed.
const (
	latePeriodMax = txn.Millis(400 * 24 * 3600 * 1000)
)

// LateParties returns a page of the parties whose deadline was in the period and that had
// not acted by then, as far as is known now, and the cursor of the next page, "" after the
// last. One party of a notice may come twice when it was judged late twice. max is at most
// PageMax.
func (s *Service) LateParties(
	ctx context.Context, p Period, cursor string, max int,
) ([]Clock, string, error) {
	key, skip, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	now := s.o.Now()
	if p.To <= p.From || p.To-p.From > latePeriodMax {
		return nil, "", fmt.Errorf("late parties: period %d to %d: want at most 400 days", p.From, p.To)
	}
	if key == "" {
		key = lateDay(p.From)
	}
	keys, err := s.o.Registry.Keys(ctx, latePrefix)
	if err != nil {
		return nil, "", fmt.Errorf("late parties: %w", err)
	}
	at, _ := slices.BinarySearch(keys, key)
	q := &lateQuery{s: s, period: p, now: now, max: min(max, PageMax), seen: map[lateRow]bool{}}
	for _, k := range keys[at:] {
		if k != key {
			skip = 0
		}
		next, err := q.entry(ctx, k, skip)
		if err != nil || next != "" {
			return q.page, next, err
		}
	}
	return q.page, "", nil
}

// lateQuery gathers one page.
type lateQuery struct {
	s      *Service
	period Period
	now    txn.Millis
	max    int
	page   []Clock
	seen   map[lateRow]bool
}

// lateRow is a party of a notice that is on the page already.
type lateRow struct{ notice, party string }

// entry adds the late rows of one index entry from its document number skip, and returns
// the cursor of the next page when this one is full. A page ends between two documents.
func (q *lateQuery) entry(ctx context.Context, key string, skip int) (string, error) {
	if len(q.page) >= q.max {
		return key + "#" + strconv.Itoa(skip), nil
	}
	value, _, err := q.s.o.Registry.Get(ctx, key)
	if err != nil || value == nil {
		return "", err
	}
	tokens, err := lateTokens(value)
	if err != nil {
		return "", err
	}
	for i := skip; i < len(tokens); i++ {
		if len(q.page) >= q.max {
			return key + "#" + strconv.Itoa(i), nil
		}
		if err := q.document(ctx, tokens[i]); err != nil {
			return "", err
		}
	}
	return "", nil
}

func (q *lateQuery) document(ctx context.Context, token pan.Token) error {
	d, _, err := q.s.load(ctx, token)
	if err != nil || d == nil {
		return err
	}
	for _, c := range ClocksOf(d, q.now) {
		row := lateRow{d.ID, c.Row.Party}
		if c.Row.Late && c.Deadline >= q.period.From && c.Deadline < q.period.To && !q.seen[row] {
			q.seen[row] = true
			q.page = append(q.page, c)
		}
	}
	return nil
}

// ForgetLate removes what the late index lists of days before an instant. The documents and
// the settled records stay. It returns how many entries it removed.
func (s *Service) ForgetLate(ctx context.Context, before txn.Millis) (int, error) {
	keys, err := s.o.Registry.Keys(ctx, latePrefix)
	if err != nil {
		return 0, fmt.Errorf("late parties: %w", err)
	}
	removed := 0
	for _, k := range keys {
		if k >= lateDay(before) {
			break
		}
		_, version, err := s.o.Registry.Get(ctx, k)
		if err == nil && version != 0 {
			err = s.o.Registry.Put(ctx, k, nil, version)
		}
		if err != nil {
			return removed, fmt.Errorf("late parties: %w", err)
		}
		removed++
	}
	return removed, nil
}
