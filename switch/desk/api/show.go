package api

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/desk/form"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// find serves POST /v1/desk/accounts:find: which account bears a card, a number or a holder,
// and where its cases stand. No transactions: those want a purpose.
func (s *server) find(x *call) error {
	w, err := s.wish(x)
	if err != nil {
		return err
	}
	token, doc, err := s.target(x, w)
	if err != nil {
		return err
	}
	s.log.Info("operator", "actor", x.actor, "action", "find_account", "account", token.String())
	x.answer(map[string]any{"account": token.String(), "mark": form.Tell(struct{ Mark txn.Mark }{doc.Mark()}),
		"document": tell(doc)})
	return nil
}

// recordsShown is how many records a query tells at most.
const recordsShown = 500

// query serves POST /v1/desk/accounts:query: a person's own records (HD26, ZS11, WZ10), for a
// purpose that the policy knows, with consent where it wants one; the query itself is kept in
// the audit trail before anything is told.
func (s *server) query(x *call) error {
	w, err := s.wish(x)
	if err != nil {
		return err
	}
	token, doc, err := s.target(x, w)
	if err != nil {
		return err
	}
	var step account.Query
	if w.with != nil {
		if err := s.fill(&step, w.with); err != nil {
			return err
		}
	}
	a, err := s.o.Desk.Do(x.ctx, token, account.Command{ID: w.ID, Made: w.Made, By: x.staff(w.Outlet), Step: step})
	if err != nil {
		return err
	}
	if a.Outcome.Refusal != account.RefusalNone {
		return refused(&a.Outcome)
	}
	money, err := s.o.Desk.MoneyOf(x.ctx, doc)
	if err != nil {
		return err
	}
	var rows []json.RawMessage
	for _, m := range money {
		records, err := s.o.Desk.RecordsOf(x.ctx, m.Token, 0, recordsShown)
		if err != nil {
			return err
		}
		for i := range records {
			rows = append(rows, explain(&records[i]))
		}
	}
	x.answer(map[string]any{"account": token.String(), "document": tell(a.Account), "money": form.Tell(money),
		"records": rows})
	return nil
}

// explain tells one record as gate, desk and holder are told it: the same reason in the same
// words.
func explain(r *txn.Record) json.RawMessage {
	text := r.Reason.Text()
	b, err := json.Marshal(map[string]any{
		"record": r.Position.String(), "request": r.Request.String(), "kind": r.Kind.String(),
		"outcome": r.Outcome.String(), "reason": text.Code, "message": text.English, "message_zh": text.Chinese,
		"charged": int64(r.Charged), "balance_after": int64(r.BalanceAfter), "operator": r.Place.Operator,
		"line": r.Place.Line, "station": r.Place.Station, "merchant": r.Place.Merchant, "offline": r.Offline,
		"service_at": instant(r.ServiceAt), "received_at": instant(r.ReceivedAt), "liability": r.Liability.String(),
		"note": r.Listing.Note, "card": "****" + r.Last4.String(), "bank_response": r.Response.String(),
	})
	if err != nil {
		panic("api: internal error: " + err.Error())
	}
	return b
}

// cases serves GET /v1/desk/cases?kind=&owner=&overdue=1.
func (s *server) cases(x *call) error {
	q := x.r.URL.Query()
	f := desk.CaseFilter{Owner: q.Get("owner"), Overdue: q.Get("overdue") == "1"}
	if text := q.Get("kind"); text != "" {
		kind, err := account.ParseCaseKind(text)
		if err != nil {
			return refuse(http.StatusBadRequest, "kind_invalid", err.Error(), "案件类型有误")
		}
		f.Kind = kind
	}
	all, err := s.o.Desk.Cases(x.ctx, f)
	if err != nil {
		return err
	}
	x.answer(map[string]any{"cases": form.Tell(all, "By")})
	return nil
}

// waiting serves GET /v1/desk/waiting: dead numbers that hold money for which a person must act.
func (s *server) waiting(x *call) error {
	all, err := s.o.Desk.WaitingMoney(x.ctx)
	if err != nil {
		return err
	}
	x.answer(map[string]any{"waiting": form.Tell(all)})
	return nil
}

