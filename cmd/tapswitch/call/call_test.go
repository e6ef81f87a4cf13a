package call

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// switchOf answers every call alike, and keeps the last one.
type switchOf struct {
	*Client
	status            int
	body, contentType string
	asked             string
	calls             int
}

func newSwitch(t *testing.T) *switchOf {
	t.Helper()
	t.Setenv(TokenEnv, " secret\n")
	s := &switchOf{status: http.StatusOK, body: `{"a":"<&>"}`, contentType: "application/json"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.calls++
		s.asked = fmt.Sprint(r.Method, " ", r.URL.RequestURI(), " ", r.Header.Get("Authorization"), " ",
			r.Header.Get("Content-Type"), " ", string(body))
		w.Header().Set("Content-Type", s.contentType)
		w.WriteHeader(s.status)
		_, _ = io.WriteString(w, s.body)
	}))
	t.Cleanup(server.Close)
	s.Client = &Client{URL: server.URL + "/", Form: cli.Table}
	return s
}

// What is sent: method, path, token, and the body in its form.
func TestSend(t *testing.T) {
	s := newSwitch(t)
	for _, c := range []struct {
		q    Request
		want string
	}{
		{Request{Path: "/v1/x?y=1"}, "GET /v1/x?y=1 Bearer secret  "},
		{Request{Path: "/v1/x", Open: true}, "GET /v1/x   "},
		{Request{Method: "POST", Path: "/v1/x", Body: map[string]int{"n": 1}},
			`POST /v1/x Bearer secret application/json {"n":1}`},
		{Request{Method: "PUT", Path: "/v1/x", Raw: strings.NewReader("a,b"), Header: map[string]string{
			"Content-Type": "text/csv"}}, "PUT /v1/x Bearer secret text/csv a,b"},
	} {
		text, err := s.Send(t.Context(), c.q)
		if err != nil || s.asked != c.want || string(text) != s.body {
			t.Errorf("asked %q, want %q: %s %v", s.asked, c.want, text, err)
		}
	}
	if _, err := s.Send(t.Context(), Request{Body: make(chan int)}); err == nil {
		t.Error("a channel was sent")
	}
}

// An answer is read up to its limit, must be JSON or say that it is CSV, or be nothing.
func TestAnswers(t *testing.T) {
	s := newSwitch(t)
	for _, c := range []struct {
		contentType, body, want string
	}{
		{"application/json", "", ""},
		{"application/json", "{", "cannot be read"},
		{"", "[1]", ""},
		{"text/csv; charset=utf-8", "a,b", ""},
		{"text/plain", "a,b", "cannot be read"},
		{"application/json", strings.Repeat(" ", AnswerMax-1) + "1", ""},
		{"application/json", strings.Repeat(" ", AnswerMax) + "1", "longer than"},
	} {
		s.contentType, s.body = c.contentType, c.body
		text, err := s.Send(t.Context(), Request{})
		if (err == nil) != (c.want == "") || err == nil && string(text) != c.body ||
			err != nil && (!strings.Contains(err.Error(), c.want) || len(text) != 0) {
			t.Errorf("%s of %d bytes: %v", c.contentType, len(c.body), err)
		}
	}
}

