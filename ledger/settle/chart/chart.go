package chart

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/switch/txn"
)

var (
	// ErrChart reports classes or rules that contradict themselves.
	ErrChart = errors.New("chart of accounts")
	// ErrPosting reports a record whose postings are not those of the rule of its kind.
	ErrPosting = errors.New("postings do not follow the rule")
	// ErrAccount reports an account that is not of the chart.
	ErrAccount = errors.New("account is not of the chart")
)

// Limits of a chart.
const (
	// ClassesMax is the most classes: a chart of a city has two dozen.
	ClassesMax = 256
	// VariantsMax is the most forms that the rule of one kind may have.
	VariantsMax = 8
)

// Type says on which side of the balance sheet a class stands.
type Type string

// The types.
const (
	Asset     Type = "asset"
	Liability Type = "liability"
	Income    Type = "income"
	Expense   Type = "expense"
)

// Role says how a class stands to the money that is held for the holders of cards.
type Role string

// The roles in the daily proof of funds.
const (
	Purse  Role = "purse"  // owed to holders
	Bank   Role = "bank"   // held at the bank
	Others Role = "others" // owed to, or due from, everybody else
)

// Class is a class of accounts: "purse" alone, or "operator" with a party: "operator/M5".
type Class struct {
	Name   string
	Type   Type
	Role   Role
	Party  bool   // accounts are "name/party"; without, the class is one account
	Settle bool   // settled with its party in payment orders
	GL     string // number in the general ledger
	EN, ZH string // names for people
}

// Entry is one posting of a rule: Times the amount on an account of one of the classes.
type Entry struct {
	Classes []string
	Times   int64
}

// Variant is one form that the postings of a kind may have. The amount is what the record
// charged, or any that is the same in all entries when Free. The order of postings means nothing.
type Variant struct {
	Entries []Entry
	Free    bool
	// Split says that the last entry is made of two postings that sum to it: one party pays back
	// what another is due. The record may charge nothing.
	Split bool
}

// Rule is what an approved record of the kind may post. Without a variant it posts nothing.
type Rule struct {
	Kind     txn.Kind
	Variants []Variant
}

// Chart is classes and rules that were checked.
type Chart struct {
	classes map[string]Class
	rules   map[txn.Kind]Rule
}

// New checks classes and rules and returns the chart of them.
func New(classes []Class, rules []Rule) (*Chart, error) {
	c := &Chart{classes: map[string]Class{}, rules: map[txn.Kind]Rule{}}
	if len(classes) > ClassesMax {
		return nil, fmt.Errorf("%w: %d classes, at most %d", ErrChart, len(classes), ClassesMax)
	}
	for _, class := range classes {
		if err := c.addClass(class); err != nil {
			return nil, err
		}
	}
	for _, rule := range rules {
		if err := c.addRule(rule); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Missing returns the kinds of records without a rule, in order. A record of one must post
// nothing, as by a rule without variants; a chart that is complete says so itself.
func (c *Chart) Missing() []txn.Kind {
	return slices.DeleteFunc(txn.Kinds(), func(k txn.Kind) bool {
		_, ok := c.rules[k]
		return ok
	})
}

func (c *Chart) addClass(class Class) error {
	types := []Type{Asset, Liability, Income, Expense}
	roles := []Role{Purse, Bank, Others}
	_, double := c.classes[class.Name]
	switch {
	case class.Name == "" || strings.ContainsAny(class.Name, "/ \t"):
		return fmt.Errorf("%w: %q is no name of a class", ErrChart, class.Name)
	case double:
		return fmt.Errorf("%w: class %s is there twice", ErrChart, class.Name)
	case !slices.Contains(types, class.Type):
		return fmt.Errorf("%w: class %s: type %q is none of %v", ErrChart, class.Name, class.Type, types)
	case !slices.Contains(roles, class.Role):
		return fmt.Errorf("%w: class %s: role %q is none of %v", ErrChart, class.Name, class.Role, roles)
	case class.GL == "":
		return fmt.Errorf("%w: class %s has no number in the general ledger", ErrChart, class.Name)
	}
	c.classes[class.Name] = class
	return nil
}

func (c *Chart) addRule(rule Rule) error {
	if _, double := c.rules[rule.Kind]; double || !rule.Kind.Valid() {
		return fmt.Errorf("%w: the rule for %s is double or of no kind", ErrChart, rule.Kind)
	}
	if len(rule.Variants) > VariantsMax {
		return fmt.Errorf("%w: %s: %d variants, at most %d", ErrChart, rule.Kind, len(rule.Variants),
			VariantsMax)
	}
	for i, v := range rule.Variants {
		if err := c.checkVariant(v); err != nil {
			return fmt.Errorf("%w: %s, variant %d: %w", ErrChart, rule.Kind, i+1, err)
		}
	}
	c.rules[rule.Kind] = rule
	return nil
}

func (c *Chart) checkVariant(v Variant) error {
	var sum int64
	for _, e := range v.Entries {
		sum += e.Times
		if e.Times == 0 || len(e.Classes) == 0 {
			return errors.New("an entry without an amount or an account")
		}
		for _, name := range e.Classes {
			if _, ok := c.classes[name]; !ok {
				return fmt.Errorf("%w: %s", ErrAccount, name)
			}
		}
	}
	if v.Split && v.Free {
		return errors.New("split and of any amount: nothing would be checked")
	}
	if sum != 0 || len(v.Entries) < 2 {
		return fmt.Errorf("%d entries that sum to %d times the amount, not to zero",
			len(v.Entries), sum)
	}
	return nil
}

// ClassOf returns the class of an account. It refuses, with ErrAccount, one that has no class, or
// has a party where none belongs.
func (c *Chart) ClassOf(a txn.Account) (Class, error) {
	name, party, has := strings.Cut(string(a), "/")
	class, ok := c.classes[name]
	if !ok || has != class.Party || has && party == "" {
		return Class{}, fmt.Errorf("%w: %q", ErrAccount, a)
	}
	return class, nil
}

// Classes returns all classes in order of their general ledger number, then name.
func (c *Chart) Classes() []Class {
	all := make([]Class, 0, len(c.classes))
	for _, class := range c.classes {
		all = append(all, class)
	}
	slices.SortFunc(all, func(a, b Class) int {
		return strings.Compare(a.GL+" "+a.Name, b.GL+" "+b.Name)
	})
	return all
}

// Check says, with ErrPosting, why the postings of the record are not those of its kind. A
// declined record and one that charges nothing post nothing.
func (c *Chart) Check(r *txn.Record) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%w: record %s, %s: %s", ErrPosting, r.Position, r.Kind,
			fmt.Sprintf(format, args...))
	}
	variants := c.rules[r.Kind].Variants
	if len(r.Postings) == 0 {
		if r.Outcome == txn.Approved && r.Charged != 0 {
			return fail("charges %d and posts nothing", r.Charged)
		}
		return nil
	}
	if r.Outcome != txn.Approved {
		return fail("was %s and has %d postings", r.Outcome, len(r.Postings))
	}
	for i := range r.Postings {
		if _, err := c.ClassOf(r.Postings[i].Account); err != nil {
			return fail("%v", err)
		}
	}
	if err := r.CheckPostings(); err != nil {
		return fail("%v", err)
	}
	for i := range variants {
		if fits(&variants[i], r) {
			return nil
		}
	}
	return fail("no variant of its rule gives %s", describe(r))
}