// clock is one party's clock of a notice.
type clock struct {
	Party      string `json:"party"`
	State      string `json:"state"`
	Basis      string `json:"basis"` // receipt, or sending where there is no proof of receipt
	Start      any    `json:"start"`
	Sent       any    `json:"sent"`
	Received   any    `json:"received"`
	Effective  any    `json:"effective"`
	Deadline   any    `json:"deadline"`
	Accepted   int64  `json:"accepted_to_sent_ms"`
	Alarms     int    `json:"alarms"`
	Late       bool   `json:"late"`
	Overdue    bool   `json:"overdue"`
	Failure    string `json:"failure,omitempty"`
	ReceivedBy string `json:"received_by,omitempty"`
}

// noticeView is a notice with its clocks.
type noticeView struct {
	ID       string  `json:"id"`
	Kind     string  `json:"kind"`
	Case     string  `json:"case"`
	Card     string  `json:"card"`
	Token    string  `json:"token"`
	Reason   string  `json:"reason"`
	Accepted any     `json:"accepted_at"`
	Clause   string  `json:"clause"`
	Window   int64   `json:"window_ms"` // of every party, 0 where the scheme sets none
	Alarms   []int64 `json:"alarms_ms"`
	Closed   bool    `json:"closed"`
	Clocks   []clock `json:"clocks"`
}

func (s *server) noticeOf(x *call, id string) (*noticeView, error) {
	if s.o.Notices == nil {
		return nil, refuse(http.StatusNotFound, "notices_off", "this process sends no notices", "未启用通知")
	}
	st, err := s.o.Notices.Status(x.ctx, id)
	if err != nil {
		return nil, err
	}
	v := &noticeView{ID: id, Kind: st.Notice.Kind.String(), Case: st.Notice.Case,
		Card: "****" + st.Notice.Last4.String(), Accepted: instant(st.Notice.AcceptedAt),
		Clause: st.Notice.Policy.Clause, Closed: st.Closed,
		Token: st.Notice.Card.String(), Reason: st.Notice.Reason.String(),
		Window: st.Notice.Policy.Window.Milliseconds(), Alarms: []int64{}}
	for _, after := range st.Notice.Policy.Alarms {
		v.Alarms = append(v.Alarms, after.Milliseconds())
	}
	for i := range st.Clocks {
		c := &st.Clocks[i]
		v.Clocks = append(v.Clocks, clock{Party: c.Row.Party, State: c.State.String(), Basis: c.Basis.String(),
			Start: instant(c.Start), Sent: instant(c.Row.SentFirst), Received: instant(c.Row.Received),
			Effective: instant(c.Row.Effective), Deadline: instant(c.Deadline),
			Accepted: int64(c.AcceptedToSent), Alarms: int(c.Row.Alarms), Late: c.Row.Late, Overdue: c.Overdue,
			Failure: c.Row.Failure, ReceivedBy: c.Row.ReceivedBy})
	}
	return v, nil
}

// cardStatus serves GET /v1/desk/cards/{token}/status: what is in force against a card, who
// was told and when, and where it is effective.
func (s *server) cardStatus(x *call) error {
	card, err := pathToken(x, "token")
	if err != nil {
		return err
	}
	entry, listed, err := s.o.Desk.Entry(x.ctx, card)
	if err != nil {
		return err
	}
	out := map[string]any{"token": card.String(), "frozen": listed}
	if listed {
		out["entry"] = map[string]any{"reason": entry.Mark.Reason.String(), "scope": entry.Mark.Scope.Names(),
			"since": instant(entry.Since), "actor": entry.Actor, "note": entry.Note,
			"for_ever": entry.Mark.Reason.Terminal()}
	}
	ids, err := s.o.Desk.NoticesOf(x.ctx, card)
	if err != nil {
		return err
	}
	var notices []*noticeView
	for _, id := range ids {
		v, err := s.noticeOf(x, id)
		if err != nil {
			return err
		}
		notices = append(notices, v)
	}
	out["notices"] = notices
	token, doc, err := s.o.Desk.Find(x.ctx, card)
	if err == nil {
		out["account"], out["document"] = token.String(), tell(doc)
		if out["gates"], err = s.gates(x, token, card); err != nil {
			return err
		}
	}
	x.answer(out)
	return nil
}

// gates tells where the last freeze of a card is effective.
func (s *server) gates(x *call, doc, card pan.Token) (any, error) {
	losses, err := s.o.Desk.Losses(x.ctx, doc)
	if err != nil || s.o.Lists == nil || s.o.Tracker == nil {
		return nil, err
	}
	for i := len(losses) - 1; i >= 0; i-- {
		for _, c := range losses[i].Carriers {
			if c.Token == card.String() {
				return s.coverageOf(card, c), nil
			}
		}
	}
	return nil, nil
}

