package account

import "fmt"

// Refusal says why a command was not carried out; zero: it was. A refusal leaves nothing
// behind, so the same command may be sent again. Codes (Refusal.String) never change.
type Refusal uint8

// The refusals.
const (
	RefusalNone Refusal = iota

	// The command itself.
	InvalidCommand
	CommandReused
	CommandTooOld
	CommandFromFuture

	// The account.
	UnknownAccount
	AccountExists
	AccountClosed
	AccountFull
	TooManyCases
	TooManyEffects
	TooManyFees

	// Who, where and how.
	ActorNotAllowed
	ChannelNotAllowed
	OutletNotAllowed
	IDNotAllowed
	FormNotAllowed
	RoleNotAllowed
	SamePerson
	NotChecked
	NotOffered
	NoDecision
	NoReason

	// Carriers and functions.
	UnknownCarrier
	CarrierExists
	CarrierKindNotAllowed
	CarrierNotActive
	FamilyUnknown
	FamilyClosed
	FunctionUnknown
	FunctionOpen
	FunctionClosed
	BankNotActivated
	BankActivated

	// Freeze and release.
	AlreadyReported
	BankNotTold
	NotReported
	Frozen
	ReleaseClosed
	NotSuspended
	AlreadySuspended

	// Cases.
	UnknownCase
	CaseHasEnded
	CaseOpen
	CaseNotReady
	GroundNotAllowed
	PaperIncomplete
	NotSettled
	NotWaivable
	NotTheOwner
	ProofMissing
	PartyUnknown
	AmountInvalid
	TxnsMissing

	// Fees, consents, queries.
	UnknownFee
	FeeSettled
	WaiverNotAllowed
	UnknownConsent
	PurposeNotAllowed
	ConsentMissing

	// Trust flags.
	TrustStands
	NoTrust

	// CarrierFrozen: a carrier that is to be given out is on the list of frozen cards.
	CarrierFrozen
	// RiderEnded and ExpiryPast: the last day that is named has passed.
	RiderEnded
	ExpiryPast
	refusalEnd
)

// Text is a refusal for people: the code that never changes, and a sentence in each
// language.
type Text struct {
	Code    string
	English string
	Chinese string
}

