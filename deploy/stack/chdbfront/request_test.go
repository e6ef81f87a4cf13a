package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/compress"
)

func post(target string, body io.Reader) *http.Request {
	return httptest.NewRequest(http.MethodPost, target, body)
}

func wantCode(t *testing.T, what string, err error, code int) {
	t.Helper()
	var refused *exception
	if !errors.As(err, &refused) || refused.code != code {
		t.Errorf("%s: %v, want code %d", what, err, code)
	}
}

func TestSettingsBecomeStatements(t *testing.T) {
	req, err := readRequest(post("/?database=led`ger&max_threads=2&param_x=o'x&default_format=CSV"+
		"&query_id=q7&user=u&password=p&client_protocol_version=54460&compress=1",
		strings.NewReader("SELECT 1")))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"USE `led\\`ger`", "SET max_threads = '2'", `SET param_x = 'o\'x'`}
	if !slices.Equal(req.prepare, want) {
		t.Errorf("prepared %q, want %q", req.prepare, want)
	}
	if req.format != "CSV" || req.queryID != "q7" || req.compress != "LZ4" || req.hello {
		t.Errorf("%+v", req)
	}
}

func TestStatementComesFromParameterAndBody(t *testing.T) {
	for name, c := range map[string]struct{ target, body, statement, rows string }{
		"body":      {"/", "SELECT 1", "SELECT 1", ""},
		"parameter": {"/?query=SELECT+1", "", "SELECT 1\n", ""},
		"both": {"/?query=INSERT+INTO+t+FORMAT+Native", "\n\x00;x",
			"INSERT INTO t FORMAT Native\n\n\x00;x", "\n\x00;x"},
		"all in the body": {"/", "INSERT INTO t FORMAT CSV\n1;2\n", "INSERT INTO t FORMAT CSV\n1;2\n",
			"1;2\n"},
	} {
		req, err := readRequest(post(c.target, strings.NewReader(c.body)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if string(req.statement) != c.statement || string(req.rows) != c.rows {
			t.Errorf("%s: statement %q, rows %q", name, req.statement, req.rows)
		}
	}
}

func TestWhatCannotBeDoneIsRefused(t *testing.T) {
	cases := map[string]struct {
		target, body string
		code         int
	}{
		"session":       {"/?session_id=x", "SELECT 1", codeNotImplemented},
		"role":          {"/?role=x", "SELECT 1", codeNotImplemented},
		"empty":         {"/?default_format=CSV", " \n", codeSyntax},
		"two":           {"/", "SELECT 1; SELECT 2", codeSyntax},
		"bad name":      {"/?" + url.QueryEscape("a = 1, b") + "=2", "SELECT 1", codeUnknownSetting},
		"many settings": {"/?" + manySettings(), "SELECT 1", codeUnknownSetting},
		"not packed": {"/?decompress=1",
			"SELECT 1, longer than the head of a block", codeRequestNotRead},
	}
	for name, c := range cases {
		_, err := readRequest(post(c.target, strings.NewReader(c.body)))
		wantCode(t, name, err, c.code)
	}
	multipart := post("/", strings.NewReader("x"))
	multipart.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	_, err := readRequest(multipart)
	wantCode(t, "external tables", err, codeNotImplemented)
	brotli := post("/", strings.NewReader("x"))
	brotli.Header.Set("Content-Encoding", "br")
	_, err = readRequest(brotli)
	wantCode(t, "brotli", err, codeCannotUnpack)
}

func manySettings() string {
	params := url.Values{}
	for i := range settingsMax + 1 {
		params.Set("s"+strings.Repeat("x", i), "1")
	}
	return params.Encode()
}

// zeros gives as many zero bytes as are read.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestBodyIsBoundedAlsoUnpacked(t *testing.T) {
	_, err := readRequest(post("/?query=INSERT+INTO+t+FORMAT+Native",
		io.LimitReader(zeros{}, bodyMax+1)))
	wantCode(t, "a plain body", err, codeTooLarge)
	var packed bytes.Buffer
	packer := gzip.NewWriter(&packed)
	if _, err := io.CopyN(packer, zeros{}, bodyMax+1); err != nil {
		t.Fatal(err)
	}
	if err := packer.Close(); err != nil {
		t.Fatal(err)
	}
	bomb := post("/?query=INSERT+INTO+t+FORMAT+Native", &packed)
	bomb.Header.Set("Content-Encoding", "gzip")
	_, err = readRequest(bomb)
	wantCode(t, "a packed body", err, codeTooLarge)
}

func TestPackedBodyIsUnpacked(t *testing.T) {
	for _, method := range []compress.Method{compress.LZ4, compress.ZSTD, compress.None} {
		packer := compress.NewWriter(0, method)
		var body []byte
		for _, part := range []string{"SELECT", " 1"} {
			if err := packer.Compress([]byte(part)); err != nil {
				t.Fatal(err)
			}
			body = append(body, packer.Data...)
		}
		req, err := readRequest(post("/?decompress=1", bytes.NewReader(body)))
		if err != nil || string(req.statement) != "SELECT 1" {
			t.Errorf("%v: %v", method, err)
		}
		body[len(body)-1] ^= 1
		_, err = readRequest(post("/?decompress=1", bytes.NewReader(body)))
		wantCode(t, method.String()+" with a flipped bit", err, codeRequestNotRead)
	}
}

func TestTooManyStatementsAreRefused(t *testing.T) {
	f := newFront(nil, slog.New(slog.DiscardHandler)) // no engine: it must not be reached
	for range inFlightMax {
		f.slots <- struct{}{}
	}
	answer := httptest.NewRecorder()
	f.ServeHTTP(answer, post("/", strings.NewReader("SELECT 1")))
	if answer.Code != http.StatusServiceUnavailable ||
		answer.Header().Get("X-ClickHouse-Exception-Code") != "202" {
		t.Errorf("status %d, headers %v", answer.Code, answer.Header())
	}
	ping := httptest.NewRecorder()
	f.ServeHTTP(ping, httptest.NewRequest(http.MethodGet, "/ping", nil))
	if ping.Body.String() != "Ok.\n" {
		t.Errorf("ping under load: %q", ping.Body)
	}
	lost := httptest.NewRecorder()
	f.ServeHTTP(lost, httptest.NewRequest(http.MethodGet, "/play", nil))
	if lost.Code != http.StatusNotFound {
		t.Errorf("an unknown path: %d", lost.Code)
	}
}

func TestRefusalIsPackedForAPackedClient(t *testing.T) {
	f := newFront(nil, slog.New(slog.DiscardHandler))
	answer := httptest.NewRecorder()
	f.fail(answer, "ZSTD", errors.New("the disk is full"))
	text, err := io.ReadAll(compress.NewReader(answer.Body))
	if !strings.HasPrefix(string(text), "Code: 1002. DB::Exception: the disk is full") {
		t.Errorf("%q, %v", text, err)
	}
}

func TestListensOnLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "nonsense"} {
		listener, err := listenLoopback(addr)
		if err == nil {
			_ = listener.Close()
			t.Errorf("listens on %s", addr)
		}
	}
	listener, err := listenLoopback("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
}

func TestExceptionCodeIsRead(t *testing.T) {
	if e := newException("Code: 60. DB::Exception: no table"); e.code != 60 {
		t.Errorf("code %d, want 60", e.code)
	}
	if e := newException("something else"); e.code != codeUnknownException {
		t.Errorf("code %d, want %d", e.code, codeUnknownException)
	}
}
