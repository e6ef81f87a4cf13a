package citydemo

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/scheme"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// The people of the time line.
var (
	theHolder  = Text{"holder", "持卡人"}
	theDesk    = Text{"desk", "柜台"}
	theSwitch  = Text{"switch", "交换系统"}
	theBank    = Text{"bank", "银行"}
	theThief   = Text{"finder", "拾卡人"}
	theParties = Text{"parties", "各单位"}
	theGates   = Text{"gates", "闸机"}
)

func millis[T interface{ UnixMilli() int64 }](at T) txn.Millis { return txn.Millis(at.UnixMilli()) }

// open sets the town up and plays what every card's life begins with.
func (s *story) open() {
	s.fail(s.people())
	s.apply()
	s.use()
}

// people makes operators, terminals and parties, and starts the switch again with them.
func (s *story) people() (err error) {
	if s.fault != nil {
		return nil
	}
	for _, p := range []struct {
		at    **person
		name  string
		roles []string
	}{{&s.clerk, "li.lei", []string{"desk"}}, {&s.second, "han.mei", []string{"desk_confirm",
		"desk"}},
		{&s.finance, "zhao.min", []string{"finance"}}} {
		if *p.at, err = s.t.person(s.ctx, p.name, p.roles...); err != nil {
			return fmt.Errorf("operator %s: %w", p.name, err)
		}
	}
	for _, g := range []struct {
		at   **gate
		spec sim.TerminalSpec
	}{
		{&s.near, sim.TerminalSpec{ID: "GATE01", Operator: "bus", Line: "1",
			Kinds: []string{"bus_boarding", "balance"}}},
		{&s.far, sim.TerminalSpec{ID: "GATE02", Operator: "bus", Line: "2",
			Kinds: []string{"bus_boarding"}}},
		{&s.loader, sim.TerminalSpec{ID: "LOAD01", Acquirer: "agency", Kinds: []string{"load"}}},
		{&s.shop, sim.TerminalSpec{ID: "SHOP01", Merchant: "shop", MCC: "5411", Acquirer: "ICBC",
			Kinds: []string{"purchase", "refund"}}},
		{&s.library, sim.TerminalSpec{ID: "LIB01", Merchant: "library", MCC: "8299",
			Acquirer: "ICBC",
			Kinds:    []string{"purchase"}}},
	} {
		if *g.at, err = s.t.gate(s.ctx, g.spec); err != nil {
			return fmt.Errorf("terminal %s: %w", g.spec.ID, err)
		}
	}
	s.till = &till{t: s.t, id: "00000001"}
	if err := s.bodies(); err != nil {
		return err
	}
	return s.t.restart(s.ctx)
}

// bodies registers the parties of the policy. The finance department is told by telephone.
func (s *story) bodies() error {
	kinds := map[string]string{"transit": "operator", "bank": "bank", "utility": "utility",
		"finance": "department",
		"hrss":    "department"}
	for _, p := range s.policy.Parties {
		clause := p.Clause
		if clause == "" {
			clause = "product rule"
		}
		if p.ID != "finance" {
			if err := s.t.parties.add(s.ctx, s.t, member{p.ID, kinds[p.ID], p.Name.EN,
				clause}); err != nil {
				return fmt.Errorf("party %s: %w", p.ID, err)
			}
			continue
		}
		body := doc{"title": p.Name.EN, "kind": kinds[p.ID], "scopes": []string{"all"},
			"channel": "manual",
			"contact": "duty office", "answer": "explicit", "clause": clause}
		if err := s.t.call(s.ctx, request{s.t.admin, http.MethodPut, "/v1/desk/parties/" + p.ID,
			body}, nil); err != nil {
			return fmt.Errorf("party %s: %w", p.ID, err)
		}
	}
	return nil
}