var refusalTexts = [refusalEnd]Text{
	RefusalNone:    {"accepted", "Accepted", "已受理"},
	InvalidCommand: {"command_invalid", "The command is not complete", "请求内容不完整"},
	CommandReused: {"command_id_reused",
		"This id was used for another command", "请求号已被其他请求使用"},
	CommandTooOld: {"command_too_old",
		"The command is older than the account's memory of commands", "请求过旧,无法判断是否重复"},
	CommandFromFuture: {"command_from_future",
		"The command's time lies in the future", "请求时间晚于当前时间"},
	UnknownAccount: {"account_unknown", "The account is not known", "账户不存在"},
	AccountExists:  {"account_exists", "The holder has an account already", "该持卡人已开户"},
	AccountClosed:  {"account_closed", "The account was cancelled", "账户已注销"},
	AccountFull: {"account_full",
		"The account holds as many entries as it can", "账户登记数量已达上限"},
	TooManyCases: {"too_many_cases",
		"Too many cases are open; finish one first", "未办结事项过多,请先办结"},
	TooManyEffects: {"too_many_effects",
		"Earlier steps are still being carried out; try again", "前序处理尚未完成,请稍后再试"},
	TooManyFees: {"too_many_fees", "Too many fees are due", "未缴费用过多"},
	ActorNotAllowed: {"actor_not_allowed",
		"This person may not ask for it under the scheme's rules", "申请人不符合规定"},
	ChannelNotAllowed: {"channel_not_allowed",
		"It cannot be done by this way under the scheme's rules", "办理渠道不符合规定"},
	OutletNotAllowed: {"outlet_not_allowed", "It is not a designated outlet", "非指定网点"},
	IDNotAllowed: {"id_not_allowed",
		"A valid identity paper of an accepted kind is needed", "须出示有效身份证件"},
	FormNotAllowed: {"form_not_allowed",
		"The form of the report is not accepted", "申报形式不符合规定"},
	RoleNotAllowed: {"role_not_allowed", "This role may not do it", "岗位或部门无此权限"},
	SamePerson: {"same_person",
		"A second person must confirm", "须由另一人复核"},
	NotChecked: {"not_checked", "The data was not checked", "资料未经审核"},
	NotOffered: {"not_offered", "The scheme does not offer it", "尚未开展此项服务"},
	NoDecision: {"no_decision", "The number of the decision is missing", "缺少决定文书编号"},
	NoReason:   {"no_reason", "The reason is missing", "缺少理由"},
	UnknownCarrier: {"carrier_unknown",
		"The carrier does not belong to the account", "该卡或码不属于此账户"},
	CarrierExists: {"carrier_exists",
		"The carrier or printed number belongs to an account already, or once did", "该卡、码或号码已登记过"},
	CarrierKindNotAllowed: {"carrier_kind_not_allowed",
		"A carrier of this kind cannot be used here", "卡或码的类型不符合规定"},
	CarrierNotActive: {"carrier_not_active", "The carrier is not active", "该卡或码未启用"},
	FamilyUnknown: {"family_unknown",
		"The family of card numbers is not known to the scheme", "卡号类别未登记"},
	FamilyClosed: {"family_closed",
		"No new cards of this family are given out", "该类卡已停止发行"},
	FunctionUnknown:  {"function_unknown", "The function is not known", "功能不存在"},
	FunctionOpen:     {"function_open", "The function is open already", "该功能已开通"},
	FunctionClosed:   {"function_not_open", "The function is not open", "该功能未开通"},
	BankNotActivated: {"bank_not_activated", "The bank account is not activated", "银行账户未激活"},
	BankActivated: {"bank_activated",
		"The bank account is activated already", "银行账户已激活"},
	AlreadyReported: {"already_reported", "The loss was reported already", "已办理挂失"},
	BankNotTold: {"bank_not_told",
		"The holder must be told to report to the bank too", "须告知持卡人同时向银行挂失"},
	NotReported: {"not_reported", "The card is not reported lost", "此卡未挂失"},
	Frozen:      {"frozen", "The account is frozen", "账户已挂失或冻结"},
	ReleaseClosed: {"release_closed",
		"The card can never be released again", "此卡已申请补换或已注销,不可解挂"},
	NotSuspended:     {"not_suspended", "The function is not suspended", "该功能未被暂停"},
	AlreadySuspended: {"already_suspended", "The function is suspended already", "该功能已暂停"},
	UnknownCase:      {"case_unknown", "The case is not known", "事项不存在"},
	CaseHasEnded:     {"case_ended", "The case has ended", "事项已办结"},
	CaseOpen:         {"case_open", "Such a case is open already", "同类事项正在办理"},
	CaseNotReady:     {"case_not_ready", "The case is not that far", "事项尚未到此环节"},
	GroundNotAllowed: {"ground_not_allowed", "The ground is not one of the rules", "事由不符合规定"},
	PaperIncomplete: {"paper_incomplete",
		"A written answer needs number, facts, reasons and remedies", "书面答复须载明事实、理由和救济途径"},
	NotSettled: {"not_settled",
		"Related affairs are not settled", "相关业务尚未办结"},
	NotWaivable: {"not_waivable", "This affair cannot be waived", "该事项不可豁免"},
	NotTheOwner: {"not_the_owner",
		"Only the responsible department may decide it", "须由责任部门处理"},
	ProofMissing:  {"proof_missing", "The proof of the reply is missing", "缺少答复送达凭证"},
	PartyUnknown:  {"party_unknown", "The party is not one of the scheme's", "责任单位未登记"},
	AmountInvalid: {"amount_invalid", "The amount is not valid", "金额无效"},
	TxnsMissing: {"transactions_missing",
		"The transactions must be named", "须指明相关交易"},
	UnknownFee: {"fee_unknown", "The fee is not known", "费用不存在"},
	FeeSettled: {"fee_settled", "The fee was paid or waived already", "费用已缴或已减免"},
	WaiverNotAllowed: {"waiver_not_allowed",
		"The tariff knows no waiver for this reason", "减免理由不符合规定"},
	UnknownConsent: {"consent_unknown", "The consent is not known", "同意记录不存在"},
	PurposeNotAllowed: {"purpose_not_allowed",
		"The purpose is not one of this role", "查询目的不符合规定"},
	ConsentMissing: {"consent_missing", "The holder has not consented", "未经持卡人同意"},
	TrustStands: {"trust_stands",
		"A wider or longer trust flag is in force", "已有额度更高或期限更长的信用激励"},
	NoTrust: {"trust_unknown", "No trust flag is in force", "无有效的信用激励"},
	CarrierFrozen: {"carrier_frozen",
		"The number is on the list of frozen cards: give out another one, or have its freeze " +
			"lifted first", "该卡号在冻结名单中,请更换卡片或先解除冻结"},
	RiderEnded: {"rider_until_past",
		"The last day of the rider's category (rider.until) has passed", "优惠资格截止日期已过"},
	ExpiryPast: {"expires_on_past",
		"The last day of the card (expires_on) has passed", "卡片有效期截止日期已过"},
}

// Valid reports whether r is a known refusal, RefusalNone included.
func (r Refusal) Valid() bool { return r < refusalEnd }

// Text returns the refusal's code and sentences.
func (r Refusal) Text() Text {
	if !r.Valid() {
		return Text{Code: fmt.Sprintf("refusal(%d)", uint8(r)), English: "System malfunction",
			Chinese: "系统故障"}
	}
	return refusalTexts[r]
}

// String returns the refusal's stable code.
func (r Refusal) String() string { return r.Text().Code }

// Refusals returns every refusal but RefusalNone.
func Refusals() []Refusal {
	var all []Refusal
	for r := RefusalNone + 1; r < refusalEnd; r++ {
		all = append(all, r)
	}
	return all
}