// coverageOf tells the share of gates that hold a freeze, and when each line had it.
func (s *server) coverageOf(card pan.Token, c desk.LostCarrier) any {
	out := map[string]any{"frozen_at": instant(c.Frozen), "published": false}
	first, ok := s.o.Lists.EpochOf(txn.BucketOf(card), c.ListSeq)
	if c.ListSeq == 0 || !ok {
		return out
	}
	now := s.o.Desk.Now()
	cover := s.o.Tracker.Coverage(first.Epoch, now)
	out["published"], out["epoch"], out["published_at"] = true, uint64(first.Epoch), instant(first.At)
	out["exact"] = first.Exact
	out["covered"], out["total"], out["share"] = cover.Covered, cover.Total, cover.Share
	out["restored"], out["operators"], out["lines"] = cover.Restored, cover.Operators, cover.Lines
	out["behind"], out["more_behind"] = form.Tell(cover.Behind), cover.More
	if shares, ok := s.o.Tracker.Timeline(first.Epoch, now); ok {
		var line []map[string]any
		for _, p := range shares {
			line = append(line, map[string]any{"minutes": p.After.Minutes(), "covered": p.Covered, "total": p.Total})
		}
		out["timeline"] = line
	}
	if effect, ok := s.o.Tracker.EffectiveAt(first.Epoch); ok {
		out["approximate"] = effect.Approximate
		var lines []map[string]any
		for _, l := range effect.Lines {
			lines = append(lines, map[string]any{"operator": l.Operator, "line": l.Line, "covered": l.Covered,
				"total": l.Total, "first": instant(l.First), "last": instant(l.Last)})
		}
		out["effective"] = lines
	}
	return out
}

// freezes serves GET /v1/desk/freezes: the losses that are still judged, with coverage and
// clocks.
func (s *server) freezes(x *call) error {
	losses, err := s.o.Desk.Losses(x.ctx, pan.Token{})
	if err != nil {
		return err
	}
	all := []map[string]any{}
	for _, l := range losses {
		one := map[string]any{"account": l.Account, "case": l.Case, "received": instant(l.Received),
			"accepted": instant(l.Accepted), "effective": instant(l.Effective), "ended": instant(l.Ended)}
		var carriers []map[string]any
		for _, c := range l.Carriers {
			carrier := map[string]any{"token": c.Token, "frozen_at": instant(c.Frozen)}
			if token, err := pan.ParseToken(c.Token); err == nil && s.o.Lists != nil && s.o.Tracker != nil {
				carrier["gates"] = s.coverageOf(token, c)
			}
			if c.Notice != "" && s.o.Notices != nil {
				if carrier["notice"], err = s.noticeOf(x, c.Notice); err != nil {
					return err
				}
			}
			carriers = append(carriers, carrier)
		}
		one["carriers"] = carriers
		all = append(all, one)
	}
	answer := map[string]any{"city": s.o.Desk.City(), "freezes": all}
	if s.o.Lists != nil {
		answer["cards_frozen"] = s.o.Lists.Stats().Cards // for whatever reason, imported ones with them
	}
	x.answer(answer)
	return nil
}

// coverage serves GET /v1/desk/coverage: the share of gates that hold the present list.
func (s *server) coverage(x *call) error {
	if s.o.Lists == nil || s.o.Tracker == nil {
		return refuse(http.StatusNotFound, "lists_off", "this process publishes no lists", "未启用名单发布")
	}
	epoch, at := s.o.Lists.Current()
	c := s.o.Tracker.Coverage(epoch, s.o.Desk.Now())
	x.answer(map[string]any{"epoch": uint64(epoch), "published_at": instant(at),
		"confirmed_at": instant(s.o.Lists.Confirmed()), "covered": c.Covered, "total": c.Total, "share": c.Share,
		"operators": c.Operators, "lines": c.Lines, "stations": c.Stations, "behind": form.Tell(c.Behind),
		"more_behind": c.More})
	return nil
}

// verdict is one transaction of a lost card with who bears it.
func verdictOf(v *desk.Verdict) map[string]any {
	booked := map[string]int64{}
	for a, sum := range v.Booked {
		booked[string(a)] = int64(sum)
	}
	return map[string]any{"record": v.Record.Position.String(), "request": v.Record.Request.String(),
		"kind": v.Record.Kind.String(), "service_at": instant(v.Record.ServiceAt),
		"received_at": instant(v.Record.ReceivedAt), "offline": v.Record.Offline, "amount": int64(v.Amount),
		"operator": v.Record.Place.Operator, "line": v.Record.Place.Line, "served_by": v.PartyName,
		"bears": v.Verdict.Bears.String(), "party": v.Verdict.Party, "boundary": instant(v.Verdict.Boundary),
		"why": v.Verdict.Why, "clause": v.Verdict.Clause, "finding": v.Found, "booked": booked, "case": v.Loss}
}