// apply is the application, and the card's way to its holder.
func (s *story) apply() {
	s.until(day(3, 2, 9, 0))
	p := s.policy
	with := doc{"who": who("holder", "agency"), "carrier": doc{"token": s.chip.Digits(),
		"kind": "chip", "family": "t_union"},
		"numbers": []doc{{"kind": "serial", "value": "S-0001"}}}
	if s.expires != "" {
		with["expires_on"] = s.expires
	}
	body := doc{"holder": s.holder, "outlet": "outlet-1", "with": with}
	var a answered
	err := s.t.call(s.ctx, request{s.clerk.token, http.MethodPost, "/v1/desk/accounts", body}, &a)
	var no *sim.APIError
	s.check(errors.As(err, &no) && no.Code == "not_checked",
		Text{"data that nobody checked is refused", "未经审核的资料不予受理"},
		p.Applying.Checked.Clause, fmt.Sprint(err))
	with["checked"] = true
	s.fail(s.t.call(s.ctx, request{s.clerk.token, http.MethodPost, "/v1/desk/accounts", body}, &a))
	s.account = a.Account
	due := s.dueOn(a.Case, p.Deadlines.ProductionData, Text{"production data has its legal date",
		"制卡数据报送期限符合规定"})
	s.event(theHolder,
		Text{"applies with own ID, data checked; production data due by " + lastDay(due),
			"持本人证件申领,资料经审核;制卡数据应于" + lastDay(due) + "前报送"}, p.Applying.Checked.Clause)
	s.eCardMeanwhile()
	s.until(day(3, 3, 10, 0))
	s.do(s.clerk, "send_production", doc{"case": a.Case})
	s.event(theDesk, Text{"production data sent upward", "制卡数据已报送"},
		p.Deadlines.ProductionData.Clause)
	s.until(day(3, 9, 10, 0))
	v, err := s.near.ride(s.ctx, s.chip)
	s.want(v, err, "card_not_active", Text{"a card that is not handed out opens no gate",
		"未发放的卡不能使用"}, "")
	s.do(s.clerk, "issue_card", doc{"case": a.Case})
	fee, from := s.tariff(account.FirstIssue)
	s.check(fee == 0, Text{"the first card is free", "首次申领免费"}, from.Clause, yuan(fee))
	s.event(theDesk, Text{"card ****" + last4(s.chip) + " handed out, first card free",
		"发放卡片****" + last4(s.chip) + ",首次免费"}, from.Clause)
	if !p.Applying.ECardMeanwhile.V {
		s.bindECard()
	}
}

func last4(n interface{ Digits() string }) string { return lastOf(n.Digits(), 4) }

func (s *story) eCard() doc {
	return doc{"who": who("holder", "agency"), "carrier": doc{"token": s.ecard.Digits(),
		"kind":   "e_card",
		"family": "e_card", "ready": true}}
}

func (s *story) bindECard() {
	s.do(s.clerk, "bind_carrier", s.eCard())
}

// eCardMeanwhile tries the electronic card while the chip card is made.
func (s *story) eCardMeanwhile() {
	rule := s.policy.Applying.ECardMeanwhile
	if !rule.V {
		s.refused(s.clerk.asks("bind_carrier", s.eCard()), "carrier_not_active",
			Text{"no electronic card before the chip card is handed out", "实体卡发放前不绑定电子卡"},
			rule.Clause)
		return
	}
	s.bindECard()
	s.load(s.ecard, 1000)
	v, err := s.near.ride(s.ctx, s.ecard)
	s.spent(s.want(v, err, "", Text{"the electronic card rides while the chip card is made",
		"制卡期间电子卡可乘车"}, rule.Clause))
	s.event(theHolder, Text{"electronic card while the chip is in production: rides the bus",
		"制卡期间领用电子卡,乘坐公交"}, rule.Clause)
}

// load puts money on a purse.
func (s *story) load(card pan.Number, fen int64) {
	v, err := s.loader.money(s.ctx, "/v1/loads", card, fen)
	s.want(v, err, "", Text{"a purse takes money", "钱包可充值"}, "")
	s.report.Purses.Loaded += fen
}

// use is the card's ordinary life: purse, bus on and off line, bank.
func (s *story) use() {
	s.until(day(3, 9, 10, 30))
	s.load(s.chip, 5000)
	s.bankFunction()
	s.until(day(3, 10, 8, 0))
	v, err := s.near.ride(s.ctx, s.chip)
	s.spent(s.want(v, err, "", Text{"the card rides the bus", "持卡乘公交"},
		s.app(txn.AppTransit).Clause))
	s.until(day(3, 10, 12, 0))
	v, err = s.shop.money(s.ctx, "/v1/purchases", s.chip, 1200)
	s.spent(s.want(v, err, "", Text{"the purse pays in a shop", "钱包消费"},
		s.app(txn.AppPurse).Clause))
	s.fail(s.far.takeList(s.ctx))
	s.far.rideOffline(s.chip, s.token(s.chip), s.nextOffline())
	s.until(day(3, 10, 12, 40))
	s.upload(1)
	s.event(theHolder,
		Text{"bus 2.00, shop 12.00 from the purse, bus 2.00 off line and uploaded later",
			"公交2.00元、钱包消费12.00元、脱机乘车2.00元(后上传)"}, s.app(txn.AppPurse).Clause)
	s.until(day(3, 10, 19, 0))
	s.sell(3000, "00", Text{"the bank account pays in a shop", "银行账户消费"}, s.app(txn.AppBank).Clause)
	s.event(theHolder, Text{"bank purchase 30.00, answered by the bank over ISO 8583",
		"银行卡消费30.00元,经ISO 8583由银行应答"},
		s.app(txn.AppBank).Clause)
}

