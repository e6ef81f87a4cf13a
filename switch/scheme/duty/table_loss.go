package duty

// loss: loss, freeze, release.
var loss = []Duty{
	{
		ID:      "HD18-loss-report",
		Clauses: []string{"HD18", "ZS17", "WZ16"},
		EN:      "A loss report is taken from whom, where and how the scheme says",
		ZH:      "挂失由规定的人在规定的地点以规定的方式办理",
		How: "the report keeps actor, authority, ID kind, channel, outlet, form and the times " +
			"received and accepted; who, where and how is the policy of the city",
		Test: "switch/account.TestDuty_HD18_LossReportKeepsItsFacts",
	},
	{
		ID:      "HD19-freeze-window",
		Clauses: []string{"HD19", "HD7"},
		EN: "On acceptance every related department is notified at once and freezes within " +
			"two hours of receipt",
		ZH: "受理挂失后立即通知各相关部门,各部门接到通知后2小时内冻结",
		How: "one call freezes the card and notifies every party of the policy; acceptance, " +
			"sending, receipt and effect are kept per party, the clock starts at receipt, " +
			"alarms at 30, 60 and 90 minutes, late parties are named; a party whose address " +
			"nobody gave is told by a person, and the doctor names it",
		Test: "switch/desk/api.TestDuty_HD19_FreezeWithinTwoHoursOfReceipt",
	},
	{
		ID:      "HD20-release-notice",
		Clauses: []string{"HD20", "ZS18"},
		EN: "The holder in person may have the freeze lifted; parties are notified at once " +
			"and release in time",
		ZH: "持卡人本人可办理解挂,立即通知各部门并按时解冻",
		How: "a release names the holder and the ID kind, a second person confirms, the wait " +
			"is part of the measured time, and the same clock runs the other way",
		Test: "switch/desk.TestDuty_HD20_ReleaseTakesTwoPersonsAndNotifies",
	},
	{
		ID:      "HD20-release-closes",
		Clauses: []string{"HD20"},
		EN:      "A release is closed once the procedure of a replacement is done",
		ZH:      "办结补卡手续前可解挂,其后不得解挂",
		How: "release_closes done by policy; then the card is terminal and no call, " +
			"import or lag undoes it, nor a restored copy that is started with its ledger at hand",
		Test: "switch/account.TestDuty_HD20_ReleaseClosesWhenTheReplacementIsDone",
	},
	{
		ID:      "ZS18-release-closes",
		Clauses: []string{"ZS18"},
		EN:      "A release is closed from the application for a replacement",
		ZH:      "申请补领新卡前可解挂,其后不得解挂",
		How:     "release_closes applied by policy; then as above",
		Test:    "switch/account.TestDuty_ZS18_ReleaseClosesWhenAppliedFor",
	},
	{
		ID:      "HD18-bank-report",
		Clauses: []string{"HD18", "HD19", "HD7", "SY5"},
		EN: "The holder of an opened bank function also reports to the bank; the notice " +
			"reaches the bank as well",
		ZH: "开通金融功能的持卡人另向银行挂失,银行同受通知",
		How: "the desk tells the holder and records that it did; the bank is a party on the " +
			"same clock, over its issuer link where one is registered and else by a person",
		Test: "switch/account.TestDuty_HD18_HolderIsToldToCallTheBank",
	},
	{
		ID:      "HD19-liability-boundary",
		Clauses: []string{"HD18", "HD19"},
		EN:      "Losses are the holder's when they occurred before the boundary of the text",
		ZH:      "挂失生效前的损失由持卡人承担",
		How: "a boundary per scheme out of four, judged by service time; what comes after is " +
			"booked to the late party where its contract clause is named",
		Test: "switch/liability.TestDuty_HD19_BoundaryIsTheEarlierOfFreezeAndTwoHours",
	},
	{
		ID:      "ZS17-liability-boundary",
		Clauses: []string{"ZS17", "WZ17"},
		EN:      "Losses are the holder's when they occurred before the report took effect",
		ZH:      "挂失办结前的损失由持卡人承担",
		How:     "the boundary is the report, judged by service time",
		Test:    "switch/liability.TestDuty_ZS17_WZ17_BoundaryIsTheReport",
	},
	{
		ID:      "ZS17-pre-report",
		Clauses: []string{"ZS17"},
		EN: "A report by telephone is taken where writing is impossible; the written one must " +
			"follow",
		ZH: "不能书面挂失的可电话预挂失,并须补办书面挂失",
		How: "a provisional freeze with its reason, listed until the written report comes; it " +
			"stays by default",
		Test: "switch/account.TestDuty_ZS17_PreReportFreezesUntilTheWrittenReport",
	},
	{
		ID:      "SY17-social-suspension",
		Clauses: []string{"SY17"},
		EN: "The social-security application alone is suspended by its department after " +
			"lending or renting for gain",
		ZH: "为牟利出借出租的,由人社部门暂停社会保障应用",
		How: "a freeze of one application, allowed to that authority's role only, with " +
			"decision number; the other applications stay open; the same role restores",
		Test: "switch/account.TestDuty_SY17_SuspensionOfTheSocialApplicationOnly",
	},
	{
		ID:      "HD30-holder-finding",
		Clauses: []string{"HD30", "ZS13", "WZ17", "SY12"},
		EN:      "Losses from lending, renting, handing over or careless keeping are the holder's",
		ZH:      "出借、出租、转让、保管不善造成的损失由持卡人承担",
		How: "a finding with ground, evidence, author and second person moves a disputed " +
			"transaction; it is undone by a new entry",
		Test: "switch/desk.TestDuty_HD18_HD30_LiabilityByServiceTime",
	},
	{
		ID:      "SY15-compensation",
		Clauses: []string{"SY15"},
		EN:      "Whoever of the departments and the agency causes a loss compensates it",
		ZH:      "有关部门和受托机构造成损失的应当赔偿",
		How: "a claim against named transactions; what is approved is a balanced posting from " +
			"the liable party's loss account to the holder",
		Test: "switch/account.TestDuty_SY15_ClaimIsPaidByTheLiableParty",
	},
}
