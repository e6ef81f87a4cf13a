package desk

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
)

func findCommand(d *client) *cobra.Command {
	var on target
	c := &cobra.Command{
		Use: "find", Short: "Show an account: cards, what is in force, cases, fees",
		Example: "  tapswitch desk find --holder -\n  tapswitch desk find --number serial=S-17",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			body := map[string]any{}
			if err := on.fill(newNumbers(c), body); err != nil {
				return err
			}
			text, err := d.send(c.Context(), http.MethodPost, "/v1/desk/accounts:find", body)
			if err != nil {
				return err
			}
			var f found
			return d.print(c, text, &f, func(p *page) {
				p.line("account %s   times are %s", f.Account, zone())
				p.document(&f.Document)
			})
		},
	}
	on.flags(c)
	return c
}

// purse is what the card state of one card says.
type purse struct {
	Last4   string
	Known   bool
	Balance int64
	Journey bool
	Bank    int
	Offline bool
	Moving  int64
}

// row is one settled record as holder, desk and gate are told it.
type row struct {
	Record     string `json:"record"`
	Kind       string `json:"kind"`
	Outcome    string `json:"outcome"`
	Reason     string `json:"reason"`
	Message    string `json:"message"`
	Chinese    string `json:"message_zh"`
	Charged    int64  `json:"charged"`
	After      int64  `json:"balance_after"`
	Operator   string `json:"operator"`
	Line       string `json:"line"`
	ServiceAt  string `json:"service_at"`
	ReceivedAt string `json:"received_at"`
	Card       string `json:"card"`
}

func (r *row) words(lang string) string {
	if lang == call.Chinese {
		return r.Chinese
	}
	return r.Message
}

func queryCommand(d *client) *cobra.Command {
	o, asks := &order{d: d}, &who{}
	var purpose, party string
	var seen bool
	c := &cobra.Command{
		Use:   "query",
		Short: "Show an account's records, for a purpose; the query itself is recorded",
		Example: "  tapswitch desk query --holder - --purpose own_records\n" +
			"  tapswitch desk query --account T --actor agency --purpose dispute",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			body, err := o.begin()
			if err == nil {
				err = o.on.fill(newNumbers(c), body)
			}
			if err != nil {
				return err
			}
			with := map[string]any{"who": asks.fields(), "card_seen": seen}
			set(with, map[string]string{"purpose": purpose, "party": party})
			body["with"] = with
			text, err := d.send(c.Context(), http.MethodPost, "/v1/desk/accounts:query", body)
			if err != nil {
				return err
			}
			return d.printQuery(c, text)
		},
	}
	o.on.flags(c)
	o.flags(c)
	asks.flags(c, "holder", "agency")
	c.Flags().StringVar(&purpose, "purpose", "own_records",
		"what for: own_records, dispute, complaint, …")
	c.Flags().StringVar(&party, "party", "", "the unit that looks, when it is not the agency")
	c.Flags().BoolVar(&seen, "card-seen", false, "the holder came with the card itself")
	return c
}

func (d *client) printQuery(c *cobra.Command, text []byte) error {
	var a struct {
		found
		Money   []purse
		Records []row
	}
	return d.print(c, text, &a, func(p *page) {
		p.line("account %s   times are %s", a.Account, zone())
		p.document(&a.Document)
		rows := [][]string{{"CARD", "BALANCE", "RIDE OPEN", "BANK OPEN", "OFF LINE", "MOVING"}}
		for _, m := range a.Money {
			balance := "no purse here"
			if m.Known {
				balance = yuan(m.Balance)
			}
			rows = append(rows, []string{m.Last4, balance, yes(m.Journey), strconv.Itoa(m.Bank),
				yes(m.Offline), yuan(m.Moving)})
		}
		p.list("MONEY", "none", rows)
		rows = [][]string{{"AT", "CARD", "KIND", "OUTCOME", "CHARGED", "BALANCE", "WHERE", "REASON",
			"RECORD"}}
		for i := range a.Records {
			r := &a.Records[i]
			at := r.ServiceAt
			if at == "" {
				at = r.ReceivedAt
			}
			rows = append(rows, []string{moment(at), r.Card, r.Kind, r.Outcome, yuan(r.Charged),
				yuan(r.After),
				r.Operator + " " + r.Line, r.words(p.lang), r.Record})
		}
		p.list("RECORDS", "none", rows)
	})
}

