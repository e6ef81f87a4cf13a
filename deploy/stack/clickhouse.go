package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"time"
)

const (
	// probeTimeout bounds one question to the ClickHouse front.
	probeTimeout = 2 * time.Second
	// probeBytesMax bounds the answer to a question.
	probeBytesMax = 64 << 10
)

// ClickHouseOptions says how the ClickHouse engine is run.
type ClickHouseOptions struct {
	// Dir holds the data and the log; created if missing, kept afterwards.
	Dir string
	// Port is the loopback port of the HTTP interface, 0 for a free one.
	Port int

	pidFile string
}

// StartClickHouse starts the ClickHouse engine behind its HTTP front and returns once it answers
// SELECT 1. Stock clickhouse-go connects with Protocol: clickhouse.HTTP and Addr of the server,
// without user and password. What the front can and cannot do stands in chdbfront/main.go.
func StartClickHouse(ctx context.Context, opt ClickHouseOptions) (*Server, error) {
	server, err := newClickHouse(opt)
	if err != nil {
		return nil, err
	}
	if err := server.Start(ctx); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return server, nil
}

// newClickHouse prepares a server without starting it. The engine gets a folder inside of Dir, so
// that the log and the lock of the front do not lie among its files.
func newClickHouse(opt ClickHouseOptions) (*Server, error) {
	if err := Available(ClickHouse); err != nil {
		return nil, err
	}
	lay, err := newLayout()
	if err != nil {
		return nil, err
	}
	dir, err := dataDir(opt.Dir)
	if err != nil {
		return nil, err
	}
	held, err := holdPort(opt.Port)
	if err != nil {
		return nil, err
	}
	addr := loopback(held.number)
	data := filepath.Join(dir, "data")
	return &Server{
		addr:  addr,
		ports: []*port{held},
		ready: func(ctx context.Context) error { return clickHouseReady(ctx, addr) },
		launch: launch{
			kind:     ClickHouse,
			dir:      dir,
			argv:     []string{lay.frontBinary(), "-addr", addr, "-path", data},
			env:      []string{"CHDB_LIB_PATH=" + lay.libchdb()},
			detached: opt.pidFile != "",
			pidFile:  opt.pidFile,
		},
	}, nil
}

// clickHouseReady runs a statement: the port is open before the engine is.
func clickHouseReady(ctx context.Context, addr string) error {
	answer, err := clickHouseQuery(ctx, addr, "SELECT 1")
	if err != nil {
		return err
	}
	if answer != "1" {
		return fmt.Errorf("stack: clickhouse at %s answered SELECT 1 with %q", addr, answer)
	}
	return nil
}

// clickHouseQuery runs one statement and returns the answer as tab-separated text.
func clickHouseQuery(ctx context.Context, addr, statement string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	target := (&url.URL{Scheme: "http", Host: addr, Path: "/"}).String()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target,
		strings.NewReader(statement))
	if err != nil {
		return "", fmt.Errorf("stack: ask clickhouse: %w", err)
	}
	// No connection is kept: a caller that looks for leaked goroutines must find none of ours.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("stack: ask clickhouse: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, probeBytesMax))
	if err != nil {
		return "", fmt.Errorf("stack: read clickhouse's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("stack: clickhouse at %s: status %d: %s", addr, resp.StatusCode,
			strings.TrimSpace(string(body)))
	}
	return strings.TrimSpace(string(body)), nil
}
