package clickhouse

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
)

// server is the one engine that the tests of this package share; each test has a database
// of its own on it.
type server struct {
	*stack.Server
	databases atomic.Int64
}

func startServer(t *testing.T) *server {
	t.Helper()
	stack.Require(t, stack.ClickHouse)
	s, err := stack.StartClickHouse(context.Background(), stack.ClickHouseOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &server{Server: s}
}

// database makes an empty database and returns its DSN.
func (s *server) database(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("ledger%d", s.databases.Add(1))
	conn, err := connect(Options{DSN: "http://" + s.Addr() + "/default"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(context.Background(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return "http://" + s.Addr() + "/" + name
}

func mustOpen(t *testing.T, o Options) *Warehouse {
	t.Helper()
	o.Migrate = true
	w, err := Open(context.Background(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return w
}

func TestConformance(t *testing.T) {
	s := startServer(t)
	warehousetest.Run(t, func(t *testing.T) warehousetest.Opener {
		dsn := s.database(t)
		return func(t *testing.T) warehouse.Warehouse { return mustOpen(t, Options{DSN: dsn}) }
	})
}

// TestNative runs the suite over the native protocol against the server that
// TAPSWITCH_CLICKHOUSE names, where there is one: the engine of the stack speaks HTTP only.
func TestNative(t *testing.T) {
	dsn := os.Getenv("TAPSWITCH_CLICKHOUSE")
	if dsn == "" {
		t.Skip("not run: TAPSWITCH_CLICKHOUSE names no server (clickhouse://host:9000)")
	}
	var databases atomic.Int64
	warehousetest.Run(t, func(t *testing.T) warehousetest.Opener {
		name := fmt.Sprintf("tapswitch_test_%d_%d", os.Getpid(), databases.Add(1))
		conn, err := connect(Options{DSN: dsn})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := conn.Exec(context.Background(), "DROP DATABASE "+name); err != nil {
				t.Error(err)
			}
			if err := conn.Close(); err != nil {
				t.Error(err)
			}
		})
		if err := conn.Exec(context.Background(), "CREATE DATABASE "+name); err != nil {
			t.Fatal(err)
		}
		return func(t *testing.T) warehouse.Warehouse {
			return mustOpen(t, Options{DSN: dsn + "/" + name})
		}
	})
}
