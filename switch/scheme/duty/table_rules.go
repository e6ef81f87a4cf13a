package duty

// rules: product rules: no text asks for them, so they bear no clause.
var rules = []Duty{
	{
		ID:   "rule-dead-number",
		EN:   "The number of a replaced or cancelled card is dead for ever",
		ZH:   "已补换或注销的卡号永不复用",
		How:  "a terminal mark that no call, import, restore or lag of a replica undoes",
		Test: "switch/desk.TestDuty_HD21_ReplacementMovesEverythingAndKillsTheNumber",
	},
	{
		ID:   "rule-moves-on",
		EN:   "Balance and open journeys move to the successor",
		ZH:   "余额和未完行程转入新卡",
		How:  "a transfer that is booked once, from the old card by way of money in transit",
		Test: "switch/desk.TestDuty_HD21_ReplacementMovesEverythingAndKillsTheNumber",
	},
	{
		ID:   "rule-one-freeze",
		EN:   "One freeze reaches every carrier of the account",
		ZH:   "一次冻结及于账户的全部载体",
		How:  "one list of marks, one sync, before the call is answered",
		Test: "switch/desk.TestDuty_HD19_OneReportFreezesEveryCarrierAtOnce",
	},
	{
		ID:   "rule-refund-reversal",
		EN:   "Purchases can be refunded and requests reversed",
		ZH:   "可退款、可冲正",
		How:  "each once and never more than was taken, by records that name the original",
		Test: "switch/engine.TestDuty_RefundsAndReversals",
	},
	{
		ID:   "rule-balance-refund",
		EN:   "The balance of a cancelled card is paid out",
		ZH:   "注销时退还余额",
		How:  "a balanced posting to the holder when the cancellation is done",
		Test: "switch/desk.TestDuty_HD24_CancellationSettlesAndPaysOut",
	},
	{
		ID:   "rule-second-person",
		EN:   "A release takes two persons",
		ZH:   "解挂须两人",
		How:  "one person asks, another confirms, and nobody can be both",
		Test: "switch/gate.TestDuty_ReleaseTakesTwoPersons",
	},
}

// outside: outside the switch.
var outside = []Duty{
	{
		ID:      "HD22-printing",
		Clauses: []string{"HD16", "HD22"},
		EN:      "Cards are printed",
		ZH:      "制卡",
		How:     "the case keeps when data was sent and when the card came",
		Outside: "printing is done by the card factory; the switch keeps the dates and lists what " +
			"is overdue",
	},
	{
		ID:      "HD31-penalties",
		Clauses: []string{"HD31", "ZS22", "ZS23", "WZ21", "WZ22", "SY16", "SY17", "ZZ18"},
		EN:      "Violations are fined and prosecuted",
		ZH:      "处罚和追究责任",
		How:     "sealed evidence on request",
		Outside: "fines and prosecution are for the responsible bodies; the switch supplies " +
			"evidence",
	},
	{
		ID:      "SY14-publicity",
		Clauses: []string{"SY14", "ZZ15"},
		EN:      "The public is informed",
		ZH:      "宣传",
		How:     "the published list of services",
		Outside: "publicity is work of people",
	},
	{
		ID:      "HD5-eligibility",
		Clauses: []string{"HD5", "ZS4", "WZ13", "SY6", "ZZ6"},
		EN:      "Who may apply",
		ZH:      "申领对象",
		How:     "an application records that it was checked",
		Outside: "who may apply is decided by the agency, which checks papers; the switch keeps " +
			"the result",
	},
}
