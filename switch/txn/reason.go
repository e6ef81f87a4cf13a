package txn

import "fmt"

// Reason says why a request was declined, in order of precedence: where several
// apply, the smallest number is the answer. Zero means approved. A refusal is a
// value; an error means that the switch could not decide. Codes (Reason.String)
// never change and are never translated. Numbers go to disk and never change either;
// they have gaps, so that a new reason takes the place that its precedence asks for.
//
// No reason maps to a field 39 code that asks a terminal to pick the card up
// (04, 34, 38, 41, 43): SY11 and SY16 forbid holding a card back.
type Reason uint8

// ReasonNone is the reason of an approval.
const ReasonNone Reason = 0

// The request itself.
const (
	IDReused Reason = 10 + iota
	IDTooOld
	TimeInFuture
	TimeTooOld
	UnknownCurrency
	InvalidAmount
	// The code of a QR tap, as far as it can be judged without its card.
	CodeMalformed
	CodeNoCA
	CodeCertificate
	CodeIssuerSignature
	CodeUserSignature
	CodeExpired
	CodeNotYetValid
	CodeAccountType
)

// The blacklist comes before anything about the card's state.
const (
	CardReplaced Reason = 30 + iota
	CardCancelled
	CardFrozen
)

// The card.
const (
	UnknownCard Reason = 50 + iota
	CardExists
	CardNotActive
	CardExpired
	ApplicationClosed
	ApplicationSuspended
	// BankNotActivated: the bank function waits for the holder's account (ZZ19).
	BankNotActivated
	// LeaseEnded: the purse was not on line for longer than its lease. A gate refuses it; the
	// switch books what was taken all the same, and the approved record bears this reason.
	LeaseEnded
)

// The original of a reversal or refund.
const (
	OriginalUnknown Reason = 80 + iota
	OriginalDeclined
	OriginalReversed
	OriginalNotRefundable
	RefundTooLarge
	OriginalMismatch
	OriginalSettled
)

// What is used once: the offline counter, and a QR code.
const (
	CounterSeen Reason = 100 + iota
	CodeUsed
	// CodeForgotten: the code is older than those that the card remembers.
	CodeForgotten
)

// The journey.
const (
	PassBack Reason = 110 + iota
	NoEntry
	JourneyTooLong
	UnknownFare
	FareMismatch
	// CardJustUsed: the same tap was just made at these gates, or the card has just entered here.
	CardJustUsed
)

// Money, last of what the card decides.
const (
	LimitExceeded Reason = 140 + iota
	BalanceTooHigh
	InsufficientFunds
	// CodeOverLimit: the trip costs more than the code's limit for one trip.
	CodeOverLimit
)

// The bank that issued the card, and the way to it.
const (
	NoRoute Reason = 150 + iota
	IssuerUnavailable
	IssuerDeclined
	IssuerTimeout
	TooManyOpen
	PINUnreadable
)

// The freeze desk.
const (
	ReleaseClosed Reason = 170 + iota
	NotListed
	AlreadyListed
	// ListChanged: the card's entry is not the one that the desk saw.
	ListChanged
	// NothingToMove: the card has no successor, or nothing on the way to it.
	NothingToMove
	// HeldElsewhere: the card's account, or the institution that listed the card, holds the
	// freeze, and only there it is lifted.
	HeldElsewhere
)

// What the switch itself could not do in time; nothing was executed.
const (
	DeadlinePassed Reason = 200 + iota
	StoreUnavailable
	ListStale
)

// reasonEnd is one more than the greatest number.
const reasonEnd Reason = 203

// Text is a reason for people: the code that never changes, the ISO 8583 field
// 39 value, and a sentence in each language.
type Text struct {
	Code    string
	Field39 string
	English string
	Chinese string
}