func casesCommand(d *client) *cobra.Command {
	var kind, owner string
	var overdue bool
	c := &cobra.Command{
		Use: "cases", Short: "Open cases, the earliest legal date first",
		Example: "  tapswitch desk cases --overdue\n  tapswitch desk cases --kind replacement " +
			"--owner d1",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			for name, value := range map[string]string{"kind": kind, "owner": owner} {
				if value != "" {
					q.Set(name, value)
				}
			}
			if overdue {
				q.Set("overdue", "1")
			}
			var a struct {
				Cases []struct {
					Document, Last4 string
					Case            openCase
					Overdue         bool
				}
			}
			return d.show(c, "/v1/desk/cases?"+q.Encode(), &a, func(p *page) {
				rows := [][]string{{"DUE", "OVERDUE", "CASE", "KIND", "STATE", "RECEIVED", "OWNER",
					"CARD", "ACCOUNT"}}
				for i := range a.Cases {
					k := &a.Cases[i]
					rows = append(rows, []string{moment(k.Case.Due), yes(k.Overdue),
						strconv.Itoa(int(k.Case.No)), k.Case.Kind,
						k.Case.State, moment(k.Case.Received), k.Case.Owner, k.Last4, k.Document})
				}
				p.list("OPEN CASES", "none", rows)
			})
		},
	}
	c.Flags().StringVar(&kind, "kind", "",
		"only these: release, replacement, renewal, cancellation, complaint, …")
	c.Flags().StringVar(&owner, "owner", "", "only those of this outlet or department")
	c.Flags().BoolVar(&overdue, "overdue", false, "only those whose legal date has passed")
	return c
}

func waitingCommand(d *client) *cobra.Command {
	return &cobra.Command{
		Use: "waiting", Short: "Dead numbers that hold money for which a person must act",
		Long: "Lists numbers that were closed for ever by somebody else than the desk, whose account has\n" +
			"no card in their place. What they hold goes to the next card that is made for the account\n" +
			"(tapswitch desk replace), or is paid out when the account is cancelled.",
		Example: "  tapswitch desk waiting",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var a struct {
				Waiting []struct {
					Document, Card, Last4, Since string
					Balance                      int64
					Journey                      bool
				}
			}
			return d.show(c, "/v1/desk/waiting", &a, func(p *page) {
				rows := [][]string{{"SINCE", "CARD", "FEN", "JOURNEY", "TOKEN", "ACCOUNT"}}
				for i := range a.Waiting {
					w := &a.Waiting[i]
					rows = append(rows, []string{moment(w.Since), w.Last4, strconv.FormatInt(w.Balance, 10),
						yes(w.Journey), w.Card, w.Document})
				}
				p.list("MONEY THAT WAITS", "none", rows)
			})
		},
	}
}

func figuresCommand(d *client) *cobra.Command {
	return &cobra.Command{
		Use: "figures", Short: "Open and overdue cases of each outlet, for the supervisor",
		Example: "  tapswitch desk figures",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var a struct {
				Open    int
				Outlets []struct {
					Owner         string
					Open, Overdue int
					Kinds         map[string]int
				}
			}
			return d.show(c, "/v1/desk/figures", &a, func(p *page) {
				p.line("%d cases are open", a.Open)
				rows := [][]string{{"OWNER", "OPEN", "OVERDUE", "OF THESE"}}
				for _, o := range a.Outlets {
					rows = append(rows, []string{o.Owner, strconv.Itoa(o.Open),
						strconv.Itoa(o.Overdue), counted(o.Kinds)})
				}
				p.list("BY OUTLET", "none", rows)
			})
		},
	}
}
