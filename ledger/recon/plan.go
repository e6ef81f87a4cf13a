package recon

import (
	"errors"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Limits of a plan and a run.
const (
	// RulesMax bounds the rules of a plan: each is a pass over what is left.
	RulesMax = 16
	// KeyMax bounds the fields of a key, IdentityMax the keys by which a pair that differs is
	// told.
	KeyMax, IdentityMax = 8, 8
	// PairsMax bounds ours times theirs under one key of a one-to-one rule: beyond it the key
	// tells nothing apart, and every pair would be looked at.
	PairsMax = 1 << 24
	// BreaksMax bounds the rows of a side that match nothing. A run with more has the wrong
	// file, the wrong day or the wrong layout.
	BreaksMax = 200_000
)

// Shape says how many rows of each side a match takes.
type Shape uint8

// The shapes.
const (
	// OneToOne pairs rows.
	OneToOne Shape = iota
	// OneToMany matches one row of ours with all of theirs of the key, by their sum.
	OneToMany
	// ManyToOne is the mirror image: a bank books a batch in one line.
	ManyToOne
	// Cancel takes rows of one side that sum to zero under the key: an original and its
	// reversal. They are counted, and never taken for a match.
	Cancel
	shapeEnd
)

var shapeNames = [shapeEnd]string{"one-to-one", "one-to-many", "many-to-one", "cancel"}

// String returns the shape's name in plans.
func (s Shape) String() string { return shapeNames[s] }

// ParseShape reads the name of a shape; none is OneToOne.
func ParseShape(name string) (Shape, error) {
	for i, n := range shapeNames {
		if n == name || name == "" {
			return Shape(i), nil
		}
	}
	return 0, fmt.Errorf("unknown shape %q, known are %v", name, shapeNames)
}

// Rule is one way in which rows match. Rules are tried in their order; a row that one consumed
// is not seen by the next.
type Rule struct {
	Name  string
	Key   []Field
	Shape Shape
	// Amount is the greatest difference in minor units, of sums where there are many.
	Amount int64
	// Time is the greatest difference of service times; 0 does not compare them, nor is a time
	// compared that a side does not give.
	Time time.Duration
	// Days is the greatest difference of dates in calendar days, 0 for equal dates.
	Days int
}

// Plan is how one counterparty is reconciled.
type Plan struct {
	Name string
	// Owner is who works on breaks unless somebody else is named.
	Owner string
	// Zone and CutOff are those of the counterparty: its day ends at CutOff local time.
	Zone   *time.Location
	CutOff time.Duration
	// Select chooses the ledger's records; of each field one of the values.
	Select map[Field][]string
	Rules  []Rule
	// Identity are keys by which two rows that no rule matches are known to mean the same
	// transaction, the surest first.
	Identity [][]Field
	// LateAfter is how long after service a record may reach a side before it is late.
	LateAfter time.Duration
	// CutOffWindow is how near the cut-off a record may fall into the other day.
	CutOffWindow time.Duration
	// BatchMin is the least number of rows whose absence is a missing batch, ClusterMin the
	// least number of equal differences that show a tariff or a clock.
	BatchMin, ClusterMin int
}

// Defaults of a plan.
const (
	DefaultLateAfter    = 6 * time.Hour
	DefaultCutOffWindow = 30 * time.Minute
	DefaultBatchMin     = 3
	DefaultClusterMin   = 3
)

// ErrPlan reports a plan that cannot be followed.
var ErrPlan = errors.New("plan cannot be followed")

// Check fills in defaults and refuses what contradicts itself.
func (p *Plan) Check() error {
	defaultTo(&p.LateAfter, DefaultLateAfter)
	defaultTo(&p.CutOffWindow, DefaultCutOffWindow)
	defaultTo(&p.BatchMin, DefaultBatchMin)
	defaultTo(&p.ClusterMin, DefaultClusterMin)
	if p.Zone == nil {
		p.Zone = time.UTC
	}
	switch {
	case p.Name == "":
		return fmt.Errorf("%w: no name", ErrPlan)
	case len(p.Rules) == 0 || len(p.Rules) > RulesMax:
		return fmt.Errorf("%w: %d rules, want 1 to %d", ErrPlan, len(p.Rules), RulesMax)
	case len(p.Identity) == 0 || len(p.Identity) > IdentityMax:
		return fmt.Errorf("%w: %d identities, want 1 to %d", ErrPlan, len(p.Identity), IdentityMax)
	case p.CutOff < 0 || p.CutOff > 24*time.Hour:
		return fmt.Errorf("%w: cut-off %v is no time of day", ErrPlan, p.CutOff)
	case p.LateAfter < 0 || p.CutOffWindow < 0 || p.BatchMin < 1 || p.ClusterMin < 2:
		return fmt.Errorf("%w: a limit of the causes is below its least", ErrPlan)
	}
	for _, key := range p.Identity {
		if err := checkKey(key); err != nil {
			return fmt.Errorf("%w: identity: %w", ErrPlan, err)
		}
	}
	names := map[string]bool{}
	for i := range p.Rules {
		r := &p.Rules[i]
		if names[r.Name] || r.Name == "" {
			return fmt.Errorf("%w: rule %d: %q is no name of its own", ErrPlan, i+1, r.Name)
		}
		names[r.Name] = true
		if err := r.check(); err != nil {
			return fmt.Errorf("%w: rule %s: %w", ErrPlan, r.Name, err)
		}
	}
	return nil
}

func defaultTo[T comparable](v *T, to T) {
	var none T
	if *v == none {
		*v = to
	}
}

func (r *Rule) check() error {
	if err := checkKey(r.Key); err != nil {
		return err
	}
	if r.Amount < 0 || r.Time < 0 || r.Days < 0 || r.Shape >= shapeEnd {
		return errors.New("a tolerance is below zero")
	}
	if r.Shape == Cancel && (r.Amount > 0 || r.Time > 0) {
		return errors.New("cancelled rows sum to zero: no tolerance")
	}
	return nil
}

func checkKey(key []Field) error {
	if len(key) == 0 || len(key) > KeyMax {
		return fmt.Errorf("key of %d fields, want 1 to %d", len(key), KeyMax)
	}
	seen := map[Field]bool{}
	for _, f := range key {
		if seen[f] || f == Note || f == Origin || f >= fieldEnd {
			return fmt.Errorf("%v cannot stand in a key, or stands there twice", f)
		}
		seen[f] = true
	}
	return nil
}

// Selects reports whether the plan is about a row of the ledger.
func (p *Plan) Selects(r *Row) bool {
	for f, values := range p.Select {
		found := false
		for _, v := range values {
			found = found || r.Text[f] == v
		}
		if !found {
			return false
		}
	}
	return true
}

// dayOf is the counterparty's date of an instant.
func (p *Plan) dayOf(at txn.Millis) txn.BusinessDate {
	d := txn.DateOf(at.Time(), p.Zone, 0)
	if p.CutOff > 0 && p.sinceCutOff(at) >= 0 && p.CutOff < 24*time.Hour {
		return d.Next()
	}
	return d
}

// sinceCutOff is how long after the day's cut-off an instant lies, negative before; the nearest
// cut-off counts for CutOff 0, which is midnight.
func (p *Plan) sinceCutOff(at txn.Millis) time.Duration {
	t := at.Time().In(p.Zone)
	day := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute +
		time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
	d := day - p.CutOff
	if p.CutOff%(24*time.Hour) == 0 && day > 12*time.Hour {
		d = day - 24*time.Hour
	} else if p.CutOff%(24*time.Hour) == 0 {
		d = day
	}
	return d
}
