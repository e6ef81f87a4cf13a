package route

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Options say what rules may refer to.
type Options struct {
	// Links are the names of the links that are configured.
	Links []string
	// Zone is where times of day and weekdays are meant; nil when no rule has any.
	Zone *time.Location
}

// Table finds the rule of a transaction. It does not change.
type Table struct {
	rules []compiled
	zone  *time.Location
	// timed and families say that at least one rule asks for the time or the family.
	timed, families bool

	// nodes are the different BINs, 0 the one of all numbers. Any two are apart or one lies
	// in the other, so that the BINs of a number are a node and its parents.
	nodes []node
	// starts are the lowest numbers of stretches that have one innermost node, ascending;
	// inner are those nodes. The first starts at 0.
	starts []uint64
	inner  []int32
}

type compiled struct {
	condition
	*Rule
}

// node is a BIN with its rules in the order in which they are asked.
type node struct {
	bin
	parent  int32 // -1 for the first
	entries []entry
}

type entry struct {
	rule   int32
	digits uint8 // a card number with fewer is not in the BIN
}

// New returns the table of rules, which it copies. An error wraps ErrRule and names the rules
// that cannot be used.
func New(rules []Rule, o Options) (*Table, error) {
	if len(rules) > RulesMax {
		return nil, fmt.Errorf("%w: %d rules, at most %d are allowed", ErrRule, len(rules), RulesMax)
	}
	t := &Table{zone: o.Zone}
	spans, err := t.compile(rules, o.Links)
	if err != nil {
		return nil, err
	}
	if err := t.nest(spans); err != nil {
		return nil, err
	}
	t.stretch()
	for i := range t.nodes {
		if err := t.order(&t.nodes[i]); err != nil {
			return nil, err
		}
	}
	return t, t.bound()
}

// span is one BIN of one rule.
type span struct {
	bin
	rule int32
}

// compile checks the rules one by one and returns their BINs.
func (t *Table) compile(rules []Rule, links []string) ([]span, error) {
	var spans []span
	names := make(map[string]bool, len(rules))
	t.rules = make([]compiled, len(rules))
	for i := range rules {
		r := copyOf(&rules[i])
		t.rules[i].Rule = r
		if r.Name == "" || names[r.Name] {
			return nil, fmt.Errorf("%w: number %d has no name, or that of another: %q", ErrRule, i+1,
				r.Name)
		}
		names[r.Name] = true
		c, err := r.compile()
		if err == nil {
			err = r.target(links)
		}
		if err == nil && c.timed && t.zone == nil {
			err = fmt.Errorf("has times, and the time zone is not configured")
		}
		if err == nil {
			spans, err = r.spans(spans, int32(i))
		}
		if err != nil {
			return nil, fmt.Errorf("%w %q: %w", ErrRule, r.Name, err)
		}
		t.rules[i].condition = c
		t.timed = t.timed || c.timed
		t.families = t.families || c.family != 0
	}
	return spans, nil
}

// copyOf copies a rule as deep as the table needs it.
func copyOf(r *Rule) *Rule {
	c := *r
	c.Links = slices.Clone(r.Links)
	if r.StandIn != nil {
		s := *r.StandIn
		s.Classes = slices.Clone(s.Classes)
		c.StandIn = &s
	}
	return &c
}

// spans appends the BINs of the rule.
func (r *Rule) spans(dst []span, number int32) ([]span, error) {
	if len(dst)+len(r.BINs) >= BINsMax {
		return nil, fmt.Errorf("there are more than %d BINs", BINsMax)
	}
	own := len(dst)
	for _, text := range r.BINs {
		b, err := parseBIN(text)
		if err != nil {
			return nil, err
		}
		dst = append(dst, span{b, number})
	}
	if len(r.BINs) == 0 {
		dst = append(dst, span{anyBIN, number})
	}
	slices.SortFunc(dst[own:], byPlace)
	for i := own + 1; i < len(dst); i++ {
		if dst[i].low <= dst[i-1].high {
			return nil, fmt.Errorf("its BINs %v and %v overlap", dst[i-1].bin, dst[i].bin)
		}
	}
	return dst, nil
}