// A refusal has code, words, what to do, and its exit code, in each form that a switch gives it.
func TestRefusals(t *testing.T) {
	const said = `{"error":{"code":"c","message":"m","message_zh":"中","param":"p","left":["a","b"]}}`
	for _, c := range []struct {
		status int
		body   string
		code   int
		doubt  bool
		want   string
	}{
		{401, said, cli.ExitFailed, false, "c: m (p): a, b\n  the token is unknown"},
		{403, said, cli.ExitFailed, false, "has no such role"},
		{404, said, cli.ExitNotFound, false, "check what you named"},
		{404, "page not found", cli.ExitNotFound, false, "does not serve this call"},
		{409, said, cli.ExitConflict, false, "look at it as it is now"},
		{409, `{"code":"insufficient_funds","message":"too little"}`, cli.ExitConflict, false,
			"insufficient_funds: too little"},
		{400, said, cli.ExitFailed, false, "c: m (p): a, b"},
		{404, `{"error":"no such link"}`, cli.ExitNotFound, false, "no such link\n  check what"},
		{500, "", cli.ExitFailed, true, "the gate answered 500 Internal Server Error\n  the switch's log"},
		{502, "<html>", cli.ExitFailed, true, "answered 502 Bad Gateway"},
		{503, said, cli.ExitUnavailable, true, "wait a moment"},
	} {
		err := (&Client{}).Refusal(c.status, []byte(c.body))
		if cli.Code(err) != c.code || Doubtful(err) != c.doubt || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d %s: code %d, doubt %t: %v", c.status, c.body, cli.Code(err), Doubtful(err), err)
		}
	}
	own := &Client{Lang: Chinese, Name: "switch", Advise: func(r *Refused, lang string) string {
		return fmt.Sprint(r.Foreign, r.Code, lang)
	}}
	if err := own.Refusal(404, []byte(said)); err.Error() != "c: 中 (p): a, b\n  falseczh" || CodeOf(err) != "c" {
		t.Errorf("%v", err)
	}
	if err := own.Refusal(404, nil); err.Error() != "the switch answered 404 Not Found\n  truezh" {
		t.Errorf("%v", err)
	}
	own.Advise = nil
	for status := 400; status < 600; status++ {
		if err := own.Refusal(status, []byte(said)); strings.Contains(err.Error(), " the ") {
			t.Errorf("%d in Chinese: %v", status, err)
		}
	}
	if CodeOf(errors.New("c")) != "" || Doubtful(nil) || Doubtful(errors.New("c")) {
		t.Error("an error that is no refusal has a code or is in doubt")
	}
}

// Nobody there, no address and no token are told apart, and nothing of the token is told.
func TestWithoutSwitch(t *testing.T) {
	s := newSwitch(t)
	for address, code := range map[string]int{"http://127.0.0.1:1": cli.ExitUnavailable, "": cli.ExitUsage,
		"127.0.0.1:8583": cli.ExitUsage, "ftp://x": cli.ExitUsage, "http://": cli.ExitUsage, "::": cli.ExitUsage} {
		s.URL = address
		_, err := s.Send(t.Context(), Request{Path: "/v1"})
		if cli.Code(err) != code || strings.Contains(err.Error(), "secret") || Doubtful(err) != (code == cli.ExitUnavailable) {
			t.Errorf("%q: code %d: %v", address, cli.Code(err), err)
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(TokenEnv, "")
	for _, name := range []string{"", file, filepath.Join(dir, "none")} {
		if _, err := Token(name); cli.Code(err) != cli.ExitUsage {
			t.Errorf("%q: %v", name, err)
		}
	}
	if s.calls != 0 {
		t.Errorf("%d calls", s.calls)
	}
}

// The form is table or JSON; JSON is always a document.
func TestPrint(t *testing.T) {
	var c Client
	command := &cobra.Command{Use: "c"}
	c.Add(command)
	if err := command.ParseFlags([]string{"-o", "csv"}); err == nil || c.Form != cli.Table {
		t.Errorf("csv: %v", err)
	}
	if err := command.ParseFlags([]string{"-o", "xml"}); err == nil {
		t.Error("xml is a form")
	}
	rows := func(w io.Writer) { fmt.Fprint(w, "a\tb\n") }
	for _, k := range []struct {
		form cli.Output
		text string
		rows func(io.Writer)
		want string
	}{
		{cli.Table, `{"a":1}`, rows, "a  b\n"}, {cli.Table, "", rows, ""},
		{cli.Table, `{"a":"<"}`, nil, "{\n  \"a\": \"<\"\n}\n"},
		{cli.JSON, `{"a":1}`, rows, "{\n  \"a\": 1\n}\n"}, {cli.JSON, "", rows, "{}\n"},
	} {
		var out bytes.Buffer
		c.Form = k.form
		var v any
		if err := c.Print(&out, []byte(k.text), &v, k.rows); err != nil || out.String() != k.want {
			t.Errorf("%s %s: %q %v", k.form, k.text, out.String(), err)
		}
	}
	c.Form = cli.Table
	if err := c.Print(io.Discard, []byte(`{"a":1}`), new(int), rows); err == nil {
		t.Error("an object was read as a number")
	}
	s := newSwitch(t)
	var a struct{ A string }
	if err := s.Ask(t.Context(), Request{}, &a); err != nil || a.A != "<&>" {
		t.Errorf("%+v %v", a, err)
	}
}
