package desk

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// The languages of what the gate says.
const (
	langEnglish = "en"
	langChinese = "zh"
)

// refusedError is an error answer: the gate's code, which never changes, its words, and what
// to do about it.
type refusedError struct {
	status              int
	code, message, todo string
}

// Error returns code and words; where something can be done it stands in a second line.
func (e *refusedError) Error() string {
	text := e.message
	if e.code != "" {
		text = e.code + ": " + e.message
	}
	if e.todo != "" {
		text += "\n  " + e.todo
	}
	return text
}

// codeOf returns the code of an error answer, "" of any other error.
func codeOf(err error) string {
	var r *refusedError
	if errors.As(err, &r) {
		return r.code
	}
	return ""
}

// said is an error as it stands in answers.
type said struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Chinese string   `json:"message_zh"`
	Param   string   `json:"param"`
	Left    []string `json:"left"`
}

func (s *said) words(lang string) string {
	text := s.Message
	if lang == langChinese && s.Chinese != "" {
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

// answerError reads an error answer of the gate and gives it its exit code.
func (d *client) answerError(status int, text []byte) error {
	var answer struct{ Error said }
	err := &refusedError{status: status, message: fmt.Sprintf("the gate answered %d", status)}
	if json.Unmarshal(text, &answer) == nil && answer.Error.Code != "" {
		err.code, err.message = answer.Error.Code, answer.Error.words(d.lang)
		err.todo = advice(err.code, d.lang)
	}
	switch status {
	case http.StatusNotFound:
		return cli.WithCode(cli.ExitNotFound, err)
	case http.StatusConflict:
		return cli.WithCode(cli.ExitConflict, err)
	case http.StatusServiceUnavailable:
		return cli.WithCode(cli.ExitUnavailable, err)
	default:
		return cli.WithCode(cli.ExitFailed, err)
	}
}

// doubtful reports whether a call may have been carried out although it failed.
func doubtful(err error) bool {
	var r *refusedError
	if errors.As(err, &r) {
		return r.status >= http.StatusInternalServerError
	}
	return cli.Code(err) == cli.ExitUnavailable
}

func usage(format string, args ...any) error {
	return cli.WithCode(cli.ExitUsage, fmt.Errorf(format, args...))
}
