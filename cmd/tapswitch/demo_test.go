package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/ledger/settle"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// demoRun runs the demo of the real binary and returns its report.
func demoRun(t *testing.T, args ...string) demoReport {
	t.Helper()
	return demoRunIn(t, nil, args...)
}

// demoRunIn runs the demo with more in its environment.
func demoRunIn(t *testing.T, env []string, args ...string) demoReport {
	t.Helper()
	c := exec.Command(e2eBinary(t), append([]string{"demo", "-o", "json"}, args...)...)
	c.Env = append(e2eEnv(), env...)
	var out, log bytes.Buffer
	c.Stdout, c.Stderr = &out, &log
	if err := c.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.Bytes(), log.Bytes())
	}
	var r demoReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v in %q", err, out.Bytes())
	}
	if !strings.Contains(log.String(), "SIGKILL") || !strings.Contains(log.String(), "100 %") {
		t.Errorf("progress on standard error: %q", log.String())
	}
	return r
}

// The demo holds, and the same seed gives the same figures whatever the timing was.
func TestDemo(t *testing.T) {
	first := demoRun(t, "--seed", "3", "--cards", "300", "--workers", "16")
	if !first.Held || !first.Crash.Killed || len(first.Checks) < 15 || len(first.Settlement) == 0 ||
		first.Latency.Requests == 0 || first.Figures.Frozen == 0 {
		t.Errorf("%+v", first)
	}
	again := demoRun(t, "--seed", "3", "--cards", "300", "--workers", "5")
	if again.Digest != first.Digest || !slices.Equal(again.Settlement, first.Settlement) {
		t.Errorf("digest %s, then %s", first.Digest, again.Digest)
	}
	if other := demoRun(t, "--seed", "4", "--cards", "300"); other.Digest == first.Digest {
		t.Error("another seed gave the same figures")
	}
}

// Over real Redis, Kafka and ClickHouse the same seed gives the same figures.
func TestDemoStack(t *testing.T) {
	e2eBinary(t)
	stack.Require(t, stack.Redis, stack.Kafka, stack.ClickHouse)
	kafka, err := e2eServers.kafka()
	if err != nil {
		t.Fatal(err)
	}
	clickhouse, err := e2eServers.clickhouse()
	if err != nil {
		t.Fatal(err)
	}
	redis, err := stack.StartRedis(context.Background(),
		stack.RedisOptions{Dir: filepath.Join(t.TempDir(), "redis")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() })
	env := []string{stackRedisEnv + "=" + redis.Addr(), stackKafkaEnv + "=" + kafka.Addr(),
		stackClickHouseEnv + "=" + clickhouse.Addr()}
	args := []string{"--seed", "5", "--cards", "250"}
	there := demoRunIn(t, env, append(args, "--stack")...)
	here := demoRun(t, args...)
	if !there.Held || there.Digest != here.Digest ||
		!slices.Equal(there.Settlement, here.Settlement) {
		t.Errorf("digest %s over servers, %s without", there.Digest, here.Digest)
	}
}

func TestDemoServe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	c := exec.Command(e2eBinary(t), "demo", "--serve", "--listen", "127.0.0.1:0", "--cards", "20",
		"--data", dir)
	c.Env = e2eEnv()
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	defer func() { _ = c.Process.Kill() }()
	lines := bufio.NewScanner(out)
	var gate string
	for gate == "" && lines.Scan() {
		if _, rest, ok := strings.Cut(lines.Text(), "gate     "); ok {
			gate = strings.Fields(rest)[0]
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, out)
		ended <- c.Wait()
	}()
	resp, err := http.Get(gate + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("readyz answers %d", resp.StatusCode)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(e2eStopMax):
		t.Fatal("the demo did not end")
	}
	if _, err := http.Get(gate + "/readyz"); err == nil {
		t.Error("the switch outlived the demo")
	}
	if _, err := os.Stat(filepath.Join(dir, "data", adminTokenFile)); err != nil {
		t.Errorf("--data was not kept: %v", err)
	}
}

func TestDemoUsage(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(stackRedisEnv, "")
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"demo", "--cards", "0"}, cli.ExitUsage},
		{[]string{"demo", "-o", "csv"}, cli.ExitUsage},
		{[]string{"demo", "--data", full}, cli.ExitUsage},
		{[]string{"demo", "--stack"}, cli.ExitUnavailable},
	} {
		root := rootCommand()
		root.SetArgs(c.args)
		err := root.ExecuteContext(t.Context())
		var coded *cli.ExitError
		if !errors.As(err, &coded) || coded.Code != c.code {
			t.Errorf("%v: %v", c.args, err)
		}
	}
}

