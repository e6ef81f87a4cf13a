package inspect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// rule is a kind of message of UnionPay terminals: how it is known and what it needs.
type rule struct {
	name      string
	mti       message.MTI // of the request, sent for the first time
	kinds     []string    // 60.1
	code      string      // field 3; "" is any or none
	condition string      // field 25; "" is any or none
	network   []string    // 60.3; nil is any
	needs     []int       // fields of the request
	card      bool        // a card number or track has to be there
	original  bool        // 3, 25 and 60.1 are those of a transaction
}

// posRules are the messages of UnionPay terminals (DOMAIN.md 2.4).
func posRules() []rule {
	money := []int{3, 4, 11, 22, 25, 41, 42, 49, 60}
	and := func(more ...int) []int { return append(slices.Clone(money), more...) }
	management := []int{41, 42, 60}
	const purchase, credit, hold = "000000", "200000", "030000"
	return []rule{
		{name: "balance inquiry", mti: 0x0200, kinds: []string{"01"}, code: "310000",
			condition: "00",
			needs:     []int{3, 11, 22, 25, 41, 42, 49, 60}, card: true},
		{name: "purchase", mti: 0x0200, kinds: []string{"22"}, code: purchase, condition: "00",
			needs: money, card: true},
		{name: "purchase void", mti: 0x0200, kinds: []string{"23"}, code: credit, condition: "00",
			needs: and(37, 61), card: true},
		{name: "refund", mti: 0x0220, kinds: []string{"25"}, code: credit, condition: "00",
			needs: and(37, 61), card: true},
		{name: "pre-authorization", mti: 0x0100, kinds: []string{"10"}, code: hold, condition: "06",
			needs: money, card: true},
		{name: "pre-authorization void", mti: 0x0100, kinds: []string{"11"}, code: credit,
			condition: "06", needs: and(38, 61), card: true},
		{name: "completion", mti: 0x0200, kinds: []string{"20"}, code: purchase, condition: "06",
			needs: and(38, 61), card: true},
		{name: "completion void", mti: 0x0200, kinds: []string{"21"}, code: credit, condition: "06",
			needs: and(61), card: true},
		{name: "completion advice", mti: 0x0220, kinds: []string{"24"}, code: purchase,
			condition: "06", needs: and(38, 61), card: true},
		{name: "offline sale", mti: 0x0220, kinds: []string{"30"}, code: purchase, condition: "00",
			needs: money, card: true},
		{name: "offline adjustment", mti: 0x0220, kinds: []string{"32"}, code: purchase,
			condition: "00",
			needs:     money, card: true},
		{name: "tip", mti: 0x0220, kinds: []string{"34"}, code: purchase, condition: "00",
			needs: money, card: true},
		{name: "e-purse load, designated account", mti: 0x0200, kinds: []string{"45"},
			code:      "600000",
			condition: "91", needs: money, card: true},
		{name: "e-purse load, other account", mti: 0x0200, kinds: []string{"47"}, code: "620000",
			condition: "91", needs: money, card: true},
		{name: "e-purse load, cash", mti: 0x0200, kinds: []string{"46"}, code: "630000",
			condition: "91", needs: money, card: true},
		{name: "reversal", mti: 0x0400, needs: []int{3, 4, 11, 25, 39, 41, 42, 49, 60, 61},
			card:     true,
			original: true},
		{name: "settlement", mti: 0x0500, kinds: []string{"00"}, network: []string{"201"},
			needs: []int{11, 41, 42, 48, 60, 63}},
		{name: "end of the batch upload", mti: 0x0320, kinds: []string{"00"},
			network: []string{"207", "202"}, needs: []int{11, 41, 42, 60}},
		{name: "batch upload", mti: 0x0320, network: []string{"201", "203", "204", "205", "206"},
			needs: []int{11, 41, 42, 60}},
		{name: "script result", mti: 0x0620, network: []string{"951"},
			needs: []int{11, 41, 42, 55, 60}},
		{name: "sign-on", mti: 0x0800, kinds: []string{"00"},
			network: []string{"001", "003", "004", "005", "011"}, needs: []int{11, 41, 42, 60}},
		{name: "parameter download", mti: 0x0800, kinds: []string{"00"},
			network: []string{"360", "361", "364", "365", "394", "395"}, needs: management},
		{name: "key or application download", mti: 0x0800, kinds: []string{"00"},
			network: []string{"370", "371", "380", "381"}, needs: management},
		{name: "black list", mti: 0x0800, kinds: []string{"00"}, network: []string{"390", "391",
			"570"},
			needs: management},
		{name: "sign-off", mti: 0x0820, kinds: []string{"00"}, network: []string{"002"},
			needs: []int{11, 41, 42, 60}},
		{name: "echo", mti: 0x0820, kinds: []string{"00"}, network: []string{"301"},
			needs: management},
		{name: "key or application list", mti: 0x0820, kinds: []string{"00"},
			network: []string{"372", "382"}, needs: management},
		{name: "electronic signature", mti: 0x0820, kinds: []string{"07"}, network: []string{"800"},
			needs: management},
		{name: "electronic signature", mti: 0x0920, kinds: []string{"00", "07"}, needs: management},
	}
}

