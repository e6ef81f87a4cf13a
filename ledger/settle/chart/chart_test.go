package chart

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

func classes() []Class {
	return []Class{{Name: "purse", Type: Liability, Role: Purse, GL: "1"},
		{Name: "operator", Type: Liability, Role: Others, Party: true, Settle: true, GL: "2"},
		{Name: "issuer", Type: Asset, Role: Others, Party: true, Settle: true, GL: "3"},
		{Name: "suspense", Type: Liability, Role: Others, GL: "4"}}
}

func rules() []Rule {
	pay := []Entry{{[]string{"purse"}, -1}, {[]string{"operator", "suspense"}, 1}}
	return []Rule{{txn.Purchase, []Variant{{Entries: pay}}},
		{txn.BankAdjustment, []Variant{{Entries: []Entry{{[]string{"issuer"}, 1},
			{[]string{"suspense"}, -1}}, Free: true}}}, {txn.Freeze, nil}}
}

func record(kind txn.Kind, charged txn.Minor, postings ...txn.Posting) *txn.Record {
	return &txn.Record{Kind: kind, Outcome: txn.Approved, Charged: charged, Postings: postings,
		Position: txn.Position{Bucket: 17, Epoch: 3, Seq: 42}}
}

func TestCheck(t *testing.T) {
	c, err := New(classes(), rules())
	if err != nil {
		t.Fatal(err)
	}
	post := func(a txn.Account, n txn.Minor) txn.Posting { return txn.Posting{Account: a, Amount: n} }
	declined := record(txn.Purchase, 0, post("purse", -1), post("suspense", 1))
	declined.Outcome = txn.Declined
	refused := record(txn.Purchase, 5)
	refused.Outcome = txn.Declined
	for name, tt := range map[string]struct {
		r    *txn.Record
		good bool
	}{
		"as ruled":       {record(txn.Purchase, 5, post("purse", -5), post("operator/M5", 5)), true},
		"other order":    {record(txn.Purchase, 5, post("operator/M5", 5), post("purse", -5)), true},
		"given back":     {record(txn.Purchase, -5, post("purse", 5), post("suspense", -5)), true},
		"any amount":     {record(txn.BankAdjustment, 0, post("issuer/A", 7), post("suspense", -7)), true},
		"nothing":        {record(txn.Freeze, 0), true},
		"declined":       {refused, true},
		"other amount":   {record(txn.Purchase, 5, post("purse", -6), post("operator/M5", 6)), false},
		"other class":    {record(txn.Purchase, 5, post("purse", -5), post("issuer/A", 5)), false},
		"unknown":        {record(txn.Purchase, 5, post("purse", -5), post("nobody", 5)), false},
		"no party":       {record(txn.Purchase, 5, post("purse", -5), post("operator", 5)), false},
		"empty party":    {record(txn.Purchase, 5, post("purse", -5), post("operator/", 5)), false},
		"party of none":  {record(txn.Purchase, 5, post("purse/x", -5), post("suspense", 5)), false},
		"twice one side": {record(txn.Purchase, 5, post("purse", -5), post("purse", 5)), false},
		"unbalanced":     {record(txn.Purchase, 5, post("purse", -5), post("suspense", 4)), false},
		"three":          {record(txn.Purchase, 5, post("purse", -5), post("suspense", 5), post("purse", 0)), false},
		"none":           {record(txn.Purchase, 5), false},
		"no rule":        {record(txn.Load, 5, post("purse", -5), post("suspense", 5)), false},
		"kind of none":   {record(txn.Freeze, 5, post("purse", -5), post("suspense", 5)), false},
		"zero":           {record(txn.BankAdjustment, 0, post("issuer/A", 0), post("suspense", 0)), false},
		"was declined":   {declined, false},
	} {
		err := c.Check(tt.r)
		if (err == nil) != tt.good || err != nil && (!errors.Is(err, ErrPosting) ||
			!strings.Contains(err.Error(), "b017-3-42")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if missing := c.Missing(); len(missing) != len(txn.Kinds())-3 {
		t.Errorf("missing %v", missing)
	}
	if list := c.Classes(); len(list) != 4 || list[0].Name != "purse" {
		t.Errorf("classes %v", list)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, alter := range map[string]func(*[]Class, *[]Rule){
		"no name":        func(c *[]Class, _ *[]Rule) { (*c)[0].Name = "" },
		"slash":          func(c *[]Class, _ *[]Rule) { (*c)[0].Name = "a/b" },
		"double":         func(c *[]Class, _ *[]Rule) { *c = append(*c, (*c)[0]) },
		"type":           func(c *[]Class, _ *[]Rule) { (*c)[0].Type = "asse" },
		"role":           func(c *[]Class, _ *[]Rule) { (*c)[0].Role = "" },
		"general ledger": func(c *[]Class, _ *[]Rule) { (*c)[0].GL = "" },
		"too many":       func(c *[]Class, _ *[]Rule) { *c = make([]Class, ClassesMax+1) },
		"rule twice":     func(_ *[]Class, r *[]Rule) { *r = append(*r, (*r)[0]) },
		"no kind":        func(_ *[]Class, r *[]Rule) { (*r)[0].Kind = 0 },
		"not zero":       func(_ *[]Class, r *[]Rule) { (*r)[0].Variants[0].Entries[0].Times = -2 },
		"nothing":        func(_ *[]Class, r *[]Rule) { (*r)[0].Variants[0].Entries = nil },
		"zero times":     func(_ *[]Class, r *[]Rule) { (*r)[0].Variants[0].Entries[0].Times = 0 },
		"no class":       func(_ *[]Class, r *[]Rule) { (*r)[0].Variants[0].Entries[0].Classes = []string{"x"} },
		"variants": func(_ *[]Class, r *[]Rule) {
			(*r)[0].Variants = make([]Variant, VariantsMax+1)
		},
	} {
		c, r := classes(), rules()
		alter(&c, &r)
		if _, err := New(c, r); !errors.Is(err, ErrChart) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBook(t *testing.T) {
	var b Book
	entry := []txn.Posting{{Account: "purse", Amount: -5}, {Account: "suspense", Amount: 5}}
	if err := errors.Join(b.Open("purse", 156, 100), b.Open("suspense", 156, -100),
		b.Entry(156, entry), b.Entry(840, entry)); err != nil {
		t.Fatal(err)
	}
	c := b.Clone()
	if err := c.Entry(156, entry); err != nil {
		t.Fatal(err)
	}
	if b.Of("purse", 156) != 95 || c.Of("purse", 156) != 90 || b.Of("nobody", 156) != 0 {
		t.Errorf("purse %d, clone %d", b.Of("purse", 156), c.Of("purse", 156))
	}
	trial, err := b.Trial()
	if err != nil || len(trial) != 4 || trial[0] != (Balance{"purse", 156, 100, 5, 0, 1, 95}) {
		t.Errorf("trial %+v %v", trial, err)
	}
	if err := b.Entry(156, entry[:1]); !errors.Is(err, ErrUnbalanced) {
		t.Errorf("half an entry: %v", err)
	}
	if b.Of("purse", 156) != 95 {
		t.Error("half an entry was posted")
	}
	if err := b.Post("purse", 156, 1); err != nil {
		t.Fatal(err)
	}
	if trial, err := b.Trial(); !errors.Is(err, ErrUnbalanced) || len(trial) != 4 {
		t.Errorf("unbalanced books: %v", err)
	}
}

func TestOverflow(t *testing.T) {
	var b Book
	if err := b.Open("a", 1, math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	if err := b.Open("a", 1, 1); !errors.Is(err, ErrOverflow) {
		t.Errorf("open: %v", err)
	}
	if err := b.Post("a", 1, math.MinInt64); !errors.Is(err, ErrOverflow) {
		t.Errorf("post: %v", err)
	}
	big := []txn.Posting{{Account: "x", Amount: math.MaxInt64}, {Account: "x", Amount: math.MaxInt64}}
	if err := b.Entry(1, big); !errors.Is(err, ErrOverflow) {
		t.Errorf("entry: %v", err)
	}
	if err := b.Open("b", 1, math.MaxInt64); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Trial(); !errors.Is(err, ErrOverflow) {
		t.Errorf("trial: %v", err)
	}
}

// TestCheckSplit: the end of a journey that is told late moves the price from who was paid for the
// incomplete one to who is due it, in one record that may charge nothing.
func TestCheckSplit(t *testing.T) {
	pay := []Entry{{[]string{"purse"}, -1}, {[]string{"operator", "suspense"}, 1}}
	c, err := New(classes(), []Rule{{txn.MetroExit, []Variant{{Entries: pay}, {Entries: pay, Split: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	told := func(charged txn.Minor, postings ...any) *txn.Record {
		r := record(txn.MetroExit, charged)
		for i := 0; i < len(postings); i += 2 {
			r.Postings = append(r.Postings, txn.Posting{Account: txn.Account(postings[i].(string)),
				Amount: txn.Minor(postings[i+1].(int))})
		}
		return r
	}
	for name, tt := range map[string]struct {
		r    *txn.Record
		good bool
	}{
		"given back":       {told(-2, "purse", 2, "operator/M5", 5, "operator/M1", -7), true},
		"from suspense":    {told(3, "purse", -3, "operator/M5", 8, "suspense", -5), true},
		"nothing charged":  {told(0, "purse", 0, "operator/M5", 7, "operator/M1", -7), true},
		"plain":            {told(5, "purse", -5, "operator/M5", 5), true},
		"another charge":   {told(-1, "purse", 2, "operator/M5", 5, "operator/M1", -7), false},
		"of another class": {told(-2, "purse", 2, "issuer/A", 5, "operator/M1", -7), false},
		"the same payee":   {told(-2, "purse", 2, "operator/M1", 5, "operator/M1", -7), false},
		"a purse too many": {told(-2, "purse", 2, "purse", 5, "operator/M1", -7), false},
		"nothing moves":    {told(0, "purse", 0, "operator/M5", 0, "operator/M1", 0), false},
		"four": {told(-2, "purse", 2, "operator/M5", 5, "operator/M1", -8, "suspense", 1),
			false},
	} {
		if err := c.Check(tt.r); (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
	free := Variant{Entries: pay, Split: true, Free: true}
	if _, err := New(classes(), []Rule{{txn.MetroExit, []Variant{free}}}); !errors.Is(err, ErrChart) {
		t.Errorf("split and free: %v", err)
	}
}
