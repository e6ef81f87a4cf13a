package citydemo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/scheme/duty"
	"github.com/tapswitch/tapswitch/switch/sim"
)

// doc is a part of a request's body.
type doc = map[string]any

// person is an operator with a token.
type person struct{ name, token string }

// story is a card's life on its way. It belongs to one goroutine, which ends with its first
// fault, as a test does.
type story struct {
	ctx    context.Context
	t      *town
	policy *scheme.Policy
	days   *scheme.Calendar
	report *Report
	fault  error

	clerk, second, finance *person
	near, far              *gate // far loses its line
	loader, shop, library  *gate
	till                   *till

	holder  string // number of the ID paper, a test one
	account string // token of the account's document
	chip    pan.Number
	ecard   pan.Number
	code    pan.Number // a QR code, where the city's scene has one
	bankAcc pan.Number
	tokens  map[pan.Number]pan.Token
	offline uint32 // the chip card's counter of off-line services
	expires string // as printed, "" by the rules

	lossCase uint32
	frozen   bool // a loss is in force
	reported time.Time
	// wentOn is when the story went on after the report, waited what the wait for it met.
	wentOn time.Time
	waited error
}

func newStory(ctx context.Context, t *town, p *scheme.Policy) *story {
	s := &story{ctx: ctx, t: t, policy: p, holder: "110101199003070011",
		tokens: map[pan.Number]pan.Token{},
		report: &Report{City: p.City, Name: Text{p.Name.EN, p.Name.ZH}}}
	s.days, s.fault = scheme.BuiltInCalendar()
	if p.City == "handan" {
		s.expires = "2026-06-30" // as printed, so that its renewal comes within the story
	}
	s.chip, s.ecard, s.bankAcc = s.newCard(), s.newCard(), t.accounts[0]
	return s
}

// newCard takes a card from the box.
func (s *story) newCard() pan.Number {
	n := s.t.cards[0]
	s.t.cards = s.t.cards[1:]
	return n
}

// play plays f in a goroutine of its own and waits for its end, the last line's or that of a
// fault.
func (s *story) play(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.fail(s.fault)
		f()
	}()
	<-done
}

// fail ends the story when err is a fault.
func (s *story) fail(err error) {
	if err != nil {
		s.fault = err
		runtime.Goexit()
	}
}

// until moves the clock on.
func (s *story) until(to time.Time) {
	s.fail(s.t.clock.set(to))
}

// event adds a line to the time line.
func (s *story) event(who, what Text, clause string) {
	s.report.Timeline = append(s.report.Timeline, Event{At: s.t.clock.now(), Who: who, What: what,
		Clause: clause})
	s.cite(clause)
}

// cite notes the clauses that were shown. One that is not in the register of duties, or is
// another city's, is a fault of the story.
func (s *story) cite(clause string) {
	duties, _ := duty.Of(s.policy.City)
	for c := range strings.FieldsFuncSeq(clause, func(r rune) bool {
		return r == ',' ||
			r == ' '
	}) {
		known := slices.ContainsFunc(duties,
			func(d duty.Duty) bool { return slices.Contains(d.Clauses, c) })
		if !known || !strings.HasPrefix(c, s.policy.Texts[0].Prefix) {
			s.fail(fmt.Errorf("internal error: clause %s is not registered for %s", c,
				s.policy.City))
			return
		}
		s.report.Clauses = append(s.report.Clauses, c)
	}
}

// check holds a claim against what was found.
func (s *story) check(held bool, what Text, clause, detail string) {
	s.cite(clause)
	if held {
		detail = ""
	}
	s.report.Checks = append(s.report.Checks, Check{What: what, Held: held, Detail: detail,
		Clause: clause})
}

// answered is what the desk says to a command.
type answered struct {
	Account  string   `json:"account"`
	Case     uint32   `json:"case"`
	Left     int      `json:"left"`
	Document document `json:"document"`
}

// document is what the story reads of an account.
type document struct {
	Stage     string
	ExpiresOn string `json:"expires_on"`
	Carriers  []struct{ Token, Kind, Status, EndsAt string }
	Cases     []struct {
		No               uint32
		Kind, State, Due string
	}
	Fees []struct {
		No         uint32
		Event, Why string
		Amount     int64
		State      string
	}
}