func (s *story) nextOffline() uint32 {
	s.offline++
	return s.offline
}

// upload brings in what the far gate served off line; all of it must be booked.
func (s *story) upload(want int) {
	all, err := s.far.upload(s.ctx)
	s.fail(err)
	booked := 0
	for _, v := range all {
		if v.Outcome == "approved" {
			booked++
		}
		s.spent(v)
	}
	s.check(booked == want && len(all) == want, Text{"off-line records are booked when they come",
		"脱机记录上传后入账"}, "",
		fmt.Sprintf("%d of %d: %s", booked, want, pretty(all)))
}

// app is the policy of an application.
func (s *story) app(app txn.App) *scheme.Application {
	for i := range s.policy.Applications {
		if s.policy.Applications[i].App == app {
			return &s.policy.Applications[i]
		}
	}
	s.fail(fmt.Errorf("the policy has no application %v", app.Names()))
	return &scheme.Application{}
}

// sell makes a purchase with the bank account and holds the response code.
func (s *story) sell(fen int64, code string, what Text, clause string) {
	got, err := s.till.sell(s.ctx, s.bankAcc, fen)
	s.fail(err)
	s.check(got == code, what, clause, fmt.Sprintf("field 39 is %s, want %s", got, code))
	if got == "00" {
		s.report.Bank.Approved += fen
	}
	if s.frozen {
		s.report.AfterReport.Asked++
		if got == "00" {
			s.report.AfterReport.Approved++
		}
	}
}

// bankFunction activates the bank account and opens the function where the scheme says.
func (s *story) bankFunction() {
	app := s.app(txn.AppBank)
	open := doc{"app": "bank", "channel": "outlet"}
	s.refused(s.clerk.asks("open_function", open), "bank_not_activated",
		Text{"the bank function waits for the activated account", "金融功能须先激活银行账户"},
		app.NeedsBank.Clause)
	if !slices.Contains(app.Channels.V, account.AtAgency) {
		s.do(s.clerk, "activate_bank", doc{})
		s.refused(s.clerk.asks("open_function", doc{"app": "bank", "channel": "agency"}),
			"channel_not_allowed", Text{"functions are opened at designated outlets only",
				"功能只在指定网点开通"}, app.Channels.Clause)
	} else {
		s.do(s.clerk, "activate_bank", doc{})
	}
	s.do(s.clerk, "open_function", open)
	s.do(s.clerk, "bind_carrier", doc{"who": who("holder", "agency"),
		"carrier": doc{"token": s.bankAcc.Digits(), "kind": "bank_pan", "issuer": "ICBC",
			"ready": true}})
	clause := app.NeedsBank.Clause
	if clause == "" {
		clause = app.Channels.Clause
	}
	s.event(theHolder,
		Text{"loads 50.00; bank account activated, bank function opened at an outlet",
			"充值50.00元;激活银行账户并在网点开通金融功能"}, clause)
}

// collect replaces one card by its successor: it is what a holder gets after a loss or at a
// renewal.
func (s *story) collect(no uint32, next pan.Number) {
	before := s.balance()
	old := s.chip
	s.token(old)
	s.do(s.clerk, "make_card", doc{"case": no, "carrier": doc{"token": next.Digits(),
		"kind": "chip", "family": "t_union",
		"ready": true}})
	s.chip, s.offline = next, 0
	purses, _ := s.query()
	token := s.token(next).String()
	for _, m := range purses {
		switch {
		case m.Token == token:
			s.report.Successor = Successor{From: last4(old), To: last4(next), Balance: m.Balance}
		case m.Token == s.token(old).String():
			s.check(m.Balance == 0, Text{"nothing stays on the old number", "旧卡号不留余额"}, "",
				yuan(m.Balance))
		}
	}
	s.check(s.balance() == before, Text{"no money is lost or made on the way to the new card",
		"余额转移分文不差"}, "",
		fmt.Sprintf("%s, then %s", yuan(before), yuan(s.balance())))
	v, err := s.near.ride(s.ctx, old)
	s.want(v, err, "card_replaced", Text{"the old number is dead for ever", "旧卡号永久失效"}, "")
	v, err = s.near.ride(s.ctx, next)
	s.spent(s.want(v, err, "", Text{"the new card serves", "新卡可用"}, ""))
}

