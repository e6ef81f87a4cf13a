package stack_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tapswitch/tapswitch/deploy/stack"
)

func startClickHouse(t *testing.T) *stack.Server {
	t.Helper()
	stack.Require(t, stack.ClickHouse)
	server, err := stack.StartClickHouse(startContext(t), stack.ClickHouseOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatalf("start clickhouse: %v", err)
	}
	t.Cleanup(func() { closeServer(t, server) })
	return server
}

// clickHouse runs one statement over plain HTTP and fails the test on an error.
func clickHouse(t *testing.T, addr, statement string) string {
	t.Helper()
	answer, err := stack.ClickHouseQuery(startContext(t), addr, statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return answer
}

func TestClickHouseKeepsAcknowledgedInsertsOverKill(t *testing.T) {
	server := startClickHouse(t)
	clickHouse(t, server.Addr(), "CREATE TABLE records (seq UInt64, amount Int64) "+
		"ENGINE = ReplacingMergeTree ORDER BY seq")
	const batches, rows = 40, 100
	for b := range batches {
		clickHouse(t, server.Addr(), fmt.Sprintf("INSERT INTO records SELECT number + %d, "+
			"toInt64(number) FROM numbers(%d)", b*rows, rows))
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := server.Restart(startContext(t)); err != nil {
		t.Fatal(err)
	}
	got := clickHouse(t, server.Addr(), "SELECT count(), sum(amount) FROM records FINAL")
	if want := fmt.Sprintf("%d\t%d", batches*rows, batches*rows*(rows-1)/2); got != want {
		t.Errorf("after kill and restart %q, want %q", got, want)
	}
}

func TestClickHouseStopsCleanly(t *testing.T) {
	server := startClickHouse(t)
	clickHouse(t, server.Addr(), "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a")
	clickHouse(t, server.Addr(), "INSERT INTO t VALUES (1), (2), (3)")
	if err := server.Stop(); err != nil {
		t.Fatalf("stop: %v", err)
	}
	if _, err := stack.ClickHouseQuery(startContext(t), server.Addr(), "SELECT 1"); err == nil {
		t.Error("a stopped server answered")
	}
	if err := server.Start(startContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := clickHouse(t, server.Addr(), "SELECT sum(a) FROM t"); got != "6" {
		t.Errorf("sum %q, want 6", got)
	}
}

func TestTwoClickHousesDoNotMeet(t *testing.T) {
	first, second := startClickHouse(t), startClickHouse(t)
	clickHouse(t, first.Addr(), "CREATE TABLE only_here (a UInt8) ENGINE = MergeTree ORDER BY a")
	if got := clickHouse(t, second.Addr(), "EXISTS TABLE only_here"); got != "0" {
		t.Errorf("the table of one server is seen by the other: %q", got)
	}
}

func TestClickHouseOnABusyFolderSaysWhy(t *testing.T) {
	server := startClickHouse(t)
	_, err := stack.StartClickHouse(startContext(t), stack.ClickHouseOptions{Dir: server.Dir()})
	if !errors.Is(err, stack.ErrDied) {
		t.Errorf("a second server on the folder: %v, want ErrDied", err)
	}
}
