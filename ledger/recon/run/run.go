package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// SourcesMax bounds the sources of one side.
const SourcesMax = 1000

// workersMax bounds the goroutines that match: each holds a partition of both sides.
const workersMax = 8

// Options are what is reconciled.
type Options struct {
	Plan *recon.Plan
	Day  txn.BusinessDate
	// Ours and Theirs are matched; Third, if any, is asked about what does not match.
	Ours, Theirs, Third []recon.Source
	// Carried are rows of earlier runs whose other side had not arrived, by their Carried ids.
	Carried [2][]*recon.Row
	// Claims are totals of terminals and operators, compared with both sides.
	Claims []recon.Claim
	// Dir is where the run makes a folder of its own for spill files; empty for the system's.
	Dir string
	// Workers is how many partitions are matched at once, 0 for two.
	Workers int
	// Progress, if set, is told how many rows were read and matched. It is called from several
	// goroutines.
	Progress func(read, looked int64)
}

// Result is what came of it. Lists are sorted and never nil.
type Result struct {
	Plan   string           `json:"plan"`
	Day    txn.BusinessDate `json:"-"`
	Date   string           `json:"day"`
	Sides  [2]SideSums      `json:"sides"`
	Files  []Input          `json:"inputs"`
	Rules  []RuleSums       `json:"rules"`
	Breaks []*recon.Break   `json:"-"`
	// Closed are carried breaks whose other side arrived.
	Closed []Closing `json:"closed"`
	// Accounts are what three sides say of each claimed batch.
	Accounts []recon.Account `json:"-"`
}

// SideSums are the control totals of one side: what was read is what was matched, cancelled,
// left, free (of no amount, and not with the other side) and unreadable.
type SideSums struct {
	Rows      int64 `json:"rows"`
	Amount    int64 `json:"amount"`
	Carried   int64 `json:"carried"`
	Matched   int64 `json:"matched"`
	MatchedBy int64 `json:"matched_amount"`
	Cancelled int64 `json:"cancelled"`
	Left      int64 `json:"left"`
	LeftBy    int64 `json:"left_amount"`
	Free      int64 `json:"free"`
	Held      int64 `json:"unreadable"`
}

// RuleSums are what one rule matched.
type RuleSums struct {
	Rule   string `json:"rule"`
	Ours   int64  `json:"ours"`
	Theirs int64  `json:"theirs"`
	Amount int64  `json:"amount"` // of ours
	Gap    int64  `json:"gap"`    // ours less theirs, within the tolerance
}

// Input is one source as it was read.
type Input struct {
	Side   string `json:"side"`
	Name   string `json:"name"`
	Rows   int64  `json:"rows"`
	Amount int64  `json:"amount"`
	Held   int64  `json:"unreadable"`
	SHA256 string `json:"sha256,omitempty"`
}

// Closing is a carried break that found its other side.
type Closing struct {
	ID   string `json:"id"`
	Rule string `json:"rule"`
}

// Hashed is a source that can tell the SHA-256 of what it was read from, once it was read.
type Hashed interface {
	// SHA256 returns it in hexadecimal digits.
	SHA256() string
}

