package books

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Native speaks HTTP to a ClickHouse server. Safe for concurrent use.
type Native struct{ Addr string }

// Run runs one statement.
func (t *Native) Run(ctx context.Context, statement string) error {
	_, err := t.Post(ctx, statement, nil)
	return err
}

// Post runs one statement and returns what the server said; body goes with an insert.
func (t *Native) Post(ctx context.Context, statement string, body []byte) ([]byte, error) {
	address := "http://" + t.Addr + "/?query=" + url.QueryEscape(statement)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("clickhouse: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("clickhouse: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("clickhouse: %.60s: %.300s", statement, text)
	}
	return text, nil
}

// Table is the records that a feed inserts round by round. It is for one goroutine.
type Table struct {
	Native
	Rows  int // of a round
	taken int // rows that earlier rounds left in records
}

// InsertAgain copies the newest rows of records into a table of their own and times the
// insert.
func (t *Table) InsertAgain(ctx context.Context, round int) (time.Duration, error) {
	table := fmt.Sprintf("bench.bare_%d", round)
	if err := t.Run(ctx, "CREATE TABLE "+table+" AS bench.records"); err != nil {
		return 0, err
	}
	newest := "SELECT * FROM bench.records WHERE kind = 'bus_boarding' ORDER BY service_at_ms " +
		fmt.Sprintf("LIMIT %d OFFSET %d FORMAT Native", t.Rows, t.taken)
	rows, err := t.Post(ctx, newest, nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := t.Post(ctx, "INSERT INTO "+table+" FORMAT Native", rows); err != nil {
		return 0, err
	}
	took := time.Since(began)
	count, err := t.Post(ctx, "SELECT count() FROM "+table, nil)
	if err != nil {
		return 0, err
	}
	if n := strings.TrimSpace(string(count)); n != strconv.Itoa(t.Rows) {
		return 0, fmt.Errorf("the bare insert left %s rows, the feed %d", n, t.Rows)
	}
	t.taken += t.Rows
	return took, nil
}
