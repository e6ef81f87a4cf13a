package desk

import (
	"net/http"
	"net/url"

	"github.com/spf13/cobra"
)

const outletsPath = "/v1/desk/outlets"

// outlet is a place where the desk serves people.
type outlet struct {
	Name     string   `json:"name,omitempty"`
	Title    string   `json:"title"`
	Party    string   `json:"party"`
	Address  string   `json:"address"`
	Hours    string   `json:"hours"`
	Services []string `json:"services"`
	Closed   bool     `json:"closed,omitempty"`
}

func outletsCommand(d *client) *cobra.Command {
	c := &cobra.Command{
		Use: "outlets", Short: "Where the desk serves people; put and close change it",
		Long: "Lists the registered outlets. From the first one on every command that names an outlet\n" +
			"must name one that is registered and open. The published list of services shows them.",
		Example: "  tapswitch desk outlets\n" +
			"  tapswitch desk outlets put d1 --title '开发区网点' --party agency --address '东环路1号' \\\n" +
			"    --hours 'Mon-Fri 9-17' --services report_loss,release",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var a struct{ Outlets []outlet }
			return d.show(c, outletsPath, &a, func(p *page) {
				rows := [][]string{{"NAME", "TITLE", "PARTY", "ADDRESS", "HOURS", "SERVICES", "CLOSED"}}
				for i := range a.Outlets {
					o := &a.Outlets[i]
					rows = append(rows, []string{o.Name, o.Title, o.Party, o.Address, o.Hours,
						words(o.Services), yes(o.Closed)})
				}
				p.list("OUTLETS", "none: any name is taken", rows)
			})
		},
	}
	var o outlet
	put := &cobra.Command{
		Use: "put NAME", Short: "Register an outlet, or change one", Args: cobra.ExactArgs(1),
		Example: "  tapswitch desk outlets put d1 --title T --party agency --address A --hours H --services all",
		RunE: func(c *cobra.Command, args []string) error {
			return d.call(c, http.MethodPut, outletsPath+"/"+url.PathEscape(args[0]), &o)
		},
	}
	f := put.Flags()
	f.StringVar(&o.Title, "title", "", "name that people read")
	f.StringVar(&o.Party, "party", "", "who runs it: agency, a bank, an operator, …")
	f.StringVar(&o.Address, "address", "", "where it is")
	f.StringVar(&o.Hours, "hours", "", "when it is open")
	f.StringSliceVar(&o.Services, "services", nil, "ids of the published services, or all")
	c.AddCommand(put, &cobra.Command{
		Use: "close NAME", Short: "End an outlet's service; its name stays readable", Args: cobra.ExactArgs(1),
		Example: "  tapswitch desk outlets close d1",
		RunE: func(c *cobra.Command, args []string) error {
			return d.call(c, http.MethodDelete, outletsPath+"/"+url.PathEscape(args[0]), nil)
		},
	})
	return c
}
