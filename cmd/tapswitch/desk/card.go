package desk

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

const cardHelp = "CARD is a card number, a card token of 32 hex digits, or - to read the number " +
	"from standard input."

// Card is the command of the card desk.
func Card() *cobra.Command {
	var d client
	c := &cobra.Command{
		Use: "card", Short: "The card desk: enrol, status, freeze, release",
		Long: "The card desk for single cards; tapswitch desk keeps accounts with all their " +
			"cards. " + cardHelp,
		Example: "  tapswitch card freeze - --reason lost --note 'form 12'\n" +
			"  tapswitch card release - --note 'found again'\n" +
			"  tapswitch card confirm r-17   # by a second person\n",
	}
	d.add(c)
	c.AddCommand(cardEnrolCommand(&d), cardStatusCommand(&d), cardFreezeCommand(&d),
		cardReleaseCommand(&d), cardConfirmCommand(&d), cardReleasesCommand(&d))
	return c
}

func cardEnrolCommand(d *client) *cobra.Command {
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
			return d.call(c, http.MethodPost, "/v1/cards", body)
		},
	}
	c.Flags().StringSliceVar(&apps, "apps", []string{"transit", "purse"}, "open applications")
	c.Flags().StringVar(&rider, "rider", "ordinary", "rider category")
	c.Flags().StringVar(&expires, "expires", "", "last day of validity, YYYY-MM-DD")
	c.Flags().StringVar(&issuer, "issuer", "", "issuer id")
	return c
}

func cardFreezeCommand(d *client) *cobra.Command {
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
			return d.call(c, http.MethodPost, "/v1/freezes", body)
		},
	}
	c.Flags().StringVar(&reason, "reason", "lost",
		"lost, pre_reported, suspended, risk, cancelled or replaced")
	c.Flags().StringSliceVar(&scope, "scope", []string{"all"}, "applications that are closed")
	c.Flags().StringVar(&note, "note", "", "case or form number")
	return c
}

func cardReleaseCommand(d *client) *cobra.Command {
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
			return d.call(c, http.MethodPost, "/v1/releases", body)
		},
	}
	c.Flags().StringVar(&note, "note", "", "case or form number")
	_ = c.MarkFlagRequired("note") // the flag exists
	return c
}

func cardConfirmCommand(d *client) *cobra.Command {
	return &cobra.Command{
		Use: "confirm RELEASE", Short: "Confirm a release as the second person",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := "/v1/releases/" + url.PathEscape(args[0]) + "/confirm"
			return d.call(c, http.MethodPost, path, nil)
		},
	}
}

func cardReleasesCommand(d *client) *cobra.Command {
	return &cobra.Command{
		Use: "releases", Short: "List the releases that wait for a second person",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return d.call(c, http.MethodGet, "/v1/releases", nil)
		},
	}
}

// cardArgument reads a card: 32 hex digits are a token, "-" reads the number from standard
// input so that it stands in no shell history, anything else is a number.
func cardArgument(c *cobra.Command, arg string) (map[string]any, error) {
	if arg == "-" {
		text, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 64))
		if err != nil {
			return nil, fmt.Errorf("card number: %w", err)
		}
		arg = strings.TrimSpace(string(text))
	}
	if len(arg) == 32 {
		return map[string]any{"token": arg}, nil
	}
	return map[string]any{"card": arg}, nil
}
