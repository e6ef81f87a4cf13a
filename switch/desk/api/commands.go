package api

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/desk/form"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// stepEntry is a step that operators may ask for.
type stepEntry struct {
	roles []string
	make  func() account.Step // a pointer, to be filled
}

// deskStep and its siblings say who may ask for a step.
var (
	deskRoles      = []string{roleDesk}
	confirmRoles   = []string{roleConfirm, roleDesk}
	authorityRoles = []string{roleAuthority}
	riskRoles      = []string{roleDesk, roleAdmin}
	financeRoles   = []string{roleDesk, roleFinance}
)

// stepTable is every step by its name. What opens an account has a call of its own.
func stepTable() map[string]stepEntry {
	table := map[string]stepEntry{}
	add := func(roles []string, steps ...account.Step) {
		for _, step := range steps {
			table[step.Name()] = stepEntry{roles, maker(step)}
		}
	}
	add(deskRoles, account.BindCarrier{}, account.UnbindCarrier{}, account.OpenFunction{},
		account.CloseFunction{}, account.ActivateBank{}, account.SetRider{}, account.PreReport{},
		account.ReportLoss{}, account.RequestRelease{}, account.ApplyReplacement{},
		account.ApplyRenewal{}, account.AcceptCase{}, account.RefuseCase{}, account.WithdrawCase{},
		account.BindTemporary{}, account.MakeCard{}, account.SendProduction{}, account.IssueCard{},
		account.RequestCancellation{}, account.WaiveAffair{}, account.CompleteCancellation{},
		account.OpenCorrection{}, account.OpenComplaint{},
		account.AnswerComplaint{}, account.OpenClaim{}, account.PayFee{}, account.WaiveFee{},
		account.GiveConsent{}, account.WithdrawConsent{})
	add(confirmRoles, account.ConfirmRelease{}, account.ConfirmCase{})
	add(authorityRoles, account.Suspend{}, account.Restore{}, account.CloseCorrection{}, account.GrantTrust{},
		account.WithdrawTrust{})
	add(riskRoles, account.FreezeRisk{}, account.LiftRisk{})
	add(financeRoles, account.ProposeClaim{}, account.OpenFinding{})
	return table
}

// wish is what every command says. One of account, card, holder and number names the account;
// With is what the step says, and is read by it.
type wish struct {
	ID       account.CommandID
	Made     txn.Millis
	Received txn.Millis
	Outlet   string
	Account  pan.Token
	Card     pan.Token
	Holder   string
	// HolderKind is the paper that Holder is the number of, where it is not the resident
	// identity card.
	HolderKind account.IDKind
	Number     printed
	Step       string

	with json.RawMessage
}

// printed is another printed identifier.
type printed struct {
	Kind  account.NumberKind
	Value string
}

func (s *server) wish(x *call) (*wish, error) {
	body, err := x.body()
	if err != nil {
		return nil, err
	}
	w, bad := s.wishOf(body)
	if bad != nil {
		return nil, badBody(bad)
	}
	return w, s.serves(x, "outlet", w.Outlet)
}

// wishOf reads a command. One without an id gets one, which the answer tells: only a command
// with an id can be sent again safely. With the faults of its fields comes what the others say.
func (s *server) wishOf(body []byte) (w *wish, bad error) {
	rest, with, err := without(body, "with")
	if err != nil {
		return new(wish), err
	}
	w = &wish{with: with}
	bad = form.Fill(w, rest, s.resolve)
	if w.ID == (account.CommandID{}) {
		_, _ = rand.Read(w.ID[:]) // never fails: the runtime ends the process instead
	}
	if w.Made == 0 {
		w.Made = s.o.Desk.Now()
	}
	return w, bad
}

// without takes a member out of an object.
func without(body []byte, name string) (rest, member json.RawMessage, err error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return nil, nil, form.Faults{{Field: "body", Want: "one JSON object"}}
	}
	member = members[name]
	delete(members, name)
	if rest, err = json.Marshal(members); err != nil {
		return nil, nil, form.Faults{{Field: "body", Want: "one JSON object"}}
	}
	return rest, member, nil
}

// named counts by how many of its names the account is named.
func (w *wish) named() int {
	named := 0
	for _, is := range []bool{!w.Account.IsZero(), !w.Card.IsZero(), w.Holder != "", w.Number.Value != ""} {
		if is {
			named++
		}
	}
	return named
}

// target finds the account that a wish names.
func (s *server) target(x *call, w *wish) (pan.Token, *account.Account, error) {
	if w.named() != 1 {
		return pan.Token{}, nil, refuse(http.StatusBadRequest, "account_unnamed",
			"name the account by exactly one of account, card, holder, number", "请用账户、卡号、证件号或其他号码之一指明账户")
	}
	switch {
	case !w.Account.IsZero():
		doc, _, err := s.o.Desk.Load(x.ctx, w.Account)
		if err == nil && doc == nil {
			err = desk.ErrNoAccount
		}
		return w.Account, doc, err
	case !w.Card.IsZero():
		return s.o.Desk.Find(x.ctx, w.Card)
	case w.Holder != "":
		token, doc, err := s.o.Desk.AccountOf(x.ctx, s.o.Desk.HolderToken(w.Holder))
		if err == nil && doc == nil {
			err = desk.ErrNoAccount
		}
		return token, doc, err
	default:
		return s.o.Desk.Find(x.ctx, s.o.Desk.NumberToken(w.Number.Kind, w.Number.Value))
	}
}

