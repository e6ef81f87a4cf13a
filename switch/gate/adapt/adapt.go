// Package adapt serves net/http handlers within a fasthttp server: in the request's own
// goroutine and without a pipe, which the library's adaptor needs for what no handler here
// does, flushing and taking over the connection. A handler may read the body, set headers and
// write; large content in memory is sent from where it is.
package adapt

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"github.com/valyala/fasthttp"
)

// Handler serves h.
func Handler(h http.Handler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		r, err := convert(ctx)
		if err != nil {
			ctx.Error("the request cannot be read", http.StatusBadRequest)
			return
		}
		w := &answerWriter{ctx: ctx, header: make(http.Header, 8)}
		h.ServeHTTP(w, r.WithContext(ctx))
		w.begin(http.StatusOK)
		if n, err := strconv.Atoi(w.header.Get(fasthttp.HeaderContentLength)); err == nil && ctx.IsHead() {
			ctx.Response.SkipBody = true
			ctx.Response.Header.SetContentLength(n)
		}
	}
}

// convert makes the handler's request. All its text is copied: the library's own strings lie in
// buffers that the next request overwrites, and a handler may keep a name. Only the body is
// where it was read, and is gone with the answer.
func convert(ctx *fasthttp.RequestCtx) (*http.Request, error) {
	uri, body := string(ctx.RequestURI()), ctx.PostBody()
	at, err := url.ParseRequestURI(uri)
	if err != nil {
		return nil, err
	}
	header := make(http.Header, ctx.Request.Header.Len())
	for k, v := range ctx.Request.Header.All() {
		header.Add(string(k), string(v))
	}
	return &http.Request{Method: string(ctx.Method()), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL: at, RequestURI: uri, Host: string(ctx.Host()), RemoteAddr: ctx.RemoteAddr().String(),
		Header: header, TLS: ctx.TLSConnectionState(), ContentLength: int64(len(body)),
		Body: io.NopCloser(bytes.NewReader(body))}, nil
}

// answerWriter is the answer of a handler. It is used by one goroutine.
type answerWriter struct {
	ctx    *fasthttp.RequestCtx
	header http.Header
	begun  bool
}

// Header implements http.ResponseWriter.
func (w *answerWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter; the first call counts.
func (w *answerWriter) WriteHeader(status int) { w.begin(status) }

func (w *answerWriter) begin(status int) {
	if w.begun {
		return
	}
	w.begun = true
	response := &w.ctx.Response
	response.SetStatusCode(status)
	for name, values := range w.header {
		if name == fasthttp.HeaderContentLength {
			continue // fasthttp counts
		}
		for _, v := range values {
			response.Header.Add(name, v)
		}
	}
}

// Write implements http.ResponseWriter.
func (w *answerWriter) Write(b []byte) (int, error) {
	w.begin(http.StatusOK)
	w.ctx.Response.AppendBody(b)
	return len(b), nil
}

// streamMin is the size from which content in memory is sent from where it is.
const streamMin = 64 << 10

// ReadFrom takes the content of http.ServeContent. A list of frozen cards is as large as it
// is wanted by many at once, so what stands in memory is sent without a copy; a file is
// closed when the handler returns, and is copied.
func (w *answerWriter) ReadFrom(src io.Reader) (int64, error) {
	w.begin(http.StatusOK)
	l, limited := src.(*io.LimitedReader)
	if limited && l.N >= streamMin {
		if _, file := l.R.(*os.File); !file {
			size := l.N
			w.ctx.Response.SetBodyStream(&io.LimitedReader{R: l.R, N: size}, int(size))
			l.N = 0
			return size, nil
		}
	}
	n, err := io.Copy(writerOnly{w}, src)
	return n, err
}

// writerOnly hides ReadFrom from io.Copy.
type writerOnly struct{ io.Writer }
