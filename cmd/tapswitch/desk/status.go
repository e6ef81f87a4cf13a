package desk

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/call"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// inForce is what the card agency's desk says of one card.
type inForce struct {
	Token    string        `json:"token"`
	Frozen   bool          `json:"frozen"`
	Entry    *listEntry    `json:"entry"`
	Notices  []*noticeView `json:"notices"`
	Account  string        `json:"account"`
	Document *document     `json:"document"`
	Gates    *gates        `json:"gates"`
}

// listEntry is the entry of the blacklist.
type listEntry struct {
	Reason  string   `json:"reason"`
	Scope   []string `json:"scope"`
	Since   string   `json:"since"`
	Actor   string   `json:"actor"`
	Note    string   `json:"note"`
	ForEver bool     `json:"for_ever"`
}

// cardView is all that is known of one card. State is the gate's answer; the rest is the
// desk's, where the gate runs one.
type cardView struct {
	token     string
	state     json.RawMessage
	desk      json.RawMessage
	liability json.RawMessage
}

func cardStatusCommand(d *client) *cobra.Command {
	var token string
	c := &cobra.Command{
		Use:   "status [CARD]",
		Short: "Show a card: what is in force, who was told, where it is effective",
		Long: "Shows a card's state and, where the gate runs the agency's desk: what is in force,\n" +
			"since when and why, the clock of each party that was told, the gates that know, the\n" +
			"chain of replacements, and who bears what was done with a lost card. " + cardHelp,
		Example: "  tapswitch card status -            # the number from standard input\n" +
			"  tapswitch card status --token 0933eac57826c11ec9194ac4c83be96f -o json",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 1) == (token != "") {
				return usage("give CARD or --token")
			}
			if token != "" && !isToken(token) {
				return usage("--token: want 32 hex digits")
			}
			body := map[string]any{"token": token}
			if len(args) == 1 {
				var err error
				if body, err = cardOrPrompt(c, args[0]); err != nil {
					return err
				}
			}
			v, err := d.cardView(c, body)
			if err != nil {
				return err
			}
			return d.printCard(c, v)
		},
	}
	c.Flags().StringVar(&token, "token", "", "the card's token")
	return c
}

func cardOrPrompt(c *cobra.Command, arg string) (map[string]any, error) {
	if arg != stdin {
		return cardArgument(c, arg)
	}
	text, err := newNumbers(c).next("card number")
	if err != nil {
		return nil, err
	}
	return cardArgument(c, text)
}

// cardView asks the gate for the card and the desk for what it knows. What one of them refuses
// the other may still answer: a supervisor sees no card state, and a bank's card has none.
func (d *client) cardView(c *cobra.Command, body map[string]any) (*cardView, error) {
	var v cardView
	v.token, _ = body["token"].(string)
	refused := d.cardState(c, &v, body)
	switch {
	case refused != nil && (call.Doubtful(refused) || v.token == ""):
		return nil, refused
	case v.token == "":
		return &v, nil
	}
	text, err := d.send(c.Context(), http.MethodGet,
		"/v1/desk/cards/"+url.PathEscape(v.token)+"/status", nil)
	switch {
	case err != nil && refused != nil:
		return nil, refused
	case err != nil && call.Doubtful(err):
		return nil, err
	case err != nil:
		return &v, nil // this gate runs no desk, or not for this person
	}
	var is inForce
	if err := d.Read(text, &is); err != nil {
		return nil, err
	}
	if refused != nil && !is.Frozen && is.Account == "" && call.CodeOf(refused) == "card_unknown" {
		return nil, refused
	}
	v.desk = text
	if is.Account != "" {
		if v.liability, err = d.send(c.Context(), http.MethodGet, liabilityPath(is.Account),
			nil); call.Doubtful(err) {
			return nil, err
		}
	}
	return &v, nil
}

// cardState asks the gate for the card's state, by number or token. A number that the gate
// does not know may be a carrier of an account, such as a bank's card.
func (d *client) cardState(c *cobra.Command, v *cardView, body map[string]any) (err error) {
	if v.token != "" {
		v.state, err = d.send(c.Context(), http.MethodGet, "/v1/cards/"+url.PathEscape(v.token),
			nil)
		return err
	}
	if v.state, err = d.send(c.Context(), http.MethodPost, "/v1/cards:lookup", body); err != nil {
		number, _ := body["card"].(string)
		v.token = d.carrierOf(c, number)
		return err
	}
	var is struct{ Token string }
	err = d.Read(v.state, &is)
	v.token = is.Token
	return err
}

