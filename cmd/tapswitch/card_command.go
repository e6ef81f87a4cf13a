package main

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

const cardHelp = "CARD is a card number, a card token of 32 hex digits, or - to read the number " +
	"from standard input."

func cardCommand() *cobra.Command {
	var desk deskClient
	c := &cobra.Command{
		Use: "card", Short: "The card desk: enrol, status, freeze, release",
		Long: "The card desk. " + cardHelp,
		Example: "  tapswitch card freeze - --reason lost --note 'form 12'\n" +
			"  tapswitch card release - --note 'found again'\n" +
			"  tapswitch card confirm r-17   # by a second person\n",
	}
	desk.add(c)
	c.AddCommand(cardEnrolCommand(&desk), cardStatusCommand(&desk), cardFreezeCommand(&desk),
		cardReleaseCommand(&desk), cardConfirmCommand(&desk), cardReleasesCommand(&desk))
	return c
}

func cardEnrolCommand(desk *deskClient) *cobra.Command {
	var apps []string
	var rider, expires, issuer string
	c := &cobra.Command{
		Use: "enrol CARD", Short: "Open a card", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			body, err := cardArgument(c, args[0])
			if err != nil {
				return err
			}
			body["apps"], body["rider"] = apps, rider
			for name, value := range map[string]string{"expires_on": expires, "issuer": issuer} {
				if value != "" {
					body[name] = value
				}
			}
			return desk.call(c, http.MethodPost, "/v1/cards", body)
		},
	}
	c.Flags().StringSliceVar(&apps, "apps", []string{"transit", "purse"}, "open applications")
	c.Flags().StringVar(&rider, "rider", "ordinary", "rider category")
	c.Flags().StringVar(&expires, "expires", "", "last day of validity, YYYY-MM-DD")
	c.Flags().StringVar(&issuer, "issuer", "", "issuer id")
	return c
}

func cardStatusCommand(desk *deskClient) *cobra.Command {
	return &cobra.Command{
		Use: "status CARD", Short: "Show a card's state and freeze", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			body, err := cardArgument(c, args[0])
			if err != nil {
				return err
			}
			if token, ok := body["token"].(string); ok {
				return desk.call(c, http.MethodGet, "/v1/cards/"+url.PathEscape(token), nil)
			}
			return desk.call(c, http.MethodPost, "/v1/cards:lookup", body)
		},
	}
}

func cardFreezeCommand(desk *deskClient) *cobra.Command {
	var reason, note string
	var scope []string
	c := &cobra.Command{
		Use: "freeze CARD", Short: "Freeze a card; one person is enough",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			body, err := cardArgument(c, args[0])
			if err != nil {
				return err
			}
			body["reason"], body["scope"], body["note"] = reason, scope, note
			return desk.call(c, http.MethodPost, "/v1/freezes", body)
		},
	}
	c.Flags().StringVar(&reason, "reason", "lost",
		"lost, pre_reported, suspended, risk, cancelled or replaced")
	c.Flags().StringSliceVar(&scope, "scope", []string{"all"}, "applications that are closed")
	c.Flags().StringVar(&note, "note", "", "case or form number")
	return c
}

func cardReleaseCommand(desk *deskClient) *cobra.Command {
	var note string
	c := &cobra.Command{
		Use: "release CARD", Short: "Ask for a release; a second person confirms it",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			body, err := cardArgument(c, args[0])
			if err != nil {
				return err
			}
			body["note"] = note
			return desk.call(c, http.MethodPost, "/v1/releases", body)
		},
	}
	c.Flags().StringVar(&note, "note", "", "case or form number")
	_ = c.MarkFlagRequired("note") // the flag exists
	return c
}

func cardConfirmCommand(desk *deskClient) *cobra.Command {
	return &cobra.Command{
		Use: "confirm RELEASE", Short: "Confirm a release as the second person",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := "/v1/releases/" + url.PathEscape(args[0]) + "/confirm"
			return desk.call(c, http.MethodPost, path, nil)
		},
	}
}

func cardReleasesCommand(desk *deskClient) *cobra.Command {
	return &cobra.Command{
		Use: "releases", Short: "List the releases that wait for a second person",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return desk.call(c, http.MethodGet, "/v1/releases", nil)
		},
	}
}

func terminalCommand() *cobra.Command {
	var desk deskClient
	c := &cobra.Command{Use: "terminal", Short: "Register terminals, rotate and revoke their keys"}
	desk.add(c)
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
			return desk.call(c, http.MethodPut, "/v1/terminals/"+url.PathEscape(args[0]), body)
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
				return desk.call(c, http.MethodPost, path, nil)
			},
		})
	}
	c.AddCommand(&cobra.Command{
		Use: "show TERMINAL", Short: "Show a terminal", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return desk.call(c, http.MethodGet, "/v1/terminals/"+url.PathEscape(args[0]), nil)
		},
	})
	return c
}
