package layout

import (
	"errors"

	"go.yaml.in/yaml/v3"

	"github.com/tapswitch/tapswitch/ledger/recon"
)

// ReadPlan reads a plan and checks it as a whole. Its error is all faults, each with its line
// where one is known.
func ReadPlan(file string, text []byte) (*recon.Plan, error) {
	d := &reading{file: file}
	p := &recon.Plan{}
	root := d.root(text)
	if root == nil {
		return nil, d.err()
	}
	var note string
	d.mapping(root, "a plan", keys{
		"plan":           d.text(&p.Name),
		"note":           d.text(&note), // for people
		"owner":          d.text(&p.Owner),
		"zone":           d.zone(&p.Zone),
		"cut_off":        d.timeOfDay(&p.CutOff),
		"select":         func(n *yaml.Node) { d.selection(n, p) },
		"rules":          func(n *yaml.Node) { d.list(n, recon.RulesMax, func(e *yaml.Node) { d.rule(e, p) }) },
		"identity":       func(n *yaml.Node) { d.identity(n, p) },
		"late_after":     d.duration(&p.LateAfter),
		"cut_off_window": d.duration(&p.CutOffWindow),
		"batch_min":      d.integer(&p.BatchMin, 1, 1_000_000),
		"cluster_min":    d.integer(&p.ClusterMin, 2, 1_000_000),
	})
	if len(d.faults) == 0 {
		if err := p.Check(); err != nil {
			d.fault(root, "%v", err)
		}
	}
	return p, d.err()
}

func (d *reading) selection(n *yaml.Node, p *recon.Plan) {
	p.Select = map[recon.Field][]string{}
	take := keys{}
	for f := range recon.TextCount {
		take[f.String()] = func(n *yaml.Node) {
			var values []string
			d.texts(&values, mapMax)(n)
			p.Select[f] = values
		}
	}
	d.mapping(n, "select", take)
}

func (d *reading) key(n *yaml.Node) (key []recon.Field) {
	d.list(n, recon.KeyMax, func(e *yaml.Node) {
		f, err := recon.ParseField(e.Value)
		if err != nil {
			d.fault(e, "%v", err)
		}
		key = append(key, f)
	})
	return key
}

func (d *reading) identity(n *yaml.Node, p *recon.Plan) {
	d.list(n, recon.IdentityMax, func(e *yaml.Node) { p.Identity = append(p.Identity, d.key(e)) })
}

func (d *reading) rule(n *yaml.Node, p *recon.Plan) {
	var r recon.Rule
	amount := 0
	d.mapping(n, "a rule", keys{
		"name": d.text(&r.Name),
		"key":  func(n *yaml.Node) { r.Key = d.key(n) },
		"shape": func(n *yaml.Node) {
			shape, err := recon.ParseShape(n.Value)
			if err != nil {
				d.fault(n, "%v", err)
			}
			r.Shape = shape
		},
		"amount": d.integer(&amount, 0, 1_000_000_000),
		"time":   d.duration(&r.Time),
		"days":   d.integer(&r.Days, 0, 31),
	})
	r.Amount = int64(amount)
	p.Rules = append(p.Rules, r)
}

// Lint reads a layout or a plan, whichever the text is, and returns what kind it is and its
// faults.
func Lint(file string, text []byte) (kind, name string, err error) {
	var head struct {
		Layout string `yaml:"layout"`
		Plan   string `yaml:"plan"`
	}
	if err := yaml.Unmarshal(text, &head); err == nil && head.Plan != "" {
		p, err := ReadPlan(file, text)
		if err != nil {
			return "plan", head.Plan, err
		}
		return "plan", p.Name, nil
	}
	if head.Layout == "" {
		_, err := Read(file, text)
		return "layout", "", errors.Join(errors.New(file+": neither \"layout:\" nor \"plan:\" names it"), err)
	}
	l, err := Read(file, text)
	if err != nil {
		return "layout", head.Layout, err
	}
	return "layout", l.Name(), nil
}
