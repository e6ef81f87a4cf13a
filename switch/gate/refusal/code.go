package refusal

import (
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Code names one error of the gate. Names never change and are never translated; numbers
// mean nothing outside the process.
type Code uint8

// The codes. None is no error.
const (
	None Code = iota

	MalformedHTTP
	HeadersTooLarge
	RequestTimeout
	LengthRequired
	BodyTooLarge
	BodyNotTaken
	UnsupportedMediaType
	NotFound
	MethodNotAllowed

	MalformedJSON
	TrailingBytes
	InvalidUTF8
	NestingTooDeep
	UnknownField
	DuplicateField
	MissingField
	FieldConflict
	WrongType
	FieldInvalid
	FieldTooLong
	NumberOutOfRange
	AmountInvalid
	AmountNegative
	AmountOverflow
	CardNumberInvalid
	RequestIDInvalid
	KindInvalid
	TimeInvalid
	BatchEmpty
	BatchTooLarge

	SignatureMissing
	SignatureMalformed
	SignatureInvalid
	SignatureReplayed
	CounterTooLow
	ClockSkew
	TerminalUnknown
	TerminalRevoked
	IDMismatch
	KindNotPermitted
	OriginalNotPermitted
	OriginalTerminalUnknown

	TokenMissing
	TokenInvalid
	RoleNotPermitted
	SamePerson
	CardUnknown
	ReleaseUnknown
	ReleaseNotPending
	ReleasesFull
	OperatorNotFound
	LastAdmin
	TerminalNotFound
	RegistryConflict

	RateLimited
	Overloaded
	NotReady
	OutcomeUnknown
	CardContended
	RegistryUnavailable
	Internal

	// RequestRefused stands for a reason of the engine that is told as an error; the
	// refusal carries the reason, and its code goes on the wire.
	RequestRefused

	codeEnd
)

// The types of errors, as in the field "type".
const (
	typeInvalid     = "invalid_request"
	typeAuth        = "authentication"
	typePermission  = "permission"
	typeNotFound    = "not_found"
	typeConflict    = "conflict"
	typeRateLimit   = "rate_limit"
	typeUnavailable = "unavailable"
	typeInternal    = "internal"
	typeDeclined    = "declined"
)

// Text is one line of the catalogue.
type Text struct {
	Name      string
	Kind      string // type of the error
	Status    int
	Retryable bool
	English   string
	Chinese   string
}

// texts is the catalogue of the gate's own errors.
var texts = [codeEnd]Text{
	None: {"none", typeInternal, 500, false, "", ""},

	MalformedHTTP: {"malformed_http", typeInvalid, 400, false,
		"The HTTP request cannot be read", "HTTP 请求无法解析"},
	HeadersTooLarge: {"headers_too_large", typeInvalid, 431, false,
		"The request headers are too large", "请求头过大"},
	RequestTimeout: {"request_timeout", typeInvalid, 408, true,
		"The request did not arrive in time", "请求接收超时"},
	LengthRequired: {"length_required", typeInvalid, 411, false,
		"Send a Content-Length; chunked bodies are not accepted", "须有 Content-Length,不接受分块传输"},
	BodyTooLarge: {"body_too_large", typeInvalid, 413, false,
		"The body is larger than this call allows", "请求体超过上限"},
	BodyNotTaken: {"body_not_taken", typeInvalid, 400, false,
		"Send this call without a body (Content-Length: 0): the path says everything", "该接口无请求体,请勿附带内容"},
	UnsupportedMediaType: {"unsupported_media_type", typeInvalid, 415, false,
		"Send application/json in UTF-8 without content encoding", "须为 application/json,且不压缩"},
	NotFound: {"not_found", typeNotFound, 404, false,
		"There is no such path", "路径不存在"},
	MethodNotAllowed: {"method_not_allowed", typeInvalid, 405, false,
		"The path does not take this method", "该路径不支持此方法"},

	MalformedJSON: {"malformed_json", typeInvalid, 400, false,
		"The body is not well-formed JSON", "请求体不是合法的 JSON"},
	TrailingBytes: {"trailing_bytes", typeInvalid, 400, false,
		"Bytes follow the JSON object", "JSON 对象之后有多余内容"},
	InvalidUTF8: {"invalid_utf8", typeInvalid, 400, false,
		"The body is not valid UTF-8", "请求体不是合法的 UTF-8"},
	NestingTooDeep: {"nesting_too_deep", typeInvalid, 400, false,
		"The JSON is nested deeper than this call allows", "JSON 嵌套过深"},
	UnknownField: {"unknown_field", typeInvalid, 400, false,
		"The object has a field that this call does not know", "含有未知字段"},
	DuplicateField: {"duplicate_field", typeInvalid, 400, false,
		"A field stands twice in the object", "字段重复"},
	MissingField: {"missing_field", typeInvalid, 400, false,
		"A field that this call needs is missing", "缺少必填字段"},
	FieldConflict: {"field_conflict", typeInvalid, 400, false,
		"Two fields exclude each other", "字段互斥"},
	WrongType: {"wrong_type", typeInvalid, 400, false,
		"The field has another JSON type", "字段类型错误"},
	FieldInvalid: {"field_invalid", typeInvalid, 400, false,
		"The field's value is not allowed", "字段取值不允许"},
	FieldTooLong: {"field_too_long", typeInvalid, 400, false,
		"The field's value is too long", "字段过长"},
	NumberOutOfRange: {"number_out_of_range", typeInvalid, 400, false,
		"The number is outside its range", "数值超出范围"},
	AmountInvalid: {"amount_invalid", typeInvalid, 400, false,
		"The amount must be an integer in fen", "金额须为以分为单位的整数"},
	AmountNegative: {"amount_negative", typeInvalid, 400, false,
		"The amount is negative", "金额为负"},
	AmountOverflow: {"amount_overflow", typeInvalid, 400, false,
		"The amount is beyond what the switch can hold", "金额超出系统范围"},
	CardNumberInvalid: {"card_number_invalid", typeInvalid, 400, false,
		"The card number or token is not one", "卡号或卡标识无效"},
	RequestIDInvalid: {"request_id_invalid", typeInvalid, 400, false,
		"A request id is TERMINAL-BOOT-COUNTER", "请求号格式应为 终端-启动号-序号"},
	KindInvalid: {"kind_invalid", typeInvalid, 400, false,
		"The kind is not one that this call takes", "交易类型无效"},
	TimeInvalid: {"time_invalid", typeInvalid, 400, false,
		"A time is RFC 3339 with offset", "时间须为带时区的 RFC 3339 格式"},
	BatchEmpty: {"batch_empty", typeInvalid, 400, false,
		"The batch holds nothing", "批次为空"},
	BatchTooLarge: {"batch_too_large", typeInvalid, 413, false,
		"The batch holds more than 5,000 entries", "批次超过 5000 条"},

	SignatureMissing: {"signature_missing", typeAuth, 401, false,
		"The signature headers are not complete", "缺少签名头"},
	SignatureMalformed: {"signature_malformed", typeAuth, 401, false,
		"A signature header cannot be read", "签名头格式错误"},
	SignatureInvalid: {"signature_invalid", typeAuth, 401, false,
		"The signature does not match", "签名不符"},
	SignatureReplayed: {"signature_replayed", typeAuth, 401, false,
		"The counter of this signature was used already", "签名计数器已使用"},
	CounterTooLow: {"counter_too_low", typeAuth, 401, true,
		"The counter is below the window; sign again with next_counter",
		"签名计数器过小,请用 next_counter 重新签名"},
	ClockSkew: {"clock_skew", typeAuth, 401, true,
		"The terminal's clock is off; set it and sign again", "终端时钟偏差过大,请校时后重新签名"},
	TerminalUnknown: {"terminal_unknown", typeAuth, 401, false,
		"The terminal is not registered", "终端未登记"},
	TerminalRevoked: {"terminal_revoked", typeAuth, 401, false,
		"The terminal's key was revoked", "终端密钥已吊销"},
	IDMismatch: {"id_mismatch", typePermission, 403, false,
		"The request id names another terminal than the one that signed", "请求号与签名终端不一致"},
	KindNotPermitted: {"kind_not_permitted", typePermission, 403, false,
		"The terminal may not send this kind of request", "终端无此交易权限"},
	OriginalNotPermitted: {"original_not_permitted", typePermission, 403, false,
		"The original is another terminal's", "原交易属于其他终端"},
	OriginalTerminalUnknown: {"original_terminal_unknown", typeNotFound, 404, false,
		"The terminal of the original is not registered", "原交易终端未登记"},

	TokenMissing: {"token_missing", typeAuth, 401, false,
		"Send Authorization: Bearer with an operator's token", "缺少操作员令牌"},
	TokenInvalid: {"token_invalid", typeAuth, 401, false,
		"The operator's token is not valid", "操作员令牌无效"},
	RoleNotPermitted: {"role_not_permitted", typePermission, 403, false,
		"None of the operator's roles allows this call", "操作员无此权限"},
	SamePerson: {"same_person", typePermission, 403, false,
		"A release must be confirmed by another person", "解挂须由另一人复核"},
	CardUnknown: {"card_unknown", typeNotFound, 404, false,
		"The card is not known", "卡号不存在"},
	ReleaseUnknown: {"release_unknown", typeNotFound, 404, false,
		"There is no such release", "解挂申请不存在"},
	ReleaseNotPending: {"release_not_pending", typeConflict, 409, false,
		"The release was confirmed, has expired, or the freeze has changed since",
		"解挂申请已复核、已过期,或挂失状态已变化"},
	ReleasesFull: {"releases_full", typeRateLimit, 429, true,
		"Too many releases wait for a second person", "待复核解挂申请过多"},
	OperatorNotFound: {"operator_not_found", typeNotFound, 404, false,
		"There is no such operator", "操作员不存在"},
	LastAdmin: {"last_admin", typeConflict, 409, false,
		"Nobody could keep operators any more; give another person the role admin first",
		"不能撤销最后一名管理员"},
	TerminalNotFound: {"terminal_not_found", typeNotFound, 404, false,
		"There is no such terminal", "终端不存在"},
	RegistryConflict: {"registry_conflict", typeConflict, 409, true,
		"Somebody else changed this at the same time", "数据已被他人修改,请重试"},

	RateLimited: {"rate_limited", typeRateLimit, 429, true,
		"The terminal sends too fast", "终端请求过于频繁"},
	Overloaded: {"overloaded", typeUnavailable, 503, true,
		"The switch has too much to do; nothing was executed", "系统繁忙,交易未执行"},
	NotReady: {"not_ready", typeUnavailable, 503, true,
		"The switch is not ready", "系统未就绪"},
	OutcomeUnknown: {"outcome_unknown", typeUnavailable, 503, true,
		"The outcome is not known; send the same request again", "交易结果未知,请重发同一请求"},
	CardContended: {"card_contended", typeConflict, 409, true,
		"The card is in use from too many places; nothing was executed", "此卡并发过多,交易未执行"},
	RegistryUnavailable: {"registry_unavailable", typeUnavailable, 503, true,
		"The registry does not answer; nothing was executed", "登记库不可用,交易未执行"},
	Internal: {"internal", typeInternal, 500, false,
		"The switch failed; the outcome is not known", "系统内部错误"},

	RequestRefused: {"request_refused", typeInternal, 500, false, "", ""},
}

// String returns the code's stable name.
func (c Code) String() string {
	if c >= codeEnd {
		return "unknown"
	}
	return texts[c].Name
}

// Codes returns all codes but None, so that counters can be made once.
func Codes() []Code {
	all := make([]Code, 0, codeEnd-1)
	for c := None + 1; c < codeEnd; c++ {
		all = append(all, c)
	}
	return all
}

// Value is why a request was not executed, as a value. The zero Value is none. It
// holds nothing that a client sent but a parsed request id and, as param, a field's name.
type Value struct {
	Code   Code
	Param  string     // the field's name, where one is meant
	Reason txn.Reason // with RequestRefused
	Next   uint64     // with CounterTooLow: the counter to go on from
	Allow  string     // with MethodNotAllowed
}

// For returns the refusal of a code.
func For(code Code) Value { return Value{Code: code} }

// Field returns the refusal of a code that a field caused.
func Field(code Code, param string) Value { return Value{Code: code, Param: param} }

// IsSet reports whether r is a refusal.
func (r Value) IsSet() bool { return r.Code != None }

// RetryAfterMS tells a client how long to wait before it tries again.
const RetryAfterMS = 200

// Text returns the catalogue line of r; a reason brings its own sentences. A decline that
// ends a call of the desk is a conflict with what the card is.
func (r Value) Text() Text {
	if r.Code != RequestRefused {
		return texts[r.Code]
	}
	t := ReasonText(r.Reason)
	if t.Status == 200 {
		t.Kind, t.Status = typeConflict, 409
	}
	return t
}

// ReasonText returns the catalogue line of a reason. Most reasons are declines, which are
// answers with status 200; some say that nothing could be decided.
func ReasonText(reason txn.Reason) Text {
	w := reason.Text()
	t := Text{Name: w.Code, Kind: typeDeclined, Status: 200, Retryable: reason.Retryable(),
		English: w.English, Chinese: w.Chinese}
	switch {
	case reason == txn.IDReused:
		t.Kind, t.Status = typeConflict, 422
	case reason.Retryable():
		t.Kind, t.Status = typeUnavailable, 503
	}
	return t
}

// Declines reports whether reason is told as a decline, which is an answer, rather than
// as an error.
func Declines(reason txn.Reason) bool { return ReasonText(reason).Status == 200 }
