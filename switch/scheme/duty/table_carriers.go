package duty

// carriers: carriers and use.
var carriers = []Duty{
	{
		ID:      "SY3-equal-carriers",
		Clauses: []string{"SY3", "SY6", "ZZ2", "ZZ8"},
		EN: "Electronic and physical card have equal effect; codes become one and are " +
			"mutually recognised",
		ZH: "电子卡与实体卡同效,多码合一互认",
		How: "one account with many carriers; an e-card is bound while the card is made; " +
			"foreign code families are profiles",
		Test: "switch/desk/api.TestDuty_SY3_CardAndECardHaveEqualEffect",
	},
	{
		ID:      "WZ10-paid-uses",
		Clauses: []string{"WZ10", "ZZ7"},
		EN:      "The card pays for transport, parking, shops, clinics, sights, campus and fees",
		ZH:      "支付公交、停车、购物、医疗、景点、校园等费用",
		How: "applications, units, merchants and what their terminals serve are data; the " +
			"published catalogue is made from them, with a version that is a hash of its " +
			"content",
		Test: "switch/desk/share.TestDuty_WZ10_CatalogueOfUsesAndUnits",
	},
	{
		ID:      "ZZ7-verify",
		Clauses: []string{"ZZ7", "ZS11"},
		EN:      "The card proves identity and gives entry without payment",
		ZH:      "身份凭证及入馆、门禁等非支付用途",
		How: "an amount-free request per application under the same freeze, audit and data " +
			"minimisation",
		Test: "switch/desk/api.TestDuty_ZZ7_VerifyUnderTheSameFreeze",
	},
	{
		ID:      "ZS11-purse",
		Clauses: []string{"ZS11", "HD3", "WZ10", "SY3", "ZZ7"},
		EN:      "The purse pays after loading",
		ZH:      "电子钱包先充值后支付",
		How: "loads, purchases and the balance are decided and booked by the switch, each " +
			"record balanced",
		Test: "switch/engine.TestDuty_ZS11_PurseLoadsAndPays",
	},
	{
		ID:      "ZS11-offline",
		Clauses: []string{"ZS11"},
		EN:      "The card is a credential on line or off line",
		ZH:      "联机或脱机使用",
		How:     "off-line records with their TAC are uploaded later and verified in full",
		Test:    "switch/upload/book.TestDuty_ZS11_TACOfOfflineRecords",
	},
	{
		ID:      "ZS11-bank-functions",
		Clauses: []string{"ZS11", "WZ10", "WZ11", "ZS25", "ZZ7", "ZZ19"},
		EN: "Bank functions work through the partner bank and its terminals; the bank's rules " +
			"govern",
		ZH:   "金融功能经合作银行及终端实现,适用银行规定",
		How:  "ISO 8583 links to banks and acquirers; what the issuer refuses is refused",
		Test: "cmd/tapswitch.TestDuty_ZS11_BankFunctions",
	},
	{
		ID:      "ZS9-standards",
		Clauses: []string{"ZS9", "HD8"},
		EN:      "The card keeps CJ/T 166, PBOC 2.0 and UnionPay standards",
		ZH:      "符合CJ/T 166、PBOC 2.0、银联等标准",
		How: "purse, MAC, PIN and message vectors of the standards are recomputed; the " +
			"social-security card's own chip files are not read by the switch",
		Test: "crypto/vector.TestDuty_ZS9_Standards",
	},
	{
		ID:      "HD3-preferential-groups",
		Clauses: []string{"HD3"},
		EN:      "Veterans and bereaved, disabled and elderly holders ride at preference",
		ZH:      "优抚对象、残疾人、老年人享受优惠",
		How:     "rider categories with source and end date",
		Test:    "switch/account.TestDuty_HD3_ConcessionHasASourceAndAnEnd",
	},
	{
		ID:      "SY9-ease-of-use",
		Clauses: []string{"SY9", "ZZ10"},
		EN:      "The card is easy to use for elderly and disabled holders",
		ZH:      "方便老年人、残疾人使用",
		How: "the console meets what a machine can prove of WCAG 2.2 AA: contrast, names for " +
			"fields and pictures, keyboard, declared language, phone width; one carrier needs no phone",
		Test: "ledger/console.TestDuty_SY9_TheConsoleMeetsWhatCanBeProvenOfWCAGAA",
	},
	{
		ID:      "SY9-answer-at-the-gate",
		Clauses: []string{"SY9", "ZZ10"},
		EN:      "A terminal's answer can be seen and heard by elderly and disabled holders",
		ZH:      "终端结果便于老年人、残疾人看清听清",
		How: "the answer to a tap, a purchase or a verification carries sound, large text and longer " +
			"display as data",
		Test: "switch/gate.TestDuty_SY9_AnswersCanBeSeenAndHeard",
	},
	{
		ID:      "ZZ14-credit",
		Clauses: []string{"ZZ14"},
		EN:      "Credit gives incentives, also in public transport",
		ZH:      "公共交通等领域信用激励",
		How: "a card rides on up to the scheme's limit when its balance is used up, and the next " +
			"load pays what it owes; a trust flag may only widen the limit",
		Test: "switch/engine.TestDuty_ZZ14_RidesArePaidLater",
	},
	{
		ID:      "ZZ14-trust",
		Clauses: []string{"ZZ14", "ZZ13"},
		EN:      "Credit is used by the responsible body only, with the holder's consent",
		ZH:      "信用信息由主管部门经本人同意后使用",
		How: "the body of the trust file sets and takes back a flag by a decision, for a purpose, on " +
			"the holder's consent, for a period; the holder sees who set it; it ends with its day, " +
			"its consent or the account, and nothing narrows the scheme's own limit",
		Test: "switch/desk/api.TestDuty_ZZ14_ATrustFlagIsSetAndTakenBack",
	},
	{
		ID:      "ZZ14-collected",
		Clauses: []string{"ZZ14"},
		EN:      "Credit-related use is collected, kept and shared by the agency",
		ZH:      "信用信息归集共享",
		How:     "what is collected is published with its period and its recipients",
		Test:    "switch/desk/share.TestDuty_ZZ14_WhatIsCollectedIsListed",
	},
	{
		ID:      "SY9-card-and-code",
		Clauses: []string{"SY9", "ZZ8", "HD9"},
		EN:      "Each service place reads card and code; scanning terminals are shared",
		ZH:      "服务场所同时支持卡和码,扫码设备共享",
		How: "the registry states what a terminal reads and which applications it serves; " +
			"places where card or code is not read are listed, those of which nothing was " +
			"stated too",
		Test: "switch/desk/share.TestDuty_SY9_PlacesWithoutCardOrCodeAreListed",
	},
	{
		ID:      "WZ7-no-refusal",
		Clauses: []string{"WZ7"},
		EN:      "No application unit refuses the card, save by law",
		ZH:      "应用单位不得拒绝持卡人用卡",
		How: "every decline is the card's, the request's or the unit's; the unit's are " +
			"reported per terminal and unit, with terminals that are up and never take a " +
			"card",
		Test: "switch/desk/share.TestDuty_WZ7_RefusalsAreReported",
	},
	{
		ID:      "SY11-no-pick-up",
		Clauses: []string{"SY11", "SY16"},
		EN:      "Nobody unlawfully holds a card back",
		ZH:      "任何单位和个人不得非法扣留卡",
		How: "no decline asks a terminal to keep the card (field 39: 04, 34, 38, 41, 43), and " +
			"such a wish of a bank becomes a plain decline; shown over every reason and every " +
			"code of a bank",
		Test: "switch/bank.TestDuty_SY11_NoCardIsHeldBack",
	},
	{
		ID:      "HD12-personal-use",
		Clauses: []string{"HD12", "ZS13", "SY12"},
		EN:      "A card is for its holder's personal use",
		ZH:      "卡限本人使用",
		How: "pass-back (a second entry, at one station, at one line of gates, told late too), " +
			"impossible travel and concession misuse are sealed as evidence, " +
			"never an automatic bar",
		Test: "switch/desk/finding.TestDuty_HD12_PersonalUseIsFoundAndBarsNobody",
	},
	{
		ID:      "ZZ4-cross-region",
		Clauses: []string{"ZZ4", "ZZ7"},
		EN:      "Regions cooperate",
		ZH:      "跨区域合作",
		How: "the scheme that issued a card stands on each record; lists of other institutions are " +
			"proven, refuse their cards on line and at the gates, and are lifted by their source " +
			"only; the netting with each adds up what the ledger moved, by day",
		Test: "switch/desk/foreign.TestDuty_ZZ4_ForeignListsHoldUntilTheirSourceLifts",
	},
}
