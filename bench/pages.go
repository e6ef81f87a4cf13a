package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
)

// dayTotals times the totals of a day against the same figures asked by SQL, of the same files
// and of ClickHouse's own engine: one query a list, as an analyst would write them.
func (b *bench) dayTotals(ctx context.Context, dir string) error {
	ours := func() (warehouse.Totals, error) {
		reader, err := local.OpenReader(dir)
		if err != nil {
			return warehouse.Totals{}, err
		}
		return reader.Totals(ctx, warehousetest.Day)
	}
	bare, done, err := b.bareQuery(ctx, dir)
	if err != nil {
		return err
	}
	rounds := b.size.Rounds
	var us, them []float64
	for round := range rounds {
		began := time.Now()
		t, err := ours()
		if err != nil {
			return errors.Join(err, done())
		}
		us = append(us, time.Since(began).Seconds())
		if bare == nil {
			continue
		}
		took, err := bare(&t)
		if err != nil {
			return errors.Join(err, done())
		}
		them = append(them, took.Seconds())
		b.say("totals, round %d of %d: %.2f s, the bare query %.2f s", round+1, rounds, us[round], them[round])
	}
	b.sized("a day of %d records in Parquet, totals %d times", b.size.DayRows, rounds)
	name := "totals of a day of " + report.Number(float64(b.size.DayRows)) + " records"
	b.Add(report.Of(name, "s", us...))
	if bare != nil {
		b.Add(report.Of("the same figures by bare queries of the same files", "s", them...))
		b.Add(report.Of("totals to bare queries", "×", report.Ratios(us, them)...).AtMost(2))
	}
	return done()
}

// bareQueries are the figures of a day, as ClickHouse asks Parquet for them; %s is the files.
func bareQueries() []string {
	return []string{
		`SELECT kind, outcome, currency, count(), sum(full_fare), sum(charged) FROM %s GROUP BY kind, outcome, currency`,
		`SELECT kind, outcome, cause, currency, count(), sum(amount) FROM %s ARRAY JOIN discount_causes AS cause, ` +
			`discount_amounts AS amount GROUP BY kind, outcome, cause, currency`,
		`SELECT operator, currency, countIf(outcome = 'approved'), sumIf(charged, outcome = 'approved') FROM %s ` +
			`GROUP BY operator, currency`,
		`SELECT reason, count() FROM %s WHERE outcome = 'declined' GROUP BY reason`,
		`SELECT account, currency, count(), sum(amount) FROM %s ARRAY JOIN accounts AS account, amounts AS amount ` +
			`GROUP BY account, currency`,
		`SELECT bucket, epoch, count(), min(seq), max(seq) FROM %s GROUP BY bucket, epoch`,
		`SELECT count() FROM %s WHERE arraySum(amounts) != 0`,
		`SELECT count() FROM (SELECT terminal, boot, counter FROM %s WHERE terminal != '' AND ` +
			`reason NOT IN ('id_reused', 'id_too_old') GROUP BY terminal, boot, counter HAVING count() > 1)`,
	}
}

// bareQuery returns what asks the same figures of the files without us, nil where there is no
// engine for that.
func (b *bench) bareQuery(ctx context.Context, dir string) (
	ask func(*warehouse.Totals) (time.Duration, error), done func() error, err error) {
	done = func() error { return nil }
	if err := stack.Available(stack.ClickHouse); err != nil {
		b.note("The bare query did not run: %v.", err)
		return nil, done, nil
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, done, err
	}
	server, err := stack.StartClickHouse(ctx, stack.ClickHouseOptions{Dir: filepath.Join(b.dir, "bare")})
	if err != nil {
		return nil, done, err
	}
	b.note("The bare queries are ClickHouse's engine on the Parquet files of the day: the figures that the totals " +
		"have, one query a list, sums and repeated requests included.")
	t := &nativeTable{addr: server.Addr()}
	files := fmt.Sprintf("file('%s/%s/*.parquet', 'Parquet')", dir, warehousetest.Day)
	return func(ours *warehouse.Totals) (took time.Duration, err error) {
		for _, q := range bareQueries() {
			began := time.Now()
			text, err := t.post(ctx, fmt.Sprintf(q, files), nil)
			if err != nil {
				return 0, err
			}
			took += time.Since(began)
			if strings.HasPrefix(q, "SELECT operator") {
				err = sameOperators(ours, text)
			}
			if err != nil {
				return 0, err
			}
		}
		return took, nil
	}, server.Close, nil
}

