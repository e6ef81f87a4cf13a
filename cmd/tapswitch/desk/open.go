package desk

import (
	"strings"

	"github.com/spf13/cobra"
)

const openPath = "/v1/desk/accounts"

// newCarrier are the flags of a card that is bound.
type newCarrier struct {
	kind, family, issuer string
	existing, ready      bool
}

func (n *newCarrier) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&n.kind, "kind", "chip", "what it is: chip, e_card, qr, bank_pan")
	f.StringVar(&n.family, "family", "t_union", "family of card numbers")
	f.StringVar(&n.issuer, "issuer", "", "issuer id")
	f.BoolVar(&n.ready, "ready", false, "it is in the holder's hands already")
}

func (n *newCarrier) fields(token string) map[string]any {
	m := map[string]any{"token": token, "kind": n.kind}
	set(m, map[string]string{"family": n.family, "issuer": n.issuer})
	if n.existing {
		m["existing"] = true
	}
	if n.ready {
		m["ready"] = true
	}
	return m
}

// opening are the flags of an enrolment.
type opening struct {
	who                         who
	carrier                     newCarrier
	holder, card, expires, unit string
	paper                       string
	category, source, until     string
	applications, others        []string
	checked                     bool
}

func openCommand(d *client) *cobra.Command {
	o, in := &order{d: d}, &opening{}
	c := &cobra.Command{
		Use: "open", Short: "Enrol a holder with a first card",
		Long: "Enrols a holder. Standard input has the number of the holder's paper, then the\n" +
			"card's number, then those of --other, one a line. The paper's number is kept as a\n" +
			"keyed token only.",
		Example: "  tapswitch desk open --checked --ready --outlet d1\n" +
			"  tapswitch desk open --checked --rider student --rider-source school --other " +
			"social_security",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			body, err := in.body(o, newNumbers(c))
			if err != nil {
				return err
			}
			return o.send(c, openPath, body)
		},
	}
	o.flags(c)
	in.flags(c)
	return c
}

func (in *opening) flags(c *cobra.Command) {
	in.who.flags(c, "holder", "agency")
	in.carrier.flags(c)
	f := c.Flags()
	f.BoolVar(&in.carrier.existing, "existing", false,
		"the card was given out before and is drawn in")
	f.StringVar(&in.holder, "holder", stdin, "- reads the number of the holder's paper")
	f.StringVar(&in.paper, "holder-kind", "", "the holder's paper, when it is not the resident identity card: "+
		"passport, residence_permit, …")
	f.StringVar(&in.card, "card", stdin, "- reads the card's number, or its token")
	f.StringSliceVar(&in.others, "other", nil,
		"other printed numbers to read: social_security, serial, bank_card, card")
	f.BoolVar(&in.checked, "checked", false, "the papers were checked and are true")
	f.StringSliceVar(&in.applications, "apps", nil, "applications beside those that every card has")
	f.StringVar(&in.category, "rider", "", "concession: student, senior, disabled, veteran")
	f.StringVar(&in.source, "rider-source", "", "department that vouches for the concession")
	f.StringVar(&in.until, "rider-until", "", "last day of the concession")
	f.StringVar(&in.expires, "expires", "",
		"last day of the card as printed; by the rules otherwise")
	f.StringVar(&in.unit, "unit", "", "employer, as its code")
}

func (in *opening) body(o *order, n *numbers) (map[string]any, error) {
	body, err := o.begin()
	if err != nil {
		return nil, err
	}
	if body["holder"], err = n.secret("--holder", in.holder,
		"number of the holder's paper"); err != nil {
		return nil, err
	}
	set(body, map[string]string{"holder_kind": in.paper})
	token, err := n.card("--card", in.card, "card number")
	if err != nil {
		return nil, err
	}
	with := map[string]any{"who": in.who.fields(), "carrier": in.carrier.fields(token),
		"checked": in.checked}
	set(with, map[string]string{"unit": in.unit, "expires_on": in.expires})
	if len(in.applications) > 0 {
		with["functions"] = in.applications
	}
	if in.category != "" {
		rider := map[string]any{"category": in.category}
		set(rider, map[string]string{"source": in.source, "until": in.until})
		with["rider"] = rider
	}
	var others []any
	for _, kind := range in.others {
		kind, _, _ = strings.Cut(kind, "=")
		other, err := n.printed(kind + "=" + stdin)
		if err != nil {
			return nil, err
		}
		others = append(others, other)
	}
	if len(others) > 0 {
		with["numbers"] = others
	}
	body["with"] = with
	return body, nil
}
