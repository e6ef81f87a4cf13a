package desk

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// tellUnitCommand tells a unit about one person.
func tellUnitCommand(d *client) *cobra.Command {
	var purpose string
	var fields []string
	o := &order{d: d}
	c := &cobra.Command{
		Use: "tell-unit NAME", Short: "Tell a unit about one person what was agreed; the query is recorded",
		Example: "  tapswitch desk tell-unit transport_office --card - --purpose dispute",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			body, err := o.begin()
			if err == nil {
				err = o.on.fill(newNumbers(c), body)
			}
			if err != nil {
				return err
			}
			with := map[string]any{"purpose": purpose}
			if len(fields) > 0 {
				with["fields"] = fields
			}
			body["with"] = with
			return d.call(c, http.MethodPost, "/v1/desk/consumers"+"/"+url.PathEscape(args[0])+"/query", body)
		},
	}
	o.on.flags(c)
	o.flags(c)
	c.Flags().StringVar(&purpose, "purpose", "", "an agreed purpose")
	c.Flags().StringSliceVar(&fields, "fields", nil, "agreed fields; all that are agreed without it")
	return c
}

// copyCommand gives a person everything that is kept of him.
func copyCommand(d *client) *cobra.Command {
	o, asks := &order{d: d}, &who{}
	var seen bool
	c := &cobra.Command{
		Use: "copy", Short: "Everything that is kept of a person, for that person",
		Example: "  tapswitch desk copy --holder - -o json", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			body, err := o.begin()
			if err == nil {
				err = o.on.fill(newNumbers(c), body)
			}
			if err != nil {
				return err
			}
			body["with"] = map[string]any{"who": asks.fields(), "card_seen": seen, "purpose": "own_records"}
			return d.call(c, http.MethodPost, "/v1/desk/accounts:copy", body)
		},
	}
	o.on.flags(c)
	o.flags(c)
	asks.flags(c, "holder", "agency")
	c.Flags().BoolVar(&seen, "card-seen", false, "the holder came with the card itself")
	return c
}