// liability serves GET /v1/desk/accounts/{token}/liability.
func (s *server) liability(x *call) error {
	token, err := pathToken(x, "token")
	if err != nil {
		return err
	}
	losses, err := s.o.Desk.Losses(x.ctx, token)
	if err != nil {
		return err
	}
	all := []map[string]any{}
	for _, l := range losses {
		verdicts, err := s.o.Desk.Judgement(x.ctx, l)
		if err != nil {
			return err
		}
		for i := range verdicts {
			all = append(all, verdictOf(&verdicts[i]))
		}
	}
	x.answer(map[string]any{"account": token.String(), "transactions": all})
	return nil
}

// liabilityReport serves GET /v1/desk/liability: what each party bears.
func (s *server) liabilityReport(x *call) error {
	losses, err := s.o.Desk.Losses(x.ctx, pan.Token{})
	if err != nil {
		return err
	}
	type line struct {
		Party        string `json:"party"`
		Transactions int    `json:"transactions"`
		Amount       int64  `json:"amount"`
		Booked       int64  `json:"booked"`
		// LeaseEnded are those of them that a gate served after the end of the purse's lease.
		LeaseEnded int `json:"lease_ended"`
	}
	lines := map[string]*line{}
	at := func(name string) *line {
		if lines[name] == nil {
			lines[name] = &line{Party: name}
		}
		return lines[name]
	}
	for _, l := range losses {
		verdicts, err := s.o.Desk.Judgement(x.ctx, l)
		if err != nil {
			return err
		}
		for i := range verdicts {
			v := &verdicts[i]
			name := v.Verdict.Party
			if name == "" || v.Found {
				name = v.Verdict.Bears.String()
			}
			if v.Found {
				name = txn.LiabilityHolder.String()
			}
			at(name).Transactions++
			at(name).Amount += int64(v.Amount)
			if v.Record.Reason == txn.LeaseEnded && !v.Found {
				at(name).LeaseEnded++
			}
			for _, sum := range v.Booked {
				at(name).Booked += int64(sum)
			}
		}
	}
	out := []*line{}
	for _, l := range lines {
		out = append(out, l)
	}
	x.answer(map[string]any{"losses": len(losses), "parties": out})
	return nil
}

// judge serves POST /v1/desk/liability:judge.
func (s *server) judge(x *call) error {
	made, err := s.o.Desk.JudgeAll(x.ctx)
	if err != nil {
		return err
	}
	s.log.Info("operator", "actor", x.actor, "action", "judge_liability", "entries", made)
	x.answer(map[string]any{"entries": made})
	return nil
}

// figures serves GET /v1/desk/figures: what the supervisor compares outlets by (SY11, ZZ12).
func (s *server) figures(x *call) error {
	all, err := s.o.Desk.Cases(x.ctx, desk.CaseFilter{})
	if err != nil {
		return err
	}
	type figure struct {
		Owner   string         `json:"owner"`
		Open    int            `json:"open"`
		Overdue int            `json:"overdue"`
		Kinds   map[string]int `json:"kinds"`
	}
	owners := map[string]*figure{}
	for i := range all {
		c := &all[i]
		if owners[c.Case.Owner] == nil {
			owners[c.Case.Owner] = &figure{Owner: c.Case.Owner, Kinds: map[string]int{}}
		}
		f := owners[c.Case.Owner]
		f.Open++
		f.Kinds[c.Case.Kind.String()]++
		if c.Overdue {
			f.Overdue++
		}
	}
	list := []*figure{}
	for _, f := range owners {
		list = append(list, f)
	}
	x.answer(map[string]any{"outlets": list, "open": len(all)})
	return nil
}

// caseNumber reads the case in a path.
func caseNumber(x *call) (uint32, error) {
	no, err := strconv.ParseUint(x.r.PathValue("case"), 10, 32)
	if err != nil || no == 0 {
		return 0, refuse(http.StatusBadRequest, "case_invalid", "want the number of a case", "案件号有误")
	}
	return uint32(no), nil
}
