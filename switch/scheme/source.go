package scheme

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// Source says where a value comes from: from one or more clauses of the city's rule books,
// with the date from which they hold, or from a product rule where the texts are silent.
// Exactly one of Clause and ProductRule is set in a policy that was read.
type Source struct {
	// Clause is the clause, or several with commas: "HD19", "HD18, HD19".
	Clause string `yaml:"clause"`
	// Date is from when the clause holds; zero for a product rule.
	Date txn.BusinessDate `yaml:"date"`
	// ProductRule says why the product sets the value itself.
	ProductRule string `yaml:"product_rule"`
}

// Clauses returns the clauses one by one, none for a product rule.
func (s Source) Clauses() []string {
	var all []string
	for c := range strings.SplitSeq(s.Clause, ",") {
		if c = strings.TrimSpace(c); c != "" {
			all = append(all, c)
		}
	}
	return all
}

// IsProductRule reports whether the texts are silent about the value.
func (s Source) IsProductRule() bool { return s.Clause == "" }

// String returns "HD19 (2015-02-01)" or "product rule: why".
func (s Source) String() string {
	if s.IsProductRule() {
		return "product rule: " + s.ProductRule
	}
	return fmt.Sprintf("%s (%v)", s.Clause, s.Date)
}

// Value is one value of a policy with its source.
type Value[T any] struct {
	V T
	Source
}

func (v *Value[T]) target() (any, *Source) { return &v.V, &v.Source }
func (v Value[T]) read() (any, Source)     { return v.V, v.Source }

// sourced is a Value of any type, as the reader and the writer of policies see it.
type sourced interface{ target() (any, *Source) }

// readable is a Value of any type that is only looked at.
type readable interface{ read() (any, Source) }

// Words are one text in both languages. Neither is empty in a policy that was read.
type Words struct {
	ZH string `yaml:"zh" json:"zh"`
	EN string `yaml:"en" json:"en"`
}

// Text is a rule book that clauses are cited from. Dates of clauses are never before InForce.
type Text struct {
	// Prefix begins the clauses of this text: "HD".
	Prefix string `yaml:"prefix"`
	// Title is what the text is called here; the city's gazette has the official one.
	Title Words `yaml:"title"`
	// Order is the number under which it was published, "" where none is known.
	Order string `yaml:"order,empty"`
	// InForce is the day from which it holds.
	InForce txn.BusinessDate `yaml:"in_force"`
}

// Unit is what a legal period counts.
type Unit string

// The units of legal periods.
const (
	Days        Unit = "days"
	WorkingDays Unit = "working days"
)

// Term is a legal period: so many days, or so many working days. The day on which it begins
// is not counted. The zero Term is "never".
type Term struct {
	N    int
	Unit Unit
}

// never is how the zero Term is written.
const never = "never"

// String returns "15 working days", or "never".
func (t Term) String() string {
	if t.N == 0 {
		return never
	}
	s := fmt.Sprintf("%d %s", t.N, t.Unit)
	if t.N == 1 {
		s = strings.TrimSuffix(s, "s")
	}
	return s
}

// termMax bounds a period so that a slip of the pen cannot outlast a calendar.
const termMax = 366

// ParseTerm reads what String prints.
func ParseTerm(s string) (Term, error) {
	if s == never {
		return Term{}, nil
	}
	number, unit, _ := strings.Cut(s, " ")
	n, err := strconv.Atoi(number)
	if err == nil && n > 0 && n <= termMax {
		for _, t := range []Term{{n, Days}, {n, WorkingDays}} {
			if t.String() == number+" "+unit {
				return t, nil
			}
		}
	}
	return Term{}, fmt.Errorf(
		"%q is no period: write \"30 days\" or \"15 working days\", at most %d", s, termMax)
}
