package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A fleet's clock goes ahead in service times and in signatures.
func TestSetAhead(t *testing.T) {
	f := testFleet(10)
	f.setAhead(48 * time.Hour)
	text := string(f.tap(f.terminals[0], f.card(1)))
	want := time.Now().Add(48 * time.Hour).In(f.zone).Format("2006-01-02T15:04")
	late := time.Now().Add(48*time.Hour - time.Minute).In(f.zone).Format("2006-01-02T15:04")
	if !strings.Contains(text, `"service_time":"`+want) && !strings.Contains(text, `"service_time":"`+late) {
		t.Errorf("no service time of %s in %s", want, text)
	}
	if !strings.Contains(text, fmt.Sprintf(": %d", time.Now().Add(48*time.Hour).Unix()/1000)) {
		t.Errorf("signed at another time: %s", text)
	}
}

// script returns a benchmark whose binary is a shell script.
func script(t *testing.T, text string) *bench {
	t.Helper()
	b := tinyBench(t)
	b.o.Binary = filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(b.o.Binary, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return b
}

// A reconciliation that misses, invents or differs from run to run fails the scenario.
func TestReconciliationMustBeExact(t *testing.T) {
	const line = `{"planted":40,"found":%s,"every_cause_found_and_none_invented":%s,"seconds":1.5,` +
		`"resident_max_mb":30,"report_sha256":"%s"}`
	for _, tt := range []struct{ found, exact, digest, want string }{
		{"40", "true", "a", ""}, {"39", "true", "a", "39 differences"}, {"40", "false", "a", "exact: false"},
		{"40", "true", "$$", "different reports"}, {"x", "true", "a", "figures"},
	} {
		b := script(t, "cat <<E\n"+fmt.Sprintf(line, tt.found, tt.exact, tt.digest)+"\nE")
		err := b.reconciliation(t.Context())
		if tt.want == "" {
			if f := b.Figure("reconciliation, greatest resident"); err != nil || f == nil || f.Median != 30 {
				t.Errorf("%v: %+v", err, f)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	b := script(t, "echo no such rows >&2; exit 3")
	if err := b.reconciliation(t.Context()); err == nil || !strings.Contains(err.Error(), "no such rows") {
		t.Errorf("a command that fails: %v", err)
	}
}

func TestWaitForIsBounded(t *testing.T) {
	looks := 0
	if err := waitFor(t.Context(), time.Minute, func() (bool, error) { looks++; return looks > 2, nil }); err != nil {
		t.Error(err)
	}
	if err := waitFor(t.Context(), time.Millisecond, func() (bool, error) { return false, nil }); !errors.Is(err,
		context.DeadlineExceeded) {
		t.Errorf("for ever: %v", err)
	}
	broken := errors.New("broken")
	if err := waitFor(t.Context(), time.Minute, func() (bool, error) { return false, broken }); !errors.Is(err, broken) {
		t.Errorf("%v, want what the look said", err)
	}
}
