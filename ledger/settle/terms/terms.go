// Package terms reads what a scheme has agreed on with its parties: the chart of accounts with
// its posting rules, and the terms of settlement (fees, concessions, sharing agreements,
// counterparties with their cut-off, zone and bank account), each from one YAML file.
//
// Amounts are integers in minor units, rates basis points, times local. An unknown key, a value
// of the wrong kind and whatever the chart or the terms refuse is an error that names the file;
// nothing has a default that is not written down. Load of no file reads the examples that the
// binary carries. The package reads what it is given and no disk; what it returns never changes.
package terms

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/clearing"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// FileMax is the most bytes of a file: an agreement of every pair of 400 stations.
const FileMax = 32 << 20

// ErrFile reports a file that cannot be read as chart or terms.
var ErrFile = errors.New("finance file")

// Source is the text of a file and its name for errors.
type Source struct {
	Name string
	Text []byte
}

// The names of the files below deploy/finance.
const (
	ChartFile = "chart.yaml"
	TermsFile = "terms.yaml"
)

// BuiltIn returns a file that the binary carries.
func BuiltIn(name string) (Source, error) {
	text, err := fs.ReadFile(deploy.Finance(), name)
	if err != nil {
		return Source{}, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return Source{name, text}, nil
}

type names struct {
	EN string `yaml:"en"`
	ZH string `yaml:"zh"`
}

type chartFile struct {
	Classes []struct {
		Name   string     `yaml:"name"`
		Type   chart.Type `yaml:"type"`
		Role   chart.Role `yaml:"role"`
		Party  bool       `yaml:"party"`
		Settle bool       `yaml:"settle"`
		GL     string     `yaml:"gl"`
		Names  names      `yaml:"names"`
	} `yaml:"classes"`
	Rules []struct {
		Kind     string `yaml:"kind"`
		Variants []struct {
			Amount  string `yaml:"amount"` // charged, or any
			Split   bool   `yaml:"split"`
			Entries []struct {
				Of    []string `yaml:"of"`
				Times int64    `yaml:"times"`
			} `yaml:"entries"`
		} `yaml:"variants"`
	} `yaml:"rules"`
}

// decode reads one document strictly.
func decode(s Source, into any) error {
	if len(s.Text) > FileMax {
		return fmt.Errorf("%w %s: %d bytes, at most %d", ErrFile, s.Name, len(s.Text), FileMax)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(s.Text, &doc); err != nil {
		return fmt.Errorf("%w %s: %w", ErrFile, s.Name, err)
	}
	if err := noFloats(&doc); err != nil {
		return fmt.Errorf("%w %s: %w", ErrFile, s.Name, err)
	}
	d := yaml.NewDecoder(bytes.NewReader(s.Text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w %s: %w", ErrFile, s.Name, err)
	}
	return nil
}

// noFloats refuses numbers with a fraction, which the decoder would cut off without a word.
func noFloats(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!float" {
		return fmt.Errorf("line %d: %s has a fraction; amounts are minor units, rates basis points",
			n.Line, n.Value)
	}
	for _, c := range n.Content {
		if err := noFloats(c); err != nil {
			return err
		}
	}
	return nil
}

// Chart reads a chart of accounts.
func Chart(s Source) (*chart.Chart, error) {
	var f chartFile
	if err := decode(s, &f); err != nil {
		return nil, err
	}
	var classes []chart.Class
	for _, c := range f.Classes {
		classes = append(classes, chart.Class{Name: c.Name, Type: c.Type, Role: c.Role, Party: c.Party,
			Settle: c.Settle, GL: c.GL, EN: c.Names.EN, ZH: c.Names.ZH})
	}
	var rules []chart.Rule
	for _, r := range f.Rules {
		kind, err := txn.ParseKind(r.Kind)
		if err != nil {
			return nil, fmt.Errorf("%w %s: %w", ErrFile, s.Name, err)
		}
		rule := chart.Rule{Kind: kind}
		for _, v := range r.Variants {
			if v.Amount != "charged" && v.Amount != "any" {
				return nil, fmt.Errorf("%w %s: rule %s: amount %q is neither charged nor any", ErrFile, s.Name,
					kind, v.Amount)
			}
			variant := chart.Variant{Free: v.Amount == "any", Split: v.Split}
			for _, e := range v.Entries {
				variant.Entries = append(variant.Entries, chart.Entry{Classes: e.Of, Times: e.Times})
			}
			rule.Variants = append(rule.Variants, variant)
		}
		rules = append(rules, rule)
	}
	c, err := chart.New(classes, rules)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrFile, s.Name, err)
	}
	return c, nil
}

type weight struct {
	Account txn.Account `yaml:"account"`
	Parts   int64       `yaml:"parts"`
}