// who is the person at the counter.
func who(actor, channel string) doc {
	return doc{"actor": actor, "channel": channel, "id": "resident_id"}
}

// officer is a person of a department that decides something itself.
func (s *story) officer(name string) *person {
	p, err := s.t.person(s.ctx, name, "authority")
	s.fail(err)
	return p
}

// wish is what somebody asks the desk for.
type wish struct {
	by   *person
	step string
	with doc
}

func (p *person) asks(step string, with doc) wish { return wish{p, step, with} }

// order makes the body of a command.
func (s *story) order(step string, with doc) doc {
	return doc{"account": s.account, "outlet": "outlet-1", "step": step, "with": with}
}

// do gives a command that the desk must accept.
func (s *story) do(by *person, step string, with doc) (a answered) {
	err := s.t.call(s.ctx, request{by.token, http.MethodPost, "/v1/desk/commands", s.order(step,
		with)}, &a)
	if err == nil && a.Left > 0 {
		err = await(s.ctx, step+" to be carried out", func() (bool, error) {
			return s.settled()
		})
	}
	if err != nil {
		s.fail(fmt.Errorf("%s by %s: %w", step, by.name, err))
	}
	return a
}

// settled reports whether nothing is left to be done for the account.
func (s *story) settled() (bool, error) {
	var a struct {
		Document struct {
			ToDo []any `json:"to_do"`
		}
	}
	err := s.t.call(s.ctx, request{s.clerk.token, http.MethodPost, "/v1/desk/accounts:find",
		doc{"account": s.account}}, &a)
	return len(a.Document.ToDo) == 0, err
}

// refused gives a command that the desk must refuse with a code.
func (s *story) refused(w wish, code string, what Text, clause string) {
	err := s.t.call(s.ctx, request{w.by.token, http.MethodPost, "/v1/desk/commands", s.order(w.step,
		w.with)}, nil)
	var no *sim.APIError
	if err != nil && !errors.As(err, &no) {
		s.fail(fmt.Errorf("%s by %s: %w", w.step, w.by.name, err))
		return
	}
	got := "accepted"
	if no != nil {
		got = no.Code
	}
	s.check(got == code, what, clause, fmt.Sprintf("%s by %s: %s, want %s", w.step, w.by.name, got,
		code))
}

// document reads the account.
func (s *story) document() (d document) {
	var a struct{ Document document }
	s.fail(s.t.call(s.ctx, request{s.clerk.token, http.MethodPost, "/v1/desk/accounts:find",
		doc{"account": s.account}}, &a))
	d = a.Document
	return d
}

// money is a purse as the holder is told it.
type money struct {
	Token   string
	Balance int64
}

// told is a settled record as the holder is told it.
type told struct {
	Record, Kind, Outcome, Reason, Note, Card string
	Charged                                   int64
	Offline                                   bool
}

// query reads the holder's own records.
func (s *story) query() (purses []money, rows []told) {
	var a struct {
		Money   []money
		Records []told
	}
	body := doc{"account": s.account, "with": doc{"who": who("holder", "agency"),
		"purpose": "own_records"}}
	s.fail(s.t.call(s.ctx, request{s.clerk.token, http.MethodPost, "/v1/desk/accounts:query", body},
		&a))
	purses, rows = a.Money, a.Records
	return purses, rows
}

// balance is what all purses of the account hold.
func (s *story) balance() (sum int64) {
	purses, _ := s.query()
	for _, p := range purses {
		sum += p.Balance
	}
	return sum
}

// token returns the token by which the parties and lists know a card.
func (s *story) token(card pan.Number) pan.Token {
	if t, ok := s.tokens[card]; ok {
		return t
	}
	var a struct{ Token string }
	err := s.t.call(s.ctx, request{s.clerk.token, http.MethodPost, "/v1/cards:lookup",
		doc{"card": card.Digits()}}, &a)
	token, parse := pan.ParseToken(a.Token)
	if err := errors.Join(err, parse); err != nil {
		s.fail(fmt.Errorf("token of a card: %w", err))
		return token
	}
	s.tokens[card] = token
	return token
}

