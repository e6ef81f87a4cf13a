package desk

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// group is a part of the gates, such as a line.
type group struct {
	Name           string
	Covered, Total int
}

// behind is a gate that does not hold what it should.
type behind struct {
	Device struct{ Terminal, Operator, Line, Station string }
	Epoch  uint64
	Seen   string
}

// gates tells where a freeze is effective.
type gates struct {
	FrozenAt    string          `json:"frozen_at"`
	Published   bool            `json:"published"`
	Epoch       uint64          `json:"epoch"`
	PublishedAt string          `json:"published_at"`
	Covered     int             `json:"covered"`
	Total       int             `json:"total"`
	Restored    int             `json:"restored"`
	Operators   []group         `json:"operators"`
	Lines       []group         `json:"lines"`
	Stations    []group         `json:"stations"`
	Behind      []behind        `json:"behind"`
	MoreBehind  int             `json:"more_behind"`
	Timeline    []minute        `json:"timeline"`
	Effective   []lineEffective `json:"effective"`
}

// minute is how many gates held a freeze so long after it.
type minute struct {
	Minutes        float64
	Covered, Total int
}

// lineEffective is when the gates of a line learnt of a freeze.
type lineEffective struct {
	Operator, Line, First, Last string
	Covered, Total              int
}

// noticeView is a notice with the clock of each party.
type noticeView struct {
	ID       string  `json:"id"`
	Kind     string  `json:"kind"`
	Case     string  `json:"case"`
	Card     string  `json:"card"`
	Accepted string  `json:"accepted_at"`
	Clause   string  `json:"clause"`
	Closed   bool    `json:"closed"`
	Clocks   []clock `json:"clocks"`
}

type clock struct {
	Party     string `json:"party"`
	State     string `json:"state"`
	Basis     string `json:"basis"`
	Sent      string `json:"sent"`
	Received  string `json:"received"`
	Effective string `json:"effective"`
	Deadline  string `json:"deadline"`
	Alarms    int    `json:"alarms"`
	Late      bool   `json:"late"`
	Overdue   bool   `json:"overdue"`
	Failure   string `json:"failure"`
}

func (k *clock) late() string {
	switch {
	case k.Overdue:
		return "OVERDUE"
	case k.Late:
		return "LATE"
	default:
		return "no"
	}
}

// notice tells a notice and the clocks of its parties.
func (p *page) notice(n *noticeView) {
	state := "open"
	if n.Closed {
		state = "closed"
	}
	p.line("  %s of %s, accepted %s under %s, %s", n.Kind, n.Card, moment(n.Accepted), n.Clause,
		state)
	p.line("  notice %s", n.ID)
	rows := [][]string{{"PARTY", "STATE", "SENT", "RECEIVED", "EFFECTIVE", "DEADLINE", "LATE",
		"ALARMS", "LAST FAILURE"}}
	for i := range n.Clocks {
		k := &n.Clocks[i]
		deadline := moment(k.Deadline)
		if deadline != "" && strings.Contains(k.Basis, "send") {
			deadline += " (from sending)"
		}
		rows = append(rows, []string{k.Party, k.State, moment(k.Sent), moment(k.Received),
			moment(k.Effective),
			deadline, k.late(), strconv.Itoa(k.Alarms), k.Failure})
	}
	p.table(rows)
}

// gates tells how far a freeze, or the present list, has come.
func (p *page) gates(g *gates) {
	p.head("GATES")
	if g.FrozenAt != "" {
		p.line("  refused on line since %s", moment(g.FrozenAt))
		if !g.Published {
			p.line("  in no published list yet")
			return
		}
	}
	held := "no gate is registered that could hold it"
	if g.Total > 0 {
		held = "held by " + share(g.Covered, g.Total)
	}
	p.line("  list epoch %d, published %s: %s", g.Epoch, moment(g.PublishedAt), held)
	if g.Restored > 0 {
		p.line("  %d of these were not heard of since the switch started", g.Restored)
	}
	if len(g.Effective) == 0 {
		p.groups("OPERATOR", g.Operators)
		p.groups("LINE", g.Lines)
	}
	p.learnt(g)
	if len(g.Behind) == 0 {
		return
	}
	p.line("")
	rows := [][]string{{"BEHIND", "OPERATOR", "LINE", "STATION", "SHOWS EPOCH", "HEARD OF"}}
	for _, b := range g.Behind {
		rows = append(rows, []string{b.Device.Terminal, b.Device.Operator, b.Device.Line,
			b.Device.Station,
			strconv.FormatUint(b.Epoch, 10), moment(b.Seen)})
	}
	p.table(rows)
	if g.MoreBehind > 0 {
		p.line("  and %d more", g.MoreBehind)
	}
}