// byPlace orders BINs by where they begin, the wider first.
func byPlace(a, b span) int {
	return cmp.Or(cmp.Compare(a.low, b.low), cmp.Compare(b.high, a.high),
		cmp.Compare(a.rule, b.rule))
}

// nest makes the nodes, in the order of byPlace.
func (t *Table) nest(spans []span) error {
	slices.SortFunc(spans, byPlace)
	t.nodes = []node{{bin: anyBIN, parent: -1}}
	at := int32(0)
	for _, s := range spans {
		for t.nodes[at].high < s.low {
			at = t.nodes[at].parent
		}
		if over := &t.nodes[at]; s.high > over.high {
			return fmt.Errorf("%w %q: BIN %v crosses BIN %v of %q: neither is more specific, split one "+
				"of them", ErrRule, t.rules[s.rule].Name, s.bin, over.bin,
				t.rules[over.entries[0].rule].Name)
		}
		if over := &t.nodes[at]; s.low != over.low || s.high != over.high {
			t.nodes = append(t.nodes, node{bin: s.bin, parent: at})
			at = int32(len(t.nodes) - 1)
		}
		t.nodes[at].entries = append(t.nodes[at].entries, entry{s.rule, uint8(s.digits)})
	}
	return nil
}

// stretch cuts all numbers into stretches with one innermost node each.
func (t *Table) stretch() {
	begin := func(at uint64, node int32) {
		if n := len(t.starts); n > 0 && t.starts[n-1] == at {
			t.inner[n-1] = node
			return
		}
		t.starts, t.inner = append(t.starts, at), append(t.inner, node)
	}
	open := int32(-1)
	closeBefore := func(at uint64) {
		for open >= 0 && t.nodes[open].high < at {
			end := t.nodes[open].high + 1
			if open = t.nodes[open].parent; open >= 0 {
				begin(end, open)
			}
		}
	}
	for i := range t.nodes {
		closeBefore(t.nodes[i].low)
		begin(t.nodes[i].low, int32(i))
		open = int32(i)
	}
	closeBefore(binEnd)
}

// order sorts the rules of a node and refuses one that another always precedes.
func (t *Table) order(n *node) error {
	if len(n.entries) > CandidatesMax {
		return fmt.Errorf("%w: BIN %v has %d rules, at most %d are allowed", ErrRule, n.bin,
			len(n.entries), CandidatesMax)
	}
	slices.SortFunc(n.entries, func(a, b entry) int {
		return cmp.Or(t.rules[a.rule].precedes(&t.rules[b.rule].condition), cmp.Compare(a.rule, b.rule))
	})
	for i, later := range n.entries {
		for _, first := range n.entries[:i] {
			a, b := &t.rules[first.rule], &t.rules[later.rule]
			if first.digits <= later.digits && a.covers(&b.condition) {
				return fmt.Errorf("%w %q: has the same BIN %v as %q, which takes all that it would",
					ErrRule, b.Name, n.bin, a.Name)
			}
		}
	}
	return nil
}

// bound refuses a table in which a card number meets too many rules.
func (t *Table) bound() error {
	met := make([]int, len(t.nodes)) // parents stand before their children
	for i := range t.nodes {
		n := &t.nodes[i]
		met[i] = len(n.entries)
		if n.parent >= 0 {
			met[i] += met[n.parent]
		}
		if met[i] > CandidatesMax {
			return fmt.Errorf("%w: a card number of BIN %v meets more than %d rules", ErrRule, n.bin,
				CandidatesMax)
		}
	}
	return nil
}

// Len returns the number of rules.
func (t *Table) Len() int { return len(t.rules) }