// want holds what a card got at a terminal against what it must get, "" for an approval.
func (s *story) want(v verdict, err error, reason string, what Text, clause string) verdict {
	s.fail(err)
	approved := v.Outcome == "approved"
	got := v.Reason
	if approved {
		got = ""
	}
	if s.frozen {
		s.report.AfterReport.Asked++
		if approved {
			s.report.AfterReport.Approved++
		}
	}
	s.check(got == reason && approved == (reason == ""), what, clause,
		fmt.Sprintf("got %q %q, want %q", v.Outcome, v.Reason, reason))
	return v
}

// spent counts what a purse paid.
func (s *story) spent(v verdict) { s.report.Purses.Spent += v.Charged }

// dueDate is when a case of the account is due, as the switch says.
func (s *story) dueDate(no uint32) time.Time {
	for _, k := range s.document().Cases {
		if k.No == no {
			return at(k.Due)
		}
	}
	return time.Time{}
}

// dueOn holds the legal date of a case against the policy's period from today.
func (s *story) dueOn(no uint32, term scheme.Value[scheme.Term], what Text) time.Time {
	due := s.dueDate(no)
	days := scheme.LocalDays{Calendar: s.days}
	today := days.Date(millis(s.t.clock.now()))
	last, err := s.days.Add(today, term.V)
	s.fail(err)
	want := days.Start(last.Next()).Time()
	s.check(due.Equal(want), what, term.Clause, fmt.Sprintf("due %s, want %s", due,
		want.In(zone())))
	return due
}

// lastDay is the last day before a case is overdue.
func lastDay(due time.Time) string { return due.Add(-time.Second).In(zone()).Format("01-02") }

// fees takes over the account's fees.
func (s *story) fees() {
	s.report.Fees = nil
	for _, f := range s.document().Fees {
		s.report.Fees = append(s.report.Fees, Fee{Event: f.Event, Amount: f.Amount, State: f.State,
			Why: f.Why})
	}
}

// dueFee returns the number of the fee that is to be paid, and its amount.
func (s *story) dueFee() (no uint32, fen int64) {
	for _, f := range s.document().Fees {
		if f.State == "due" {
			return f.No, f.Amount
		}
	}
	return 0, 0
}

// tariff is the policy's amount of an event.
func (s *story) tariff(event account.Event) (fen int64, from scheme.Source) {
	for _, t := range s.policy.Tariffs {
		for _, f := range t.Fees {
			if f.Event == event {
				return int64(f.Amount), f.Source
			}
		}
	}
	return 0, scheme.Source{}
}

// proof takes the signed receipt of the loss and verifies it, and that a changed one is refused.
func (s *story) proof(clause string) {
	path := fmt.Sprintf("/v1/desk/accounts/%s/receipts/%d", s.account, s.lossCase)
	r, err := s.t.client.Operate(s.ctx, s.clerk.token, http.MethodGet, path, nil)
	if err == nil && r.Refused != nil {
		err = r.Refused
	}
	if err != nil {
		s.fail(fmt.Errorf("receipt: %w", err))
		return
	}
	envelope := bytes.TrimSpace(r.Body)
	f, err := s.t.receiptOf(envelope)
	s.check(err == nil, Text{"the freeze receipt's signature verifies", "冻结凭证签名有效"}, clause,
		fmt.Sprint(err))
	if err != nil {
		return
	}
	forged := bytes.Replace(envelope, []byte(f.Boundary.Rule), []byte("forged_rule"[:min(11,
		len(f.Boundary.Rule))]), 1)
	_, bad := s.t.receiptOf(forged)
	s.report.Receipt = Receipt{Number: f.Number, Verified: true, Received: f.ReceivedAt.In(zone()),
		Rule:     f.Boundary.Rule,
		Boundary: f.Boundary.At.In(zone()), Parties: len(f.Parties), Forged: bad != nil}
	s.check(bad != nil, Text{"a changed receipt is refused", "被改动的凭证被拒绝"}, clause, "it verifies")
	s.check(f.Boundary.Rule == s.policy.Liability.Boundary.V.String() &&
		len(f.Parties) == len(s.policy.Parties),
		Text{"the receipt names the scheme's boundary and every party", "凭证载明界线规则和各单位"}, clause,
		fmt.Sprintf("%+v", f))
}

// pretty is a body for an error.
func pretty(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
