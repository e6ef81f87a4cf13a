package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/ebitengine/purego"
)

// engine is the ClickHouse engine in libchdb.so, opened on one data folder. It may be used from
// any goroutine; each statement runs in a session of its own, several at a time.
type engine struct {
	api  engineAPI
	path string
	root unsafe.Pointer // keeps the engine open between sessions
	lock *os.File       // one process a folder
}

// engineAPI is the part of the library's C interface that the front uses. The calls with a length
// are needed because the rows of an insert follow the statement and hold zero bytes.
type engineAPI struct {
	connect func(argc int, argv **byte) unsafe.Pointer
	close   func(conn unsafe.Pointer)
	query   func(conn unsafe.Pointer, q *byte, qLen uint, format *byte, fLen uint) unsafe.Pointer
	free    func(result unsafe.Pointer)
	buffer  func(result unsafe.Pointer) *byte
	length  func(result unsafe.Pointer) uint
	failure func(result unsafe.Pointer) string
	read    func(result unsafe.Pointer) uint64
	written func(result unsafe.Pointer) uint64
}

// errFolderInUse says that another front has the data folder open.
var errFolderInUse = errors.New("another process has the data folder open")

// openEngine loads the library and opens the folder, which is made if missing.
func openEngine(library, path string) (*engine, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("data folder %q: %w", path, err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	lock, err := lockFolder(path)
	if err != nil {
		return nil, err
	}
	handle, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", library, err)
	}
	e := &engine{path: path, lock: lock}
	for name, function := range e.api.symbols() {
		purego.RegisterLibFunc(function, handle, name)
	}
	if e.root = e.connect(); e.root == nil {
		return nil, fmt.Errorf("the engine refused the data folder %s", path)
	}
	return e, nil
}

// symbols pairs the library's names with the fields that stand for them.
func (a *engineAPI) symbols() map[string]any {
	return map[string]any{
		"chdb_connect":              &a.connect,
		"chdb_close_conn":           &a.close,
		"chdb_query_n":              &a.query,
		"chdb_destroy_query_result": &a.free,
		"chdb_result_buffer":        &a.buffer,
		"chdb_result_length":        &a.length,
		"chdb_result_error":         &a.failure,
		"chdb_result_rows_read":     &a.read,
		"chdb_result_rows_written":  &a.written,
	}
}

// lockFolder keeps a second front from the folder: the engine itself does not, and two of them
// would write over each other.
func lockFolder(path string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(path, "front.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the folder's lock: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("%w: %s", errFolderInUse, path)
	}
	return lock, nil
}

// connect opens a connection; the first one opens the folder, the last one closes it.
func (e *engine) connect() unsafe.Pointer {
	args := []*byte{cString("clickhouse"), cString("--path=" + e.path)}
	conn := e.api.connect(len(args), &args[0])
	runtime.KeepAlive(args)
	return conn
}

// close writes out what the engine still holds. No session may be open.
func (e *engine) close() {
	e.api.close(e.root)
	_ = e.lock.Close()
}

// session is one connection to the engine: settings made in it do not reach others. Opening one
// takes a quarter of a millisecond, so the front opens one for each request.
type session struct {
	api  *engineAPI
	conn unsafe.Pointer
}

// open gives a session for one request.
func (e *engine) open() (*session, error) {
	conn := e.connect()
	if conn == nil {
		return nil, errors.New("the engine gave no connection")
	}
	return &session{api: &e.api, conn: conn}, nil
}

// close gives up the session with its settings.
func (s *session) close() { s.api.close(s.conn) }

// run executes one statement, with the rows of an insert behind it, and hands the result to use,
// whose bytes are the engine's own and gone when use returns. A refusal of the engine is an
// *exception.
func (s *session) run(statement []byte, format string, use func(*result) error) error {
	// The C side wants a handle inside the connection, not the connection.
	handle := *(*unsafe.Pointer)(s.conn)
	raw := s.api.query(handle, unsafe.SliceData(statement), uint(len(statement)),
		unsafe.StringData(format), uint(len(format)))
	runtime.KeepAlive(statement)
	if raw == nil {
		return use(&result{})
	}
	defer s.api.free(raw)
	if text := s.api.failure(raw); text != "" {
		return newException(text)
	}
	out := &result{rowsRead: s.api.read(raw), rowsWritten: s.api.written(raw)}
	if n := s.api.length(raw); n > 0 {
		out.body = unsafe.Slice(s.api.buffer(raw), n)
	}
	return use(out)
}

// result is what a statement gave, in the format asked for.
type result struct {
	body        []byte
	rowsRead    uint64
	rowsWritten uint64
}

// exception is a refusal of the engine, with ClickHouse's own error code.
type exception struct {
	code int
	text string
}

// Error returns the engine's text, which starts with "Code: NNN.".
func (e *exception) Error() string { return e.text }

const codeUnknownException = 1002

// newException reads the code at the head of the engine's text.
func newException(text string) *exception {
	code := codeUnknownException
	if found := regexp.MustCompile(`^Code: (\d+)\.`).FindStringSubmatch(text); found != nil {
		code, _ = strconv.Atoi(found[1]) // digits by the pattern
	}
	return &exception{code: code, text: text}
}

// refusal is an exception that the front itself raises, in the engine's form.
func refusal(code int, format string, args ...any) *exception {
	return &exception{code: code, text: fmt.Sprintf("Code: %d. DB::Exception: ", code) +
		fmt.Sprintf(format, args...)}
}

// cString is for the calls that take no length.
func cString(s string) *byte { return unsafe.SliceData(append([]byte(s), 0)) }
