package agency

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/deploy"
	"github.com/tapswitch/tapswitch/switch/desk/drill"
	"github.com/tapswitch/tapswitch/switch/desk/foreign"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/scheme"
)

// openOffice opens what takes other cities' lists in, and what keeps drills.
func (a *Agency) openOffice(o *Options) (err error) {
	a.foreign, err = foreign.New(foreign.Options{Engine: o.Engine, Registry: o.Store, List: o.Store,
		Tokenizer: o.Tokenizer, Currency: o.Engine.Policy().Currency, Now: o.Now, Local: a.local})
	if err != nil {
		return err
	}
	a.drills, err = drill.New(drill.Options{Cards: o.Store, Registry: o.Store, Tokenizer: o.Tokenizer,
		Books: deploy.Runbooks(), Currency: o.Engine.Policy().Currency, Now: o.Now})
	return err
}

// local tells another city's list what we know of a card.
func (a *Agency) local(ctx context.Context, card pan.Token) (foreign.Local, error) {
	k, err := a.Desk.Known(ctx, card)
	return foreign.Local{Home: k.Home, Issuer: k.Issuer, Mark: k.Mark}, err
}

// withoutAddress is the contact of a party of the policy that nobody gave an address yet: a
// person has to call it.
const withoutAddress = "no address is registered: call, and record it"

// enrolParties registers the parties of the policy that are not registered, as ones that a
// person tells until their address is given: what nobody has set up still has its clock and
// its alarms. One that is registered stays as it is.
func (a *Agency) enrolParties(ctx context.Context, log *slog.Logger) error {
	all, err := a.Notices.Roster().List(ctx)
	if err != nil {
		return fmt.Errorf("parties: %w", err)
	}
	for i := range a.Policy.Parties {
		p := &a.Policy.Parties[i]
		k := slices.IndexFunc(all, func(q notice.Party) bool { return q.Name == p.ID })
		if k >= 0 {
			if why := conflict(p, &all[k]); why != "" {
				log.Warn("a registered party is not as the policy has it", "party", p.ID, "conflict", why)
			}
			continue
		}
		err := a.Notices.Roster().Put(ctx, notice.Party{Name: p.ID, Title: p.Name.EN, Kind: kindOf(p.Kind),
			Scopes: []string{"all"}, Channel: notice.Manual.String(), Contact: withoutAddress, Answer: explicit,
			Clause: p.Clause})
		if err != nil {
			return fmt.Errorf("party %s of the policy cannot be registered: %w", p.ID, err)
		}
		log.Info("party of the policy registered; its address is missing", "party", p.ID, "via", p.Via.V)
	}
	return nil
}

const explicit = "explicit"

// kindOf is how notices call a kind of party.
func kindOf(k scheme.PartyKind) string {
	switch k {
	case scheme.PartyTransit, scheme.PartyMerchant:
		return "operator"
	case scheme.PartyBank:
		return "bank"
	case scheme.PartyUtility:
		return "utility"
	default:
		return "department"
	}
}

// conflict says how a registered party differs from the policy, "" when it does not. One that a
// person tells is never in conflict: it has no address yet.
func conflict(p *scheme.Party, is *notice.Party) string {
	want := map[scheme.Via]notice.Channel{scheme.ViaWebhook: notice.Webhook, scheme.ViaTopic: notice.Topic,
		scheme.ViaIssuerLink: notice.IssuerLink}[p.Via.V].String()
	switch {
	case is.Channel != notice.Manual.String() && is.Channel != want:
		return fmt.Sprintf("the policy wants %s, it is registered with %s", want, is.Channel)
	case (is.Kind == "bank") != (p.Kind == scheme.PartyBank):
		return fmt.Sprintf("the policy has a %s, it is registered as %s", p.Kind, is.Kind)
	default:
		return ""
	}
}

// standing is what of the office a person has to look at.
type standing struct {
	// Drills are the runbooks that were not drilled in time.
	Drills []string `json:"drills"`
	// Stale are the sources whose list has ended, Unfinished those whose import broke off.
	Stale      []string `json:"stale"`
	Unfinished []string `json:"unfinished"`
}

// standingPath is where the admin address tells it.
const standingPath = "/freezes/standing"

func (a *Agency) serveStanding(w http.ResponseWriter, r *http.Request) {
	s := standing{Drills: []string{}, Stale: []string{}, Unfinished: []string{}}
	drills, err := a.drills.All(r.Context())
	if err == nil {
		var sources []foreign.Standing
		sources, err = a.foreign.Sources(r.Context())
		for i := range sources {
			if sources[i].Stale {
				s.Stale = append(s.Stale, sources[i].Name)
			}
			if sources[i].Unfinished {
				s.Unfinished = append(s.Unfinished, sources[i].Name)
			}
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	for i := range drills {
		if drills[i].Overdue {
			s.Drills = append(s.Drills, drills[i].Name)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(s) // the client has gone
}