// carrierOf finds a number's token through its account: its last digits tell it from the
// account's other cards. "" when that cannot be said.
func (d *client) carrierOf(c *cobra.Command, number string) string {
	var f found
	err := d.ask(c.Context(), http.MethodPost, "/v1/desk/accounts:find",
		map[string]any{"card": number}, &f)
	if err != nil {
		return ""
	}
	var tokens []string
	for i := range f.Document.Carriers {
		if k := &f.Document.Carriers[i]; k.Last4 == masked(number) {
			tokens = append(tokens, k.Token)
		}
	}
	for i := range f.Document.Former {
		if k := &f.Document.Former[i]; k.Last4 == masked(number) {
			tokens = append(tokens, k.Token)
		}
	}
	if len(tokens) != 1 {
		return ""
	}
	return tokens[0]
}

// printCard prints the card's state, for scripts with the desk's answer as members "desk" and
// "liability".
func (d *client) printCard(c *cobra.Command, v *cardView) error {
	if d.Form == cli.JSON {
		return cli.PrintJSON(c.OutOrStdout(), v.joined())
	}
	w := c.OutOrStdout()
	if v.desk == nil {
		return printFields(w, v.state)
	}
	var is inForce
	var state struct {
		Card, Status string
		Balance      *int64
	}
	var borne struct{ Transactions []verdict }
	if err := d.Read(v.desk, &is); err != nil {
		return err
	}
	if v.state != nil {
		_ = json.Unmarshal(v.state, &state) // an older gate's answer tells less, and that is all
	}
	if v.liability != nil {
		if err := d.Read(v.liability, &borne); err != nil {
			return err
		}
	}
	p := page{lang: d.Lang}
	p.line("card %s %s   token %s   times are %s", is.number(state.Card), is.kind(), is.Token,
		zone())
	if state.Status != "" {
		line := "state " + state.Status
		if state.Balance != nil {
			line += ", balance " + yuan(*state.Balance)
		}
		p.line("%s", line)
	}
	p.status(&is)
	if len(borne.Transactions) > 0 {
		p.verdicts(borne.Transactions)
	}
	return p.flush(w)
}

func (v *cardView) joined() map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	if v.state != nil {
		_ = json.Unmarshal(v.state, &all) // an object: the token was read from it
	}
	if all["token"] == nil {
		all["token"] = json.RawMessage(fmt.Sprintf("%q", v.token))
	}
	if v.desk != nil {
		all["desk"] = v.desk
	}
	if v.liability != nil {
		all["liability"] = v.liability
	}
	return all
}

func (is *inForce) number(known string) string {
	if known == "" && is.Document != nil {
		known = is.Document.last4(is.Token)
	}
	return known
}

// kind tells what the card is in its account.
func (is *inForce) kind() string {
	if is.Document == nil {
		return ""
	}
	for i := range is.Document.Carriers {
		if k := &is.Document.Carriers[i]; k.Token == is.Token {
			return k.Kind + ", " + k.Status
		}
	}
	for i := range is.Document.Former {
		if k := &is.Document.Former[i]; k.Token == is.Token {
			return k.Kind + ", " + k.Status
		}
	}
	return ""
}

// status tells what is in force against a card, who knows and where it works.
func (p *page) status(is *inForce) {
	p.head("LIST OF FROZEN CARDS")
	if is.Entry == nil {
		p.line("  the card is on no list: it is not frozen")
	} else {
		end := ""
		if is.Entry.ForEver {
			end = ", for ever"
		}
		p.line("  %s, %s, since %s by %s%s", is.Entry.Reason, scope(is.Entry.Scope),
			moment(is.Entry.Since), is.Entry.Actor, end)
		if is.Entry.Note != "" {
			p.line("  %s", is.Entry.Note)
		}
	}
	if is.Document != nil {
		p.inForce(is.Document)
	}
	p.head("NOTICES")
	if len(is.Notices) == 0 {
		p.line("  none")
	}
	for _, n := range is.Notices {
		p.notice(n)
	}
	if is.Gates != nil {
		p.gates(is.Gates)
	}
	if is.Document != nil {
		p.chain(is)
		p.cases(is.Document)
		p.fees(is.Document)
	}
}

// chain tells which card came after which, the one that is asked for among them.
func (p *page) chain(is *inForce) {
	doc := is.Document
	p.head("ACCOUNT " + is.Account)
	p.carriers(doc)
	for i := range doc.Former {
		f := &doc.Former[i]
		if f.Successor == "" || slices.ContainsFunc(doc.Former,
			func(o former) bool { return o.Successor == f.Token }) {
			continue // not the first of a chain
		}
		line := f.Last4
		for token := f.Successor; token != "" &&
			len(line) < chainMax; token = doc.successor(token) {
			line += " -> " + doc.last4(token)
		}
		p.line("  replaced: %s", line)
	}
}

// chainMax bounds a chain on the page: a document that names itself must not hang it.
const chainMax = 1000

func (doc *document) successor(token string) string {
	for i := range doc.Former {
		if doc.Former[i].Token == token {
			return doc.Former[i].Successor
		}
	}
	return ""
}
