package desk

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// Terminal is the command that registers terminals.
func Terminal() *cobra.Command {
	var d client
	c := &cobra.Command{Use: "terminal", Short: "Register terminals, rotate and revoke their keys"}
	d.add(c)
	var place struct {
		Operator, Line, Station, Merchant, MCC, Acquirer string
		Kinds                                            []string
	}
	put := &cobra.Command{
		Use: "put TERMINAL", Short: "Register or change a terminal; a new key is shown once",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{}
			for name, value := range map[string]string{
				"operator": place.Operator, "line": place.Line, "station": place.Station,
				"merchant": place.Merchant, "mcc": place.MCC, "acquirer": place.Acquirer,
			} {
				if value != "" {
					body[name] = value
				}
			}
			body["kinds"] = place.Kinds
			return d.call(c, http.MethodPut, "/v1/terminals/"+url.PathEscape(args[0]), body)
		},
	}
	f := put.Flags()
	f.StringVar(&place.Operator, "operator", "", "operator that is paid")
	f.StringVar(&place.Line, "line", "", "line or route")
	f.StringVar(&place.Station, "station", "", "station or stop")
	f.StringVar(&place.Merchant, "merchant", "", "merchant id")
	f.StringVar(&place.MCC, "mcc", "", "merchant category code")
	f.StringVar(&place.Acquirer, "acquirer", "", "acquirer that funds loads")
	f.StringSliceVar(&place.Kinds, "kinds", []string{"metro_entry", "metro_exit", "bus_boarding",
		"purchase", "load", "refund", "reversal", "balance"}, "kinds that the terminal may send")
	c.AddCommand(put)
	for _, verb := range []struct{ name, short string }{
		{"rotate", "Give a terminal a new key; the old one works for a while"},
		{"revoke", "Refuse a terminal from now on"},
	} {
		c.AddCommand(&cobra.Command{
			Use: verb.name + " TERMINAL", Short: verb.short, Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error {
				path := "/v1/terminals/" + url.PathEscape(args[0]) + ":" + verb.name
				return d.call(c, http.MethodPost, path, nil)
			},
		})
	}
	c.AddCommand(&cobra.Command{
		Use: "show TERMINAL", Short: "Show a terminal", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return d.call(c, http.MethodGet, "/v1/terminals/"+url.PathEscape(args[0]), nil)
		},
	})
	return c
}