// staff is who carries a command out. An authority acts in the role that its operator's name
// begins with: hr_social_security.wang acts as hr_social_security.
func (x *call) staff(outlet string) account.Staff {
	role := x.role
	if role == roleAuthority {
		role, _, _ = strings.Cut(x.actor, ".")
	}
	return account.Staff{ID: x.actor, Role: role, Outlet: outlet}
}

// command serves POST /v1/desk/commands.
func (s *server) command(x *call) error {
	body, err := x.body()
	if err != nil {
		return err
	}
	w, bad := s.wishOf(body)
	entry, ok := stepTable()[w.Step]
	switch {
	case !ok && bad != nil:
		return badBody(bad)
	case !ok:
		return refuse(http.StatusBadRequest, "step_unknown", "no such step; GET /v1/desk/steps lists them", "无此业务")
	}
	i := slices.IndexFunc(entry.roles, func(role string) bool { return slices.Contains(x.roles, role) })
	if i < 0 {
		return refuse(http.StatusForbidden, "role_not_permitted",
			"this step is for "+strings.Join(entry.roles, ", "), "操作员无此权限")
	}
	x.role = entry.roles[i]
	step := entry.make()
	if bad = form.Join(bad, s.said(step, w.with)); bad != nil {
		return s.faulty(x, w, bad)
	}
	if err := s.serves(x, "outlet", w.Outlet); err != nil {
		return err
	}
	if err := s.serves(x, "with.outlet", outletOf(value(step))); err != nil {
		return err
	}
	token, doc, err := s.target(x, w)
	if err != nil {
		return err
	}
	plain, err := s.complete(x, doc, value(step))
	if err != nil {
		return err
	}
	return s.do(x, token, w, plain)
}

// faulty refuses a command with faults. One about an account that is closed is told that, since
// mending the rest would not help.
func (s *server) faulty(x *call, w *wish, bad error) error {
	if w.named() != 1 {
		bad = form.Join(bad, form.Faults{{Field: "account", Want: "exactly one of account, card, holder, number"}})
	} else if _, doc, err := s.target(x, w); err == nil && doc.Closed != 0 {
		return refused(&account.Outcome{Refusal: account.AccountClosed})
	}
	return badBody(bad)
}

// complete adds to a step what the desk looks up itself.
func (s *server) complete(x *call, doc *account.Account, step account.Step) (account.Step, error) {
	switch c := step.(type) {
	case account.RequestCancellation:
		open, err := s.o.Desk.Affairs(x.ctx, doc)
		c.Open = open
		return c, err
	case account.CompleteCancellation:
		open, err := s.o.Desk.Affairs(x.ctx, doc)
		c.Open = open
		return c, err
	default:
		return step, nil
	}
}

// do carries a command out and answers.
func (s *server) do(x *call, token pan.Token, w *wish, step account.Step) error {
	a, err := s.o.Desk.Do(x.ctx, token, account.Command{ID: w.ID, Made: w.Made, Received: w.Received,
		By: x.staff(w.Outlet), Step: step})
	if err != nil {
		return err
	}
	s.log.Info("operator", "actor", x.actor, "action", step.Name(), "account", token.String(),
		"outcome", a.Outcome.Refusal.String(), "case", a.Outcome.Case)
	if a.Outcome.Refusal != account.RefusalNone {
		return refused(&a.Outcome)
	}
	x.answer(map[string]any{"id": hex.EncodeToString(w.ID[:]), "step": step.Name(), "account": token.String(),
		"case": a.Outcome.Case, "replay": a.Outcome.Replay, "left": a.Left, "document": tell(a.Account)})
	return nil
}

// hidden are the fields of a document that nobody outside needs.
var hidden = []string{"Holder", "Numbers", "Recent", "Floor", "LastCase", "LastEffect", "LastFee", "LastGrant"}

func tell(doc *account.Account) json.RawMessage { return form.Tell(doc, hidden...) }

// openAccount serves POST /v1/desk/accounts.
func (s *server) openAccount(x *call) error {
	body, err := x.body()
	if err != nil {
		return err
	}
	w, bad := s.wishOf(body)
	token, step, err := s.opening(x, w, bad)
	if err != nil {
		return err
	}
	return s.do(x, token, w, *step)
}

