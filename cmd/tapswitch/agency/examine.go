package agency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/notice"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Finding is what Examine found about one thing.
type Finding struct {
	Name string
	OK   bool
	// Advice says that the switch works all the same, and a person has to do something.
	Advice         bool
	Got, Want, Fix string
	// Unreached says that a server did not answer.
	Unreached bool
}

// Examination says what Examine looks at.
type Examination struct {
	City string
	Now  time.Time
	// RunFile tells where the switch runs, when it does: only it can tell which parties are
	// registered.
	RunFile string
	// Brokers says that Kafka is configured.
	Brokers bool
	// BankFile is the bank edge's, "" without one.
	BankFile string

	links []string // of the bank file
}

// Examine checks a city's policy, its calendar and, where a switch runs, its parties. It
// changes nothing.
func Examine(ctx context.Context, e Examination) []Finding {
	policy, err := readPolicy(e.City)
	f := Finding{Name: "desk.city", OK: err == nil, Want: "a policy that can be used", Got: e.City}
	if err != nil {
		f.Got, f.Fix = err.Error(), "mend the file, or name a built-in city"
		return []Finding{f}
	}
	f.Got = fmt.Sprintf("%s, version %s", policy.City, policy.Version[:min(12, len(policy.Version))])
	found := append([]Finding{f, examineCalendar(policy, e.Now)}, examineParties(ctx, policy, &e)...)
	return append(found, examineStanding(ctx, &e)...)
}

// calendarMonths is how far ahead legal dates are counted.
const calendarMonths = 12

// examineCalendar wants the days of the next months, and that they are published.
func examineCalendar(policy *scheme.Policy, now time.Time) Finding {
	f := Finding{Name: "desk calendar", Want: fmt.Sprintf("the next %d months", calendarMonths),
		Fix: "add the years to deploy/schemes/calendar.yaml as the State Council publishes them"}
	c, err := scheme.BuiltInCalendar()
	if err != nil {
		f.Got = err.Error()
		return f
	}
	last := now.AddDate(0, calendarMonths, 0)
	day := txn.BusinessDate(last.Year()*10000 + int(last.Month())*100 + last.Day())
	if _, err := policy.Rules(c, (scheme.LocalDays{Calendar: c}).Date(txn.MillisOf(now))); err != nil {
		f.Got = err.Error()
		return f
	}
	_, until := c.Years()
	f.Got = fmt.Sprintf("known until the end of %d", until)
	_, err = c.IsWorkingDay(day)
	switch {
	case err != nil:
		f.Advice = true
	case c.Provisional(day):
		f.Advice, f.Got = true, fmt.Sprintf("the days of %d are provisional", last.Year())
	default:
		f.OK = true
	}
	return f
}

// examineParties holds the registered parties against those of the policy.
func examineParties(ctx context.Context, policy *scheme.Policy, e *Examination) []Finding {
	admin := e.running()
	if admin == "" {
		return []Finding{{Name: "desk parties", Advice: true, Got: "not looked at: no switch runs here",
			Want: "a way to every party", Fix: "ask again while the switch runs"}}
	}
	all, err := askParties(ctx, admin)
	if err != nil {
		return []Finding{{Name: "desk parties", Advice: true, Got: err.Error(),
			Want: "a way to every party", Fix: "ask again while the switch runs with a desk"}}
	}
	if file, err := bank.LoadConfig(e.BankFile); e.BankFile != "" && err == nil {
		for i := range file.Links {
			e.links = append(e.links, file.Links[i].Name)
		}
	}
	var found []Finding
	for i := range policy.Parties {
		id := policy.Parties[i].ID
		f := Finding{Name: "desk party " + id, Want: "a way to be told"}
		k := slices.IndexFunc(all, func(p notice.Party) bool { return p.Name == id })
		if k < 0 {
			f.Advice, f.Got = true, "not registered: it is not told of freezes"
			f.Fix = "PUT /v1/desk/parties/" + id
		} else {
			e.judge(&f, &all[k])
			if why := conflict(&policy.Parties[i], &all[k]); f.OK && why != "" {
				f.OK, f.Advice, f.Got, f.Fix = false, true, why, "mend the party or the policy"
			}
			if all[k].Contact == withoutAddress {
				f.OK, f.Advice, f.Got = false, true, "told by a person: no address is registered"
				f.Want, f.Fix = string(policy.Parties[i].Via.V), "PUT /v1/desk/parties/"+id
			}
		}
		found = append(found, f)
	}
	for i := range all {
		if !slices.ContainsFunc(policy.Parties, func(p scheme.Party) bool { return p.ID == all[i].Name }) {
			f := Finding{Name: "desk party " + all[i].Name, Want: "a way to be told"}
			e.judge(&f, &all[i])
			found = append(found, f)
		}
	}
	return found
}

