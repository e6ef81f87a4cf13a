package api

import (
	"encoding/json"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk/form"
)

// What a step cannot do without, whatever the scheme says. All that is missing is told with all
// that is bad, so that nobody asks five times; what the scheme wants is told by its own refusals.

// said fills a step, which is a pointer, from what a command says, and returns every fault.
func (s *server) said(step account.Step, with json.RawMessage) error {
	var bad error
	if with != nil {
		bad = form.Prefix("with", form.Fill(step, with, s.resolve))
	}
	var faults form.Faults
	told := map[string]bool{}
	if all, ok := bad.(form.Faults); ok {
		faults = all
	}
	for _, f := range faults {
		told[f.Field] = true
	}
	for _, field := range lacks(step) {
		if at := "with." + field; !told[at] {
			bad = form.Join(bad, form.Missing(at))
		}
	}
	return bad
}

// lacks names the fields that a step needs and does not have.
func lacks(step account.Step) []string {
	var n needs
	switch c := step.(type) {
	case *account.OpenAccount:
		n.who(c.Who)
		n.carrier(&c.Carrier)
	case *account.BindCarrier:
		n.who(c.Who)
		n.carrier(&c.Carrier)
	case *account.ReportLoss:
		n.who(c.Who)
		n.that(c.Form != account.FormNone, "form")
		n.that(c.Who.Actor != account.Agent || c.FormNo != "", "form_no")
	case *account.PreReport:
		n.who(c.Who)
	case *account.RequestRelease:
		n.who(c.Who)
	case *account.ConfirmRelease:
		n.that(c.Case != 0, "case")
	case *account.ApplyReplacement:
		n.who(c.Who)
		n.token(c.Old, "old")
	case *account.ApplyRenewal:
		n.who(c.Who)
		n.token(c.Old, "old")
		n.that(c.Ground != account.GroundNone, "ground")
	case *account.MakeCard:
		n.that(c.Case != 0, "case")
		n.carrier(&c.Carrier)
	case *account.IssueCard:
		n.that(c.Case != 0, "case")
	}
	return n
}

// needs gathers the names of fields that are missing.
type needs []string

func (n *needs) that(given bool, field string) {
	if !given {
		*n = append(*n, field)
	}
}

func (n *needs) token(t pan.Token, field string) { n.that(!t.IsZero(), field) }

func (n *needs) who(w account.Who) {
	n.that(w.Actor != account.ActorNone, "who.actor")
	n.that(w.Channel != account.ChannelNone, "who.channel")
}

func (n *needs) carrier(c *account.NewCarrier) {
	n.token(c.Token, "carrier.token")
	n.that(c.Kind != 0, "carrier.kind")
	n.that(c.Family != "" || c.Kind == account.BankPAN, "carrier.family")
}
