package call

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// The languages of errors.
const (
	English = "en"
	Chinese = "zh"
)

const newToken = "tapswitch operator create NAME --roles ROLES"

// Refused is an answer that refuses: the switch's code, which never changes, its words, and
// what to do about it.
type Refused struct {
	Status int
	// Code is "" at the admin address, and where the answer is Foreign.
	Code, Message, Todo string
	// Foreign marks an answer that is none of a switch's.
	Foreign bool
	// Declined marks a decision on money that was made and is no: not a call that failed.
	Declined bool
}

// Error returns code and words; where something can be done it stands in a second line.
func (e *Refused) Error() string {
	text := e.Message
	if e.Code != "" {
		text = e.Code + ": " + e.Message
	}
	if e.Todo != "" {
		text += "\n  " + e.Todo
	}
	return text
}

// CodeOf returns the code of a refusal, "" of any other error.
func CodeOf(err error) string {
	var r *Refused
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

// Doubtful reports whether a call may have been carried out although it failed.
func Doubtful(err error) bool {
	var r *Refused
	if errors.As(err, &r) {
		return r.Status >= http.StatusInternalServerError
	}
	return cli.Code(err) == cli.ExitUnavailable
}

// Said is an error as it stands in answers.
type Said struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Chinese string   `json:"message_zh"`
	Param   string   `json:"param"`
	Left    []string `json:"left"`
}

// Words returns the message, with the field that it is about.
func (s *Said) Words(lang string) string {
	text := s.Message
	if lang == Chinese && s.Chinese != "" {
		text = s.Chinese
	}
	if s.Param != "" {
		text += " (" + s.Param + ")"
	}
	if len(s.Left) > 0 {
		text += ": " + strings.Join(s.Left, ", ")
	}
	return text
}

// Refusal reads an error answer, a Refused with its exit code. It knows the three forms: an
// object "error", a text "error" as at the admin address, and a decision with its reason.
func (c *Client) Refusal(status int, text []byte) error {
	r := &Refused{Status: status, Message: fmt.Sprintf("the %s answered %d %s", c.name(), status,
		http.StatusText(status))}
	var answer struct {
		Said
		Error json.RawMessage `json:"error"`
	}
	var inner Said
	var plain string
	switch {
	case json.Unmarshal(text, &answer) != nil:
	case json.Unmarshal(answer.Error, &inner) == nil && inner.Code != "":
		r.Code, r.Message = inner.Code, inner.Words(c.Lang)
	case json.Unmarshal(answer.Error, &plain) == nil && plain != "":
		r.Message = plain
	case answer.Code != "":
		r.Code, r.Message, r.Declined = answer.Code, answer.Words(c.Lang), true
	}
	r.Foreign = r.Code == "" && plain == ""
	if c.Advise != nil {
		r.Todo = c.Advise(r, c.Lang)
	}
	if r.Todo == "" && !r.Declined {
		r.Todo = c.advice(r)
	}
	return cli.WithCode(exitOf(r), r)
}

func exitOf(r *Refused) int {
	switch {
	case r.Declined, r.Status == http.StatusConflict:
		return cli.ExitConflict
	case r.Status == http.StatusNotFound:
		return cli.ExitNotFound
	case r.Status == http.StatusServiceUnavailable:
		return cli.ExitUnavailable
	default:
		return cli.ExitFailed
	}
}

// advice says what can be done about a refusal by its status; "" where the words say all.
func (c *Client) advice(r *Refused) string {
	switch {
	case r.Status == http.StatusUnauthorized:
		return tr(c.Lang, "the token is unknown or withdrawn: give another with --token-file or "+TokenEnv+
			"; an administrator makes one with "+newToken,
			"令牌无效或已注销:用 --token-file 或 "+TokenEnv+" 提供有效令牌;管理员可用 "+newToken+" 签发")
	case r.Status == http.StatusForbidden:
		return tr(c.Lang, "the token's operator has no such role: an administrator gives it with "+newToken,
			"该操作员没有此权限:管理员可用 "+newToken+" 授权")
	case r.Status == http.StatusNotFound && r.Foreign:
		return tr(c.Lang, cmp.Or(c.URL, "the address")+" does not serve this call: check the address, and that the "+
			"part is switched on in the switch's settings", "该地址不提供此接口:请检查地址及相关配置")
	case r.Status == http.StatusNotFound:
		return tr(c.Lang, "check what you named; nothing was changed", "请核对名称;未作任何更改")
	case r.Status == http.StatusConflict:
		return tr(c.Lang, "look at it as it is now, then decide again", "请查看当前状态后重新办理")
	case r.Status == http.StatusServiceUnavailable:
		return tr(c.Lang, "wait a moment, look whether it was done, then send it again",
			"稍候查询是否已办,再重新提交")
	case r.Status >= http.StatusInternalServerError:
		return tr(c.Lang, "the switch's log says why; look whether it was done before sending it again",
			"原因见系统日志;重新提交前请先查询是否已办")
	default:
		return ""
	}
}

func tr(lang, english, chinese string) string {
	if lang == Chinese {
		return chinese
	}
	return english
}
