package citydemo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Text is a line in both languages.
type Text struct {
	EN string `json:"en"`
	ZH string `json:"zh"`
}

// in returns the line in a language.
func (t Text) in(lang string) string {
	if lang == "zh" {
		return t.ZH
	}
	return t.EN
}

// Report is a card's life as it was played. Amounts are fen.
type Report struct {
	City string `json:"city"`
	Name Text   `json:"name"`
	// Held says that every check does.
	Held      bool       `json:"held"`
	Timeline  []Event    `json:"timeline"`
	Clocks    []Clock    `json:"clocks"`
	Coverage  []Coverage `json:"coverage"`
	Liability []Borne    `json:"liability"`
	Fees      []Fee      `json:"fees"`
	Successor Successor  `json:"successor"`
	Receipt   Receipt    `json:"receipt"`
	Purses    Purses     `json:"purses"`
	Bank      Bank       `json:"bank"`
	// AfterReport counts what was asked on line between the report and its end.
	AfterReport After `json:"after_report"`
	// Clauses are those of the city's text that the story shows, Rules says where the text is
	// silent and the switch has a rule of its own.
	Clauses []string `json:"clauses"`
	Checks  []Check  `json:"checks"`
}

// Event is a line of the time line. Clause is "" for a product rule.
type Event struct {
	At     time.Time `json:"at"`
	Who    Text      `json:"who"`
	What   Text      `json:"what"`
	Clause string    `json:"clause,omitempty"`
}

// Clock is a party's clock of a notice; zero instants have not come.
type Clock struct {
	Kind      string    `json:"kind"` // freeze or release
	Party     string    `json:"party"`
	Title     Text      `json:"title"`
	Sent      time.Time `json:"sent,omitzero"`
	Received  time.Time `json:"received,omitzero"`
	Effective time.Time `json:"effective,omitzero"`
	Deadline  time.Time `json:"deadline,omitzero"`
	Late      bool      `json:"late"`
	// Way is how receipt is known: call_back, or a person.
	By string `json:"by,omitempty"`
}

// Coverage is how many gates refused the card at a moment.
type Coverage struct {
	At      time.Time `json:"at"`
	What    Text      `json:"what"`
	Covered int       `json:"covered"`
	Total   int       `json:"total"`
}

// Borne is a transaction after the report with who bears it.
type Borne struct {
	Record   string           `json:"record"`
	Served   time.Time        `json:"served"`
	Uploaded time.Time        `json:"uploaded"`
	Offline  bool             `json:"offline"`
	Amount   int64            `json:"amount"`
	Boundary time.Time        `json:"boundary,omitzero"`
	Bears    string           `json:"bears"`
	Party    string           `json:"party,omitempty"`
	Why      string           `json:"why"`
	Clause   string           `json:"clause,omitempty"`
	Booked   map[string]int64 `json:"booked"`
}

// Fee is a fee of the tariff.
type Fee struct {
	Event  string `json:"event"`
	Amount int64  `json:"amount"`
	State  string `json:"state"`
	Why    string `json:"why,omitempty"`
}

// Successor is what the last card got from the one before.
type Successor struct {
	From    string `json:"from"` // last four digits
	To      string `json:"to"`
	Balance int64  `json:"balance"`
}

// Receipt is the signed freeze receipt, verified with the agency's public key.
type Receipt struct {
	Number   string    `json:"number"`
	Verified bool      `json:"verified"`
	Received time.Time `json:"received"`
	Rule     string    `json:"boundary_rule"`
	Boundary time.Time `json:"boundary"`
	Parties  int       `json:"parties"`
	// Forged says that a receipt with one byte changed is refused.
	Forged bool `json:"forgery_refused"`
}

// Purses says where the money of the purses came from and went: Loaded + Credited = Spent +
// PaidOut + Left.
type Purses struct {
	Loaded   int64 `json:"loaded"`
	Credited int64 `json:"credited"` // losses and claims that others bear
	Spent    int64 `json:"spent"`
	PaidOut  int64 `json:"paid_out"`
	Left     int64 `json:"left"`
}

