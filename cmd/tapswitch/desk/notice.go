package desk

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

const noticesPath = "/v1/desk/notices"

func noticesCommand(d *client) *cobra.Command {
	var late int
	var cursor string
	c := &cobra.Command{
		Use: "notices", Short: "Open notices with their clocks, or the parties that were late",
		Example: "  tapswitch desk notices\n  tapswitch desk notices --late 30",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			if cursor != "" {
				q.Set("cursor", cursor)
			}
			if c.Flags().Changed("late") {
				q.Set("late", strconv.Itoa(late))
				return d.lateParties(c, q)
			}
			return d.openNotices(c, q)
		},
	}
	c.Flags().IntVar(&late, "late", 0, "parties that were late in so many days, 1 to 400")
	c.Flags().StringVar(&cursor, "cursor", "", "go on where the last page ended")
	return c
}

func (d *client) openNotices(c *cobra.Command, q url.Values) error {
	var a struct {
		Notices []noticeView
		Next    string
	}
	return d.show(c, noticesPath+"?"+q.Encode(), &a, func(p *page) {
		p.line("%d notices are open; times are %s", len(a.Notices), zone())
		for i := range a.Notices {
			p.line("")
			p.notice(&a.Notices[i])
		}
		p.more(a.Next)
	})
}

func (p *page) more(next string) {
	if next != "" {
		p.line("more: --cursor %s", next)
	}
}

func (d *client) lateParties(c *cobra.Command, q url.Values) error {
	var a struct {
		Late []struct{ Notice, Kind, Party, Start, Deadline, Effective, State string }
		Next string
	}
	return d.show(c, noticesPath+"?"+q.Encode(), &a, func(p *page) {
		rows := [][]string{{"PARTY", "KIND", "STATE", "CLOCK FROM", "DEADLINE", "EFFECTIVE",
			"NOTICE"}}
		for _, l := range a.Late {
			rows = append(rows, []string{l.Party, l.Kind, l.State, moment(l.Start),
				moment(l.Deadline), moment(l.Effective), l.Notice})
		}
		p.list("LATE PARTIES", "none", rows)
		p.more(a.Next)
	})
}

func noticeCommand(d *client) *cobra.Command {
	c := &cobra.Command{
		Use: "notice", Short: "One notice: show it, confirm what a party said, try again",
		Example: "  tapswitch desk notice show ID\n" +
			"  tapswitch desk notice confirm ID hrss --received 2026-03-02T09:10:00+08:00 " +
			"--note 'letter 4'\n" +
			"  tapswitch desk notice revive ID bank",
	}
	c.AddCommand(&cobra.Command{
		Use:   "show ID",
		Short: "Show a notice",
		Args:  cobra.ExactArgs(1), Example: "  tapswitch desk notice show ID",
		RunE: func(c *cobra.Command, args []string) error {
			return d.noticeCall(c, http.MethodGet, noticesPath+"/"+url.PathEscape(args[0]), nil)
		},
	}, confirmNoticeCommand(d), &cobra.Command{
		Use:   "revive ID PARTY",
		Short: "Try a party again that was given up", Args: cobra.ExactArgs(2),
		Example: "  tapswitch desk notice revive ID bank",
		RunE: func(c *cobra.Command, args []string) error {
			return d.noticeCall(c, http.MethodPost, partyOf(args)+"/revive", nil)
		},
	})
	return c
}

func partyOf(args []string) string {
	return noticesPath + "/" + url.PathEscape(args[0]) + "/parties/" + url.PathEscape(args[1])
}

func (d *client) noticeCall(c *cobra.Command, method, path string, body any) error {
	text, err := d.send(c.Context(), method, path, body)
	if err != nil {
		return err
	}
	var n noticeView
	return d.print(c, text, &n, func(p *page) { p.notice(&n) })
}

func confirmNoticeCommand(d *client) *cobra.Command {
	var sent, received, effective, note string
	c := &cobra.Command{
		Use: "confirm ID PARTY", Short: "Record what a party said by telephone or letter",
		Long: "Records when a letter went out, when a party received it and since when the card is\n" +
			"closed there. What was recorded once stays.",
		Example: "  tapswitch desk notice confirm ID hrss --sent 2026-03-02T09:01:00+08:00 \\\n" +
			"    --received 2026-03-02T09:10:00+08:00 --effective 2026-03-02T09:20:00+08:00 " +
			"--note 'letter 4'",
		Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if note == "" {
				return usage("--note: say how it is known")
			}
			body := map[string]any{}
			set(body, map[string]string{"sent_at": sent, "received_at": received,
				"effective_at": effective, "note": note})
			return d.noticeCall(c, http.MethodPost, partyOf(args)+"/confirm", body)
		},
	}
	f := c.Flags()
	f.StringVar(&sent, "sent", "", "when a letter went out or a call was made")
	f.StringVar(&received, "received", "", "when the party received it")
	f.StringVar(&effective, "effective", "", "since when the card is closed there")
	f.StringVar(&note, "note", "", "how: number of the letter, office that was called")
	return c
}

// party is one that is told of freezes.
type party struct {
	Name    string   `json:"name,omitempty"`
	Title   string   `json:"title,omitempty"`
	Kind    string   `json:"kind,omitempty"`
	Scopes  []string `json:"scopes,omitempty"`
	Channel string   `json:"channel,omitempty"`
	URL     string   `json:"url,omitempty"`
	Topic   string   `json:"topic,omitempty"`
	Link    string   `json:"link,omitempty"`
	Contact string   `json:"contact,omitempty"`
	Answer  string   `json:"answer,omitempty"`
	Clause  string   `json:"clause,omitempty"`
	// Instants in Unix milliseconds.
	ActiveFrom int64    `json:"active_from,omitempty"`
	ActiveTo   int64    `json:"active_to,omitempty"`
	Keys       []string `json:"keys,omitempty"`
}

