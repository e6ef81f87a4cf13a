// Package office holds the commands of the card agency beside its accounts: lists of freezes
// from other systems and other cities, the netting with these, incident drills, evidence, and
// what is shared with units and departments. They are commands of "tapswitch desk" and clients
// of a running gate; see package desk for what they never do.
package office

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/desk"
)

const importPath = "/v1/desk/freezes:import"

// listMax bounds a list that is read from a file: what the gate takes.
const listMax = 8 << 20

// readList reads a file, or standard input for -.
func readList(c *cobra.Command, file string) ([]byte, error) {
	in := c.InOrStdin()
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, desk.Usage("FILE: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, listMax+1))
	switch {
	case err != nil:
		return nil, desk.Usage("FILE: %w", err)
	case len(text) > listMax:
		return nil, desk.Usage("FILE: more than %d MB; part it", listMax>>20)
	default:
		return text, nil
	}
}

// imported is what became of a list of freezes.
type imported struct {
	ID      string `json:"id"` // of the first part
	DryRun  bool   `json:"dry_run"`
	Lines   int    `json:"lines"`
	Frozen  int    `json:"frozen"`
	Already int    `json:"already"`
	Refused int    `json:"refused"`
	// Listed is how many of them Bad holds: of each part, the gate lists the first 1000.
	Listed  int       `json:"refused_listed"`
	Resumed int       `json:"resumed"`
	Bad     []badLine `json:"bad"`
	Parts   int       `json:"parts"`
}

type badLine struct {
	Line int    `json:"line"`
	Code string `json:"code"`
	Card string `json:"card,omitempty"`
}

func drawBad(p desk.Page, all []badLine) {
	rows := [][]string{{"LINE", "CARD", "WHY"}}
	for _, b := range all {
		rows = append(rows, []string{strconv.Itoa(b.Line), b.Card, b.Code})
	}
	p.List("NOT TAKEN", rows)
}

// Commands returns the commands, which ask by d.
func Commands(d desk.Client) []*cobra.Command {
	return []*cobra.Command{importCommand(d), foreignCommand(d), nettingCommand(d), drillCommand(d),
		findingsCommand(d), consumersCommand(d), suppliersCommand(d), placesCommand(d), acceptanceCommand(d),
		exchangeCommand(d), retentionCommand(d)}
}

func importCommand(d desk.Client) *cobra.Command {
	m := &importer{d: d}
	c := &cobra.Command{
		Use: "import FILE", Short: "Freeze the cards of a list from another system",
		Long: "Reads CSV: card number or token, reason, and after them scope, since and note as they\n" +
			"are needed; or in any order, below a head with these names. Nothing is ever opened by\n" +
			"it. A long list goes in parts. The same file under the same --id goes on where an\n" +
			"import broke off.",
		Example: "  tapswitch desk import freezes.csv --dry-run\n  tapswitch desk import - --id old-system-1",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return m.run(c, args[0]) },
	}
	c.Flags().StringVar(&m.id, "id", "", "name of the import; a digest of the list without it")
	c.Flags().BoolVar(&m.dry, "dry-run", false, "check every line, freeze none")
	return c
}

// jsonFile reads a file that holds one JSON object.
func jsonFile(c *cobra.Command, file string) (map[string]any, error) {
	text, err := readList(c, file)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if json.Unmarshal(text, &object) != nil {
		return nil, desk.Usage("FILE: want one JSON object")
	}
	return object, nil
}

// told asks for something and prints the answer by its fields.
func told(d desk.Client, c *cobra.Command, path string) error {
	return d.Call(c, http.MethodGet, path, nil)
}

// registry is a command with the calls of one register: list, put from a file, remove.
type register struct{ use, short, path, example string }

func (g register) command(d desk.Client) *cobra.Command {
	c := &cobra.Command{Use: g.use, Short: g.short, Example: "  tapswitch desk " + g.use, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return told(d, c, g.path) }}
	c.AddCommand(&cobra.Command{
		Use: "put NAME FILE", Short: "Register one from a JSON file, or change it", Args: cobra.ExactArgs(2),
		Example: "  tapswitch desk " + g.use + " put " + g.example + " " + g.example + ".json",
		RunE: func(c *cobra.Command, args []string) error {
			body, err := jsonFile(c, args[1])
			if err != nil {
				return err
			}
			return d.Call(c, http.MethodPut, g.path+"/"+url.PathEscape(args[0]), body)
		},
	}, &cobra.Command{
		Use: "remove NAME", Short: "Take one out", Args: cobra.ExactArgs(1),
		Example: "  tapswitch desk " + g.use + " remove " + g.example,
		RunE: func(c *cobra.Command, args []string) error {
			return d.Call(c, http.MethodDelete, g.path+"/"+url.PathEscape(args[0]), nil)
		},
	})
	return c
}

// ledgerSpan are the flags of calls that look through days of the ledger.
type ledgerSpan struct{ from, to string }

func (s *ledgerSpan) flags(c *cobra.Command) {
	c.Flags().StringVar(&s.from, "from", "", "first day, as 2026-03-02; today without it")
	c.Flags().StringVar(&s.to, "to", "", "last day; today without it")
}

func (s *ledgerSpan) query() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"from": s.from, "to": s.to} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}