// learnt tells when the gates learnt of a freeze.
func (p *page) learnt(g *gates) {
	if len(g.Effective) > 0 {
		p.line("")
		rows := [][]string{{"OPERATOR", "LINE", "GATES", "FIRST EFFECTIVE", "LAST EFFECTIVE"}}
		for _, l := range g.Effective {
			rows = append(rows, []string{l.Operator, l.Line, fmt.Sprintf("%d/%d", l.Covered,
				l.Total), moment(l.First), moment(l.Last)})
		}
		p.table(rows)
	}
	var steps []string
	for _, m := range g.Timeline {
		steps = append(steps, fmt.Sprintf("%g min %d/%d", m.Minutes, m.Covered, m.Total))
	}
	if len(steps) > 0 {
		p.line("  after %s", strings.Join(steps, ", "))
	}
}

func (p *page) groups(title string, all []group) {
	if len(all) == 0 {
		return
	}
	p.line("")
	rows := [][]string{{title, "COVERED", "TOTAL"}}
	for _, g := range all {
		rows = append(rows, []string{g.Name, strconv.Itoa(g.Covered), strconv.Itoa(g.Total)})
	}
	p.table(rows)
}

func counted(kinds map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		parts = append(parts, fmt.Sprintf("%d %s", kinds[name], name))
	}
	return strings.Join(parts, ", ")
}

func freezesCommand(d *client) *cobra.Command {
	return &cobra.Command{
		Use: "freezes", Short: "The losses of the city: gates that know, parties' clocks",
		Example: "  tapswitch desk freezes",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var a struct {
				City        string
				CardsFrozen *int `json:"cards_frozen"`
				Freezes     []struct {
					Account, Received, Effective, Ended string
					Case                                uint32
					Carriers                            []struct {
						Token    string      `json:"token"`
						FrozenAt string      `json:"frozen_at"`
						Gates    *gates      `json:"gates"`
						Notice   *noticeView `json:"notice"`
					}
				}
			}
			return d.show(c, "/v1/desk/freezes", &a, func(p *page) {
				p.line("%s: %d losses reported at desks; times are %s", a.City, len(a.Freezes), zone())
				if a.CardsFrozen != nil {
					p.line("%d cards are frozen in all, those of imported lists and for other reasons among them",
						*a.CardsFrozen)
				}
				rows := [][]string{{"RECEIVED", "EFFECTIVE", "ENDED", "CARD", "GATES", "PARTIES",
					"ACCOUNT", "CASE"}}
				for _, f := range a.Freezes {
					for _, k := range f.Carriers {
						rows = append(rows, []string{moment(f.Received), moment(k.FrozenAt),
							moment(f.Ended), k.Token[:min(8, len(k.Token))] + "…",
							brief(k.Gates), parties(k.Notice), f.Account, strconv.Itoa(int(f.Case))})
					}
				}
				p.list("FREEZES", "none", rows)
			})
		},
	}
}

func brief(g *gates) string {
	switch {
	case g == nil:
		return ""
	case !g.Published:
		return "not published"
	default:
		return fmt.Sprintf("%d/%d", g.Covered, g.Total)
	}
}

// parties says how many of a notice's parties have acted, and who is late.
func parties(n *noticeView) string {
	if n == nil {
		return ""
	}
	effective, late := 0, []string{}
	for i := range n.Clocks {
		if n.Clocks[i].Effective != "" {
			effective++
		}
		if n.Clocks[i].late() != "no" {
			late = append(late, n.Clocks[i].Party)
		}
	}
	text := fmt.Sprintf("%d of %d effective", effective, len(n.Clocks))
	if len(late) > 0 {
		text += ", late: " + words(late)
	}
	return text
}

func coverageCommand(d *client) *cobra.Command {
	return &cobra.Command{
		Use: "coverage", Short: "Gates that hold the present list, and those behind",
		Example: "  tapswitch desk coverage",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var g gates
			return d.show(c, "/v1/desk/coverage", &g, func(p *page) {
				p.gates(&g)
				p.groups("STATION", g.Stations)
			})
		},
	}
}