// Bank is what the bank's own book says at the end, against what was approved.
type Bank struct {
	Approved int64 `json:"approved"`
	Posted   int64 `json:"posted"`
	Reversed int64 `json:"reversed"`
}

// After counts requests on line while the loss was in force.
type After struct {
	Asked    int `json:"asked"`
	Approved int `json:"approved"`
}

// Check is a claim of the story, held against what the switch said.
type Check struct {
	What   Text   `json:"what"`
	Held   bool   `json:"held"`
	Detail string `json:"detail,omitempty"`
	Clause string `json:"clause,omitempty"`
}

// Err names the first duty that does not hold; nil when all do.
func (r *Report) Err() error {
	for _, c := range r.Checks {
		if !c.Held {
			return fmt.Errorf("demo: %s: a duty does not hold: %s (%s) %s", r.City, c.What.EN,
				c.Clause, c.Detail)
		}
	}
	return nil
}

// page writes a report in one language.
type page struct {
	w    io.Writer
	lang string
	err  error
}

func (p *page) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *page) pick(en, zh string) string { return Text{en, zh}.in(p.lang) }

// width is how many columns a text takes on a screen: Chinese characters take two.
func width(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xff60 || r >= 0xffe0 &&
			r <= 0xffe6) {
			n++
		}
	}
	return n
}

// table writes rows in aligned columns; the last column is not padded.
func (p *page) table(rows [][]string) {
	widths := []int{}
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(cell))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString("  " + cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-width(cell)))
			}
		}
		p.line("%s", strings.TrimRight(b.String(), " "))
	}
}

// Write prints the report in a language, en or zh.
func (r *Report) Write(w io.Writer, lang string) error {
	p := &page{w: w, lang: lang}
	p.line("%s", p.pick(r.Name.EN+": the life of one card, played on a running switch",
		r.Name.ZH+":一张卡的一生(在运行中的交换系统上演示)"))
	r.writeTimeline(p)
	r.writeClocks(p)
	r.writeLiability(p)
	r.writeMoney(p)
	held := 0
	for _, c := range r.Checks {
		if c.Held {
			held++
		} else {
			p.line("%s %s [%s] %s", p.pick("DOES NOT HOLD:", "不成立:"), c.What.in(lang), c.Clause,
				c.Detail)
		}
	}
	p.line("%s", p.pick(fmt.Sprintf("Clauses shown: %s", strings.Join(r.Clauses, " ")),
		fmt.Sprintf("涉及条款:%s", strings.Join(r.Clauses, " "))))
	p.line("%s",
		p.pick(fmt.Sprintf("%d of %d claims of this story were checked against the switch and hold. "+
			"\"-\": the text is silent, a product rule.", held, len(r.Checks)),
			fmt.Sprintf("本演示的%d项结论中%d项经核对成立。“-”表示条文未规定,为产品规则。", len(r.Checks), held)))
	return p.err
}

func (r *Report) writeTimeline(p *page) {
	p.line("\n%s", p.pick("TIME LINE", "时间线"))
	var rows [][]string
	last := ""
	for _, e := range r.Timeline {
		date := e.At.Format("01-02")
		shown := date
		if date == last {
			shown = ""
		}
		last = date
		rows = append(rows, []string{shown, e.At.Format("15:04"), e.Who.in(p.lang),
			clauseOr(e.Clause), e.What.in(p.lang)})
	}
	p.table(rows)
}

func clauseOr(c string) string {
	if c == "" {
		return "-"
	}
	return c
}

func clockText(t time.Time, day string) string {
	switch {
	case t.IsZero():
		return "-"
	case t.Format("01-02") == day:
		return t.Format("15:04")
	default:
		return t.Format("01-02 15:04")
	}
}