// payFee pays what the tariff asks for an event.
func (s *story) payFee(event account.Event) {
	no, fen := s.dueFee()
	want, from := s.tariff(event)
	s.check(fen == want, Text{"the fee is the tariff's", "收费符合核定标准"}, from.Clause,
		fmt.Sprintf("%s, want %s", yuan(fen), yuan(want)))
	if no != 0 {
		s.do(s.clerk, "pay_fee", doc{"no": no})
	}
}

// cancel ends the account: everything open is settled first.
func (s *story) cancel(actor string, text Text) {
	rule := &s.policy.Cancellation
	a := s.do(s.clerk, "request_cancellation", doc{"who": who(actor, "agency")})
	complete := doc{"case": a.Case, "outlet": "outlet-1"}
	s.refused(s.clerk.asks("complete_cancellation", complete), "not_settled",
		Text{"no cancellation before related affairs are settled", "相关事项未办结不得注销"},
		rule.Settled.Clause)
	s.do(s.clerk, "activate_bank", doc{"off": true})
	s.do(s.clerk, "waive_affair", doc{"case": a.Case, "affair": "offline_records",
		"why": "waited_two_weeks"})
	rest := s.balance()
	s.do(s.clerk, "complete_cancellation", complete)
	v, err := s.near.ride(s.ctx, s.chip)
	s.want(v, err, "card_cancelled", Text{"a cancelled card opens no gate", "注销后不能使用"},
		rule.Settled.Clause)
	s.report.Purses.PaidOut, s.report.Purses.Left = rest, s.balance()
	s.event(text, Text{"cancels after everything is settled; " + yuan(rest) + " paid out",
		"事项办结后注销,退还余额" + yuan(rest) + "元"},
		joined(rule.Actors.Clause, rule.Settled.Clause))
	s.fees()
}

// joined puts clauses together, each once.
func joined(clauses ...string) string {
	var all []string
	for _, text := range clauses {
		for c := range strings.FieldsFuncSeq(text, func(r rune) bool {
			return r == ',' ||
				r == ' '
		}) {
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	return strings.Join(all, ", ")
}

// finish holds the books together.
func (s *story) finish() {
	p := &s.report.Purses
	s.check(p.Loaded+p.Credited == p.Spent+p.PaidOut+p.Left && p.Left == 0,
		Text{"every fen of the purses is accounted for", "钱包资金分文不差"}, "", fmt.Sprintf("%+v", *p))
	s.ledger()
	sum := s.t.bank.Summary()
	s.report.Bank.Posted, s.report.Bank.Reversed = sum.Posted, sum.Counts.Reversed
	s.check(sum.Posted == s.report.Bank.Approved && sum.Counts.DoubleExecuted == 0,
		Text{"the bank's book is what was approved", "银行账与批准一致"}, "", fmt.Sprintf("%+v",
			s.report.Bank))
	s.check(s.report.AfterReport.Approved == 0 && s.report.AfterReport.Asked > 0,
		Text{"nothing was approved on line after the report", "挂失后联机无一批准"}, "", fmt.Sprintf("%+v",
			s.report.AfterReport))
	r := s.report
	r.Clauses = sortClauses(r.Clauses)
	r.Held = !slices.ContainsFunc(r.Checks, func(c Check) bool { return !c.Held })
}

// ledger holds the story's own sums against the settled records that the holder is told.
func (s *story) ledger() {
	p := &s.report.Purses
	var loaded, spent, paid int64
	err := await(s.ctx, "the ledger to have everything", func() (bool, error) {
		_, rows := s.query()
		loaded, spent, paid = 0, 0, 0
		for _, r := range rows {
			switch {
			case r.Outcome != "approved":
			case r.Kind == "load":
				loaded -= r.Charged
			case r.Kind == "bus_boarding" || r.Kind == "purchase":
				spent += r.Charged
			case r.Kind == "payout":
				paid += r.Charged
			}
		}
		return paid == p.PaidOut && spent == p.Spent, nil
	})
	s.check(err == nil, Text{"the ledger says the same", "账簿记录一致"}, "",
		fmt.Sprintf("%v: ledger loaded %d spent %d paid %d, %+v", err, loaded, spent, paid, *p))
}