func (p *party) address() string {
	for _, s := range []string{p.URL, p.Topic, p.Link, p.Contact} {
		if s != "" {
			return s
		}
	}
	return ""
}

const partiesPath = "/v1/desk/parties"

func partiesCommand(d *client) *cobra.Command {
	c := &cobra.Command{
		Use: "parties", Short: "Who is told of freezes; put, key and remove change it",
		Example: "  tapswitch desk parties\n" +
			"  tapswitch desk parties put hrss --kind department --scopes social --channel " +
			"manual --contact 'office 3'\n" +
			"  tapswitch desk parties key bus k1",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var a struct{ Parties []party }
			return d.show(c, partiesPath, &a, func(p *page) {
				rows := [][]string{{"NAME", "TITLE", "KIND", "SCOPES", "CHANNEL", "ADDRESS",
					"ANSWER", "CLAUSE", "KEYS"}}
				for i := range a.Parties {
					q := &a.Parties[i]
					rows = append(rows, []string{q.Name, q.Title, q.Kind, words(q.Scopes),
						q.Channel, q.address(), q.Answer,
						q.Clause, q.keys()})
				}
				p.list("PARTIES", "none", rows)
			})
		},
	}
	c.AddCommand(putPartyCommand(d), &cobra.Command{
		Use:   "key NAME ID",
		Short: "Give a party a new key; its secret is shown once", Args: cobra.ExactArgs(2),
		Example: "  tapswitch desk parties key bus k2",
		RunE: func(c *cobra.Command, args []string) error {
			return d.call(c, http.MethodPost,
				partiesPath+"/"+url.PathEscape(args[0])+"/keys/"+url.PathEscape(args[1]), nil)
		},
	}, &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a party out; one that leaves is better given --to", Args: cobra.ExactArgs(1),
		Example: "  tapswitch desk parties remove bus",
		RunE: func(c *cobra.Command, args []string) error {
			return d.call(c, http.MethodDelete, partiesPath+"/"+url.PathEscape(args[0]), nil)
		},
	})
	return c
}

// keys names a party's keys; what has none where there must be one is not signed.
func (q *party) keys() string {
	if q.Channel == "webhook" && len(q.Keys) == 0 {
		return "NONE: not signed"
	}
	return words(q.Keys)
}

func putPartyCommand(d *client) *cobra.Command {
	var p party
	var file, from, to string
	c := &cobra.Command{
		Use: "put NAME", Short: "Register a party, or change one", Args: cobra.ExactArgs(1),
		Long: "Registers a party in place of the one with its name; its keys stay. Flags win over\n" +
			"the file.",
		Example: "  tapswitch desk parties put bus --kind operator --scopes transit,purse " +
			"--channel webhook \\\n" +
			"    --webhook https://bus.example/freezes --answer explicit --clause 'contract 7'\n" +
			"  tapswitch desk parties put hrss --file hrss.json",
		RunE: func(c *cobra.Command, args []string) error {
			body, err := p.body(file, from, to)
			if err != nil {
				return err
			}
			text, err := d.send(c.Context(), http.MethodPut,
				partiesPath+"/"+url.PathEscape(args[0]), body)
			if err != nil {
				return err
			}
			var a struct {
				Party   party
				Warning string
			}
			return d.print(c, text, &a, func(out *page) {
				out.line("%s is told by %s %s; it answers %s", a.Party.Name, a.Party.Channel,
					a.Party.address(), a.Party.Answer)
				if a.Warning != "" {
					out.line("WARNING: %s", a.Warning)
				}
			})
		},
	}
	f := c.Flags()
	f.StringVar(&file, "file", "", "JSON file with the party")
	f.StringVar(&p.Title, "title", "", "name that people read")
	f.StringVar(&p.Kind, "kind", "", "department, bank, operator, agency, utility, authority, "+
		"platform")
	f.StringSliceVar(&p.Scopes, "scopes", nil, "applications that concern it, or all")
	f.StringVar(&p.Channel, "channel", "", "webhook, kafka, issuer_link or manual")
	f.StringVar(&p.URL, "webhook", "", "address of a webhook")
	f.StringVar(&p.Topic, "topic", "", "Kafka topic")
	f.StringVar(&p.Link, "link", "", "link of a bank")
	f.StringVar(&p.Contact, "contact", "", "office to call, for a manual party")
	f.StringVar(&p.Answer, "answer", "", "explicit, response or informed; explicit by default")
	f.StringVar(&p.Clause, "clause", "", "clause of the contract or rule")
	f.StringVar(&from, "from", "", "when it begins to be told, as 2026-03-02T00:00:00+08:00")
	f.StringVar(&to, "to", "", "when it ends to be told")
	return c
}

// body joins the file and the flags, which win.
func (p *party) body(file, from, to string) (*party, error) {
	whole := party{Answer: "explicit"}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, usage("--file: %w", err)
		}
		if err := json.Unmarshal(text, &whole); err != nil {
			return nil, usage("--file %s: want one JSON object with a party", file)
		}
	}
	var errs [2]error
	if from != "" {
		p.ActiveFrom, errs[0] = millis("--from", from)
	}
	if to != "" {
		p.ActiveTo, errs[1] = millis("--to", to)
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	flags, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(flags, &whole) // what no flag says is not in it
	}
	whole.Name, whole.Keys = "", nil
	return &whole, err
}

func millis(flag, text string) (int64, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return 0, usage("%s: want an instant as 2026-03-02T00:00:00+08:00", flag)
	}
	return at.UnixMilli(), nil
}