func (r *Report) writeClocks(p *page) {
	if len(r.Clocks) == 0 {
		return
	}
	day := r.Clocks[0].Sent.Format("01-02")
	p.line("\n%s", p.pick("THE PARTIES' CLOCKS, notices of "+day, "各单位时限("+day+"的通知)"))
	rows := [][]string{{p.pick("notice", "通知"), p.pick("party", "单位"), p.pick("sent", "发出"),
		p.pick("received", "接到"),
		p.pick("effective", "生效"), p.pick("deadline", "期限"), ""}}
	for _, c := range r.Clocks {
		late := p.pick("in time", "按时")
		if c.Late {
			late = p.pick("LATE", "逾期")
		}
		if c.By != "" {
			late += p.pick(", told by telephone", ",电话确认")
		}
		kind := map[string]string{"freeze": p.pick("freeze", "冻结"), "release": p.pick("release",
			"解挂")}[c.Kind]
		rows = append(rows, []string{kind, c.Title.in(p.lang), clockText(c.Sent, day),
			clockText(c.Received, day),
			clockText(c.Effective, day), clockText(c.Deadline, day), late})
	}
	p.table(rows)
	var parts []string
	for _, c := range r.Coverage {
		parts = append(parts, fmt.Sprintf("%s %s %d/%d", c.At.Format("15:04"), c.What.in(p.lang),
			c.Covered, c.Total))
	}
	p.line("  %s %s", p.pick("gates that refuse the card:", "拒绝该卡的闸机:"), strings.Join(parts, "; "))
}

// whys are the reasons of a verdict for people.
func whys() map[string]Text {
	return map[string]Text{
		"served_before_the_boundary": {"served before the boundary", "界线前发生"},
		"boundary_not_reached":       {"the boundary had not come", "界线尚未到来"},
		"party_was_late":             {"the party was late", "该单位逾期"},
		"party_was_in_time":          {"the party was within its time", "该单位仍在时限内"},
		"party_was_not_told":         {"the party was not told", "该单位未接通知"},
		"no_contract_clause":         {"no contract clause", "合同无约定"},
		"rule_of_the_scheme":         {"rule of the scheme", "按方案规则"},
	}
}

func bearers() map[string]Text {
	return map[string]Text{"holder": {"holder", "持卡人"}, "agency": {"card agency", "发卡机构"},
		"operator": {"transit operator", "公交企业"}, "issuer": {"bank", "银行"}, "acquirer": {"acquirer",
			"收单单位"}}
}

func (r *Report) writeLiability(p *page) {
	p.line("\n%s",
		p.pick("WHO BEARS WHAT WAS SERVED AFTER THE REPORT (by service time, not upload)",
			"挂失后发生交易由谁承担(按服务时间,不按上传时间)"))
	rows := [][]string{{p.pick("served", "发生"), p.pick("uploaded", "上传"), p.pick("yuan", "金额"),
		p.pick("boundary", "界线"),
		p.pick("borne by", "承担"), p.pick("why", "原因"), p.pick("booked", "入账"), p.pick("under",
			"依据")}}
	for _, b := range r.Liability {
		day := b.Served.Format("01-02")
		booked := "-"
		for account, fen := range b.Booked {
			booked = fmt.Sprintf("%s %s", account, yuan(fen))
		}
		why := whys()[b.Why].in(p.lang)
		rows = append(rows, []string{b.Served.Format("01-02 15:04"), clockText(b.Uploaded, day),
			yuan(b.Amount),
			clockText(b.Boundary, day), bearers()[b.Bears].in(p.lang), why, booked,
			clauseOr(b.Clause)})
	}
	p.table(rows)
	p.line("  %s", p.pick(fmt.Sprintf("on line after the report: %d asked, %d approved",
		r.AfterReport.Asked, r.AfterReport.Approved),
		fmt.Sprintf("挂失后联机请求%d笔,批准%d笔", r.AfterReport.Asked, r.AfterReport.Approved)))
}

