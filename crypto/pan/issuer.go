package pan

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
)

// Issuer is who answers for the numbers that begin with Prefix.
type Issuer struct {
	Prefix string // 1 to 20 digits
	Family Family
	ID     string // the issuer's id in the scheme, never empty
	Name   string
}

// Issuers finds an issuer by the longest prefix. It does not change; a new table is a new
// Issuers. A look-up allocates nothing and takes one step a digit.
type Issuers struct {
	list  []Issuer
	nodes []issuerNode // a trie of digits; 0 is the root
}

type issuerNode struct {
	next   [10]int32 // 0: none
	issuer int32     // in list, from 1; 0: none
}

// ErrIssuers reports an issuer table that cannot be used; the error names the line or entry.
var ErrIssuers = errors.New("issuer table")

// issuersMax bounds a table.
const issuersMax = 1 << 20

// NewIssuers returns a table. A prefix that is no number, an empty id and a prefix that
// comes twice are errors.
func NewIssuers(list []Issuer) (*Issuers, error) {
	t := &Issuers{nodes: make([]issuerNode, 1)}
	for i := range list {
		if err := t.add(&list[i]); err != nil {
			return nil, fmt.Errorf("%w: entry %d: %w", ErrIssuers, i+1, err)
		}
	}
	return t, nil
}

func (t *Issuers) add(is *Issuer) error {
	switch {
	case len(t.list) >= issuersMax:
		return fmt.Errorf("more than %d entries", issuersMax)
	case len(is.Prefix) == 0 || len(is.Prefix) > digitsMax:
		return fmt.Errorf("prefix of %d characters, want 1 to %d digits", len(is.Prefix), digitsMax)
	case is.ID == "":
		return fmt.Errorf("prefix %.20q has no issuer id", is.Prefix)
	case is.Family >= familyEnd:
		return fmt.Errorf("prefix %.20q has unknown family %d", is.Prefix, is.Family)
	}
	at := int32(0)
	for _, c := range []byte(is.Prefix) {
		if c < '0' || c > '9' {
			return fmt.Errorf("prefix %.20q is not digits", is.Prefix)
		}
		next := t.nodes[at].next[c-'0']
		if next == 0 {
			next = int32(len(t.nodes))
			t.nodes = append(t.nodes, issuerNode{})
			t.nodes[at].next[c-'0'] = next
		}
		at = next
	}
	if other := t.nodes[at].issuer; other != 0 {
		return fmt.Errorf("prefix %s belongs to %q already", is.Prefix, t.list[other-1].ID)
	}
	t.list = append(t.list, *is)
	t.nodes[at].issuer = int32(len(t.list))
	return nil
}

// Len returns the number of prefixes.
func (t *Issuers) Len() int { return len(t.list) }

// Find returns the issuer with the longest prefix of n.
func (t *Issuers) Find(n Number) (Issuer, bool) {
	var b [digitsMax]byte
	digits := b[:n.open(&b)]
	defer clear(b[:])
	at, found := int32(0), int32(0)
	for _, c := range digits {
		if at = t.nodes[at].next[c-'0']; at == 0 {
			break
		}
		if is := t.nodes[at].issuer; is != 0 {
			found = is
		}
	}
	if found == 0 {
		return Issuer{}, false
	}
	return t.list[found-1], true
}

// ReadIssuers reads a table as CSV with the header prefix,family,id,name.
func ReadIssuers(r io.Reader) (*Issuers, error) {
	in := csv.NewReader(r)
	in.FieldsPerRecord = 4
	in.ReuseRecord = true
	t := &Issuers{nodes: make([]issuerNode, 1)}
	for line := 1; ; line++ {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) && line > 1 {
			return t, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrIssuers, err)
		}
		if line == 1 {
			if fields[0] != "prefix" || fields[1] != "family" || fields[2] != "id" || fields[3] != "name" {
				return nil, fmt.Errorf("%w: line 1: want the header prefix,family,id,name", ErrIssuers)
			}
			continue
		}
		is := Issuer{Prefix: fields[0], ID: fields[2], Name: fields[3]}
		if is.Family, err = ParseFamily(fields[1]); err == nil {
			err = t.add(&is)
		}
		if err != nil {
			at, _ := in.FieldPos(0)
			return nil, fmt.Errorf("%w: line %d: %w", ErrIssuers, at, err)
		}
	}
}
