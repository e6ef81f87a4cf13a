package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/faultproxy"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// noticeTown is a town of two banks: the first wants notices, behind a line that can fail.
func noticeTown(t *testing.T, b bankhost.Behaviour) (*bankTown, *faultproxy.Proxy) {
	t.Helper()
	var line *faultproxy.Proxy
	w := newBankTown(t, bankPlan{behaviour: b, hosts: 2,
		via: func(i int, address string) string {
			if i > 0 {
				return address
			}
			line = e2eProxy(t, address)
			return line.Addr()
		},
		file: func(f *bankFile) {
			f.links[0]["notices"] = "forward"
			f.routes = []bankDoc{{"name": "cards", "bins": []string{bankBIN}, "issuer": "ICBC",
				"links": []string{"b0"}}, {"name": "other", "bins": []string{bankOtherBIN},
				"issuer": "OTHER", "links": []string{"b1"}}}
		}})
	return w, line
}

// scriptResult is field 55 of a script result.
const scriptResult = "\x9f\x36\x02\x00\x07\xdf\x31\x05\x20\x00\x00\x00\x00"

// notice is a script result for a sale, with a number of its own.
func (l *till) notice(stan uint32, card pan.Number, s *sale) *message.Message {
	l.t.Helper()
	m := l.message(message.AdministrativeAdvice, stan, message.Private{Type: "00", Network: "951"})
	l.no(m.SetPAN(card), m.SetDigits(3, "000000"), m.SetDigits(22, "052"), m.SetDigits(25, "00"),
		m.SetText(49, "156"), m.SetBytes(55, []byte(scriptResult)))
	if s != nil {
		l.no(m.SetText(37, s.rrn), m.SetAmount(s.minor))
	}
	return m
}

// notices are the entries of the bank's book that are notices.
func (w *bankTown) notices() (all []bankhost.Entry) {
	for _, e := range w.banks[0].Book().Entries {
		if e.Kind == bankhost.Notice {
			all = append(all, e)
		}
	}
	return all
}

// TestE2EBankNotices: a notice is answered at once, kept, and told to the bank of its card once,
// however often the terminal says it; the bank gets it again as 0621 until it answers, over a
// kill of the switch too.
func TestE2EBankNotices(t *testing.T) {
	t.Parallel()
	w, line := noticeTown(t, bankhost.Behaviour{Rules: []bankhost.Rule{
		{Kind: "notice", AmountEnds: "777", Times: 2, Effect: bankhost.LoseAnswer}}})
	l := w.till(1)
	s := l.sale(pos.Purchase, 1, 1_000, nil)
	l.want(s, "00")
	m := l.notice(500, s.card, s)
	for _, mti := range []message.MTI{0x0620, 0x0621} {
		m.SetMTI(mti)
		if a := l.ask(m); a.MTI() != 0x0630 || a.ResponseCode() != "00" {
			t.Fatalf("%v: %v %s", mti, a.MTI(), a.ResponseCode())
		}
		w.eventually("the bank to be told", func() bool { return len(w.notices()) == 1 && w.link("b0").Notices == 0 })
	}
	first := w.notices()[0]
	if first.MTI != "0620" || first.RRN != s.rrn || first.Seen != 1 || first.Code != "00" {
		t.Errorf("the bank has %+v", first)
	}
	// A card of a bank that wants none, and a notice without a card: kept, no more.
	if a := l.ask(l.notice(501, w.other[0], nil)); a.ResponseCode() != "00" {
		t.Errorf("another bank's: %s", a.ResponseCode())
	}
	bare := l.message(message.AdministrativeAdvice, 502, message.Private{Type: "00", Network: "951"})
	if a := l.ask(bare); a.ResponseCode() != "00" {
		t.Errorf("without a card: %s", a.ResponseCode())
	}
	// The bank loses two answers: it sees the same number three times, the repeats marked.
	lost := l.sale(pos.Purchase, 2, 1_777, nil)
	l.want(lost, "00")
	if a := l.ask(l.notice(503, lost.card, lost)); a.ResponseCode() != "00" {
		t.Fatalf("%s", a.ResponseCode())
	}
	w.eventually("the repeats", func() bool { return len(w.notices()) == 2 && w.link("b0").Notices == 0 })
	if e := w.notices()[1]; e.Seen != 3 || e.RRN != lost.rrn {
		t.Errorf("the bank has %+v", e)
	}
	if n := w.counts(); n.Unmarked != 0 {
		t.Errorf("%d repeats were not marked", n.Unmarked)
	}
	// The line is dead, and the switch is killed: what was acknowledged is told afterwards.
	line.Down()
	w.eventually("the link to be down", func() bool { return !w.link("b0").Up })
	for i := range 5 {
		if a := l.ask(l.notice(uint32(510+i), w.cards[20+i], nil)); a.ResponseCode() != "00" {
			t.Fatalf("%s", a.ResponseCode())
		}
	}
	if n := w.link("b0").Notices; n != 5 {
		t.Errorf("%d notices wait", n)
	}
	w.node.kill()
	l.hangUp()
	line.Up()
	w.start()
	w.eventually("the notices of before", func() bool {
		return len(w.notices()) == 7 && w.link("b0").Notices == 0
	})
	if n := w.banks[1].Summary().Counts.Kinds[bankhost.Notice]; n != 0 {
		t.Errorf("%d notices went to a bank that wants none", n)
	}
	for _, e := range w.notices()[2:] {
		if e.Seen != 1 || e.Card == "" {
			t.Errorf("the bank has %+v", e)
		}
	}
	if v := w.metric(`tapswitch_bank_notices_waiting{link="b0"}`); v != "0" {
		t.Errorf("the metric is %q", v)
	}
	w.settled()
}