type termsFile struct {
	Scheme string `yaml:"scheme"`
	Lag    int    `yaml:"lag"`
	Fees   []struct {
		Name     string          `yaml:"name"`
		Classes  []string        `yaml:"classes"`
		Accounts []txn.Account   `yaml:"accounts"`
		Kinds    []string        `yaml:"kinds"`
		Per      string          `yaml:"per"` // item or day
		BPS      int64           `yaml:"bps"`
		Fixed    int64           `yaml:"fixed"`
		Tiers    []clearing.Tier `yaml:"tiers"`
		Min      int64           `yaml:"min"`
		Max      int64           `yaml:"max"`
		TaxBPS   int64           `yaml:"tax_bps"`
		To       txn.Account     `yaml:"to"`
		TaxTo    txn.Account     `yaml:"tax_to"`
	} `yaml:"fees"`
	Concessions []struct {
		Cause  string      `yaml:"cause"`
		Riders []string    `yaml:"riders"`
		Funder txn.Account `yaml:"funder"`
		BPS    int64       `yaml:"bps"`
	} `yaml:"concessions"`
	Agreements []struct {
		Name    string        `yaml:"name"`
		Kinds   []string      `yaml:"kinds"`
		Between []txn.Account `yaml:"between"`
		Routes  []struct {
			From    string   `yaml:"from"`
			To      string   `yaml:"to"`
			Weights []weight `yaml:"weights"`
		} `yaml:"routes"`
		Default  []weight    `yaml:"default"`
		Residual txn.Account `yaml:"residual"` // empty: largest remainder
	} `yaml:"agreements"`
	Parties []struct {
		Name     string        `yaml:"name"`
		Accounts []txn.Account `yaml:"accounts"`
		Zone     string        `yaml:"zone"`
		CutOff   string        `yaml:"cut_off"`
		Lag      *int          `yaml:"lag"`
		Bank     struct {
			Name   string `yaml:"name"`
			Number string `yaml:"number"`
			Holder string `yaml:"holder"`
		} `yaml:"bank"`
	} `yaml:"parties"`
}

// Terms reads terms of settlement and checks them against the chart.
func Terms(s Source, c *chart.Chart) (*clearing.Terms, error) {
	var f termsFile
	if err := decode(s, &f); err != nil {
		return nil, err
	}
	t := &clearing.Terms{Scheme: f.Scheme, Lag: f.Lag}
	for _, read := range []func(*clearing.Terms) error{f.fees, f.concessions, f.agreements, f.parties} {
		if err := read(t); err != nil {
			return nil, fmt.Errorf("%w %s: %w", ErrFile, s.Name, err)
		}
	}
	if err := t.Check(c); err != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrFile, s.Name, err)
	}
	return t, nil
}

func kinds(names []string) (all []txn.Kind, err error) {
	for _, name := range names {
		k, err := txn.ParseKind(name)
		if err != nil {
			return nil, err
		}
		all = append(all, k)
	}
	return all, nil
}

func (f *termsFile) fees(t *clearing.Terms) error {
	for _, r := range f.Fees {
		of, err := kinds(r.Kinds)
		if err != nil {
			return fmt.Errorf("fee %s: %w", r.Name, err)
		}
		if r.Per != "item" && r.Per != "day" {
			return fmt.Errorf("fee %s: per %q is neither item nor day", r.Name, r.Per)
		}
		t.Fees = append(t.Fees, clearing.Fee{Name: r.Name, Classes: r.Classes, Accounts: r.Accounts,
			Kinds: of, PerItem: r.Per == "item", BPS: r.BPS, Fixed: r.Fixed, Tiers: r.Tiers, Min: r.Min,
			Max: r.Max, TaxBPS: r.TaxBPS, To: r.To, TaxTo: r.TaxTo})
	}
	return nil
}

func (f *termsFile) concessions(t *clearing.Terms) error {
	for _, r := range f.Concessions {
		c := clearing.Concession{Cause: r.Cause, Funder: r.Funder, BPS: r.BPS}
		for _, name := range r.Riders {
			rider, ok := txn.ParseRiderCategory(name)
			if !ok {
				return fmt.Errorf("concession %s: unknown rider category %q", r.Cause, name)
			}
			c.Riders = append(c.Riders, rider)
		}
		t.Concessions = append(t.Concessions, c)
	}
	return nil
}

func weights(list []weight) (all []clearing.Weight) {
	for _, w := range list {
		all = append(all, clearing.Weight(w))
	}
	return all
}

func (f *termsFile) agreements(t *clearing.Terms) error {
	for _, r := range f.Agreements {
		of, err := kinds(r.Kinds)
		if err != nil {
			return fmt.Errorf("agreement %s: %w", r.Name, err)
		}
		a := clearing.Agreement{Name: r.Name, Kinds: of, Between: r.Between, Default: weights(r.Default),
			Residual: r.Residual}
		for _, route := range r.Routes {
			a.Routes = append(a.Routes, clearing.Route{From: route.From, To: route.To,
				Weights: weights(route.Weights)})
		}
		t.Agreements = append(t.Agreements, a)
	}
	return nil
}

func (f *termsFile) parties(t *clearing.Terms) error {
	for _, r := range f.Parties {
		p := clearing.Party{Name: r.Name, Accounts: r.Accounts, Lag: -1,
			Bank: clearing.BankAccount{Bank: r.Bank.Name, Number: r.Bank.Number, Name: r.Bank.Holder}}
		if r.Lag != nil {
			p.Lag = *r.Lag
		}
		var err error
		if r.Zone != "" {
			if p.Zone, err = zone(r.Zone); err != nil {
				return fmt.Errorf("party %s: %w", r.Name, err)
			}
		}
		if r.CutOff != "" {
			if p.CutOff, err = time.ParseDuration(r.CutOff); err != nil || p.Zone == nil {
				return fmt.Errorf("party %s: cut_off %q: want a duration after midnight, and a zone", r.Name,
					r.CutOff)
			}
		}
		t.Parties = append(t.Parties, p)
	}
	return nil
}

// zone reads an offset such as "+08:00"; cities without summer time need no more, and an offset
// means the same on every machine.
func zone(text string) (*time.Location, error) {
	at, err := time.Parse("-07:00", text)
	if err != nil {
		return nil, fmt.Errorf("zone %q: want an offset such as +08:00", text)
	}
	_, offset := at.Zone()
	return time.FixedZone(text, offset), nil
}

// Hash tells the texts of files in their order, for the manifest of a run.
func Hash(files ...Source) string {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%d\n", len(f.Text))
		_, _ = h.Write(f.Text) // a hash never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}