// fits reports whether the postings are those of the variant, in any order.
func fits(v *Variant, r *txn.Record) bool {
	if v.Split {
		return fitsSplit(v, r)
	}
	if len(v.Entries) != len(r.Postings) {
		return false
	}
	if !v.Free {
		return r.Charged != 0 && fitsAmount(v, r, r.Charged)
	}
	first := txn.Minor(v.Entries[0].Times)
	return slices.ContainsFunc(r.Postings, func(p txn.Posting) bool {
		return p.Amount != 0 && p.Amount%first == 0 && fitsAmount(v, r, p.Amount/first)
	})
}

// fitsSplit tries each pair of postings as one: of two accounts, both of the last entry's classes.
func fitsSplit(v *Variant, r *txn.Record) bool {
	last := v.Entries[len(v.Entries)-1]
	if len(r.Postings) != len(v.Entries)+1 {
		return false
	}
	of := func(p txn.Posting) bool {
		name, _, _ := strings.Cut(string(p.Account), "/")
		return p.Amount != 0 && slices.Contains(last.Classes, name)
	}
	for i, a := range r.Postings {
		for k, b := range r.Postings[i+1:] {
			if !of(a) || !of(b) || a.Account == b.Account {
				continue
			}
			joined := *r
			joined.Postings = slices.Delete(slices.Clone(r.Postings), i+1+k, i+2+k)
			joined.Postings[i].Amount += b.Amount
			if fitsAmount(v, &joined, r.Charged) {
				return true
			}
		}
	}
	return false
}

// fitsAmount reports whether every entry of the variant has a posting of its own.
func fitsAmount(v *Variant, r *txn.Record, amount txn.Minor) bool {
	var used uint64 // a bit for each posting; a record has few
	for _, e := range v.Entries {
		i := slices.IndexFunc(r.Postings, func(p txn.Posting) bool {
			name, _, _ := strings.Cut(string(p.Account), "/")
			return p.Amount == amount*txn.Minor(e.Times) && slices.Contains(e.Classes, name)
		})
		if i < 0 || i > 63 || used&(1<<i) != 0 {
			return false
		}
		used |= 1 << i
	}
	return true
}

// describe lists postings for a person.
func describe(r *txn.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "charged %d:", r.Charged)
	for _, p := range r.Postings {
		fmt.Fprintf(&b, " %s %+d", p.Account, p.Amount)
	}
	return b.String()
}