// running returns the admin address of the switch that runs, "" when none does.
func (e *Examination) running() string {
	var info struct{ Admin string }
	text, err := os.ReadFile(e.RunFile)
	if err != nil || json.Unmarshal(text, &info) != nil {
		return ""
	}
	return info.Admin
}

// judge says whether the channel of a party can work.
func (e *Examination) judge(f *Finding, p *notice.Party) {
	f.OK, f.Got = true, p.Channel
	wrong := func(got, fix string) { f.OK, f.Advice, f.Got, f.Fix = false, true, got, fix }
	switch p.Channel {
	case notice.Webhook.String():
		var got, fix []string
		if len(p.Keys) == 0 {
			got = append(got, unsigned)
			fix = append(fix, "tapswitch desk parties key "+p.Name+" k1")
		}
		if strings.HasPrefix(p.URL, "http:") {
			got, fix = append(got, "webhook without TLS"), append(fix, "give it an https address")
		}
		if len(got) > 0 {
			wrong(strings.Join(got, "; "), strings.Join(fix, "; "))
		}
	case notice.Topic.String():
		if !e.Brokers {
			wrong("a topic, and no Kafka is configured", "set feed.kind and feed.brokers, or another channel")
		}
	case notice.IssuerLink.String():
		if !slices.Contains(e.links, p.Link) {
			wrong("link "+p.Link+", which the bank file does not have", "mend the party or bank.file")
		}
	}
}

// unsigned is what is wrong with a webhook whose party has no key.
const unsigned = "webhook without a signing key: notices to it are not signed, and its answers cannot be"

// Unsigned warns of every party that is told by a webhook and has no signing key, where a switch
// runs; without one nothing is known of the parties, and nothing is said.
func Unsigned(ctx context.Context, runFile string) []string {
	e := Examination{RunFile: runFile}
	admin := e.running()
	if admin == "" {
		return nil
	}
	all, err := askParties(ctx, admin)
	if err != nil {
		return nil
	}
	var warnings []string
	for i := range all {
		if p := &all[i]; p.Channel == notice.Webhook.String() && len(p.Keys) == 0 {
			warnings = append(warnings, "desk party "+p.Name+": "+unsigned+": tapswitch desk parties key "+p.Name+" k1")
		}
	}
	return warnings
}

var errNoDesk = errors.New("the running switch has no desk")

// askParties asks a running switch for its parties, which tell no secret.
func askParties(ctx context.Context, admin string) ([]notice.Party, error) {
	var all []notice.Party
	if err := askRunning(ctx, admin+partiesPath, &all); err != nil {
		return nil, fmt.Errorf("parties: %w", err)
	}
	return all, nil
}

// askRunning reads what a running switch tells at its admin address.
func askRunning(ctx context.Context, where string, v any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+where, http.NoBody)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s", errNoDesk, answer.Status)
	}
	return json.NewDecoder(answer.Body).Decode(v)
}

// examineStanding names overdue drills and other cities' lists that have ended. Without a
// running switch nothing is said twice.
func examineStanding(ctx context.Context, e *Examination) []Finding {
	admin := e.running()
	if admin == "" {
		return nil
	}
	var s standing
	if err := askRunning(ctx, admin+standingPath, &s); err != nil {
		return nil
	}
	var found []Finding
	look := func(name, want, fix string, names []string, what string) {
		f := Finding{Name: name, OK: len(names) == 0, Want: want, Got: want}
		if len(names) > 0 {
			f.Advice, f.Got, f.Fix = true, what+strings.Join(names, ", "), fix
		}
		found = append(found, f)
	}
	look("desk drills", "every runbook drilled in time", "tapswitch desk drill start RUNBOOK", s.Drills, "overdue: ")
	look("desk foreign lists", "every list in its time", "ask the institution for its list of today", s.Stale,
		"ended, and still in force: ")
	look("desk foreign imports", "every import whole", "give the same list again", s.Unfinished, "broke off: ")
	return found
}

// partiesPath is where the admin address tells the parties.
const partiesPath = "/freezes/parties"

// serveParties serves it.
func (a *Agency) serveParties(w http.ResponseWriter, r *http.Request) {
	all, err := a.Notices.Roster().List(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(all) // the client has gone
}
