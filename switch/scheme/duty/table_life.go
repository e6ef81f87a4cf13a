package duty

// life: the life of a card.
var life = []Duty{
	{
		ID:      "HD13-renewal",
		Clauses: []string{"HD13", "ZS26"},
		EN: "A card is valid for ten years; renewal is applied for at least thirty days " +
			"before expiry",
		ZH: "卡有效期十年,届满前至少三十日申请换卡",
		How: "validity and lead per scheme; renewal open and renewal overdue are lists; an " +
			"expired card has a reason of its own",
		Test: "switch/desk/api.TestDuty_HD13_TenYearsThenRenewal",
	},
	{
		ID:      "HD22-legal-dates",
		Clauses: []string{"HD22", "SY16", "ZZ18"},
		EN: "Cards are made and refusals given in writing within the legal days, without " +
			"delay",
		ZH: "按法定期限制卡、书面答复,不得拖延",
		How: "each case keeps its times and its legal date on a calendar of working days that " +
			"is data; overdue cases are listed per outlet",
		Test: "switch/account.TestDuty_HD22_NewCardWithinFifteenWorkingDays",
	},
	{
		ID:      "HD16-production-data",
		Clauses: []string{"HD16"},
		EN:      "Production data is sent upward within thirty days of acceptance",
		ZH:      "受理之日起三十日内报送制卡数据",
		How:     "the case of a first application has that date, and is listed as overdue after it",
		Test:    "switch/account.TestDuty_HD16_ProductionDataIsDueThirtyDaysAfterAcceptance",
	},
	{
		ID:      "HD23-written-refusal",
		Clauses: []string{"HD23"},
		EN:      "A refusal is given in writing within five days of receipt, with its reasons",
		ZH:      "不予办理的,收到之日起五日内书面答复并说明理由",
		How:     "no refusal without facts, reasons and remedies; its date counts from receipt",
		Test:    "switch/account.TestDuty_HD23_RefusalInWritingWithinFiveDays",
	},
	{
		ID:      "HD17-renewal-grounds",
		Clauses: []string{"HD17", "ZS16", "WZ15"},
		EN:      "A card is renewed on the grounds of the text, some of which oblige the holder",
		ZH:      "按规定的事由换卡,部分事由应当换卡",
		How:     "grounds per scheme with their may or must; old and new card form a chain",
		Test:    "switch/account.TestDuty_HD17_RenewalGroundsArePolicy",
	},
	{
		ID:      "HD21-replacement-after-loss",
		Clauses: []string{"HD21", "ZS19"},
		EN:      "A replacement follows a loss report",
		ZH:      "挂失后方可补卡",
		How:     "a replacement is taken from the reported-lost state only",
		Test:    "switch/account.TestDuty_HD21_ReplacementOnlyAfterALossReport",
	},
	{
		ID:      "HD24-cancellation",
		Clauses: []string{"HD24", "ZS20", "WZ18"},
		EN:      "A card is cancelled by whom the text names after related affairs are settled",
		ZH:      "有关事务办结后由规定的人办理注销",
		How: "actors and the right ex officio per scheme; what is open is listed and must be " +
			"settled or waived",
		Test: "switch/desk/api.TestDuty_HD24_CancelledAfterItsAffairsAreSettled",
	},
	{
		ID:      "HD25-service-goes-on",
		Clauses: []string{"HD25"},
		EN:      "Services go on while a card is renewed or replaced",
		ZH:      "换卡、补卡期间服务不中断",
		How: "a temporary credential is bound to the account for the waiting time; an open " +
			"renewal keeps the service",
		Test: "switch/account.TestDuty_HD25_TemporaryCredentialWhileACardIsReplaced",
	},
	{
		ID:      "WZ11-functions",
		Clauses: []string{"WZ11", "ZS14", "HD10", "WZ12"},
		EN: "Functions are opened at the holder's wish, where the text says, step by step, " +
			"and published",
		ZH: "按持卡人意愿在规定网点开通功能,逐步开通并公布",
		How: "applications with channel, outlet and start date are data of the policy; the " +
			"published list follows them",
		Test: "switch/account.TestDuty_WZ11_FunctionsByChannelOutletAndDate",
	},
	{
		ID:      "ZZ19-bank-activation",
		Clauses: []string{"ZZ19"},
		EN:      "Financial functions work only after the bank account is activated",
		ZH:      "金融账户激活后方可使用金融功能",
		How: "a decline reason of its own, from the card's first day until the activation " +
			"is recorded",
		Test: "switch/account.TestDuty_ZZ19_BankFunctionOnlyAfterActivation",
	},
	{
		ID:      "HD33-number-families",
		Clauses: []string{"HD33", "ZS24", "WZ23", "SY7", "ZZ9"},
		EN: "Older cards and codes are drawn in; no overlapping families are added without a " +
			"basis",
		ZH: "整合原有卡和码,无依据不新增",
		How: "families side by side, each issued or accepted only, with an end; a new one " +
			"needs its recorded legal basis",
		Test: "switch/account.TestDuty_HD33_OldFamiliesAreDrawnIn",
	},
	{
		ID:      "HD28-fees",
		Clauses: []string{"HD28", "ZS21", "WZ19"},
		EN: "The first card is free, hardship is relieved, otherwise the approved tariff " +
			"holds",
		ZH: "首次办卡免费,困难减免,其余按核定标准收费",
		How: "fees from a versioned tariff with waivers and reasons; the income is posted and " +
			"nothing beyond the tariff can be booked",
		Test: "switch/account.TestDuty_HD28_FeesAreThoseOfTheTariff",
	},
	{
		ID:      "HD27-corrections",
		Clauses: []string{"HD27"},
		EN: "Wrong data is corrected at the responsible department; printed data needs a new " +
			"card",
		ZH: "信息有误由责任部门更正,卡面信息更正须换卡",
		How: "a correction is routed to its owner with age and outcome; a surface change opens " +
			"a renewal case",
		Test: "switch/account.TestDuty_HD27_CorrectionGoesToItsOwnerAndTheSurfaceToANewCard",
	},
	{
		ID:      "HD14-applications",
		Clauses: []string{"ZS15", "HD14", "HD15", "WZ14"},
		EN: "A card is applied for by the person or the employer with true data, which is " +
			"checked",
		ZH: "本人或单位申领,信息真实并经核对",
		How: "enrolment in bulk with unit, dry run and a result per person; the result of the " +
			"check is kept",
		Test: "switch/desk/api.TestDuty_HD14_TheEmployerAppliesWithCheckedData",
	},
	{
		ID:      "ZZ2-sourced-policy",
		Clauses: []string{"ZZ2", "WZ20", "SY5", "ZZ5"},
		EN: "What a text leaves to national or provincial rules or a later measure is not " +
			"guessed",
		ZH: "文本留待上级或另行规定的,不作推定",
		How: "every value of a policy bears clause and date or is marked as a product rule; a " +
			"scheme with a value without source does not load",
		Test: "switch/scheme.TestDuty_ZZ2_NoValueWithoutItsSource",
	},
	{
		ID:      "HD11-printed-identifiers",
		Clauses: []string{"HD11", "ZS10", "WZ8"},
		EN:      "Card number, social-security number, serial and bank number differ",
		ZH:      "卡号、社会保障号码、卡序列号、银行卡号各不相同",
		How: "the desk finds the card by any of them, held as keyed tokens; only fields that " +
			"the switch needs are stored",
		Test: "switch/account.TestDuty_HD11_PrintedIdentifiersAreTokens",
	},
}
