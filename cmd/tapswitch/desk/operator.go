package desk

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

// Operator is the command that gives persons their tokens.
func Operator() *cobra.Command {
	var d client
	c := &cobra.Command{
		Use: "operator", Short: "Give persons tokens with roles, and take them back",
		Example: "  tapswitch operator create wang --roles desk\n" +
			"  tapswitch operator create li --roles desk_confirm\n" +
			"  tapswitch operator revoke wang\n",
	}
	d.add(c)
	var roles []string
	create := &cobra.Command{
		Use: "create NAME", Short: "Create a token for a person; it is shown once",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return d.call(c, http.MethodPut, "/v1/operators/"+url.PathEscape(args[0]),
				map[string]any{"roles": roles})
		},
	}
	create.Flags().StringSliceVar(&roles, "roles", nil,
		"desk, desk_confirm, vendor, finance, admin, viewer, authority, supervisor")
	_ = create.MarkFlagRequired("roles") // the flag exists
	revoke := &cobra.Command{
		Use: "revoke NAME", Short: "Take back every token of a person", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := "/v1/operators/" + url.PathEscape(args[0]) + ":revoke"
			return d.call(c, http.MethodPost, path, nil)
		},
	}
	c.AddCommand(create, revoke)
	return c
}
