package citydemo

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tapswitch/tapswitch/switch/account"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
)

// The loss at a bad moment: two bank purchases are under way, one gate is off line with a list
// of the morning, and the transport operator takes longer than it may.

// lossDay is when the card is lost: Monday, 16 March.
func lossAt(hour, minute int) time.Time { return day(3, 16, hour, minute) }

// loss plays it. freeze is the report that closes the card; written, where there is one, the
// report in writing that follows at half past ten.
func (s *story) loss(freeze func(), written func()) {
	s.until(lossAt(8, 0))
	s.fail(s.near.takeList(s.ctx))
	s.fail(s.far.takeList(s.ctx))
	s.event(theGates, Text{"both take the list of the morning; then gate 2 loses its line",
		"两台闸机取得早间名单;随后2号闸机断线"}, "")
	// A purse that was not on line for longer than the lease would not be served off line at all.
	v, err := s.library.verify(s.ctx, s.chip, "identity")
	s.want(v, err, "", Text{"the holder shows the card at a library, on line",
		"持卡人在图书馆联机出示卡片"}, "")
	s.until(lossAt(9, 5))
	s.underWay(freeze)
	s.told()
	s.refusedNow()
	s.nearKnows()
	window := s.policy.Freeze.Window.V
	s.act(lossAt(9, 15), "bank")
	s.act(lossAt(9, 40), "utility", "hrss")
	if written != nil {
		s.until(lossAt(9, 50))
		s.serveFar(Text{"rides at gate 2, which is off line and knows nothing: 2.00",
			"在断线的2号闸机乘车2.00元(名单陈旧)"})
		s.until(lossAt(10, 30))
		written()
		s.told()
		s.act(lossAt(10, 40), "bank", "utility", "hrss")
	}
	s.byTelephone(s.t.clock.now().Add(10 * time.Minute))
	s.until(s.reported.Add(55 * time.Minute))
	s.serveFar(Text{"rides at gate 2, within the operator's time: 2.00", "在2号闸机乘车2.00元,运营企业仍在时限内"})
	s.until(s.reported.Add(window + 25*time.Minute))
	s.serveFar(Text{"rides at gate 2, after the operator's time: 2.00", "在2号闸机乘车2.00元,运营企业已逾期"})
	s.lateParty()
	s.act(s.reported.Add(window+time.Hour), "transit")
	s.event(Text{"transit operator", "公交企业"}, Text{"freezes at last, an hour too late",
		"逾期一小时后才冻结"}, "")
	s.until(s.reported.Add(window + 70*time.Minute))
	s.farReturns()
	s.judge()
	s.clocks()
	s.proof(s.policy.Liability.Boundary.Clause)
}

// lossReport is the report at the counter, where the holder is told to call the bank.
func (s *story) lossReport(channel string) {
	s.reported = s.t.clock.now()
	a := s.do(s.clerk, "report_loss", doc{"who": who("holder", channel), "form": "written",
		"form_no": "F-0316", "bank_told": true})
	s.lossCase, s.frozen = a.Case, true
}

// told waits until every party with a system was told of the report, and leaves the story's
// clock alone meanwhile: whatever was sent by then was sent before anything else of the story
// happened. How fast the machine is plays no part in it.
func (s *story) told() {
	s.waited = await(s.ctx, "the parties to be told", func() (bool, error) {
		clocks := s.freezeClocks()
		for _, c := range clocks {
			if c.Party != byPhone && c.Sent.Before(s.reported.Truncate(time.Millisecond)) {
				return false, nil
			}
		}
		return len(clocks) == len(s.policy.Parties), nil
	})
	s.wentOn = s.t.clock.now()
}

// byPhone is the party that has no system: a clerk calls it.
const byPhone = "finance"