// TestE2EBankNoticeIsRefused: a notice that the bank refuses is a dead letter; told again on
// command it is done, or closed.
func TestE2EBankNoticeIsRefused(t *testing.T) {
	t.Parallel()
	w, _ := noticeTown(t, bankhost.Behaviour{Rules: []bankhost.Rule{
		{Kind: "notice", AmountEnds: "55", Code: "12"}, {Kind: "notice", AmountEnds: "56", Code: "05"}}})
	l := w.till(1)
	for i, minor := range []int64{1_055, 1_056} {
		s := l.sale(pos.Purchase, i, minor, nil)
		l.want(s, "00")
		if a := l.ask(l.notice(uint32(600+i), s.card, s)); a.ResponseCode() != "00" {
			t.Fatalf("%s", a.ResponseCode())
		}
	}
	w.eventually("dead letters", func() bool { return len(w.dead()) == 2 })
	for _, d := range w.dead() {
		if d.Kind != "notice" || d.Was != "forwarding" || d.Link != "b0" || d.Last4 == "" || d.RRN == "" {
			t.Errorf("%+v", d)
		}
	}
	w.node.kill()
	l.hangUp()
	w.start()
	all := w.dead()
	if len(all) != 2 || len(w.notices()) != 2 {
		t.Fatalf("after a kill %d letters, %d notices", len(all), len(w.notices()))
	}
	if out, err := w.command("retry", all[0].Request); err != nil || !strings.Contains(out, "advising") {
		t.Errorf("%v: %s", err, out)
	}
	w.eventually("the bank to refuse it again", func() bool {
		for _, e := range w.notices() {
			if e.Seen == 2 {
				return len(w.dead()) == 2
			}
		}
		return false
	})
	for _, d := range all {
		if out, err := w.command("close", d.Request); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	if n := len(w.dead()); n != 0 {
		t.Errorf("%d letters are left", n)
	}
	out, err := w.command("dead")
	if err != nil {
		t.Error(errors.Join(err, fmt.Errorf("%s", out)))
	}
	w.settled()
}
