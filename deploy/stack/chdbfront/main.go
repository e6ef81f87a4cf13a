// Command chdbfront puts ClickHouse's HTTP interface in front of the ClickHouse engine that
// libchdb.so holds, so that a stock client finds a current ClickHouse where no server package can
// be had. It is for tests and demonstrations on one machine, and a module of its own so that the
// product does not depend on the engine.
//
// It owns one data folder, under a lock. Each request is one statement in a session of its own;
// statements run side by side, at most inFlightMax. A request's settings come as URL parameters and
// hold for that request. Bodies and answers are whole in memory, a body up to bodyMax.
//
// Durability is the engine's: an insert is acknowledged when its parts have been renamed into
// place, so a kill loses nothing that was acknowledged; a power cut may, as with ClickHouse's own
// defaults (fsync_after_insert=0).
//
// It does what clickhouse-go's HTTP protocol needs (Native and every other format, LZ4 and ZSTD
// blocks, gzip and deflate requests, exception codes, query parameters) and refuses the rest aloud:
// sessions, external tables, several statements in a request. User and password are not checked, so
// it listens on loopback only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// drainMax bounds the wait for statements under way when the front is told to end.
const drainMax = 20 * time.Second

var errNotLoopback = errors.New("the address is not on loopback")

func main() {
	addr := flag.String("addr", "127.0.0.1:18123", "loopback address to listen on")
	path := flag.String("path", "", "data folder")
	library := flag.String("lib", os.Getenv("CHDB_LIB_PATH"), "libchdb.so (or CHDB_LIB_PATH)")
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if *path == "" || *library == "" {
		log.Error("both -path and -lib are needed")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := serve(ctx, *addr, *library, *path, log); err != nil {
		log.Error("chdbfront failed", "error", err)
		os.Exit(1)
	}
}

// serve opens the engine, answers until ctx ends, lets the statements under way finish and closes
// the engine.
func serve(ctx context.Context, addr, library, path string, log *slog.Logger) error {
	listener, err := listenLoopback(addr)
	if err != nil {
		return err
	}
	e, err := openEngine(library, path)
	if err != nil {
		return fmt.Errorf("open the engine: %w", err)
	}
	server := &http.Server{Handler: newFront(e, log), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	log.Info("serving", "addr", listener.Addr().String(), "path", e.path)
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), drainMax)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return fmt.Errorf("statements still run after %v: %w", drainMax, err)
	}
	e.close()
	log.Info("stopped")
	return nil
}

// listenLoopback refuses other addresses, since nobody is asked for a password.
func listenLoopback(addr string) (net.Listener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	if !resolved.IP.IsLoopback() {
		return nil, fmt.Errorf("%w: %s; use 127.0.0.1", errNotLoopback, addr)
	}
	listener, err := net.ListenTCP("tcp", resolved)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return listener, nil
}
