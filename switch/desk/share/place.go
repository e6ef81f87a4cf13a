package share

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// What a terminal reads.
const (
	ReadsCard = "card"
	ReadsCode = "code"
)

// Equipment states what a terminal reads and which applications it serves.
type Equipment struct {
	Reads  []string `json:"reads"`
	Serves []string `json:"serves"`
}

// Terminal is a registered terminal as service places are assessed by it.
type Terminal struct {
	ID       string   `json:"id"`
	Operator string   `json:"operator"`
	Line     string   `json:"line,omitempty"`
	Station  string   `json:"station,omitempty"`
	Merchant string   `json:"merchant,omitempty"`
	MCC      string   `json:"mcc,omitempty"`
	Kinds    []string `json:"kinds"`
	Revoked  bool     `json:"revoked,omitempty"`
	// Equipment was stated; without it nothing is known, which counts as lacking.
	Equipment
}

// Place names where a terminal stands: line and station, or merchant.
func (t *Terminal) Place() string {
	if t.Merchant != "" {
		return t.Merchant
	}
	return strings.Trim(t.Line+"/"+t.Station, "/")
}

const (
	placePrefix    = "share/place/"
	terminalPrefix = "terminal/" // of the gate
)

// PutEquipment states what a registered terminal reads and serves.
func (s *Service) PutEquipment(ctx context.Context, id txn.TerminalID, e Equipment) error {
	for _, r := range e.Reads {
		if r != ReadsCard && r != ReadsCode {
			return fmt.Errorf("%w: terminal %s reads %q, choose %s or %s", ErrConfig, id, r, ReadsCard, ReadsCode)
		}
	}
	for _, a := range e.Serves {
		if _, err := txn.ParseApp(a); err != nil {
			return fmt.Errorf("%w: terminal %s: %w", ErrConfig, id, err)
		}
	}
	version, err := s.read(ctx, terminalPrefix+id.String(), new(Terminal))
	if err != nil {
		return err
	}
	if version == 0 {
		return fmt.Errorf("%w: terminal %s is not registered", ErrConfig, id)
	}
	return s.replace(ctx, placePrefix+id.String(), &e)
}

// Terminals lists the registered terminals with their equipment.
func (s *Service) Terminals(ctx context.Context) ([]Terminal, error) {
	keys, err := s.keys(ctx, terminalPrefix)
	if err != nil {
		return nil, err
	}
	var all []Terminal
	for _, key := range keys {
		id := strings.TrimPrefix(key, terminalPrefix)
		if _, err := txn.ParseTerminalID(id); err != nil {
			continue // none of a terminal
		}
		var t Terminal
		if _, err := s.read(ctx, key, &t); err != nil {
			return nil, err
		}
		if _, err := s.read(ctx, placePrefix+id, &t.Equipment); err != nil {
			return nil, err
		}
		t.ID = id
		all = append(all, t)
	}
	return all, nil
}

// Lack is a service place where no terminal reads the card, or none reads the code (SY9,
// ZZ8).
type Lack struct {
	Operator  string   `json:"operator"`
	Place     string   `json:"place"`
	Terminals int      `json:"terminals"`
	Lacks     []string `json:"lacks"`
	Unstated  int      `json:"unstated"` // terminals of which nothing is known
}

// Lacking lists the places that lack a way of reading, sorted.
func Lacking(terminals []Terminal) []Lack {
	type key struct{ operator, place string }
	places := map[key]*Lack{}
	reads := map[key]map[string]bool{}
	for i := range terminals {
		t := &terminals[i]
		if t.Revoked {
			continue
		}
		k := key{t.Operator, t.Place()}
		if places[k] == nil {
			places[k], reads[k] = &Lack{Operator: k.operator, Place: k.place}, map[string]bool{}
		}
		places[k].Terminals++
		if len(t.Reads) == 0 {
			places[k].Unstated++
		}
		for _, r := range t.Reads {
			reads[k][r] = true
		}
	}
	all := []Lack{}
	for k, l := range places {
		for _, r := range []string{ReadsCard, ReadsCode} {
			if !reads[k][r] {
				l.Lacks = append(l.Lacks, r)
			}
		}
		if len(l.Lacks) > 0 {
			all = append(all, *l)
		}
	}
	slices.SortFunc(all, func(a, b Lack) int {
		return strings.Compare(a.Operator+"\x00"+a.Place, b.Operator+"\x00"+b.Place)
	})
	return all
}

// Catalogue is the published list of what the card is good for, and where (WZ10, ZZ7).
type Catalogue struct {
	City         string   `json:"city"`
	Version      string   `json:"version"` // a hash of the content
	Applications []Listed `json:"applications"`
	Units        []Unit   `json:"units"`
}

// Listed is an application of the scheme.
type Listed struct {
	App    string `json:"application"`
	ZH     string `json:"zh"`
	EN     string `json:"en"`
	Start  string `json:"start"`
	Pays   bool   `json:"pays"` // money moves; otherwise the card is a credential
	Units  int    `json:"units"`
	Source string `json:"source"`
}

// Unit is an operator or merchant that takes the card.
type Unit struct {
	Name         string   `json:"name"`
	Merchants    []string `json:"merchants,omitempty"`
	Categories   []string `json:"categories,omitempty"` // ISO 18245
	Terminals    int      `json:"terminals"`
	Reads        []string `json:"reads"`
	Applications []string `json:"applications"`
}

// Catalogue makes the list from the scheme's policy and the terminals.
func (s *Service) Catalogue(ctx context.Context) (*Catalogue, error) {
	terminals, err := s.Terminals(ctx)
	if err != nil {
		return nil, err
	}
	c := &Catalogue{City: s.o.Policy.City, Applications: []Listed{}, Units: unitsOf(terminals)}
	for _, a := range s.o.Policy.Applications {
		l := Listed{App: a.App.Names()[0], ZH: a.Name.ZH, EN: a.Name.EN, Start: a.Start.V.String(),
			Pays: !a.Verify.V, Source: a.Source.String()}
		for _, u := range c.Units {
			if slices.Contains(u.Applications, l.App) {
				l.Units++
			}
		}
		c.Applications = append(c.Applications, l)
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	sum := sha256.Sum256(text)
	c.Version = hex.EncodeToString(sum[:8])
	return c, nil
}

func unitsOf(terminals []Terminal) []Unit {
	units := map[string]*Unit{}
	add := func(list *[]string, values ...string) {
		for _, v := range values {
			if i, found := slices.BinarySearch(*list, v); v != "" && !found {
				*list = slices.Insert(*list, i, v)
			}
		}
	}
	for i := range terminals {
		t := &terminals[i]
		if t.Revoked || t.Operator == "" {
			continue
		}
		u := units[t.Operator]
		if u == nil {
			u = &Unit{Name: t.Operator, Reads: []string{}, Applications: []string{}}
			units[t.Operator] = u
		}
		u.Terminals++
		add(&u.Merchants, t.Merchant)
		add(&u.Categories, t.MCC)
		add(&u.Reads, t.Reads...)
		add(&u.Applications, t.Serves...)
	}
	all := []Unit{}
	for _, u := range units {
		all = append(all, *u)
	}
	slices.SortFunc(all, func(a, b Unit) int { return strings.Compare(a.Name, b.Name) })
	return all
}