func (r *Report) writeMoney(p *page) {
	p.line("\n%s", p.pick("MONEY AND PROOF", "资金与凭证"))
	var fees []string
	for _, f := range r.Fees {
		line := fmt.Sprintf("%s %s %s", p.word(f.Event), yuan(f.Amount), p.word(f.State))
		if f.Why != "" {
			line += " (" + p.word(f.Why) + ")"
		}
		fees = append(fees, line)
	}
	if len(fees) == 0 {
		fees = []string{p.pick("none", "无")}
	}
	p.table([][]string{
		{p.pick("fees", "费用"), strings.Join(fees, "; ")},
		{p.pick("successor", "新卡"), p.pick(fmt.Sprintf("****%s got %s yuan of ****%s",
			r.Successor.To,
			yuan(r.Successor.Balance), r.Successor.From), fmt.Sprintf("****%s 承接 ****%s 的余额 %s 元",
			r.Successor.To,
			r.Successor.From, yuan(r.Successor.Balance)))},
		{p.pick("purses", "钱包"),
			p.pick(fmt.Sprintf("loaded %s + credited %s = spent %s + paid out %s + left %s",
				yuan(r.Purses.Loaded), yuan(r.Purses.Credited), yuan(r.Purses.Spent),
				yuan(r.Purses.PaidOut), yuan(r.Purses.Left)),
				fmt.Sprintf("充值%s + 赔付%s = 消费%s + 退还%s + 余额%s", yuan(r.Purses.Loaded),
					yuan(r.Purses.Credited),
					yuan(r.Purses.Spent), yuan(r.Purses.PaidOut), yuan(r.Purses.Left)))},
		{p.pick("bank", "银行"),
			p.pick(fmt.Sprintf("approved %s, the bank's book has %s; %d taken back during the freeze",
				yuan(r.Bank.Approved), yuan(r.Bank.Posted), r.Bank.Reversed),
				fmt.Sprintf("批准%s,银行账面%s;冻结期间冲正%d笔",
					yuan(r.Bank.Approved), yuan(r.Bank.Posted), r.Bank.Reversed))},
		{p.pick("receipt", "凭证"),
			p.pick(fmt.Sprintf("%s, signature verified, boundary %s, first reached %s; a forged one is refused",
				r.Receipt.Number, p.word(r.Receipt.Rule), r.Receipt.Boundary.Format("01-02 15:04")),
				fmt.Sprintf("%s,签名已验证,界线%s,最早%s;伪造的被拒", r.Receipt.Number, p.word(r.Receipt.Rule),
					r.Receipt.Boundary.Format("01-02 15:04")))},
	})
}

// word is a stable word of the switch for people.
func (p *page) word(s string) string {
	known := map[string]Text{"first_issue": {"first card", "首次申领"}, "renewal": {"renewal", "换领"},
		"replacement": {"replacement", "补领"}, "paid": {"paid", "已缴"}, "waived": {"waived", "已免"},
		"due": {"due", "未缴"}, "hardship": {"hardship", "困难减免"}, "agency_error": {"agency's error",
			"机构差错"},
		"report_accepted": {"report accepted", "受理挂失时"}, "report_effective": {"report in effect",
			"挂失生效时"},
		"freeze_due": {"freeze made or due", "冻结或应冻结时"}, "freeze_actual": {"freeze made", "实际冻结时"}}
	if t, ok := known[s]; ok {
		return t.in(p.lang)
	}
	return s
}

// yuan writes fen as yuan.
func yuan(fen int64) string {
	sign := ""
	if fen < 0 {
		sign, fen = "-", -fen
	}
	return fmt.Sprintf("%s%d.%02d", sign, fen/100, fen%100)
}

// lastOf returns the last n characters of a text.
func lastOf(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[len(r)-n:])
}

// sortClauses sorts HD7 before HD18.
func sortClauses(all []string) []string {
	slices.SortFunc(all, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(all)
}
