package citydemo

import (
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// What each city's rules say differently.

func paper(no string) doc {
	return doc{"no": no, "facts": "the form was not signed",
		"reasons":  "the rules want a signature",
		"remedies": "apply again, or ask for a review within 60 days"}
}

// digests are keyed digests of a wrong and a right value.
func digests() (string, string) { return "0011223344556677", "8899aabbccddeeff" }

// handan: two hours from receipt, release by the holder with a second person, renewal thirty
// days before expiry, a refused replacement in writing, release closed when the replacement
// is done.
func handan(s *story) {
	p := s.policy
	s.loss(func() {
		s.lossReport("agency")
		s.event(theHolder,
			Text{"reports the loss; all carriers frozen, parties told at once, told to call the bank",
				"挂失;冻结全部载体,即时通知各单位,告知另向银行挂失"}, joined(p.Report.Actors.Clause, p.Report.AtOnce.Clause))
	}, nil)
	s.handanRelease()
	s.handanRenewal()
	s.handanReplacement()
	s.until(day(5, 20, 9, 30))
	s.cancel("holder", theHolder)
}

func (s *story) handanRelease() {
	p := s.policy
	s.until(day(3, 17, 9, 0))
	s.refused(s.clerk.asks("request_release", doc{"who": who("agent", "agency")}),
		"actor_not_allowed", Text{"an agent cannot release", "代理人不得解挂"}, p.Release.Actors.Clause)
	a := s.do(s.clerk, "request_release", doc{"who": who("holder", "agency")})
	s.refused(s.clerk.asks("confirm_release", doc{"case": a.Case}), "same_person",
		Text{"one person alone cannot release", "一人不得独自解挂"}, p.Release.SecondPerson.Clause)
	v, err := s.near.ride(s.ctx, s.chip)
	s.want(v, err, "card_frozen", Text{"nothing opens before the second person", "复核前不解冻"},
		p.Release.SecondPerson.Clause)
	s.until(day(3, 17, 9, 12))
	s.do(s.second, "confirm_release", doc{"case": a.Case})
	s.frozen = false
	v, err = s.near.ride(s.ctx, s.chip)
	s.spent(s.want(v, err, "", Text{"a released card rides again", "解挂后可乘车"},
		p.Release.Actors.Clause))
	s.event(theHolder,
		Text{"found the card: released in person, second person confirmed, parties told at once",
			"找到卡片:本人办理解挂,第二人复核,即时通知各单位"}, p.Release.Actors.Clause)
	s.act(day(3, 17, 9, 30), "bank", "transit", "utility", "hrss")
}

func (s *story) handanRenewal() {
	p := s.policy
	s.until(day(4, 2, 9, 0))
	err := await(s.ctx, "the renewal to be open", func() (bool, error) {
		return s.document().Stage == "renewal_open", nil
	})
	s.check(err == nil, Text{"the renewal is listed well before expiry", "有效期届满前列入换领"},
		p.Life.RenewalLead.Clause, fmt.Sprint(err))
	a := s.do(s.clerk, "apply_renewal", doc{"who": who("holder", "agency"), "old": s.chip.Digits(),
		"ground": "expiry",
		"accept": true})
	due := s.dueOn(a.Case, p.Deadlines.Renewal, Text{"the renewed card has its legal date",
		"换领期限符合规定"})
	fee, from := s.tariff(account.Renewal)
	no, fen := s.dueFee()
	s.check(fen == fee, Text{"the fee is the tariff's", "收费符合核定标准"}, from.Clause, yuan(fen))
	s.do(s.clerk, "waive_fee", doc{"no": no, "why": "hardship"})
	s.event(theHolder,
		Text{"renews, 90 days before expiry (due 30 before); new card by " + lastDay(due) + "; fee waived for hardship",
			"届满前90日申请换领(应提前30日);新卡期限" + lastDay(due) + ";困难减免"}, joined(p.Life.RenewalLead.Clause,
			p.Deadlines.Renewal.Clause, "HD28"))
	v, err := s.near.ride(s.ctx, s.chip)
	s.spent(s.want(v, err, "", Text{"service goes on while the card is renewed", "换领期间服务不停"},
		p.Life.ServiceGoesOn.Clause))
	s.until(day(4, 10, 10, 0))
	s.collect(a.Case, s.newCard())
	s.event(theDesk,
		Text{"renewed card ****" + last4(s.chip) + " handed out, old number dead, balance moved",
			"换领新卡****" + last4(s.chip) + ",旧号失效,余额转入"}, p.Deadlines.Renewal.Clause)
}

func (s *story) handanReplacement() {
	p := s.policy
	s.until(day(4, 20, 9, 0))
	apply := doc{"who": who("holder", "agency"), "old": s.chip.Digits(), "accept": true}
	s.refused(s.clerk.asks("apply_replacement", apply), "not_reported",
		Text{"no replacement without a loss report", "未挂失不得补领"},
		p.Replacement.OnlyAfterLossReport.Clause)
	s.lossReport("agency")
	first := s.do(s.clerk, "apply_replacement", apply)
	s.dueOn(first.Case, p.Deadlines.Replacement, Text{"the replacement has its legal date",
		"补领期限符合规定"})
	s.until(day(4, 22, 9, 0))
	s.refused(s.clerk.asks("refuse_case", doc{"case": first.Case, "paper": doc{"no": "R-1"}}),
		"paper_incomplete", Text{"a refusal states facts, reasons and remedies",
			"不予补领须书面载明事实、理由和救济途径"}, p.Deadlines.RefusalStates.Clause)
	s.do(s.clerk, "refuse_case", doc{"case": first.Case, "paper": paper("R-1")})
	s.event(theDesk,
		Text{"lost again; replacement refused in writing within 5 days: facts, reasons, remedies",
			"再次遗失;5日内书面不予补领,载明事实、理由和救济"}, joined(p.Deadlines.Refusal.Clause,
			p.Deadlines.RefusalStates.Clause))
	if no, _ := s.dueFee(); no != 0 {
		s.do(s.clerk, "waive_fee", doc{"no": no, "why": "agency_error"})
	}
	s.until(day(4, 23, 9, 0))
	again := s.do(s.clerk, "apply_replacement", apply)
	release := s.do(s.clerk, "request_release", doc{"who": who("holder", "agency")})
	s.do(s.second, "confirm_release", doc{"case": release.Case, "deny": true})
	s.event(theHolder,
		Text{"applies again; a release would still be open, until the procedure is done",
			"重新申请;补卡手续办结前仍可解挂"}, p.Release.Closes.Clause)
	s.payFee(account.Replacement)
	s.until(day(4, 30, 9, 0))
	lost := s.chip
	s.frozen = false
	s.collect(again.Case, s.newCard())
	s.refused(s.clerk.asks("request_release", doc{"who": who("holder", "agency"),
		"carrier": lost.Digits()}), "release_closed",
		Text{"once the replacement is done no release is possible", "补卡手续办结后不得解挂"},
		p.Release.Closes.Clause)
	s.event(theDesk,
		Text{"replacement ****" + last4(s.chip) + " done within 15 working days, 20.00 paid; release closed for ever",
			"15个工作日内补卡****" + last4(s.chip) + ",收费20.00元;不得再解挂"}, joined(p.Deadlines.Replacement.Clause,
			p.Release.Closes.Clause, "HD28"))
	_, rows := s.query()
	s.check(len(rows) > 0, Text{"the holder can query the card's own records", "持卡人可查询本人记录"},
		p.Query.Credentials.Clause, "none")
	s.event(theHolder,
		Text{fmt.Sprintf("queries the card's own records: %d, with every refusal and its reason",
			len(rows)),
			fmt.Sprintf("查询本人记录%d条,含每笔拒绝及理由", len(rows))}, p.Query.Credentials.Clause)
}

// zhoushan: the telephone report and the written one, release closed from the application,
// boundary at the report's effect, and a changed name that must renew.
func zhoushan(s *story) {
	p := s.policy
	pre := p.PreReport.Terms
	s.loss(func() {
		s.reported = s.t.clock.now()
		s.refused(s.clerk.asks("pre_report", doc{"who": doc{"actor": "holder",
			"channel": "phone"}}), "no_reason",
			Text{"by telephone only where writing is impossible", "仅在无法书面办理时可电话预挂失"},
			pre.OnlyWhenImpossible.Clause)
		s.do(s.clerk, "pre_report", doc{"who": doc{"actor": "holder", "channel": "phone"},
			"why": "at_sea"})
		s.frozen = true
		s.event(theHolder,
			Text{"telephones from a ship: frozen at once, the written report must follow",
				"海上电话预挂失:即时冻结,须补办书面挂失"}, p.PreReport.Allowed.Clause)
	}, func() {
		s.refused(s.clerk.asks("report_loss", doc{"who": who("holder", "agency"), "form": "oral",
			"bank_told": true}), "form_not_allowed", Text{"the loss report is in writing",
			"挂失须书面办理"}, p.Report.Forms.Clause)
		s.refused(s.clerk.asks("report_loss", doc{"who": who("agent", "agency"), "form": "written",
			"form_no": "A-1", "bank_told": true}), "actor_not_allowed",
			Text{"nobody but the holder reports", "挂失由持卡人本人办理"}, p.Report.Actors.Clause)
		s.lossReport("agency")
		s.event(theHolder,
			Text{"reports in writing, own ID shown; from here losses are not the holder's",
				"持本人证件书面挂失;此后损失不由持卡人承担"}, joined(p.Report.Forms.Clause, p.Liability.Boundary.Clause))
	})
	s.until(day(3, 17, 9, 0))
	lost := s.chip
	a := s.do(s.clerk, "apply_replacement", doc{"who": who("holder", "agency"),
		"old": lost.Digits(), "accept": true})
	s.refused(s.clerk.asks("request_release", doc{"who": who("holder", "agency"),
		"carrier": lost.Digits()}), "release_closed",
		Text{"from the application on no release is possible", "申请补领后不得解挂"},
		p.Release.Closes.Clause)
	v, err := s.near.ride(s.ctx, lost)
	s.want(v, err, "card_replaced", Text{"the old number is dead from the application",
		"自申请起旧卡号失效"}, p.Release.Closes.Clause)
	s.dueOn(a.Case, p.Deadlines.Replacement, Text{"the replacement has its date", "补领有期限"})
	s.payFee(account.Replacement)
	s.event(theHolder,
		Text{"applies for a new card: from here no release, the old number is dead; 20.00 paid",
			"申请补领新卡:自此不得解挂,旧卡号失效;缴费20.00元"}, joined(p.Replacement.OnlyAfterLossReport.Clause,
			p.Release.Closes.Clause))
	s.until(day(3, 25, 10, 0))
	s.frozen = false
	s.collect(a.Case, s.newCard())
	s.event(theDesk, Text{"new card ****" + last4(s.chip) + " handed out with the balance",
		"发放新卡****" + last4(s.chip) + ",余额转入"},
		p.Replacement.OnlyAfterLossReport.Clause)
	s.nameChange()
	s.until(day(4, 27, 9, 0))
	s.refused(s.clerk.asks("request_cancellation", doc{"who": who("agency", "agency"),
		"decision": "D-1"}), "actor_not_allowed", Text{"the agency cannot cancel by itself",
		"发卡机构不得自行注销"}, p.Cancellation.Actors.Clause)
	s.cancel("relative", Text{"near relative", "近亲属"})
}

// nameChange: the department corrects the name, and the holder must have a new card.
func (s *story) nameChange() {
	p := s.policy
	wrong, right := digests()
	s.until(day(4, 1, 9, 0))
	a := s.do(s.clerk, "open_correction", doc{"who": who("holder", "agency"), "field": "name",
		"old": wrong, "new": right})
	s.refused(s.clerk.asks("close_correction", doc{"case": a.Case, "corrected": true}),
		"role_not_permitted", Text{"only the responsible department corrects data", "数据由责任部门更正"},
		"")
	police := s.officer("public_security.wang")
	s.until(day(4, 3, 9, 0))
	s.do(police, "close_correction", doc{"case": a.Case, "corrected": true})
	var renewal uint32
	for _, k := range s.document().Cases {
		if k.Kind == "renewal" {
			renewal = k.No
		}
	}
	clause := ""
	for _, g := range p.Life.Grounds {
		if g.Must {
			clause = g.Clause
		}
	}
	s.check(renewal != 0, Text{"a changed name must have a new card", "姓名变更必须换领"}, clause,
		"no renewal was opened")
	s.do(s.clerk, "accept_case", doc{"case": renewal})
	s.payFee(account.Renewal)
	s.event(theHolder,
		Text{"changed the name: the police correct it, the renewal opens by itself; 20.00",
			"姓名变更:公安部门更正,自动转入换领;20.00元"}, clause)
	s.until(day(4, 15, 9, 0))
	s.collect(renewal, s.newCard())
	s.event(theDesk, Text{"card ****" + last4(s.chip) + " with the new name",
		"发放新姓名卡****" + last4(s.chip)}, clause)
}

// wenzhou: functions at designated outlets, report at the agency, boundary at the report's
// effect, cancellation by agent or heir, and no card refused but for a reason of the list.
func wenzhou(s *story) {
	p := s.policy
	s.loss(func() {
		s.refused(s.clerk.asks("report_loss", doc{"who": who("holder", "outlet"), "form": "written",
			"form_no": "F-1", "bank_told": true}), "channel_not_allowed",
			Text{"the loss is reported at the agency", "挂失到经办机构办理"}, p.Report.Channels.Clause)
		s.lossReport("agency")
		s.event(theHolder,
			Text{"reports the loss at the agency; in effect once every carrier is frozen",
				"到经办机构挂失;全部载体冻结即生效"}, joined(p.Report.Channels.Clause, p.Liability.Boundary.Clause))
	}, nil)
	s.noRefusal()
	s.replacement(day(3, 17, 9, 0), day(3, 27, 9, 0))
	s.until(day(4, 13, 9, 0))
	s.finding()
	s.refused(s.clerk.asks("request_cancellation", doc{"who": who("relative", "agency")}),
		"actor_not_allowed", Text{"a relative is neither agent nor heir", "近亲属非代理人或继承人"},
		p.Cancellation.Actors.Clause)
	s.cancel("heir", Text{"heir", "继承人"})
}

// noRefusal: every refusal of the story has a reason of the published list, none holds a card back.
func (s *story) noRefusal() {
	_, rows := s.query()
	bad := ""
	declined := 0
	for _, r := range rows {
		if r.Outcome != "declined" {
			continue
		}
		declined++
		known := false
		for _, reason := range txn.Reasons() {
			text := reason.Text()
			pickUp := map[string]bool{"04": true, "34": true, "38": true, "41": true,
				"43": true}[text.Field39]
			known = known || text.Code == r.Reason && !pickUp
		}
		if !known {
			bad = r.Reason
		}
	}
	s.check(declined > 0 && bad == "", Text{"no unit refuses a card but for a reason of the list",
		"除规定情形外不得拒绝持卡人用卡"}, "WZ7",
		fmt.Sprintf("%d declined, %q", declined, bad))
	s.event(theSwitch, Text{fmt.Sprintf("%d refusals so far, each with a stored reason of the list",
		declined),
		fmt.Sprintf("至此%d笔拒绝均有列明的理由", declined)}, "WZ7")
}

// finding: evidence that the card had been lent moves a ride to the holder, and a second
// finding takes that back; both by new entries.
func (s *story) finding() {
	last := s.report.Liability[len(s.report.Liability)-1]
	for _, undo := range []bool{false, true} {
		a := s.do(s.finance, "open_finding", doc{"fault": "lent", "evidence": "video 0316",
			"txns": []string{last.Record}, "undo": undo})
		s.refused(s.second.asks("confirm_case", doc{"case": a.Case + 100}), "case_unknown",
			Text{"a finding needs its case", "认定须有案件"}, "")
		s.do(s.second, "confirm_case", doc{"case": a.Case})
		want := int64(0)
		if undo {
			want = last.Amount
		}
		err := await(s.ctx, "the finding to be booked", func() (bool, error) {
			var booked int64
			for _, b := range s.bornes() {
				if b.Record == last.Record {
					for _, fen := range b.Booked {
						booked += fen
					}
				}
			}
			return booked == want, nil
		})
		s.check(err == nil, Text{"a finding moves a loss by new entries, and back",
			"责任认定以新分录移转并可撤回"},
			s.policy.Liability.Findings.Clause, fmt.Sprint(err))
	}
	s.event(theDesk,
		Text{"finds that the card was lent, then takes the finding back: entries both ways",
			"认定出借,后撤回认定:双向分录"}, s.policy.Liability.Findings.Clause)
}

// replacement is the ordinary one, where the release closes with the application.
func (s *story) replacement(applied, made time.Time) {
	p := s.policy
	s.until(applied)
	lost := s.chip
	a := s.do(s.clerk, "apply_replacement", doc{"who": who("holder", "agency"),
		"old": lost.Digits(), "accept": true})
	due := s.dueOn(a.Case, p.Deadlines.Replacement, Text{"the replacement has its date", "补领有期限"})
	s.refused(s.clerk.asks("request_release", doc{"who": who("holder", "agency"),
		"carrier": lost.Digits()}), "release_closed",
		Text{"from the application on no release is possible", "申请补领后不得解挂"},
		p.Release.Closes.Clause)
	s.payFee(account.Replacement)
	s.event(theHolder,
		Text{"applies for a new card, fee paid; by " + lastDay(due) + "; no release from here",
			"申请补领并缴费;期限" + lastDay(due) + ";自此不得解挂"}, joined(p.Replacement.OnlyAfterLossReport.Clause,
			p.Release.Closes.Clause))
	s.temporary(a.Case)
	s.until(made)
	s.frozen = false
	s.collect(a.Case, s.newCard())
	s.event(theDesk, Text{"new card ****" + last4(s.chip) + " handed out with the balance",
		"发放新卡****" + last4(s.chip) + ",余额转入"}, "")
}

// temporary binds a credential for the waiting time.
func (s *story) temporary(no uint32) {
	n := s.newCard()
	s.do(s.clerk, "bind_temporary", doc{"case": no, "as": "qr", "carrier": doc{"token": n.Digits(),
		"kind":   "temporary",
		"family": "e_card", "ready": true}})
	frozen := s.frozen
	s.frozen = false // the credential is none of the lost carriers
	s.load(n, 600)
	v, err := s.near.ride(s.ctx, n)
	s.spent(s.want(v, err, "", Text{"a temporary code serves while the card is made", "制卡期间临时码可用"},
		s.policy.Temporary.Kinds.Clause))
	s.frozen = frozen
	s.event(theHolder, Text{"rides with a temporary code meanwhile", "其间使用临时码乘车"},
		s.policy.Temporary.Kinds.Clause)
}

// shiyan: the authority suspends and restores the social application alone, the electronic
// card rides while the chip is made, a claim is compensated, a complaint gets its outcome.
func shiyan(s *story) {
	s.suspension()
	p := s.policy
	s.loss(func() {
		s.lossReport("agency")
		s.event(theHolder, Text{"reports the loss: every carrier frozen, parties told at once",
			"挂失:冻结全部载体,即时通知各单位"}, "")
	}, nil)
	s.replacement(day(3, 17, 9, 0), day(3, 27, 9, 0))
	s.claim()
	s.until(day(4, 8, 9, 0))
	a := s.do(s.clerk, "open_complaint", doc{"who": who("holder", "agency")})
	due := s.dueDate(a.Case)
	s.until(day(4, 10, 9, 0))
	s.refused(s.clerk.asks("answer_complaint", doc{"case": a.Case, "upheld": true,
		"paper": paper("C-1")}), "proof_missing", Text{"an outcome is fed back with proof",
		"投诉结果须反馈并留存凭证"}, p.Complaints.Feedback.Clause)
	s.do(s.clerk, "answer_complaint", doc{"case": a.Case, "upheld": true, "paper": paper("C-1"),
		"proof_no": "EMS-77"})
	s.event(theDesk, Text{"complaint answered, outcome delivered (was due " + lastDay(due) + ")",
		"投诉办结并反馈结果(期限" + lastDay(due) + ")"},
		joined(p.Complaints.Prompt.Clause, p.Complaints.Feedback.Clause))
	s.until(day(4, 20, 9, 0))
	s.cancel("holder", theHolder)
}

// suspension: SY17.
func (s *story) suspension() {
	rule := s.policy.Suspension.Terms
	s.until(day(3, 11, 9, 0))
	with := doc{"app": "social", "fault": "rented", "decision": "SY-2026-17"}
	police := s.officer("public_security.wang")
	social := s.officer(rule.Role.V + ".chen")
	what := Text{"only the social-security department suspends", "仅人社部门可暂停"}
	s.refused(s.clerk.asks("suspend_function", with), "role_not_permitted", what, rule.Role.Clause)
	s.refused(police.asks("suspend_function", with), "role_not_allowed", what, rule.Role.Clause)
	s.refused(social.asks("suspend_function", doc{"app": "transit", "fault": "rented",
		"decision": "SY-1"}), "not_offered", Text{"only the social application is suspended",
		"仅可暂停社保应用"}, rule.App.Clause)
	s.do(social, "suspend_function", with)
	v, err := s.library.verify(s.ctx, s.chip, "social")
	s.want(v, err, "card_frozen", Text{"the social application is closed", "社保应用已暂停"},
		rule.App.Clause)
	v, err = s.near.ride(s.ctx, s.chip)
	s.spent(s.want(v, err, "", Text{"transit stays open", "公交不受影响"}, rule.App.Clause))
	v, err = s.shop.money(s.ctx, "/v1/purchases", s.chip, 300)
	s.spent(s.want(v, err, "", Text{"the purse stays open", "钱包不受影响"}, rule.App.Clause))
	s.sell(800, "00", Text{"the bank function stays open", "金融功能不受影响"}, rule.App.Clause)
	s.event(Text{"authority", "人社部门"},
		Text{"suspends the social application alone (rented out for gain, decision SY-2026-17)",
			"仅暂停社保应用(出租牟利,决定SY-2026-17)"}, rule.App.Clause)
	s.act(day(3, 11, 9, 30), "bank", "transit", "utility", "hrss")
	s.until(day(3, 13, 9, 0))
	s.refused(s.clerk.asks("restore_function", doc{"app": "social", "decision": "SY-2026-21"}),
		"role_not_permitted", Text{"the same department restores", "由同一部门恢复"}, rule.Role.Clause)
	s.do(social, "restore_function", doc{"app": "social", "decision": "SY-2026-21"})
	v, err = s.library.verify(s.ctx, s.chip, "social")
	s.want(v, err, "", Text{"the social application is open again", "社保应用已恢复"}, rule.App.Clause)
	s.event(Text{"authority", "人社部门"}, Text{"restores it by decision SY-2026-21",
		"以决定SY-2026-21恢复"}, rule.App.Clause)
	s.act(day(3, 13, 9, 30), "bank", "transit", "utility", "hrss")
}

// claim: SY15, the department that caused a loss compensates it.
func (s *story) claim() {
	rule := s.policy.Claims.Compensation
	s.until(day(4, 1, 9, 0))
	_, rows := s.query()
	var record string
	for _, r := range rows {
		if r.Kind == "purchase" && r.Outcome == "approved" {
			record = r.Record
		}
	}
	a := s.do(s.clerk, "open_claim", doc{"who": who("holder", "agency"), "party": "transit",
		"amount": 350, "txns": []string{record}})
	s.do(s.finance, "propose_claim", doc{"case": a.Case, "amount": 350})
	before := s.balance()
	s.refused(s.clerk.asks("confirm_case", doc{"case": a.Case + 50}), "case_unknown",
		Text{"a claim needs its case", "索赔须有案件"}, "")
	s.do(s.second, "confirm_case", doc{"case": a.Case})
	got := s.balance() - before
	s.check(got == 350, Text{"an approved claim is paid to the holder", "经核准的赔偿支付给持卡人"},
		rule.Clause, yuan(got))
	s.report.Purses.Credited += got
	s.event(theParties,
		Text{"transit operator compensates 3.50 for a fault of its gate; two persons decide",
			"公交企业因闸机故障赔偿3.50元,两人审核"}, rule.Clause)
}

// zhengzhou: the bank function only after activation, code and card one account, the library,
// a temporary credential, a correction.
func zhengzhou(s *story) {
	p := s.policy
	s.oneAccount()
	s.loss(func() {
		s.lossReport("agency")
		s.event(theHolder,
			Text{"reports the loss: card, electronic card and code are one account and freeze together",
				"挂失:卡、电子卡、码同属一户,一并冻结"}, p.Applying.ECardMeanwhile.Clause)
	}, nil)
	s.replacement(day(3, 17, 9, 0), day(3, 27, 9, 0))
	s.until(day(4, 1, 9, 0))
	wrong, right := digests()
	a := s.do(s.clerk, "open_correction", doc{"who": who("holder", "agency"), "field": "unit",
		"old": wrong, "new": right})
	owner := s.officer("hr_social_security.chen")
	s.until(day(4, 7, 9, 0))
	s.do(owner, "close_correction", doc{"case": a.Case, "corrected": true})
	s.event(Text{"authority", "人社部门"},
		Text{"corrects the unit that the holder reported wrong; no new card needed",
			"更正持卡人单位信息,无需换卡"}, "")
	s.until(day(4, 20, 9, 0))
	s.cancel("holder", theHolder)
}

// oneAccount: ZZ7, ZZ8, ZZ19.
func (s *story) oneAccount() {
	s.until(day(3, 11, 9, 0))
	library := s.app(txn.AppLibrary)
	s.cardAsBank()
	v, err := s.library.verify(s.ctx, s.chip, "library")
	s.want(v, err, "application_not_open", Text{"the library is closed until the holder opens it",
		"图书馆功能须先开通"}, library.Clause)
	s.do(s.clerk, "open_function", doc{"app": "library", "channel": "online"})
	s.code = s.newCard()
	s.do(s.clerk, "bind_carrier", doc{"who": who("holder", "agency"),
		"carrier": doc{"token": s.code.Digits(), "kind": "qr",
			"family": "e_card", "ready": true}})
	s.load(s.code, 400)
	for _, carrier := range []struct {
		ask func() (verdict, error)
	}{{func() (verdict, error) { return s.library.verify(s.ctx, s.chip, "library") }},
		{func() (verdict, error) { return s.library.verify(s.ctx, s.code, "library") }},
		{func() (verdict, error) { return s.near.ride(s.ctx, s.code) }}} {
		v, err := carrier.ask()
		s.spent(s.want(v, err, "", Text{"card and code open the same doors", "卡码同效"}, "ZZ8"))
	}
	s.event(theHolder, Text{"opens the library; card and code enter, the code rides",
		"开通图书馆;持卡、扫码均可入馆,扫码乘车"}, joined(library.Clause, "ZZ8"))
}

// cardAsBank presents the city card itself at a bank terminal: the bank function is closed
// again while its account is not active, with a reason of its own.
func (s *story) cardAsBank() {
	bank := s.app(txn.AppBank)
	sell := func(fen int64) string {
		code, err := s.till.sell(s.ctx, s.chip, fen)
		s.fail(err)
		return code
	}
	code := sell(900)
	s.check(code == "00",
		Text{"with the account activated the card itself pays at the bank's terminal",
			"激活后卡片可在银联终端付款"}, bank.NeedsBank.Clause, code)
	if code == "00" {
		s.report.Bank.Approved += 900
	}
	s.do(s.clerk, "activate_bank", doc{"off": true})
	code = sell(901)
	_, rows := s.query()
	reason := ""
	for _, r := range rows {
		if r.Kind == "bank_purchase" && r.Outcome == "declined" {
			reason = r.Reason
		}
	}
	s.fail(await(s.ctx, "the decline in the ledger", func() (bool, error) {
		_, rows := s.query()
		for _, r := range rows {
			if r.Kind == "bank_purchase" && r.Outcome == "declined" {
				reason = r.Reason
			}
		}
		return reason != "", nil
	}))
	s.check(code == "57" && reason == "bank_not_activated",
		Text{"without it the decline has a reason of its own", "未激活时以专门理由拒绝"},
		bank.NeedsBank.Clause, code+" "+reason)
	s.do(s.clerk, "activate_bank", doc{})
	s.event(theBank,
		Text{"account inactive: card declined, \"bank function not activated\"; active again: pays",
			"账户未激活:以“金融功能未激活”拒绝;激活后可付款"},
		bank.NeedsBank.Clause)
}