// opening reads what opens an account: the holder stands beside the step, as the number of
// an ID paper that is kept as a keyed token only. It tells all faults at once, bad among them.
func (s *server) opening(x *call, w *wish, bad error) (pan.Token, *account.OpenAccount, error) {
	var step account.OpenAccount
	if w.Holder == "" {
		bad = form.Join(bad, form.Missing("holder"))
	} else if want := paperWant(w.HolderKind, w.Holder, s.o.Desk.Now().Time()); want != "" {
		bad = form.Join(bad, form.Faults{{Field: "holder", Want: want}})
	}
	numbers, rest, worse := s.numbers(w.with)
	if bad = form.Join(bad, worse, s.said(&step, rest)); bad != nil {
		return pan.Token{}, nil, badBody(bad)
	}
	if err := s.serves(x, "outlet", w.Outlet); err != nil {
		return pan.Token{}, nil, err
	}
	for _, n := range numbers {
		step.Numbers = append(step.Numbers, account.Number{Kind: n.Kind,
			Token: s.o.Desk.NumberToken(n.Kind, n.Value)})
	}
	step.Holder = s.o.Desk.HolderToken(w.Holder)
	token, _, err := s.o.Desk.AccountOf(x.ctx, step.Holder)
	return token, &step, err
}

// numbers takes the printed numbers out of what an opening says.
func (s *server) numbers(with json.RawMessage) (numbers []printed, rest json.RawMessage, bad error) {
	if with == nil {
		return nil, nil, nil
	}
	rest, given, err := without(with, "numbers")
	if err != nil {
		return nil, nil, form.Faults{{Field: "with", Want: "an object"}}
	}
	if given != nil {
		bad = form.Prefix("with.numbers", form.Fill(&numbers, given, s.resolve))
	}
	return numbers, rest, bad
}

// steps serves GET /v1/desk/steps.
func (s *server) steps(x *call) error {
	type entry struct {
		Step   string       `json:"step"`
		Roles  []string     `json:"roles"`
		Fields []form.Field `json:"fields"`
	}
	var all []entry
	for name, e := range stepTable() {
		all = append(all, entry{name, e.roles, form.Fields(value(e.make()))})
	}
	slices.SortFunc(all, func(a, b entry) int { return strings.Compare(a.Step, b.Step) })
	x.answer(map[string]any{"steps": all})
	return nil
}

// bulkMax bounds the people of one list.
const bulkMax = 5000

// bulk serves POST /v1/desk/accounts:bulk: a unit enrols its people (ZS15, HD14, HD15), one
// result a person. With dry_run nothing is written.
func (s *server) bulk(x *call) error {
	body, err := x.body()
	if err != nil {
		return err
	}
	var list struct {
		Unit   string            `json:"unit"`
		Outlet string            `json:"outlet"`
		DryRun bool              `json:"dry_run"`
		People []json.RawMessage `json:"people"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return badBody(errors.New("want unit, dry_run and people, a list"))
	}
	if len(list.People) == 0 || len(list.People) > bulkMax {
		return refuse(http.StatusBadRequest, "people_count", "a list has 1 to 5000 people", "名单应为1至5000人")
	}
	if err := s.serves(x, "outlet", list.Outlet); err != nil {
		return err
	}
	results := make([]map[string]any, len(list.People))
	opened, failed := 0, 0
	for i, person := range list.People {
		results[i] = s.enrolOne(x, person, list.Unit, list.Outlet, list.DryRun)
		if _, bad := results[i]["error"]; bad {
			failed++
		} else {
			opened++
		}
		results[i]["person"] = i + 1
	}
	x.answer(map[string]any{"unit": list.Unit, "dry_run": list.DryRun, "accepted": opened, "refused": failed,
		"results": results})
	return nil
}

func (s *server) enrolOne(x *call, person []byte, unit, outlet string, dry bool) map[string]any {
	fail := func(err error) map[string]any {
		var f *refusal
		if !errors.As(err, &f) {
			s.log.Warn("bulk enrolment", "error", err)
			f = &refusal{code: "store_unavailable", text: "not decided; send the person again"}
		}
		return map[string]any{"error": map[string]any{"code": f.code, "message": f.text, "message_zh": f.text2}}
	}
	w, bad := s.wishOf(person)
	token, step, err := s.opening(x, w, bad)
	if err != nil {
		return fail(err)
	}
	step.Unit = unit
	if w.Outlet == "" {
		w.Outlet = outlet
	}
	cmd := account.Command{ID: w.ID, Made: w.Made, Received: w.Received, By: x.staff(w.Outlet), Step: *step}
	if dry {
		out, err := s.o.Desk.Try(x.ctx, token, cmd)
		if err != nil {
			return fail(err)
		}
		if out.Refusal != account.RefusalNone {
			return fail(refused(&out))
		}
		return map[string]any{"account": token.String(), "would": "open"}
	}
	a, err := s.o.Desk.Do(x.ctx, token, cmd)
	if err != nil {
		return fail(err)
	}
	if a.Outcome.Refusal != account.RefusalNone {
		return fail(refused(&a.Outcome))
	}
	return map[string]any{"account": token.String(), "replay": a.Outcome.Replay}
}