// requestType returns the type of the request that m is or answers.
func requestType(m *message.Message) message.MTI {
	t := m.MTI().First()
	if t.IsResponse() {
		t -= 0x10
	}
	return t
}

// privateOf returns field 60 of a terminal's message; empty parts where it has none.
func privateOf(m *message.Message) message.Private {
	digits, _ := m.Digits(60)
	p, err := message.ParsePrivate(digits)
	if err != nil {
		return message.Private{}
	}
	return p
}

// posRuleOf finds the kind of a terminal's message. Where there is none, why says what is
// wrong.
func posRuleOf(m *message.Message) (r *rule, why *Finding) {
	t, p := requestType(m), privateOf(m)
	rules := posRules()
	of := func(ok func(*rule) bool) []rule {
		return slices.DeleteFunc(slices.Clone(rules), func(r rule) bool { return !ok(&r) })
	}
	rules = of(func(r *rule) bool { return r.mti == t })
	if len(rules) == 0 {
		return nil, &Finding{Field: 0, Rule: "combination",
			Text: "terminals send no message of this type"}
	}
	for _, step := range []struct {
		field int
		part  string
		ok    func(*rule) bool
	}{
		{60, "60.1", func(r *rule) bool {
			return r.kinds == nil || slices.Contains(r.kinds,
				p.Type)
		}},
		{60, "60.3", func(r *rule) bool {
			return r.network == nil || slices.Contains(r.network, p.Network)
		}},
		{3, "processing code", func(r *rule) bool {
			return r.code == "" || !m.Has(3) || r.code == m.ProcessingCode()
		}},
		{25, "condition code", func(r *rule) bool {
			text, ok := m.Text(25)
			return r.condition == "" || !ok || r.condition == text
		}},
	} {
		left := of(step.ok)
		if len(left) == 0 {
			return nil, &Finding{Field: step.field, Rule: "combination",
				Text: fmt.Sprintf("no %v has this %s", ruleNames(rules), step.part)}
		}
		rules = left
	}
	r = &rules[0]
	if r.original && !reversible(m, p.Type) {
		return r, &Finding{Field: 3, Rule: "combination",
			Text: "3, 25 and 60.1 are together those of no transaction that can be reversed"}
	}
	return r, nil
}

// reversible reports whether 3, 25 and 60.1 are those of a transaction of the table.
func reversible(m *message.Message, kind string) bool {
	condition, _ := m.Text(25)
	return slices.ContainsFunc(posRules(), func(r rule) bool {
		return (r.mti == 0x0100 || r.mti == 0x0200) && slices.Contains(r.kinds, kind) &&
			kind != "01" &&
			r.code == m.ProcessingCode() && r.condition == condition
	})
}

// ruleNames lists a few names of rules.
func ruleNames(rules []rule) string {
	if len(rules) > 3 {
		return "message of type " + rules[0].mti.String()
	}
	var names []string
	for _, r := range rules {
		names = append(names, r.name)
	}
	return strings.Join(names, " or ")
}

// posNeeds returns what a terminal's message has to have.
func posNeeds(m *message.Message, r *rule) []int {
	if !m.MTI().IsResponse() {
		return r.needs
	}
	needs := []int{39, 41, 42, 60}
	switch requestType(m).Class() {
	case message.Authorization, message.Financial, message.Reversal:
		needs = append(needs, 3, 11, 12, 13)
		if slices.Contains(r.needs, 4) {
			needs = append(needs, 4)
		}
		if m.ResponseCode() == "00" {
			needs = append(needs, 37)
		}
	case message.Reconciliation:
		needs = append(needs, 11, 48)
	}
	return needs
}

// bankNeeds returns what a message between banks has to have: what the switch sends, and
// what it matches answers by (DOMAIN.md 2.3).
func bankNeeds(m *message.Message) []int {
	t := requestType(m)
	answer := m.MTI().IsResponse()
	switch t.Class() {
	case message.Authorization, message.Financial, message.Reversal:
	case message.Network:
		if answer {
			return []int{7, 11, 39, 70}
		}
		return []int{7, 11, 70}
	default:
		return []int{7, 11}
	}
	needs := []int{3, 7, 11}
	cups := m.Spec().Dialect() == message.CUPS
	if code := m.ProcessingCode(); !strings.HasPrefix(code, "30") && !strings.HasPrefix(code,
		"31") {
		needs = append(needs, 4)
	}
	switch {
	case answer:
		needs = append(needs, 39)
	case cups && t.Class() == message.Reversal:
		needs = append(needs, 2, 32, 33, 37, 41, 42, 49)
	case cups:
		needs = append(needs, 2, 12, 13, 18, 22, 25, 32, 33, 37, 41, 42, 49)
	default:
		needs = append(needs, 41, 49)
	}
	if t.Class() == message.Reversal && !answer {
		needs = append(needs, 90)
	}
	return needs
}
