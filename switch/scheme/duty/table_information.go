package duty

// information: information and security.
var information = []Duty{
	{
		ID:      "HD26-holder-query",
		Clauses: []string{"HD26", "ZS11", "WZ10"},
		EN:      "The holder can see the card's own records with the card or another ID",
		ZH:      "持卡人可凭卡或其他证件查询",
		How: "state, balance, transactions and why something was declined, to who shows " +
			"the card or a paper",
		Test: "switch/desk/api.TestDuty_HD26_TheHolderSeesHisOwnRecords",
	},
	{
		ID:      "HD9-data-supply",
		Clauses: []string{"HD9", "ZS7", "ZZ11"},
		EN:      "Departments supply data timely, accurately, completely and free of charge",
		ZH:      "各部门及时、准确、完整、无偿提供信息",
		How: "signed batches of deaths, residence, names and eligibility, each line a " +
			"command or a reject with its reason; lag, gaps, rejects and completeness per " +
			"supplier; nothing of it costs a fee",
		Test: "switch/desk/share.TestDuty_HD9_DepartmentsSupplyData",
	},
	{
		ID:      "HD32-purpose",
		Clauses: []string{"HD32", "ZS7", "ZS8", "WZ9", "SY10", "SY11", "ZZ13"},
		EN: "Data is used for its purpose only; another use needs consent, a unit needs " +
			"approval and an agreement",
		ZH: "信息限于规定用途,另用须经同意,单位须经批准并签订保密协议",
		How: "a unit needs approval, agreement with an end date, purposes and fields, and " +
			"is told nothing else; each access is a settled record first; consent has " +
			"scope and withdrawal and is asked for every person in an export",
		Test: "switch/desk/share.TestDuty_ZS8_NoDataWithoutAnAgreement",
	},
	{
		ID:      "SY8-exchange-platform",
		Clauses: []string{"SY8", "ZZ11", "WZ5"},
		EN:      "Data is shared in real time through the city's exchange platform",
		ZH:      "通过统一交换平台实时共享",
		How: "topics by configuration carry suppliers' batches in and minimised records " +
			"out; the lag of each topic is measured",
		Test: "switch/desk/share.TestDuty_SY8_ThroughTheExchangePlatform",
	},
	{
		ID:      "SY10-incidents",
		Clauses: []string{"SY10", "ZZ12"},
		EN:      "Incidents are planned for and handled",
		ZH:      "制定应急预案并处置",
		How: "runbooks for a lost store, a stale list, a breach, a wrong tariff and an absent bank, " +
			"each with a drill whose steps, people and findings are settled records; overdue " +
			"drills are listed and named by the doctor; alarms have a runbook each",
		Test: "switch/desk/drill.TestDuty_SY10_DrillsLeaveARecord",
	},
	{
		ID:      "SY11-funds",
		Clauses: []string{"SY11", "ZZ12"},
		EN:      "The holders' funds are safe, and so is the network",
		ZH:      "保障资金安全和网络安全",
		How: "a daily proof that what purses are owed equals the money at the bank; breaks are " +
			"alarmed; access is audited",
		Test: "ledger/settle/day.TestDuty_SY11_PurseLiabilityEqualsTheMoneyAtTheBank",
	},
	{
		ID:      "SY11-supervision",
		Clauses: []string{"SY11", "ZZ12", "ZZ5", "ZS5"},
		EN:      "Agency and outlets are supervised and assessed",
		ZH:      "对机构和网点监督考核",
		How: "a supervisor's role that changes nothing, and figures per outlet of open and " +
			"overdue cases by kind, complaints among them; this register is the evidence",
		Test: "switch/desk/api.TestDuty_SY11_TheSupervisorSeesAndChangesNothing",
	},
	{
		ID:      "SY13-violations",
		Clauses: []string{"SY13", "ZZ14", "HD31", "ZS23", "WZ21", "SY12", "SY17"},
		EN:      "Holders' violations go to the trust file by the responsible bodies",
		ZH:      "持卡人违规由有关部门记入信用记录",
		How: "evidence is sealed in a chain of hashes and signed; a person files it with " +
			"the responsible body; what was done with a card after its loss was reported " +
			"cannot be filed against the holder",
		Test: "switch/desk/finding.TestDuty_SY13_EvidenceIsSealedAndFiledByAPerson",
	},
	{
		ID:      "SY14-complaints",
		Clauses: []string{"SY14", "ZZ16", "HD29"},
		EN:      "Complaints are handled promptly and their outcome is told",
		ZH:      "投诉及时处理并反馈结果",
		How: "a complaint linked to transactions, with owner, age, outcome and proof of reply; " +
			"one stored record explains a decline",
		Test: "switch/account.TestDuty_SY14_ComplaintOutcomeIsFedBackWithProof",
	},
	{
		ID:      "ZZ7-service-list",
		Clauses: []string{"ZZ7", "SY9", "ZS14"},
		EN:      "Services are published with conditions, steps and time limits",
		ZH:      "公布服务事项清单、条件、流程和时限",
		How: "a public list made from the catalogue of applications and services, with a " +
			"version that is a hash of its content",
		Test: "switch/desk/api.TestDuty_ZZ7_SY9_ThePublishedListOfServices",
	},
	{
		ID:      "ZZ13-personal-information",
		Clauses: []string{"ZZ13", "SY10"},
		EN:      "The Personal Information Protection Law holds",
		ZH:      "遵守个人信息保护法",
		How: "a copy of all that is kept, corrections by their owner, erasure after the " +
			"account's end and the scheme's periods with a dry run; dead card numbers " +
			"stay as tokens; a runbook for breaches",
		Test: "switch/desk/share.TestDuty_ZZ13_RightsOfThePerson",
	},
}
