package main

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unsafe"

	"github.com/ClickHouse/ch-go/compress"
)

const (
	// bodyMax bounds a request's body, also after it has been unpacked: 200,000 records of the
	// ledger are 60 to 100 MB.
	bodyMax = 256 << 20
	// settingsMax bounds the settings and parameters of one request.
	settingsMax = 256
)

// Error codes of ClickHouse that the front itself answers with.
const (
	codeTooManyQueries  = 202
	codeNotImplemented  = 48
	codeSyntax          = 62
	codeCannotUnpack    = 271
	codeTooLarge        = 307
	codeUnknownSetting  = 115
	codeRequestNotRead  = 209
	codeInternalFailure = codeUnknownException
)

// request is one statement as it came over HTTP.
type request struct {
	statement []byte
	shape     shape    // of an insert with rows
	rows      []byte   // of such an insert, part of statement
	prepare   []string // statements for the session: database, settings, parameters
	format    string
	compress  string // "", LZ4 or ZSTD: how the client wants the answer packed
	hello     bool   // clickhouse-go asks who we are
	queryID   string
}

// plainParams are URL parameters of the HTTP interface that are no settings. What they ask for is
// done here or needs nothing done.
func plainParams() []string {
	return []string{"query", "database", "default_format", "compress", "decompress", "query_id",
		"user", "password", "quota_key", "client_protocol_version", "wait_end_of_query",
		"buffer_size", "http_write_exception_in_output_format"}
}

// refusedParams ask for what the front cannot do; silence would look like success.
func refusedParams() []string {
	return []string{"session_id", "session_timeout", "session_check", "role", "stacktrace"}
}

// readRequest reads and unpacks one request. Its error is an *exception.
func readRequest(r *http.Request) (*request, error) {
	params := r.URL.Query()
	for _, name := range refusedParams() {
		if params.Has(name) {
			return nil, refusal(codeNotImplemented, "parameter %s is not supported by this front",
				name)
		}
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		return nil, refusal(codeNotImplemented, "external tables are not supported by this front")
	}
	body, err := readBody(r, params)
	if err != nil {
		return nil, err
	}
	req := &request{
		format:   "TabSeparated",
		queryID:  params.Get("query_id"),
		compress: answerMethod(params),
	}
	if format := params.Get("default_format"); format != "" {
		req.format = format
	}
	if err := req.setStatement(params, body); err != nil {
		return nil, err
	}
	if req.prepare, err = preparation(r, params); err != nil {
		return nil, err
	}
	return req, nil
}

// setStatement joins the query parameter and the body as ClickHouse does: the body is the
// statement, or continues it behind a line end.
func (req *request) setStatement(params url.Values, body []byte) error {
	text := params.Get("query")
	whole := body
	if text != "" {
		whole = append(append([]byte(text), '\n'), body...)
	}
	if len(bytes.TrimSpace(whole)) == 0 {
		return refusal(codeSyntax, "Empty query")
	}
	check := text
	if text == "" {
		check = unsafe.String(unsafe.SliceData(body), len(body)) // read only, and not kept
	}
	shape := shapeOf(check)
	if shape.many {
		return refusal(codeSyntax, "Syntax error (Multi-statements are not allowed)")
	}
	req.statement = whole
	if shape.rows {
		req.shape, req.rows = shape, rowsBehind(whole[shape.dataAt:])
	}
	protocol := params.Get("client_protocol_version")
	req.hello = protocol != "" && protocol != "0" && string(whole) == helloQuery
	return nil
}

// answerMethod says how the client wants its answer packed, "" for not at all. LZ4 is ClickHouse's
// default.
func answerMethod(params url.Values) string {
	if params.Get("compress") != "1" {
		return ""
	}
	if strings.EqualFold(params.Get("network_compression_method"), "ZSTD") {
		return "ZSTD"
	}
	return "LZ4"
}

// readBody returns the unpacked body: HTTP's own encodings first, then ClickHouse's blocks.
func readBody(r *http.Request, params url.Values) ([]byte, error) {
	source, err := unpacker(r)
	if err != nil {
		return nil, refusal(codeCannotUnpack, "cannot unpack the request: %v", err)
	}
	if params.Get("decompress") == "1" {
		source = compress.NewReader(source)
	}
	body, err := io.ReadAll(io.LimitReader(source, bodyMax+1))
	switch {
	case len(body) > bodyMax:
		return nil, refusal(codeTooLarge, "request body over %d bytes", bodyMax)
	case err == nil:
		return body, nil
	case params.Get("decompress") == "1" && errors.Is(err, io.EOF):
		return body, nil // ch-go wraps the end of the stream
	}
	return nil, refusal(codeRequestNotRead, "cannot read the request: %v", err)
}

// unpacker undoes HTTP's own encoding. The packed size is bounded here, the unpacked one by the
// reader of the result.
func unpacker(r *http.Request) (io.Reader, error) {
	limited := io.LimitReader(r.Body, bodyMax+1)
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
		return limited, nil
	case "gzip":
		return gzip.NewReader(limited)
	case "deflate":
		return zlib.NewReader(limited)
	default:
		return nil, fmt.Errorf("content encoding %q: use gzip, deflate or lz4 blocks", encoding)
	}
}

// preparation turns the URL's database, settings and parameters into statements for the session.
func preparation(r *http.Request, params url.Values) ([]string, error) {
	if len(params) > settingsMax {
		return nil, refusal(codeUnknownSetting, "%d URL parameters, at most %d", len(params),
			settingsMax)
	}
	var statements []string
	database := params.Get("database")
	if database == "" {
		database = r.Header.Get("X-ClickHouse-Database")
	}
	if database != "" && database != "default" {
		statements = append(statements, "USE "+quotedName(database))
	}
	names := make([]string, 0, len(params))
	for name := range params {
		if !slices.Contains(plainParams(), name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if !isName(name) {
			return nil, refusal(codeUnknownSetting, "Setting %q is no name", name)
		}
		statements = append(statements, "SET "+name+" = "+quoted(params.Get(name)))
	}
	return statements, nil
}