// underWay lets the report come while the bank has two purchases before it: one it answers
// late, one never. Neither may become an approval.
func (s *story) underWay(freeze func()) {
	before := s.purchases()
	codes := make(chan [2]string, 2)
	amounts := []int64{1013, 2017}
	for i, fen := range amounts {
		shop := &till{t: s.t, id: fmt.Sprintf("%08d", i+1), stan: uint32(500 + 10*i)}
		go func() {
			code, err := shop.sell(s.ctx, s.bankAcc, fen)
			if err != nil {
				code = err.Error()
			}
			codes <- [2]string{yuan(fen), code}
		}()
	}
	s.fail(await(s.ctx, "the bank to have both purchases", func() (bool, error) {
		return s.purchases() >= before+2, nil
	}))
	freeze()
	var got [][2]string
	for range amounts {
		got = append(got, <-codes)
	}
	s.report.AfterReport.Asked += 2
	for _, c := range got {
		if c[1] == "00" {
			s.report.AfterReport.Approved++
		}
		s.check(len(c[1]) == 2 && c[1] != "00",
			Text{"a bank purchase that was under way is not approved after the report",
				"报告时在途的银行交易不予批准"}, "", c[0]+": "+c[1])
	}
	s.fail(await(s.ctx, "the bank to take both back", func() (bool, error) {
		sum := s.t.bank.Summary()
		return sum.Counts.Reversed >= 2 && sum.Posted == s.report.Bank.Approved, nil
	}))
	s.event(theBank,
		Text{"answers one purchase too late and one never: both declined and taken back",
			"一笔应答过迟、一笔无应答:均拒绝并冲正"}, "")
}

// purchases is how many the bank was asked for.
func (s *story) purchases() int64 {
	return s.t.bank.Summary().Counts.Kinds[bankhost.Purchase]
}

// refusedNow shows the card everywhere on line.
func (s *story) refusedNow() {
	what := Text{"refused on line from the report on", "挂失后联机即拒绝"}
	v, err := s.near.ride(s.ctx, s.chip)
	s.want(v, err, "card_frozen", what, "")
	v, err = s.shop.money(s.ctx, "/v1/purchases", s.chip, 500)
	s.want(v, err, "card_frozen", what, "")
	v, err = s.near.ride(s.ctx, s.ecard)
	s.want(v, err, "card_frozen", Text{"one report reaches every carrier", "一次挂失冻结所有载体"}, "")
	if !s.code.IsZero() {
		v, err = s.near.ride(s.ctx, s.code)
		s.want(v, err, "card_frozen", Text{"one report reaches every carrier", "一次挂失冻结所有载体"}, "")
	}
	v, err = s.library.verify(s.ctx, s.chip, "identity")
	s.want(v, err, "card_frozen", Text{"a lost card proves nobody's identity", "挂失卡不能作身份凭证"}, "")
	asked := s.purchases()
	s.sell(700, "62", Text{"the bank account is refused, and never held back (no pick-up code)",
		"银行账户交易被拒,不吞卡"}, "")
	s.check(s.purchases() == asked, Text{"the bank is not even asked",
		"不再询问银行"}, "", "")
	s.event(theThief, Text{"bus, shop, electronic card, identity, bank: all refused on line",
		"公交、消费、电子卡、身份验证、银行:联机全部拒绝"}, "")
}

// status is what the switch tells of a frozen card.
type status struct {
	Frozen  bool
	Notices []struct {
		ID, Kind, Clause string
		Clocks           []struct {
			Party, State, Sent, Received, Effective, Deadline string
			ReceivedBy                                        string `json:"received_by"`
			Late                                              bool
			Accepted                                          int64 `json:"accepted_to_sent_ms"`
		}
	}
	Gates struct {
		Published      bool
		Covered, Total int
	}
}

func (s *story) status(card interface{ String() string }) (v status) {
	s.fail(s.t.call(s.ctx, request{s.clerk.token, http.MethodGet,
		"/v1/desk/cards/" + card.String() + "/status", nil}, &v))
	return v
}

// coverage notes how many gates hold the freeze.
func (s *story) coverage(want int, what Text) {
	var v status
	err := await(s.ctx, "the gates to be known", func() (bool, error) {
		v = s.status(s.token(s.chip))
		return v.Gates.Published && v.Gates.Covered == want, nil
	})
	s.check(err == nil && v.Gates.Total == 2,
		Text{"the share of gates that hold the freeze is known", "掌握各闸机名单覆盖情况"}, "",
		fmt.Sprintf("%v: %+v", err, v.Gates))
	s.report.Coverage = append(s.report.Coverage, Coverage{At: s.t.clock.now(), What: what,
		Covered: v.Gates.Covered,
		Total:   v.Gates.Total})
}

// nearKnows lets the gate with a line take the new list.
func (s *story) nearKnows() {
	s.coverage(0, Text{"at the report", "挂失时"})
	s.until(lossAt(9, 10))
	s.fail(s.near.takeList(s.ctx))
	s.check(!s.near.rideOffline(s.chip, s.token(s.chip), s.offline+100),
		Text{"a gate with the new list refuses the card without a line",
			"取得新名单的闸机脱机也拒绝"}, "", "served")
	s.coverage(1, Text{"gate 1 took the list", "1号闸机已更新"})
}