var reasonTexts = [reasonEnd]Text{
	ReasonNone: {"approved", "00", "Approved", "交易成功"},
	IDReused: {"request_id_reused", "94",
		"This request id was used for another request", "请求号已被其他交易使用"},
	IDTooOld: {"request_id_too_old", "94",
		"The request is older than the card's memory of requests", "请求过旧,无法判断是否重复"},
	TimeInFuture: {"time_in_future", "12",
		"The service time lies in the future", "交易时间晚于当前时间"},
	TimeTooOld: {"time_too_old", "12",
		"The service time is older than the window allows", "交易时间超出允许范围"},
	UnknownCurrency: {"currency_not_accepted", "12",
		"The currency is not that of the card", "币种不受支持"},
	InvalidAmount: {"amount_invalid", "13", "The amount is not valid", "金额无效"},
	CodeMalformed: {"qr_code_malformed", "30", "The QR code cannot be read", "二维码格式错误"},
	CodeNoCA: {"qr_code_no_ca", "63",
		"The QR code's certificate authority is not trusted", "二维码根证书不受信任"},
	CodeCertificate: {"qr_code_certificate", "63",
		"The QR code's issuer certificate is wrong or revoked", "二维码发码机构证书无效"},
	CodeIssuerSignature: {"qr_code_issuer_signature", "63",
		"The QR code was not signed by its issuer", "二维码发码机构签名错误"},
	CodeUserSignature: {"qr_code_user_signature", "63",
		"The QR code was not signed by its holder's key", "二维码用户签名错误"},
	CodeExpired: {"qr_code_expired", "54",
		"The QR code has expired; please show a new one", "二维码已过期,请刷新"},
	CodeNotYetValid: {"qr_code_not_yet_valid", "12",
		"The QR code is not valid yet; check the phone's clock", "二维码尚未生效,请检查手机时间"},
	CodeAccountType: {"qr_code_account_type", "57",
		"The QR code's type of account is not accepted here", "二维码账户类型不受支持"},
	CardReplaced: {"card_replaced", "62",
		"The card was replaced; use the new card", "此卡已补换,请使用新卡"},
	CardCancelled: {"card_cancelled", "62", "The card was cancelled", "此卡已注销"},
	CardFrozen: {"card_frozen", "62",
		"The card is frozen; please call the card agency", "此卡已挂失或冻结,请联系发卡机构"},
	UnknownCard:   {"card_unknown", "14", "The card is not known", "卡号不存在"},
	CardExists:    {"card_exists", "94", "The card is enrolled already", "此卡已开户"},
	CardNotActive: {"card_not_active", "62", "The card is not active", "此卡未启用"},
	CardExpired:   {"card_expired", "54", "The card has expired", "此卡已过有效期"},
	ApplicationClosed: {"application_not_open", "57",
		"This function is not open on the card", "此卡未开通该功能"},
	ApplicationSuspended: {"application_suspended", "62",
		"This function is suspended on the card", "此卡该功能已暂停"},
	BankNotActivated: {"bank_not_activated", "57",
		"The bank function is not activated yet; please go to the bank", "金融功能尚未激活,请到银行办理"},
	LeaseEnded: {"lease_ended", "62",
		"The card was not on line for too long to be served off line", "此卡超过联机有效期,不可脱机使用"},
	OriginalUnknown: {"original_unknown", "25",
		"The original transaction is not known", "原交易不存在"},
	OriginalDeclined: {"original_declined", "12",
		"The original transaction was declined", "原交易未成功"},
	OriginalReversed: {"original_reversed", "12",
		"The original transaction was reversed already", "原交易已冲正"},
	OriginalNotRefundable: {"original_not_refundable", "12",
		"The original transaction cannot be refunded", "原交易不可退款"},
	RefundTooLarge: {"refund_too_large", "13",
		"The refund exceeds what is left of the original", "退款金额超过原交易余额"},
	OriginalMismatch: {"original_mismatch", "64",
		"The amount is not that of the original transaction", "金额与原交易不符"},
	OriginalSettled: {"original_settled", "22",
		"The original's batch is settled already", "原交易所在批次已结算"},
	CounterSeen: {"offline_counter_seen", "94",
		"This offline counter of the card was booked already", "该脱机交易序号已入账"},
	CodeUsed: {"qr_code_used", "94",
		"The QR code was used already; please show a new one", "二维码已使用,请刷新"},
	CodeForgotten: {"qr_code_too_old", "94",
		"The QR code is older than the codes that the card remembers", "二维码过旧,无法判断是否重复"},
	PassBack: {"journey_open", "12",
		"The card has entered already and has not left", "此卡已进站,未出站"},
	NoEntry: {"journey_no_entry", "12", "No entry is open on the card", "此卡无进站记录"},
	JourneyTooLong: {"journey_too_long", "12",
		"The journey took longer than allowed; see the service desk", "乘车超时,请到客服中心处理"},
	UnknownFare: {"fare_unknown", "12", "No fare is known for this ride", "无对应票价"},
	CardJustUsed: {"card_just_used", "12",
		"The card was just used here; one card is for one person", "此卡刚在本处使用,一人一卡"},
	FareMismatch: {"fare_mismatch", "13", "The charge exceeds the full fare", "扣款金额超过全价"},
	LimitExceeded: {"limit_exceeded", "61",
		"The amount exceeds the limit", "金额超过限额"},
	BalanceTooHigh: {"balance_too_high", "61",
		"The balance would exceed its limit", "余额超过上限"},
	InsufficientFunds: {"insufficient_funds", "51", "The balance is too low", "余额不足"},
	CodeOverLimit: {"qr_code_over_limit", "61",
		"The trip costs more than the QR code allows", "车费超过二维码单次限额"},
	NoRoute: {"no_route", "92", "No bank is known for this card", "无法路由到发卡行"},
	IssuerUnavailable: {"issuer_unavailable", "91",
		"The card's bank cannot be reached", "发卡方暂不可用"},
	IssuerDeclined: {"issuer_declined", "05", "The card's bank declined", "发卡方拒绝交易"},
	IssuerTimeout: {"issuer_timeout", "98",
		"The card's bank did not answer; the transaction is being reversed", "发卡方应答超时,交易将冲正"},
	TooManyOpen: {"too_many_transactions", "65",
		"Too many transactions of this card in a short time", "该卡交易过于频繁"},
	PINUnreadable: {"pin_unreadable", "99",
		"The PIN cannot be read; sign on again", "密码无法解密,请重新签到"},
	ReleaseClosed: {"release_closed", "62",
		"The card can never be released again", "此卡已补换或注销,不可解挂"},
	NotListed:     {"card_not_frozen", "12", "The card is not frozen", "此卡未挂失或冻结"},
	AlreadyListed: {"card_already_frozen", "94", "The card is frozen already", "此卡已挂失或冻结"},
	ListChanged: {"freeze_changed", "12",
		"The card was frozen otherwise in the meantime; look again", "挂失状态已变化,请重新查询"},
	NothingToMove: {"nothing_to_move", "12",
		"There is nothing to move to another card", "无可转移的余额或行程"},
	HeldElsewhere: {"freeze_held_elsewhere", "12",
		"The card's account or its institution holds the freeze; it is lifted there", "挂失由账户或发卡机构持有,请在原处解除"},
	DeadlinePassed: {"deadline_passed", "68", "The request came too late to be executed", "交易超时"},
	StoreUnavailable: {"store_unavailable", "91",
		"The card store cannot be reached; nothing was executed", "系统暂不可用,交易未执行"},
	ListStale: {"blacklist_stale", "91",
		"The blacklist is not fresh enough to decide", "黑名单未更新,交易未执行"},
}