// Run reconciles. An error means that nothing was decided: a source cannot be read, a limit was
// passed, the disk is full, or ctx is done.
func Run(ctx context.Context, o Options) (res *Result, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.Dir, "tapswitch-recon-")
	if err != nil {
		return nil, fmt.Errorf("cannot spill rows: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	accounts, err := recon.NewAccounts(o.Claims)
	if err != nil {
		return nil, err
	}
	r := &running{Options: o, dir: dir, accounts: accounts, result: &Result{Plan: o.Plan.Name,
		Day: o.Day, Date: o.Day.String(), Closed: []Closing{}, Breaks: []*recon.Break{}}}
	defer func() { err = errors.Join(err, r.closeAll()) }()
	if err := r.read(ctx); err != nil {
		return nil, err
	}
	left, err := r.passes(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.conclude(ctx, left); err != nil {
		return nil, err
	}
	return r.result, nil
}

func (o *Options) check() error {
	if !o.Day.Valid() {
		return fmt.Errorf("%d is no business date to reconcile", uint32(o.Day))
	}
	for _, list := range [][]recon.Source{o.Ours, o.Theirs, o.Third} {
		if len(list) > SourcesMax {
			return fmt.Errorf("%d sources of one side, at most %d are read", len(list), SourcesMax)
		}
	}
	if o.Workers <= 0 {
		o.Workers = 2
	}
	o.Workers = min(o.Workers, workersMax)
	return o.Plan.Check()
}

// running is one run.
type running struct {
	Options
	dir    string
	all    [2]*spill // every row, by the first rule's key
	spills []*spill
	third  *spill
	free   [2]*spill // rows of no amount that no rule matched
	names  [2][]string
	held   [2][]*recon.Row
	result *Result

	rowsRead, rowsLooked atomic.Int64

	mu       sync.Mutex // guards what matches add up to, beside workers
	accounts *recon.Accounts
	sums     []RuleSums
	closed   []Closing
	undone   recon.Undone
}

// spill creates a spill file of the run.
func (r *running) spill(name string) (*spill, error) {
	s, err := newSpill(r.dir, name)
	if err == nil {
		r.spills = append(r.spills, s)
	}
	return s, err
}

func (r *running) closeAll() (err error) {
	for _, s := range r.spills {
		err = errors.Join(err, s.close())
	}
	return err
}

// read lays both sides and the third into spill files, each by a goroutine.
func (r *running) read(ctx context.Context) error {
	lists := [3][]recon.Source{r.Ours, r.Theirs, r.Third}
	var inputs [3][]Input
	var errs [3]error
	var into [3]*spill
	for i := range lists {
		var err error
		if into[i], err = r.spill(fmt.Sprintf("side%d", i)); err != nil {
			return err
		}
	}
	r.all, r.third = [2]*spill{into[0], into[1]}, into[2]
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for i := range lists {
		wg.Go(func() {
			if inputs[i], errs[i] = r.readSide(ctx, i, lists[i], into[i]); errs[i] != nil {
				stop()
			}
		})
	}
	wg.Wait()
	if err := firstError(errs[:]); err != nil {
		return err
	}
	for i := range inputs {
		r.result.Files = append(r.result.Files, inputs[i]...)
	}
	return nil
}

// firstError prefers the error that stopped the others.
func firstError(errs []error) error {
	var found error
	for _, err := range errs {
		if err != nil && (found == nil || errors.Is(found, context.Canceled)) {
			found = err
		}
	}
	return found
}

var inputSides = [3]string{"ours", "theirs", "claims"}

func (r *running) readSide(ctx context.Context, i int, list []recon.Source, to *spill) ([]Input, error) {
	inputs := []Input{}
	for n, source := range list {
		in := Input{Side: inputSides[i], Name: source.Name()}
		line := uint64(0)
		err := source.Rows(ctx, func(row *recon.Row) error {
			if i < 2 && recon.Side(i) == recon.Ours && !r.Plan.Selects(row) &&
				row.Marks&recon.Unreadable == 0 {
				return nil
			}
			line = max(line+1, row.Line)
			row.Source, row.Line = uint16(n), line
			if in.Rows++; in.Rows%readCheck == 0 {
				r.progress(readCheck, 0)
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			sum := in.Amount + row.Amount
			if (row.Amount > 0) != (sum > in.Amount) && row.Amount != 0 {
				return fmt.Errorf("line %d: %w", line, recon.ErrOverflow)
			}
			in.Amount = sum
			return r.keep(i, row, &in, to)
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", source.Name(), err)
		}
		if h, ok := source.(Hashed); ok {
			in.SHA256 = h.SHA256()
		}
		inputs = append(inputs, in)
		if i < 2 {
			r.names[i] = append(r.names[i], in.Name)
			r.result.Sides[i].Rows += in.Rows
			r.result.Sides[i].Amount += in.Amount
			r.result.Sides[i].Held += in.Held
		}
	}
	if i < 2 {
		if err := r.readCarried(i, to); err != nil {
			return nil, err
		}
	}
	return inputs, to.seal()
}

// readCheck is after how many rows a reader looks whether it shall stop.
const readCheck = 1 << 14

func (r *running) progress(read, looked int64) {
	a, b := r.rowsRead.Add(read), r.rowsLooked.Add(looked)
	if r.Progress != nil {
		r.Progress(a, b)
	}
}

// keep lays a row aside or into its partition.
func (r *running) keep(i int, row *recon.Row, in *Input, to *spill) error {
	if row.Marks&recon.Unreadable != 0 {
		in.Held++
		if i < 2 {
			if len(r.held[i]) >= recon.BreaksMax {
				return fmt.Errorf("%w: %d lines of theirs are unreadable", recon.ErrTooManyBreaks, in.Held)
			}
			clone := *row
			clone.Text[recon.Note] = string([]byte(row.Text[recon.Note]))
			r.held[i] = append(r.held[i], &clone)
		}
		return nil
	}
	return to.add(partitionOf(row, r.Plan.Rules[0].Key), row)
}

// readCarried adds the rows of earlier runs as a source of their own.
func (r *running) readCarried(i int, to *spill) error {
	source := uint16(len(r.names[i]))
	r.names[i] = append(r.names[i], "carried")
	for n, row := range r.Carried[i] {
		clone := *row
		clone.Place = recon.Place{Source: source, Line: uint64(n + 1)}
		r.result.Sides[i].Carried++
		r.result.Sides[i].Rows++
		r.result.Sides[i].Amount += row.Amount
		if err := to.add(partitionOf(&clone, r.Plan.Rules[0].Key), &clone); err != nil {
			return err
		}
	}
	return nil
}

// partitionOf places rows with equal keys together; a row without the key goes anywhere.
func partitionOf(row *recon.Row, key []recon.Field) int {
	var room [128]byte
	k, ok := row.AppendKey(room[:0], key)
	if !ok {
		return int(row.Line % partitions)
	}
	return int(recon.HashKey(k) % partitions)
}
