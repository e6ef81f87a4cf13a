package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/ClickHouse/ch-go/proto"
)

const (
	// inFlightMax bounds the statements under way; more are refused with ClickHouse's own code 202.
	inFlightMax = 64
	// packMax is how much of an answer goes into one packed block.
	packMax = 1 << 20
	// helloQuery is what clickhouse-go asks first on every connection.
	helloQuery = "SELECT displayName(), version(), revision(), timezone()"
)

// front answers ClickHouse's HTTP interface from one engine.
type front struct {
	engine *engine
	log    *slog.Logger
	slots  chan struct{} // one for each statement under way
}

// newFront makes a front; it owns no goroutine, net/http brings those.
func newFront(e *engine, log *slog.Logger) *front {
	return &front{engine: e, log: log, slots: make(chan struct{}, inFlightMax)}
}

// ServeHTTP answers /ping and, at /, one statement a request.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/ping":
		_, _ = w.Write([]byte("Ok.\n"))
	case "/":
		if r.URL.RawQuery == "" && r.Method == http.MethodGet {
			_, _ = w.Write([]byte("Ok.\n"))
			return
		}
		f.serveQuery(w, r)
	default:
		http.NotFound(w, r)
	}
}

// serveQuery refuses at once when all slots are taken: the client knows better when to come again.
func (f *front) serveQuery(w http.ResponseWriter, r *http.Request) {
	select {
	case f.slots <- struct{}{}:
		defer func() { <-f.slots }()
	default:
		f.fail(w, "", refusal(codeTooManyQueries, "Too many simultaneous queries. Maximum: %d",
			inFlightMax))
		return
	}
	req, err := readRequest(r)
	if err != nil {
		f.fail(w, answerMethod(r.URL.Query()), err)
		return
	}
	if err := f.execute(w, req); err != nil {
		f.fail(w, req.compress, err)
	}
}

// execute runs the statement in a session of its own. Nothing has been written if it fails: the
// engine gives a result as a whole, so an error always has its status and code.
func (f *front) execute(w http.ResponseWriter, req *request) error {
	s, err := f.engine.open()
	if err != nil {
		return err
	}
	defer s.close()
	for _, statement := range req.prepare {
		if err := s.run([]byte(statement), "Null", func(*result) error { return nil }); err != nil {
			return err
		}
	}
	if req.hello {
		return f.answerHello(w, req, s)
	}
	statement := req.statement
	if req.shape.rows {
		file, err := fileOf(req.rows)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		statement = req.shape.fromFile(statement, procPath(file))
	}
	return s.run(statement, req.format, func(out *result) error {
		f.answer(w, req, out)
		return nil
	})
}

// answer sends a result. A client that went away is its own affair.
func (f *front) answer(w http.ResponseWriter, req *request, out *result) {
	header := w.Header()
	header.Set("X-ClickHouse-Format", req.format)
	header.Set("X-ClickHouse-Timezone", "UTC")
	header.Set("X-ClickHouse-Query-Id", req.queryID)
	header.Set("X-ClickHouse-Summary", fmt.Sprintf(`{"read_rows":"%d","written_rows":"%d"}`,
		out.rowsRead, out.rowsWritten))
	header.Set("Content-Type", "application/octet-stream")
	if req.compress == "" || len(out.body) == 0 {
		header.Set("Content-Length", strconv.Itoa(len(out.body)))
		_, _ = w.Write(out.body)
		return
	}
	if err := writePacked(w, req.compress, out.body); err != nil {
		f.log.Warn("answer not sent", "error", err)
	}
}

// answerHello tells clickhouse-go revision 0. It decodes this one answer by its own protocol
// version and all later ones by the revision it is told; the engine writes Native blocks of
// revision 0, without block info and serialization marks.
func (f *front) answerHello(w http.ResponseWriter, req *request, s *session) error {
	const fields = "SELECT displayName(), version(), timezone()"
	return s.run([]byte(fields), "TabSeparated", func(out *result) error {
		var name, version, zone string
		_, err := fmt.Sscanf(string(out.body), "%s\t%s\t%s", &name, &version, &zone)
		if err != nil {
			return fmt.Errorf("the engine's own name reads %q: %w", out.body, err)
		}
		f.answer(w, req, &result{body: helloBlock(name, version, zone)})
		return nil
	})
}

// helloBlock is one row in Native form of a protocol version with block info and custom
// serialization marks.
func helloBlock(name, version, zone string) []byte {
	var b proto.Buffer
	b.Buf = append(b.Buf, 1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0) // block info: no overflow, bucket -1
	b.PutUVarInt(4)
	b.PutUVarInt(1)
	column := func(title, kind string) {
		b.PutString(title)
		b.PutString(kind)
		b.PutBool(false)
	}
	column("displayName()", "String")
	b.PutString(name)
	column("version()", "String")
	b.PutString(version)
	column("revision()", "UInt32")
	b.Buf = binary.LittleEndian.AppendUint32(b.Buf, 0)
	column("timezone()", "String")
	b.PutString(zone)
	return b.Buf
}

// fail answers in the form of ClickHouse: status 500, the code in a header, the text in the body,
// packed if the client asked for packed answers.
func (f *front) fail(w http.ResponseWriter, method string, err error) {
	var refused *exception
	if !errors.As(err, &refused) {
		refused = refusal(codeInternalFailure, "%v", err)
	}
	f.log.Info("refused", "code", refused.code, "error", refused.text)
	status := http.StatusInternalServerError
	if refused.code == codeTooManyQueries {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(refused.code))
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.WriteHeader(status)
	text := []byte(refused.text + "\n")
	if method == "" {
		_, _ = w.Write(text)
		return
	}
	if err := writePacked(w, method, text); err != nil {
		f.log.Warn("refusal not sent", "error", err)
	}
}

// writePacked sends body as ClickHouse's packed blocks.
func writePacked(w http.ResponseWriter, method string, body []byte) error {
	kind := compress.LZ4
	if method == "ZSTD" {
		kind = compress.ZSTD
	}
	packer := compress.NewWriter(0, kind)
	for len(body) > 0 {
		part := body[:min(len(body), packMax)]
		body = body[len(part):]
		if err := packer.Compress(part); err != nil {
			return fmt.Errorf("pack an answer: %w", err)
		}
		if _, err := w.Write(packer.Data); err != nil {
			return fmt.Errorf("send an answer: %w", err)
		}
	}
	return nil
}
