package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
)

// ask sends one statement as curl would and returns the answer with its headers.
func ask(t *testing.T, f *runningFront, params url.Values, body string) (*http.Response, string) {
	t.Helper()
	target := "http://" + f.addr + "/?" + params.Encode()
	resp, err := http.Post(target, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(answer)
}

func TestAnswerTellsWhatWasDone(t *testing.T) {
	f := startFront(t)
	ask(t, f, nil, "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	resp, _ := ask(t, f, url.Values{"query_id": {"q1"}}, "INSERT INTO t VALUES (1), (2)")
	if summary := resp.Header.Get("X-ClickHouse-Summary"); !strings.Contains(summary,
		`"written_rows":"2"`) {
		t.Errorf("summary %s", summary)
	}
	if id := resp.Header.Get("X-ClickHouse-Query-Id"); id != "q1" {
		t.Errorf("query id %q", id)
	}
	resp, answer := ask(t, f, url.Values{"default_format": {"CSV"}}, "SELECT a FROM t ORDER BY a")
	if answer != "1\n2\n" || resp.Header.Get("X-ClickHouse-Format") != "CSV" {
		t.Errorf("%q as %s", answer, resp.Header.Get("X-ClickHouse-Format"))
	}
	_, answer = ask(t, f, nil, "SELECT a FROM t ORDER BY a FORMAT JSONEachRow")
	if !strings.Contains(answer, `{"a":2}`) {
		t.Errorf("a format in the statement: %q", answer)
	}
}

func TestInsertTakesDataWithSignsOfTheLanguage(t *testing.T) {
	f := startFront(t)
	ask(t, f, nil, "CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY s")
	bodies := []string{
		"INSERT INTO t VALUES ('a;b'), ('FORMAT x'), ('it''s')",
		"INSERT INTO t FORMAT CSV\n\"c;d\"\n\n\"-- e\"\n",
		"INSERT INTO t FORMAT TSV\n/* f */\n",
	}
	for _, body := range bodies {
		if resp, answer := ask(t, f, nil, body); resp.StatusCode != http.StatusOK {
			t.Errorf("%q: %s", body, answer)
		}
	}
	_, answer := ask(t, f, nil, "SELECT s FROM t ORDER BY s FORMAT TSVRaw")
	if want := "\n-- e\n/* f */\nFORMAT x\na;b\nc;d\nit's\n"; answer != want {
		t.Errorf("read back %q, want %q", answer, want)
	}
}

func TestInsertThatFailsWritesNothing(t *testing.T) {
	f := startFront(t)
	ask(t, f, nil, "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
	for _, body := range []string{
		"INSERT INTO t FORMAT CSV\n1\n2\nthree\n",
		"INSERT INTO t (a, b) FORMAT CSV\n1,2\n",
		"INSERT INTO t FORMAT Native\n\x01\x05\x01a\x05UInt8\x01\x02", // five rows said, two sent
	} {
		resp, answer := ask(t, f, nil, body)
		if resp.StatusCode == http.StatusOK || resp.Header.Get("X-ClickHouse-Exception-Code") == "" {
			t.Errorf("%q: status %d, %q", body, resp.StatusCode, answer)
		}
	}
	if _, answer := ask(t, f, nil, "SELECT count() FROM t"); answer != "0\n" {
		t.Errorf("%q rows after failed inserts only", answer)
	}
}

func TestStatementUnderWayFinishesAtTheEnd(t *testing.T) {
	f := startFront(t)
	conn := connect(t, f.addr)
	answered := make(chan error, 1)
	go func() {
		var n uint64
		err := conn.QueryRow(context.Background(), "SELECT sum(number) + sum(sleepEachRow(0.3))"+
			" FROM numbers(4) SETTINGS max_block_size = 1").Scan(&n)
		answered <- err
	}()
	waitFor(t, "the statement to be under way", func() bool {
		_, n := ask(t, f, nil, "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow%'"+
			" AND query NOT LIKE '%system.processes%'")
		return n != "0\n"
	})
	if err := f.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-answered:
		if err != nil {
			t.Errorf("a statement under way at SIGTERM failed: %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("no answer a minute after SIGTERM")
	}
	if err := f.cmd.Wait(); err != nil {
		t.Errorf("exit after SIGTERM: %v", err)
	}
}

func TestKilledFrontIsAnErrorAtTheClient(t *testing.T) {
	f := startFront(t)
	conn := connect(t, f.addr)
	execute(t, conn, "SELECT 1")
	f.kill()
	err := conn.Exec(t.Context(), "SELECT 1")
	var refused *clickhouse.Exception
	if err == nil || errors.As(err, &refused) {
		t.Errorf("%v, want an error of the connection", err)
	}
}

func TestHelloIsReadableByTheClientsVersion(t *testing.T) {
	block := helloBlock("vm", "26.5.1.1", "Etc/UTC")
	r := proto.NewReader(bytes.NewReader(block))
	var info proto.BlockInfo
	if err := info.Decode(r); err != nil {
		t.Fatal(err)
	}
	if info.Overflows || info.BucketNum != -1 {
		t.Errorf("block info %+v", info)
	}
	columns, err := r.UVarInt()
	if err != nil || columns != 4 {
		t.Fatalf("%d columns, %v", columns, err)
	}
	if rows, err := r.UVarInt(); err != nil || rows != 1 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	for _, want := range []struct{ name, kind, value string }{
		{"displayName()", "String", "vm"},
		{"version()", "String", "26.5.1.1"},
		{"revision()", "UInt32", ""},
		{"timezone()", "String", "Etc/UTC"},
	} {
		name, _ := r.Str()
		kind, _ := r.Str()
		custom, err := r.Bool()
		if name != want.name || kind != want.kind || custom || err != nil {
			t.Fatalf("column %s %s, custom %v, %v", name, kind, custom, err)
		}
		if kind == "UInt32" {
			if revision, err := r.UInt32(); revision != 0 || err != nil {
				t.Errorf("revision %d, %v", revision, err)
			}
		} else if value, err := r.Str(); value != want.value || err != nil {
			t.Errorf("%s is %q, %v", name, value, err)
		}
	}
}