// The report is the judge: a figure that is off by one breaks it.
func TestDemoReportJudges(t *testing.T) {
	p, err := sim.NewPlan(1, 30)
	if err != nil {
		t.Fatal(err)
	}
	d := &demo{o: &demoOptions{}, plan: p, killed: demoCrash{happened: true}}
	totals := func() *settle.Report {
		r := &settle.Report{}
		for line, s := range p.Want.Lines {
			r.Kinds = append(r.Kinds, warehouse.KindLine{Kind: line.Kind, Outcome: line.Outcome,
				Count: s.Count, FullFare: int64(s.FullFare), Charged: int64(s.Charged)})
		}
		for reason, n := range p.Want.Declines {
			r.Declines = append(r.Declines, warehouse.DeclineLine{Reason: reason, Count: n})
		}
		for name, o := range p.Want.Parties {
			r.Operators = append(r.Operators, warehouse.OperatorLine{Operator: name,
				Approved: o.Approved, Declined: o.Declined, FullFare: int64(o.FullFare),
				Charged: int64(o.Charged)})
		}
		r.Kinds = append(r.Kinds, warehouse.KindLine{Kind: txn.EpochMarker.String(), Count: 64})
		r.Operators = append(r.Operators, warehouse.OperatorLine{Approved: 30})
		r.Accounts = append(r.Accounts, warehouse.AccountLine{Account: "purse",
			Amount: int64(p.Want.Purse)})
		return r
	}
	judge := func(r *settle.Report, change func(*sim.Outcome)) *demoReport {
		o := &sim.Outcome{Figures: sim.NewFigures(), Latency: sim.NewLatency(), Took: time.Second}
		o.Figures.Merge(p.Want)
		change(o)
		return newDemoReport(d, o, figuresOf(r, p), r)
	}
	good := judge(totals(), func(*sim.Outcome) {})
	if !good.Held || good.Digest != p.Want.Digest() {
		t.Fatalf("%+v", good.Checks)
	}
	var text bytes.Buffer
	err = good.write(&text, cli.Table)
	if err != nil || !strings.Contains(text.String(), "Everything held") {
		t.Errorf("%v: %s", err, text.String())
	}
	seen := func(change func(*sim.Outcome)) *demoReport { return judge(totals(), change) }
	held := func(change func(*settle.Report)) *demoReport {
		r := totals()
		change(r)
		return judge(r, func(*sim.Outcome) {})
	}
	for name, bad := range map[string]*demoReport{
		"client saw one more": seen(func(o *sim.Outcome) {
			o.Figures.Add(sim.Item{Kind: txn.Purchase, Outcome: txn.Approved})
		}),
		"ledger has a fen more":  held(func(r *settle.Report) { r.Kinds[0].Charged++ }),
		"purses off":             held(func(r *settle.Report) { r.Accounts[0].Amount-- }),
		"operator off":           held(func(r *settle.Report) { r.Operators[0].Approved++ }),
		"booked twice":           held(func(r *settle.Report) { r.Repeated = 1 }),
		"unbalanced":             held(func(r *settle.Report) { r.Unbalanced = 1 }),
		"dead letter":            held(func(r *settle.Report) { r.DeadLetters = 1 }),
		"frozen card approved":   seen(func(o *sim.Outcome) { o.FrozenTried = 1 }),
		"duplicate executed":     seen(func(o *sim.Outcome) { o.Copies = 1 }),
		"lost reply unresolved":  seen(func(o *sim.Outcome) { o.Lost = 1 }),
		"bad request taken":      seen(func(o *sim.Outcome) { o.BadTried = 1 }),
		"answer other than plan": seen(func(o *sim.Outcome) { o.MismatchCount = 1 }),
	} {
		if bad.Held {
			t.Errorf("%s: held", name)
		}
	}
}

func TestYuan(t *testing.T) {
	for fen, want := range map[int64]string{0: "0.00", 5: "0.05", -5: "-0.05", 123456: "1234.56"} {
		if got := yuan(fen); got != want {
			t.Errorf("%d fen: %s", fen, got)
		}
	}
}

func TestProgressWithoutATerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	p := newProgress(f)
	bar := p.bar("things", 200)
	for _, n := range []int{1, 64, 200, 128} {
		bar.set(n)
	}
	bar.done()
	p.bar("unknown", 0).done()
	p.close()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if want := "things: 200 of 200 (100 %)\nunknown: 0\n"; err != nil || string(text) != want {
		t.Errorf("%q, %v", text, err)
	}
}
