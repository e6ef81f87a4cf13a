package message

// Meaning is what a response code of field 39 says (DOMAIN.md 2.6).
type Meaning struct {
	Code string
	// Known is false for a code that the table does not have. Such a code is a refusal;
	// whoever gets it should log it.
	Known bool
	// Approved is true for the success set only. Y1 and Y3 are not in it: they are what a
	// terminal says of its own offline decision, never what an issuer answers.
	Approved bool
	// SignOn says that the terminal has to sign on again before it goes on.
	SignOn bool
	// KeepCard says that the issuer wants the card kept.
	KeepCard bool
	// English and Chinese are for people.
	English, Chinese string
}

// flags of a row of the table.
const (
	declined = 0
	approved = 1 << (iota - 1)
	signOn
	keepCard
)

type meaningRow struct {
	code    string
	flags   uint8
	english string
	chinese string
}

// meanings is the table, ordered by code.
var meanings = [...]meaningRow{
	{"00", approved, "approved", "交易成功"},
	{"01", declined, "call the issuer", "请持卡人与发卡银行联系"},
	{"03", declined, "invalid merchant", "无效商户"},
	{"04", keepCard, "pick up the card", "此卡为无效卡，请没收"},
	{"05", declined, "identity check failed", "持卡人认证失败"},
	{"06", declined, "error", "交易失败，请联系发卡方"},
	{"10", approved, "partial amount approved", "部分金额批准"},
	{"11", approved, "approved, VIP", "成功，VIP客户"},
	{"12", declined, "invalid transaction", "无效交易"},
	{"13", declined, "invalid amount", "无效金额"},
	{"14", declined, "invalid card number", "无效卡号"},
	{"15", declined, "no such issuer", "此卡无对应发卡方"},
	{"16", approved, "approved, update track 3", "成功，更新第三磁道"},
	{"21", declined, "card not activated", "该卡未初始化或为睡眠卡"},
	{"22", declined, "suspicious operation, or too old", "操作有误，或超出交易允许天数"},
	{"25", declined, "original not found", "没有原始交易"},
	{"30", declined, "message format error", "报文格式错误"},
	{"34", keepCard, "suspected fraud, keep the card", "有作弊嫌疑，请没收卡片"},
	{"38", keepCard, "PIN tries exceeded, keep the card", "密码错误次数超限，请没收卡片"},
	{"40", declined, "function not supported", "发卡方不支持的交易类型"},
	{"41", keepCard, "lost card, keep it", "挂失卡，请没收"},
	{"43", keepCard, "stolen card, keep it", "被窃卡，请没收"},
	{"45", declined, "fallback not allowed, use the chip", "不允许降级交易，请使用芯片"},
	{"51", declined, "not enough funds", "可用余额不足"},
	{"54", declined, "card expired", "该卡已过期"},
	{"55", declined, "wrong PIN", "密码错误"},
	{"57", declined, "not allowed for this card", "不允许此卡交易"},
	{"58", declined, "not allowed at this terminal", "不允许该卡在本终端交易"},
	{"59", declined, "card check failed", "卡片校验错误"},
	{"61", declined, "amount over the limit", "交易金额超限"},
	{"62", declined, "restricted card", "受限制的卡"},
	{"64", declined, "amount does not match the original", "交易金额与原交易不匹配"},
	{"65", declined, "count over the limit", "超出交易次数限制"},
	{"68", declined, "issuer answered too late", "发卡方应答超时"},
	{"75", declined, "PIN tries used up", "密码错误次数超限"},
	{"90", declined, "cut-over in progress", "系统日切，请稍后重试"},
	{"91", declined, "issuer or switch not available", "发卡方或交换中心不能操作"},
	{"92", declined, "cannot route", "找不到路由或线路异常"},
	{"94", declined, "duplicate", "重复交易"},
	{"96", declined, "system error", "交换中心系统异常"},
	{"97", declined, "terminal not registered", "终端未登记"},
	{"98", declined, "issuer timeout", "发卡方超时"},
	{"99", signOn, "PIN format error, sign on again", "PIN格式错误，请重新签到"},
	{"A0", signOn, "MAC error, sign on again", "MAC校验错误，请重新签到"},
	{"A1", declined, "transfer currency differs", "转账货币不一致"},
	{"A2", approved, "approved with a defect", "有缺陷的成功"},
	{"A3", declined, "payee account wrong", "资金到账行账号不正确"},
	{"A4", approved, "approved with a defect", "有缺陷的成功"},
	{"A5", approved, "approved with a defect", "有缺陷的成功"},
	{"A6", approved, "approved with a defect", "有缺陷的成功"},
	{"A7", declined, "security processing failed", "安全处理失败"},
	{"A8", declined, "transfer refused", "转账被拒绝"},
	{"B1", declined, "wrong state", "状态不正确"},
	{"C1", declined, "acquirer in a wrong state", "受理方状态不正确"},
	{"D1", declined, "institution code wrong", "机构代码错误"},
	{"D2", declined, "date wrong", "日期错误"},
	{"D3", declined, "file type wrong", "无效的文件类型"},
	{"D4", declined, "file already processed", "已经处理过的文件"},
	{"D5", declined, "no such file", "无此文件"},
	{"D6", declined, "receiver does not support it", "接收者不支持"},
	{"D7", declined, "file locked", "文件锁定"},
	{"D8", declined, "not successful", "未成功"},
	{"D9", declined, "file length wrong", "文件长度不符"},
	{"DA", declined, "file cannot be unpacked", "文件解压缩错误"},
	{"DB", declined, "file name wrong", "文件名称错误"},
	{"DC", declined, "file cannot be received", "无法接收文件"},
	{"F1", declined, "file record malformed", "文件记录格式错误"},
	{"F2", declined, "file record twice", "文件记录重复"},
	{"F3", declined, "file record missing", "文件记录不存在"},
	{"F4", declined, "file record wrong", "文件记录错误"},
	{"F5", declined, "file not updated", "文件更新未成功"},
	{"N1", declined, "refused by the issuer", "发卡方拒绝"},
	{"P1", declined, "refused by the issuer", "发卡方拒绝"},
	{"Y1", declined, "approved offline by the terminal", "脱机交易成功"},
	{"Y3", declined, "approved offline, could not go online", "不能联机，脱机交易成功"},
	{"Z1", declined, "declined offline by the terminal", "脱机交易失败"},
	{"Z3", declined, "declined offline, could not go online", "不能联机，脱机交易失败"},
}

// MeaningOf looks a response code up. A code that is not in the table, or none, is a refusal
// that is not Known.
func MeaningOf(code string) Meaning {
	for i := range meanings {
		if meanings[i].code == code {
			return meanings[i].meaning()
		}
	}
	return Meaning{Code: code, English: "unknown code, taken as a refusal",
		Chinese: "未知应答码，按拒绝处理"}
}

// Meanings returns the whole table in the order of the codes.
func Meanings() []Meaning {
	all := make([]Meaning, 0, len(meanings))
	for i := range meanings {
		all = append(all, meanings[i].meaning())
	}
	return all
}

func (r *meaningRow) meaning() Meaning {
	return Meaning{Code: r.code, Known: true, Approved: r.flags&approved != 0,
		SignOn: r.flags&signOn != 0, KeepCard: r.flags&keepCard != 0, English: r.english,
		Chinese: r.chinese}
}