// sameOperators demands that the engine found what the totals have.
func sameOperators(t *warehouse.Totals, text []byte) error {
	for _, o := range t.Operators {
		want := fmt.Appendf(nil, "%s\t%d\t%d\t%d\n", o.Operator, o.Currency, o.Approved, o.Charged)
		if !bytes.Contains(text, want) {
			return fmt.Errorf("the totals have %q, which the bare query does not: %.300s", want, text)
		}
	}
	return nil
}

const (
	// pageTurns is how often each page is asked for, and pageMax what it may take.
	pageTurns = 50
	pageMax   = 200
	// countMax is how long the first count of a day may take.
	countMax = 5 * time.Minute
)

// pages are those of the console that tell of the day.
func pages() []string {
	day := warehousetest.Day.String()
	return []string{"/console/today", "/console/days", "/console/days/" + day, "/console/settlement/" + day,
		"/console/settlement/" + day + "/M5", "/console/search", "/console/breaks", "/console/freezes",
		"/console/terminals", "/console/banks", "/console/downloads", "/console/audit", "/console/help",
		"/console/days/" + day + "/totals.csv"}
}

// consolePages asks a switch whose warehouse holds the day, and whose clock stands in it, for the
// pages of its console.
func (b *bench) consolePages(ctx context.Context, dir string) error {
	clock := hand{filepath.Join(b.dir, "clock")}
	if err := clock.set(time.Until(warehousetest.Day.Time().Add(12 * time.Hour))); err != nil {
		return err
	}
	c, err := b.startSwitchIn(ctx, []string{clockFileEnv + "=" + clock.path}, dir, "scheme.zone=+00:00",
		"scheme.cut_off=0s")
	if err != nil {
		return err
	}
	return errors.Join(b.askPages(ctx, c, dir), c.stop())
}

func (b *bench) askPages(ctx context.Context, c *child, dir string) error {
	secret, err := token(dir)
	if err != nil {
		return err
	}
	v, err := newVisitor(c.Admin, secret)
	if err != nil {
		return err
	}
	first := time.Now()
	var counted time.Duration
	if _, err := v.get(ctx, pages()[0]); err != nil {
		return err
	}
	cold := time.Since(first)
	err = waitFor(ctx, countMax, func() (bool, error) {
		page, err := v.get(ctx, pages()[0])
		return !bytes.Contains(page, []byte(`http-equiv="refresh"`)), err
	})
	if counted = time.Since(first); err != nil {
		return err
	}
	var all []float64
	var slowest report.Figure
	for _, path := range pages() {
		var took []float64
		for range min(pageTurns, 10*b.size.Rounds) {
			began := time.Now()
			if _, err := v.get(ctx, path); err != nil {
				return err
			}
			took = append(took, ms(time.Since(began)))
		}
		if f := report.Of(path, "ms", took...); f.Max > slowest.Max {
			slowest = f
		}
		all = append(all, took...)
	}
	b.sized("%d pages of the console, each asked for %d times", len(pages()), min(pageTurns, 10*b.size.Rounds))
	b.note("The console is the switch's own, over HTTP, signed in, its clock in the day of the records; that day "+
		"is open, so it is counted again beside. The slowest page was %s.", slowest.Name)
	b.Add(report.Of("console page before the first count", "ms", ms(cold)).AtMost(pageMax))
	b.Add(report.Of("first count of the day", "s", counted.Seconds()))
	b.Add(report.Of("console pages", "ms", all...).AtMost(pageMax))
	b.Add(report.Of("slowest console page, slowest of all", "ms", slices.Max(all)).AtMost(pageMax))
	return nil
}

// visitor is a person with a browser at a console.
type visitor struct {
	base   string
	client *http.Client
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// newVisitor signs in with an operator's token.
func newVisitor(addr, secret string) (*visitor, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	v := &visitor{base: "http://" + addr, client: &http.Client{Jar: jar, Timeout: countMax}}
	const path = "/console/signin"
	form, err := v.get(context.Background(), path)
	if err != nil {
		return nil, err
	}
	found := csrfField.FindSubmatch(form)
	if found == nil {
		return nil, fmt.Errorf("console: no form to sign in: %.300s", form)
	}
	answer, err := v.client.PostForm(v.base+path, url.Values{"csrf": {string(found[1])}, "token": {secret}})
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	_, err = v.read(answer, path)
	return v, err
}

// get returns a page.
func (v *visitor) get(ctx context.Context, path string) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := v.client.Do(q)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return v.read(answer, path)
}

func (v *visitor) read(answer *http.Response, path string) ([]byte, error) {
	text, err := io.ReadAll(answer.Body)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, fmt.Errorf("console %s: %w", path, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("console %s: status %d: %.300s", path, answer.StatusCode, text)
	}
	return text, nil
}
