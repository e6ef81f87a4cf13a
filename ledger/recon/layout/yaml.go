package layout

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Limits of a description.
const (
	// DescriptionMax is the greatest layout or plan in bytes.
	DescriptionMax = 256 << 10
	// faultsMax is how many faults one reading tells.
	faultsMax = 20
)

// Fault is one thing that is wrong in a description.
type Fault struct {
	File string
	Line int
	What string
}

// Error returns "bank.yaml:12: what".
func (f *Fault) Error() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.What) }

// reading gathers the faults of one file.
type reading struct {
	file   string
	faults []error
	more   int
}

func (d *reading) fault(n *yaml.Node, format string, args ...any) {
	if len(d.faults) >= faultsMax {
		d.more++
		return
	}
	d.faults = append(d.faults, &Fault{d.file, max(n.Line, 1), fmt.Sprintf(format, args...)})
}

func (d *reading) err() error {
	if d.more > 0 {
		return errors.Join(append(d.faults, fmt.Errorf("%s: and %d more", d.file, d.more))...)
	}
	return errors.Join(d.faults...)
}

// root parses the text and returns its mapping; nil with a fault.
func (d *reading) root(text []byte) *yaml.Node {
	var doc yaml.Node
	if len(text) > DescriptionMax {
		d.fault(&doc, "%d bytes, at most %d are read", len(text), DescriptionMax)
		return nil
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		d.fault(&doc, "not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return nil
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		d.fault(&doc, "want a mapping of names to values")
		return nil
	}
	return doc.Content[0]
}

// keys names what a mapping may hold and who takes each value.
type keys map[string]func(*yaml.Node)

// mapping hands every value to its taker, in the order of the file.
func (d *reading) mapping(n *yaml.Node, what string, k keys) {
	if n.Kind != yaml.MappingNode {
		d.fault(n, "%s: want a mapping", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		take := k[name.Value]
		switch {
		case take == nil:
			d.fault(name, "%s has no %q; known are %s", what, name.Value, strings.Join(names(k), ", "))
		case seen[name.Value]:
			d.fault(name, "%s has %s twice", what, name.Value)
		default:
			seen[name.Value] = true
			take(n.Content[i+1])
		}
	}
}

func names[V any](m map[string]V) []string {
	all := make([]string, 0, len(m))
	for name := range m {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// list hands every element to take.
func (d *reading) list(n *yaml.Node, limit int, take func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode || len(n.Content) > limit {
		d.fault(n, "want a list of at most %d", limit)
		return
	}
	for _, e := range n.Content {
		take(e)
	}
}

func (d *reading) text(to *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode {
			d.fault(n, "want a text")
			return
		}
		*to = n.Value
	}
}

func (d *reading) texts(to *[]string, limit int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		d.list(n, limit, func(e *yaml.Node) {
			var s string
			d.text(&s)(e)
			*to = append(*to, s)
		})
	}
}

// integer takes a number between bounds, both included.
func (d *reading) integer(to *int, least, most int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		v, err := strconv.Atoi(n.Value)
		if err != nil || n.Kind != yaml.ScalarNode || v < least || v > most {
			d.fault(n, "%q: want a number from %d to %d", n.Value, least, most)
			return
		}
		*to = v
	}
}

func (d *reading) boolean(to *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Value != "true" && n.Value != "false" {
			d.fault(n, "%q: want true or false", n.Value)
		}
		*to = n.Value == "true"
	}
}

func (d *reading) duration(to *time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		v, err := time.ParseDuration(n.Value)
		if err != nil || v < 0 {
			d.fault(n, "%q: want a duration such as 10m", n.Value)
			return
		}
		*to = v
	}
}

// oneOf takes one of the values.
func (d *reading) oneOf(to *string, values ...string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if !slices.Contains(values, n.Value) {
			d.fault(n, "%q: want one of %s", n.Value, strings.Join(values, ", "))
			return
		}
		*to = n.Value
	}
}

// dictionary takes a mapping of texts.
func (d *reading) dictionary(to *map[string]string, limit int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.MappingNode || len(n.Content) > 2*limit {
			d.fault(n, "want a mapping of at most %d texts", limit)
			return
		}
		*to = map[string]string{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			from := n.Content[i]
			if _, twice := (*to)[from.Value]; twice {
				d.fault(from, "%q stands twice", from.Value)
			}
			(*to)[from.Value] = n.Content[i+1].Value
		}
	}
}

// zone takes an offset from UTC.
func (d *reading) zone(to **time.Location) func(*yaml.Node) {
	return func(n *yaml.Node) {
		t, err := time.Parse("-07:00", n.Value)
		if err != nil {
			d.fault(n, "%q: want an offset such as \"+08:00\"; named zones differ from machine to machine",
				n.Value)
			return
		}
		_, offset := t.Zone()
		*to = time.FixedZone("", offset)
	}
}

// timeOfDay takes hh:mm as a duration since midnight.
func (d *reading) timeOfDay(to *time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		t, err := time.Parse("15:04", n.Value)
		if err != nil {
			d.fault(n, "%q: want a time of day such as \"23:00\"", n.Value)
			return
		}
		*to = time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	}
}