// act lets parties act at an instant.
func (s *story) act(when time.Time, names ...string) {
	s.until(when)
	for _, name := range names {
		s.fail(await(s.ctx, "the notice of "+name, func() (bool, error) {
			n, err := s.t.parties.act(s.ctx, name)
			return n > 0, err
		}))
	}
}

// byTelephone has the finance department, which has no system, called by a clerk.
func (s *story) byTelephone(when time.Time) {
	s.until(when)
	for _, card := range []interface{ String() string }{s.token(s.chip), s.token(s.ecard)} {
		for _, n := range s.status(card).Notices {
			called := rfc(s.reported.Add(4 * time.Minute))
			body := doc{"sent_at": called, "received_at": called,
				"effective_at": rfc(s.t.clock.now()), "note": "call 0316-7"}
			err := s.t.call(s.ctx, request{s.clerk.token, http.MethodPost,
				"/v1/desk/notices/" + n.ID + "/parties/finance/confirm", body}, nil)
			if n.Kind == "freeze" && err != nil {
				s.fail(fmt.Errorf("confirming by telephone: %w", err))
			}
		}
	}
}

func rfc(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// serveFar lets the finder ride at the gate that has no line and an old list.
func (s *story) serveFar(what Text) {
	served := s.far.rideOffline(s.chip, s.token(s.chip), s.nextOffline())
	s.check(served, Text{"a gate without a line serves by the list that it has", "断线闸机按旧名单放行"}, "",
		"refused")
	s.event(theThief, what, "")
}

// freezeClocks returns the clocks of the last freeze notice of the chip card.
func (s *story) freezeClocks() (all []Clock) {
	for _, n := range s.status(s.token(s.chip)).Notices {
		var of []Clock
		for _, c := range n.Clocks {
			k := Clock{Kind: n.Kind, Party: c.Party, Sent: at(c.Sent), Received: at(c.Received),
				Effective: at(c.Effective),
				Deadline:  at(c.Deadline), Late: c.Late}
			if c.ReceivedBy != "" && c.ReceivedBy != c.Party {
				k.By = c.ReceivedBy
			}
			for _, p := range s.policy.Parties {
				if p.ID == c.Party {
					k.Title = Text{p.Name.EN, p.Name.ZH}
				}
			}
			of = append(of, k)
		}
		if n.Kind == "freeze" {
			all = of
		}
	}
	return all
}

// lateParty waits until the switch itself names the operator as late.
func (s *story) lateParty() {
	var late []string
	err := await(s.ctx, "the late party to be named", func() (bool, error) {
		late = nil
		for _, c := range s.freezeClocks() {
			if c.Late {
				late = append(late, c.Party)
			}
		}
		return slices.Contains(late, "transit"), nil
	})
	window := s.policy.Freeze.Window
	s.check(err == nil && len(late) == 1, Text{"the late party is named, and no other", "指明逾期单位"},
		window.Clause,
		fmt.Sprintf("%v: %v", err, late))
	s.event(theSwitch,
		Text{fmt.Sprintf("names the transit operator: not frozen within %.0f h of receipt",
			window.V.Hours()),
			fmt.Sprintf("指明公交企业接到通知后%.0f小时内未冻结", window.V.Hours())}, window.Clause)
}

// farReturns gives the far gate its line back: it takes the list, refuses, and uploads.
func (s *story) farReturns() {
	s.fail(s.far.takeList(s.ctx))
	s.fail(s.near.takeList(s.ctx))
	s.check(!s.far.rideOffline(s.chip, s.token(s.chip), s.offline+100),
		Text{"a gate that is back refuses the card",
			"恢复联机的闸机拒绝该卡"}, "", "served")
	s.coverage(2, Text{"gate 2 is back", "2号闸机恢复"})
	n := len(s.far.kept)
	s.upload(n)
	s.event(theGates, Text{fmt.Sprintf("gate 2 is back, refuses the card, uploads %d rides", n),
		fmt.Sprintf("2号闸机恢复,拒绝该卡并上传%d笔", n)}, "")
}

// bornes reads who bears what was served after the report.
func (s *story) bornes() (all []Borne) {
	var a struct {
		Transactions []struct {
			Record, Bears, Party, Why, Clause, Boundary string
			Offline                                     bool
			Amount                                      int64
			Booked                                      map[string]int64
			Served                                      string `json:"service_at"`
			Received                                    string `json:"received_at"`
		}
	}
	s.fail(s.t.call(s.ctx, request{s.clerk.token, http.MethodGet,
		"/v1/desk/accounts/" + s.account + "/liability", nil}, &a))
	for _, t := range a.Transactions {
		all = append(all, Borne{Record: t.Record, Served: at(t.Served), Uploaded: at(t.Received),
			Offline: t.Offline,
			Amount:  t.Amount, Boundary: at(t.Boundary), Bears: t.Bears, Party: t.Party, Why: t.Why,
			Clause: t.Clause,
			Booked: t.Booked})
	}
	slices.SortFunc(all, func(a, b Borne) int { return a.Served.Compare(b.Served) })
	return all
}

// judge has the liability of each ride booked, and holds it against the scheme.
func (s *story) judge() {
	want := s.expected()
	s.fail(await(s.ctx, "the rides to be judged", func() (bool, error) {
		return len(s.bornes()) == len(want), nil
	}))
	for range 2 { // the second changes nothing
		s.fail(s.t.call(s.ctx, request{s.finance.token, http.MethodPost, "/v1/desk/liability:judge",
			nil}, nil))
	}
	due := map[string]int64{}
	for _, w := range want {
		if w.account != "" {
			due[w.account] += 200
		}
	}
	err := await(s.ctx, "the losses to be booked", func() (bool, error) {
		got := map[string]int64{}
		s.report.Liability = s.bornes()
		for _, b := range s.report.Liability {
			for a, fen := range b.Booked {
				got[a] += fen
			}
		}
		return fmt.Sprint(got) == fmt.Sprint(due), nil
	})
	for i, b := range s.report.Liability {
		held := i < len(want) && b.Bears == want[i].bears && b.Why == want[i].why &&
			b.Amount == 200 && b.Offline
		s.check(held && err == nil, want[i].text, s.policy.Liability.Boundary.Clause,
			fmt.Sprintf("%v %s", err, pretty(b)))
		for _, fen := range b.Booked {
			s.report.Purses.Credited += fen
		}
	}
	s.event(theSwitch, Text{"judges each ride by when it was served and books it", "按服务时间逐笔判定并入账"},
		s.policy.Liability.Boundary.Clause)
}

// expectation is who must bear a ride.
type expectation struct {
	bears, why, account string
	text                Text
}

// expected is what the scheme says of the rides, in their order.
func (s *story) expected() (all []expectation) {
	holder := Text{"served before the boundary: the holder's", "界线前:由持卡人承担"}
	if t := s.policy.PreReport.Terms; t != nil && !t.MovesBoundary.V {
		all = append(all, expectation{bears: "holder", why: "served_before_the_boundary",
			text: Text{"between telephone call and written report: the holder's",
				"电话预挂失至书面挂失之间:由持卡人承担"}})
	}
	if s.policy.Liability.Boundary.V == account.FreezeDue {
		all = append(all, expectation{bears: "holder", why: "served_before_the_boundary",
			text: holder})
	} else {
		all = append(all, expectation{bears: "agency", why: "party_was_in_time",
			account: "loss/agency",
			text: Text{"after the report, the operator in time: the agency's",
				"挂失后、企业未逾期:由发卡机构承担"}})
	}
	return append(all, expectation{bears: "operator", why: "party_was_late",
		account: "loss/transit",
		text: Text{"after the operator's time: the late operator's, by its contract",
			"企业逾期后:按合同由逾期企业承担"}})
}

// clocks takes over the parties' clocks of the freeze and holds them against the scheme.
func (s *story) clocks() {
	s.report.Clocks = s.freezeClocks()
	window := s.policy.Freeze.Window
	s.check(len(s.report.Clocks) == len(s.policy.Parties), Text{"every related department was told",
		"已通知各相关部门"},
		s.policy.Parties[0].Clause, fmt.Sprint(len(s.report.Clocks)))
	for _, c := range s.report.Clocks {
		ok := !c.Received.IsZero() && !c.Effective.IsZero() &&
			c.Deadline.Equal(c.Received.Add(window.V)) &&
			c.Late == c.Effective.After(c.Deadline)
		s.check(ok, Text{"the clock of " + c.Party + " runs from its receipt",
			c.Party + "的时限自接到通知起算"}, window.Clause, pretty(c))
		latest := s.wentOn
		if c.Party == byPhone {
			latest = s.reported.Add(5 * time.Minute)
		}
		s.check(!c.Sent.Before(s.reported.Truncate(time.Millisecond)) && !c.Sent.After(latest), Text{c.Party + " was told at once",
			"即时通知" + c.Party},
			s.policy.Report.AtOnce.Clause, fmt.Sprintf("%v %s", s.waited, pretty(c)))
	}
}