// Text returns the reason's code, field 39 value and sentences.
func (r Reason) Text() Text {
	if !r.Valid() {
		return Text{Code: fmt.Sprintf("reason(%d)", uint8(r)), Field39: "96",
			English: "System malfunction", Chinese: "系统故障"}
	}
	return reasonTexts[r]
}

// Valid reports whether r is a known reason, ReasonNone included.
func (r Reason) Valid() bool { return r < reasonEnd && reasonTexts[r].Code != "" }

// String returns the reason's stable code.
func (r Reason) String() string { return r.Text().Code }

// Retryable reports whether the same request, sent again, may be decided
// otherwise, because the switch and not the request was at fault.
func (r Reason) Retryable() bool {
	return r == DeadlinePassed || r == StoreUnavailable || r == ListStale
}

// ParseReason reads a stable code.
func ParseReason(code string) (Reason, error) {
	for r := range reasonEnd {
		if r.Valid() && reasonTexts[r].Code == code {
			return r, nil
		}
	}
	return ReasonNone, fmt.Errorf("unknown reason %q", code)
}

// Reasons returns every reason but ReasonNone, in order of precedence.
func Reasons() []Reason {
	var all []Reason
	for r := ReasonNone + 1; r < reasonEnd; r++ {
		if r.Valid() {
			all = append(all, r)
		}
	}
	return all
}
