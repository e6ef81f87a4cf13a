package desk

import "github.com/tapswitch/tapswitch/cmd/tapswitch/call"

// advice says what a clerk can do about a refusal, in his language; "" where the gate's words
// say all there is.
func advice(code, lang string) string {
	a := adviceTexts[code]
	if lang == call.Chinese {
		return a.chinese
	}
	return a.english
}

// advised is one advice in both languages.
type advised struct{ english, chinese string }

var adviceTexts = map[string]advised{
	// The call.
	"role_not_permitted": {
		"ask a colleague with the role, see: tapswitch desk steps STEP",
		"请由有权限的人员办理,可用 tapswitch desk steps STEP 查看",
	},
	"not_found": {
		"this gate may run no agency's desk: desk.city starts one",
		"该网关可能未启用卡务台(desk.city)",
	},
	"outlet_unknown": {
		"tapswitch desk outlets lists them; an admin registers one with: tapswitch desk outlets put",
		"用 tapswitch desk outlets 查询;由管理员用 tapswitch desk outlets put 登记",
	},
	"step_unknown": {
		"tapswitch desk steps lists the steps",
		"用 tapswitch desk steps 查看业务名称",
	},
	"body_invalid": {
		"tapswitch desk steps STEP shows the fields",
		"用 tapswitch desk steps STEP 查看字段",
	},
	"account_unnamed": {
		"give exactly one of --account, --card, --holder, --number",
		"只能用 --account、--card、--holder、--number 之一",
	},
	"account_unknown": {
		"check the number; a holder without an account is enrolled with: tapswitch desk open",
		"请核对号码;未开户的用 tapswitch desk open 开户",
	},
	"store_unavailable": {
		"wait a moment and send it again with the same --id and --made",
		"稍候用相同的 --id 和 --made 重新提交",
	},
	"command_invalid": {
		"tapswitch desk steps STEP shows what the step takes",
		"用 tapswitch desk steps STEP 查看所需内容",
	},
	"command_id_reused": {
		"leave --id away: a new one is made",
		"不要指定 --id,将自动生成",
	},
	"command_too_old": {
		"look with tapswitch desk find whether it was done; if not, send it without --id",
		"先用 tapswitch desk find 查询是否已办,未办的不带 --id 重新提交",
	},
	"command_from_future": {
		"set this machine's clock, or correct --made and --received",
		"校准本机时钟,或更正 --made、--received",
	},

	// The account.
	"account_exists": {
		"tapswitch desk find --holder - shows it; another card is bound with: tapswitch desk do " +
			"bind_carrier",
		"用 tapswitch desk find --holder - 查询;另加卡用 tapswitch desk do bind_carrier",
	},
	"account_closed": {
		"a person who comes again is enrolled anew when the rules allow it",
		"已注销,依规定重新申领",
	},
	"account_full": {
		"unbind what is no longer used: tapswitch desk do unbind_carrier",
		"先解绑不用的卡或码",
	},
	"too_many_cases": {
		"tapswitch desk find shows the open cases; end one first",
		"用 tapswitch desk find 查看未办结事项并先办结",
	},
	"too_many_effects": {
		"wait a minute and send it again",
		"请一分钟后再试",
	},
	"too_many_fees": {
		"settle fees first: tapswitch desk do pay_fee --set no=N",
		"先缴费:tapswitch desk do pay_fee --set no=N",
	},

	// Who, where and how.
	"actor_not_allowed": {
		"see --actor; tapswitch scheme shows who may ask",
		"检查 --actor;用 tapswitch scheme 查看规定",
	},
	"channel_not_allowed": {
		"see --channel; tapswitch scheme shows the ways",
		"检查 --channel;用 tapswitch scheme 查看规定",
	},
	"outlet_not_allowed": {
		"see --outlet",
		"检查 --outlet",
	},
	"id_not_allowed": {
		"ask for another paper and name it with --id-kind",
		"请出示其他证件,并用 --id-kind 注明",
	},
	"form_not_allowed": {
		"see --form; take the report down in another form",
		"检查 --form,换用规定的申报形式",
	},
	"role_not_allowed": {
		"only the department with the power may do it",
		"只能由主管部门办理",
	},
	"same_person": {
		"have a colleague confirm it with his own token",
		"请另一位工作人员用本人令牌确认",
	},
	"not_checked": {
		"check the papers, then add --checked",
		"核对资料后加 --checked",
	},
	"no_decision": {
		"give its number: --decision, or --form-no of an agent's authority",
		"用 --decision 或 --form-no 填写文书编号",
	},
	"no_reason": {
		"give it with --why",
		"用 --why 填写理由",
	},

	// Carriers and functions.
	"carrier_unknown": {
		"tapswitch desk find shows the carriers of the account",
		"用 tapswitch desk find 查看账户内的卡",
	},
	"carrier_exists": {
		"take another card; this number cannot be used again",
		"请换一张卡,此卡号不可再用",
	},
	"carrier_kind_not_allowed": {
		"see --kind",
		"检查 --kind",
	},
	"carrier_not_active": {
		"hand it out first: tapswitch desk do issue_card",
		"请先发卡",
	},
	"family_unknown": {
		"see --family; tapswitch scheme shows the families",
		"检查 --family",
	},
	"family_closed": {
		"take a card of a family that is given out, or add --existing for one that is drawn in",
		"请用在发卡种;收编旧卡加 --existing",
	},
	"bank_not_activated": {
		"tapswitch desk do activate_bank once the bank says so",
		"银行激活后办理 tapswitch desk do activate_bank",
	},

	// Freeze and release.
	"already_reported": {
		"nothing more is needed: tapswitch card status shows since when",
		"无须重复办理,用 tapswitch card status 查看",
	},
	"bank_not_told": {
		"tell the holder to call the bank too, then add --bank-told",
		"告知持卡人同时向银行挂失后加 --bank-told",
	},
	"not_reported": {
		"a replacement wants a loss report first: tapswitch desk report-loss",
		"补领须先挂失:tapswitch desk report-loss",
	},
	"frozen": {
		"release it first, or replace it: tapswitch desk release, tapswitch desk replace",
		"先解挂或补领",
	},
	"release_closed": {
		"hand out a new card: tapswitch desk replace",
		"请办理补领:tapswitch desk replace",
	},
	"already_suspended": {
		"tapswitch card status shows the decision",
		"用 tapswitch card status 查看决定",
	},

	// Cases.
	"case_unknown": {
		"tapswitch desk find shows the cases of the account",
		"用 tapswitch desk find 查看事项",
	},
	"case_open": {
		"end that one first; tapswitch desk find shows it",
		"先办结该事项",
	},
	"case_not_ready": {
		"tapswitch desk find shows how far it is",
		"用 tapswitch desk find 查看进度",
	},
	"ground_not_allowed": {
		"see --ground or --fault; tapswitch scheme shows those of the rules",
		"检查 --ground 或 --fault",
	},
	"paper_incomplete": {
		"give --paper FILE: JSON with no, facts, reasons and remedies",
		"用 --paper 提供载有 no、facts、reasons、remedies 的 JSON 文件",
	},
	"not_settled": {
		"settle what is left, or waive it: tapswitch desk cancel waive",
		"办结剩余业务,或豁免:tapswitch desk cancel waive",
	},
	"transactions_missing": {
		"name them: --set txns=b017-1-42,b017-1-43",
		"用 --set txns= 指明交易",
	},
	"consent_missing": {
		"take the consent down: tapswitch desk do give_consent",
		"先登记同意:tapswitch desk do give_consent",
	},
	"trust_stands": {
		"grant as much and as long, or have it withdrawn: tapswitch desk trust withdraw",
		"额度和期限不得低于现有激励,或先撤回:tapswitch desk trust withdraw",
	},
	"purpose_not_allowed": {
		"see --purpose; tapswitch scheme shows those of your role",
		"检查 --purpose",
	},

	// What a process may not run.
	"notices_off": {
		"ask the gate that runs the desk (desk.city)",
		"请连接启用了 desk.city 的网关",
	},
	"lists_off": {
		"ask the gate that runs the desk (desk.city)",
		"请连接启用了 desk.city 的网关",
	},
	"receipts_off": {
		"set keys.signing_file of the gate",
		"请配置网关的 keys.signing_file",
	},
	"loss_unknown": {
		"tapswitch desk find shows the cases of kind loss",
		"用 tapswitch desk find 查看挂失事项",
	},
}
