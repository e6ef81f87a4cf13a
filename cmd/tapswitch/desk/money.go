package desk

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
)

// verdict is one transaction of a lost card, and who bears it.
type verdict struct {
	Record    string           `json:"record"`
	Kind      string           `json:"kind"`
	ServiceAt string           `json:"service_at"`
	Offline   bool             `json:"offline"`
	Amount    int64            `json:"amount"`
	Operator  string           `json:"operator"`
	Line      string           `json:"line"`
	ServedBy  string           `json:"served_by"`
	Bears     string           `json:"bears"`
	Party     string           `json:"party"`
	Boundary  string           `json:"boundary"`
	Why       string           `json:"why"`
	Clause    string           `json:"clause"`
	Finding   bool             `json:"finding"`
	Booked    map[string]int64 `json:"booked"`
	Case      uint32           `json:"case"`
}

func (v *verdict) bearer() string {
	text := v.Bears
	if v.Party != "" {
		text += " " + v.Party
	}
	if v.Finding {
		text += " (finding)"
	}
	return text
}

// verdicts tells who bears what.
func (p *page) verdicts(all []verdict) {
	rows := [][]string{{"SERVED AT", "KIND", "YUAN", "SERVED BY", "BORNE BY", "BOUNDARY", "WHY",
		"CLAUSE", "BOOKED"}}
	for i := range all {
		v := &all[i]
		booked := int64(0)
		for _, sum := range v.Booked {
			booked += sum
		}
		rows = append(rows, []string{moment(v.ServiceAt), v.Kind, yuan(v.Amount), cmp.Or(v.ServedBy,
			v.Operator), v.bearer(),
			moment(v.Boundary), v.Why, v.Clause, yuan(booked)})
	}
	p.list("LIABILITY", "no transaction of a lost card", rows)
}

func liabilityPath(account string) string { return "/v1/desk/accounts/" + account + "/liability" }

func liabilityCommand(d *client) *cobra.Command {
	var report bool
	c := &cobra.Command{
		Use:     "liability [ACCOUNT]",
		Short:   "Who bears the transactions of a lost card, or what each party bears",
		Example: "  tapswitch desk liability ACCOUNT\n  tapswitch desk liability --report",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case report && len(args) > 0:
				return usage("give an account or --report, not both")
			case len(args) == 0:
				return d.liabilityReport(c)
			case !isToken(args[0]):
				return usage("ACCOUNT: want its token, 32 hex digits; tapswitch desk find shows it")
			}
			var a struct{ Transactions []verdict }
			return d.show(c, liabilityPath(args[0]), &a,
				func(p *page) { p.verdicts(a.Transactions) })
		},
	}
	c.Flags().BoolVar(&report, "report", false, "what each party bears, of all losses")
	return c
}

func (d *client) liabilityReport(c *cobra.Command) error {
	type share struct {
		Party          string
		Transactions   int
		Amount, Booked int64
		LeaseEnded     int `json:"lease_ended"`
	}
	var a struct {
		Losses  int
		Parties []share
	}
	return d.show(c, "/v1/desk/liability", &a, func(p *page) {
		slices.SortFunc(a.Parties, func(x, y share) int { return cmp.Compare(x.Party, y.Party) })
		rows := [][]string{{"PARTY", "TRANSACTIONS", "YUAN", "BOOKED", "AFTER LEASE"}}
		for _, s := range a.Parties {
			rows = append(rows, []string{s.Party, strconv.Itoa(s.Transactions), yuan(s.Amount),
				yuan(s.Booked), strconv.Itoa(s.LeaseEnded)})
		}
		p.line("%d losses", a.Losses)
		p.list("BORNE BY", "no transaction of a lost card", rows)
	})
}

func judgeCommand(d *client) *cobra.Command {
	return &cobra.Command{
		Use: "judge", Short: "Look the ledger through now and book who bears what",
		Long: "Does at once what the switch does by itself every minute: doing it again books\n" +
			"nothing twice.",
		Example: "  tapswitch desk judge",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			text, err := d.send(c.Context(), http.MethodPost, "/v1/desk/liability:judge", nil)
			if err != nil {
				return err
			}
			var a struct{ Entries int }
			return d.print(c, text, &a, func(p *page) { p.line("%d entries booked", a.Entries) })
		},
	}
}
