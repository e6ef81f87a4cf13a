package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/keyfile"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
)

const (
	demoStartMax = 30 * time.Second
	demoStopMax  = 30 * time.Second
	demoLook     = 10 * time.Millisecond
	demoLogTail  = 2_000 // bytes of the switch's log that an error shows
)

// demoSwitch is the switch as a process of its own. One goroutine at a time may start and
// end it; gate may be asked by any.
type demoSwitch struct {
	binary string
	log    string
	args   []string
	env    []string // beside this process's own
	data   string

	mu    sync.Mutex // guards the fields below
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
	info  runInfo
}

// newDemoSwitch makes a switch of this same binary with the settings, not yet started.
func newDemoSwitch(log string, settings map[string]string) (*demoSwitch, error) {
	binary, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("demo: own binary: %w", err)
	}
	s := &demoSwitch{binary: binary, log: log, data: settings["data_dir"], args: []string{"run"}}
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		s.args = append(s.args, "--set", key+"="+settings[key])
	}
	return s, nil
}

// start starts the process and returns when it is ready.
func (s *demoSwitch) start(ctx context.Context) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer log.Close()
	runPath := filepath.Join(s.data, runFile)
	if err := os.Remove(runPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("demo: %w", err)
	}
	cmd := exec.Command(s.binary, s.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), s.env...)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("demo: starting the switch: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // how it ended shows in its log
	}()
	s.mu.Lock()
	s.cmd, s.ended = cmd, ended
	s.mu.Unlock()
	return s.ready(ctx, runPath, ended)
}

// ready waits for the run file.
func (s *demoSwitch) ready(ctx context.Context, path string, ended <-chan struct{}) error {
	tick := time.NewTicker(demoLook)
	defer tick.Stop()
	late := time.NewTimer(demoStartMax)
	defer late.Stop()
	for {
		text, err := os.ReadFile(path)
		if err == nil {
			var info runInfo
			if err := json.Unmarshal(text, &info); err != nil {
				return fmt.Errorf("demo: %s: %w", path, err)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.info = info
			return nil
		}
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("demo: the switch ended at its start\n%s", s.logTail())
		case <-late.C:
			return fmt.Errorf("demo: the switch was not ready within %s\n%s", demoStartMax, s.logTail())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// gate returns the address of the gate.
func (s *demoSwitch) gate() string { return s.where().Gate }

func (s *demoSwitch) where() runInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info
}

// secret reads a token that the switch's first start wrote.
func (s *demoSwitch) secret(name string) (string, error) {
	return keyfile.ReadSecret(filepath.Join(s.data, name))
}

// kill ends the process with SIGKILL and waits until it is gone.
func (s *demoSwitch) kill() error { return s.end(syscall.SIGKILL) }

// stop ends the process in order; one that does not end in time is killed, which is an error.
func (s *demoSwitch) stop() error {
	if err := s.end(syscall.SIGTERM); err != nil {
		return errors.Join(err, s.kill())
	}
	return nil
}

func (s *demoSwitch) end(with syscall.Signal) error {
	s.mu.Lock()
	cmd, ended := s.cmd, s.ended
	s.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(with); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("demo: ending the switch: %w", err)
	}
	late := time.NewTimer(demoStopMax)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
		return fmt.Errorf("demo: the switch did not end within %s after %s", demoStopMax, with)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cmd = nil
	return nil
}

// wait returns when the process has ended or ctx does.
func (s *demoSwitch) wait(ctx context.Context) {
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// logTail returns the end of the switch's log.
func (s *demoSwitch) logTail() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return ""
	}
	return string(text[max(0, len(text)-demoLogTail):])
}

// writeTariff writes a tariff as the switch reads it.
func writeTariff(dir string, f fare.File) (string, error) {
	full := f.Full()
	text, err := tariff.Write(&full)
	if err != nil {
		return "", fmt.Errorf("tariff: %w", err)
	}
	path := filepath.Join(dir, "tariff.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return "", fmt.Errorf("tariff: %w", err)
	}
	return path, nil
}

// The environment in which stackctl names the servers.
const (
	stackRedisEnv      = "TAPSWITCH_REDIS_ADDR"
	stackKafkaEnv      = "TAPSWITCH_KAFKA_BROKERS"
	stackClickHouseEnv = "TAPSWITCH_CLICKHOUSE_ADDR"
)

// addStack points the settings at the servers of the stack, in places of this run's own.
func (d *demo) addStack(ctx context.Context, all map[string]string) error {
	for _, name := range []string{stackRedisEnv, stackKafkaEnv, stackClickHouseEnv} {
		if os.Getenv(name) == "" {
			return cli.WithCode(cli.ExitUnavailable, fmt.Errorf("--stack: %s is not set: "+
				"`make stack-up`, then `eval \"$(bin/stackctl env)\"`", name))
		}
	}
	own := fmt.Sprintf("demo%d", time.Now().UnixMilli())
	for key, value := range map[string]string{
		"store.kind": "redis", "store.redis.addrs": os.Getenv(stackRedisEnv),
		"store.redis.prefix": own + ":",
		"feed.kind":          "kafka", "feed.brokers": os.Getenv(stackKafkaEnv),
		"feed.topic": "tapswitch." + own, "feed.group": "tapswitch." + own,
		"warehouse.kind": "clickhouse",
		"warehouse.dsn":  "http://" + os.Getenv(stackClickHouseEnv) + "/" + own,
	} {
		all[key] = value
	}
	return clickHouse(ctx, "CREATE DATABASE "+own)
}

// removeStack removes the run's database. Its keys in Redis and its topic stay; the stack is
// for tests and forgets them with its folder.
func (d *demo) removeStack() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	dsn := d.settings["warehouse.dsn"]
	return clickHouse(ctx, "DROP DATABASE IF EXISTS "+dsn[strings.LastIndexByte(dsn, '/')+1:])
}

// clickHouse runs one statement over ClickHouse's HTTP interface.
func clickHouse(ctx context.Context, statement string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://"+os.Getenv(stackClickHouseEnv)+"/", bytes.NewReader([]byte(statement)))
	if err != nil {
		return cli.WithCode(cli.ExitUsage, fmt.Errorf("%s: %w", stackClickHouseEnv, err))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return cli.WithCode(cli.ExitUnavailable, fmt.Errorf("ClickHouse: %w", err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return cli.WithCode(cli.ExitUnavailable, fmt.Errorf("ClickHouse: %s: %s", statement, text))
	}
	return nil
}
