package api

import (
	"slices"
	"testing"
)

// fields are those that a refusal names, in order.
func (r *reply) fields() []string {
	e, _ := r.body["error"].(map[string]any)
	all, _ := e["fields"].([]any)
	out := []string{}
	for _, f := range all {
		name, _ := f.(string)
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Who enrols, reports a loss, replaces or renews is told everything that is missing or bad at
// once, in the outer object and in the step, and nothing is done.
func TestEverythingBadIsToldAtOnce(t *testing.T) {
	c := newCounter(t, "handan")
	c.must("li.lei", "desk", "POST", "/v1/desk/accounts", opening("110101199001011237", cardA))
	carrier := []string{"with.carrier.family", "with.carrier.kind", "with.carrier.token"}
	asks := []string{"with.who.actor", "with.who.channel"}
	const commands = "/v1/desk/commands"
	for _, x := range []struct {
		path, body string
		want       []string
	}{
		{"/v1/desk/accounts", `{}`, slices.Concat([]string{"holder"}, carrier, asks)},
		{"/v1/desk/accounts", `{"holder":"110101199001011234","outlets":"d1","made":"today","with":{"who":{"actor":"king",
		 "channel":"agency"},"carrier":{"token":"12","kind":"stone","family":"t_union"},"numbers":[{"kind":"shoe"}]}}`,
			[]string{"holder", "made", "outlets", "with.carrier.kind", "with.carrier.token", "with.numbers[0].kind",
				"with.who.actor"}},
		{commands, `{"step":"report_loss"}`, append([]string{"account", "with.form"}, asks...)},
		{commands, `{"card":"` + cardA + `","step":"report_loss","with":{"who":{"actor":"agent","channel":"agency"},
		 "form":"sung","colour":"red"}}`, []string{"with.colour", "with.form", "with.form_no"}},
		{commands, `{"card":"12","step":"apply_replacement","with":{"accept":"yes"}}`,
			append([]string{"account", "card", "with.accept", "with.old"}, asks...)},
		{commands, `{"card":"` + cardA + `","step":"apply_renewal"}`, append([]string{"with.ground", "with.old"}, asks...)},
		{commands, `{"card":"` + cardA + `","step":"make_card"}`, append([]string{"with.case"}, carrier...)},
		{commands, `{"card":"` + cardA + `","step":"confirm_release","with":{}}`, []string{"with.case"}},
		{commands, `{"card":"` + cardA + `","step":"request_release"}`, asks},
	} {
		slices.Sort(x.want)
		a := c.ask("li.lei", "desk", "POST", x.path, x.body)
		if a.status != 400 || a.code() != "body_invalid" || !slices.Equal(a.fields(), x.want) {
			t.Errorf("%s:\n%d %s\nnames %q,\nwant  %q", x.body, a.status, a.raw, a.fields(), x.want)
		}
	}
}
