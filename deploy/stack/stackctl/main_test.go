package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/deploy/stack"
)

func TestWrongUseIsRefusedWithHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"start"}, {"up", "mysql"}, {"install", "redis", ""}} {
		var out, progress bytes.Buffer
		err := run(t.Context(), args, &out, &progress)
		if !errors.Is(err, errUsage) {
			t.Errorf("%q: %v, want errUsage", args, err)
		}
		if code := exitCode(t.Context(), err); code != exitUsage {
			t.Errorf("%q: exit code %d, want %d", args, code, exitUsage)
		}
		if out.Len() != 0 {
			t.Errorf("%q: wrote %q to standard output", args, out.String())
		}
	}
}

func TestEnvPrintsShellLines(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"env"}, &out, &out); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "export TAPSWITCH_") || !strings.Contains(line, "=127.0.0.1:") &&
			!strings.HasSuffix(line, "PROTOCOL=http\n") {
			t.Errorf("line %q", line)
		}
	}
}

func TestHelpNamesEveryCommand(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), []string{"help"}, &out, &out); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"install", "up", "down", "status", "env", "checksums"} {
		if !strings.Contains(out.String(), "stackctl "+command) {
			t.Errorf("%s is not in the help", command)
		}
	}
}

func TestStatusOfAnEmptyStackIsDown(t *testing.T) {
	t.Setenv("TAPSWITCH_STACK_DIR", t.TempDir())
	var out, progress bytes.Buffer
	err := run(t.Context(), []string{"status"}, &out, &progress)
	if code := exitCode(t.Context(), err); code != exitDown {
		t.Errorf("exit code %d (%v), want %d", code, err, exitDown)
	}
	if n := strings.Count(out.String(), "\n"); n != 1+3+stack.RedisClusterNodes {
		t.Errorf("%d lines:\n%s", n, out.String())
	}
	if err := run(t.Context(), []string{"down"}, &out, &progress); err != nil {
		t.Errorf("down of nothing: %v", err)
	}
}

func TestExitCodes(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	cases := []struct {
		ctx  context.Context
		err  error
		want int
	}{
		{t.Context(), nil, exitOK},
		{t.Context(), errors.New("x"), exitFailed},
		{t.Context(), fmt.Errorf("%w: kafka", stack.ErrInstall), exitDown},
		{t.Context(), fmt.Errorf("kafka %w", stack.ErrNotInstalled), exitDown},
		{cancelled, errors.New("x"), exitInterrupted},
	}
	for _, c := range cases {
		if got := exitCode(c.ctx, c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

// TestInstallWithoutToolsSaysWhatToDo takes every program away.
func TestInstallWithoutToolsSaysWhatToDo(t *testing.T) {
	empty := t.TempDir()
	t.Setenv("TAPSWITCH_STACK_DIR", t.TempDir())
	t.Setenv("PATH", empty)
	for kind, part := range map[string]string{"redis": "redis-server", "kafka": "default-jdk-headless",
		"clickhouse": "npm"} {
		var out, progress bytes.Buffer
		err := run(t.Context(), []string{"install", kind}, &out, &progress)
		if code := exitCode(t.Context(), err); code != exitDown {
			t.Errorf("%s: exit code %d (%v), want %d", kind, code, err, exitDown)
		}
		if err == nil || !strings.Contains(err.Error(), part) ||
			!strings.Contains(err.Error(), "by hand") {
			t.Errorf("%s: %v does not say what to install", kind, err)
		}
	}
}

// TestInstallReportsAFailingTool puts a program in the way that fails like one without network.
func TestInstallReportsAFailingTool(t *testing.T) {
	tools := t.TempDir()
	script := "#!/bin/sh\necho 'ENOTFOUND registry' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(tools, "npm"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TAPSWITCH_STACK_DIR", t.TempDir())
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	var out, progress bytes.Buffer
	err := run(t.Context(), []string{"install", "clickhouse"}, &out, &progress)
	if !errors.Is(err, stack.ErrInstall) || !strings.Contains(err.Error(), "ENOTFOUND") {
		t.Errorf("%v, want ErrInstall with the program's own words", err)
	}
	if !strings.Contains(progress.String(), "fetching the ClickHouse engine") {
		t.Errorf("progress was %q", progress.String())
	}
}
