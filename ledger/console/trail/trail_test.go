package trail

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func open(t *testing.T, path string) *Trail {
	t.Helper()
	tr, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func write(t *testing.T, tr *Trail, n int) {
	t.Helper()
	for i := range n {
		if err := tr.Write(Line{At: time.Now(), Actor: "li", Action: "search", Subject: fmt.Sprint(i),
			Purpose: "投诉 <b>"}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestLinesSurviveAndAreShownLastFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "console", "audit.jsonl")
	tr := open(t, path)
	write(t, tr, 3)
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	if err := tr.Write(Line{}); err == nil {
		t.Error("a closed trail takes a line")
	}
	tr = open(t, path)
	defer tr.Close()
	write(t, tr, 1)
	got := tr.Recent(3)
	if len(got) != 3 || got[0].Subject != "0" || got[1].Subject != "2" || got[2].Subject != "1" {
		t.Errorf("%+v", got)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := Check(bytes.NewReader(text)); n != 4 || err != nil {
		t.Errorf("%d %v", n, err)
	}
}

func TestAnyChangeIsFound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	tr := open(t, path)
	write(t, tr, 4)
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	for name, changed := range map[string]string{
		"changed": strings.Replace(string(text), `"subject":"1"`, `"subject":"9"`, 1),
		"dropped": lines[0] + lines[2] + lines[3],
		"first":   lines[1] + lines[2] + lines[3],
		"swapped": lines[0] + lines[2] + lines[1] + lines[3],
		"twice":   lines[0] + lines[1] + lines[1] + lines[2],
		"garbage": lines[0] + "x\n" + lines[1],
		"long":    lines[0] + strings.Repeat("x", 2*lineMax) + "\n",
	} {
		if _, err := Check(strings.NewReader(changed)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		bad := filepath.Join(t.TempDir(), "bad")
		if err := os.WriteFile(bad, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(bad); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: opened: %v", name, err)
		}
	}
}

func TestAHalfLineIsCutOff(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	tr := open(t, path)
	write(t, tr, 2)
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(`{"at":"2026-`)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	tr = open(t, path)
	write(t, tr, 1)
	if err := tr.Close(); err != nil {
		t.Fatal(err)
	}
	tr = open(t, path)
	defer tr.Close()
	if n := len(tr.Recent(10)); n != 3 {
		t.Errorf("%d lines", n)
	}
}

func TestAFailedWriteIsFinal(t *testing.T) {
	tr := open(t, filepath.Join(t.TempDir(), "audit.jsonl"))
	if err := tr.file.Close(); err != nil {
		t.Fatal(err)
	}
	first := tr.Write(Line{Action: "a"})
	if first == nil || tr.Write(Line{Action: "b"}) == nil || len(tr.Recent(5)) != 0 {
		t.Errorf("%v", first)
	}
}

func TestTextsAndMemoryAreBounded(t *testing.T) {
	tr := open(t, filepath.Join(t.TempDir(), "audit.jsonl"))
	defer tr.Close()
	if err := tr.Write(Line{Detail: strings.Repeat("卡", 1000)}); err != nil {
		t.Fatal(err)
	}
	if d := tr.Recent(1)[0].Detail; len(d) > textMax+4 || !utf8.ValidString(d) {
		t.Errorf("%d bytes", len(d))
	}
	for range 3 * RecentMax {
		tr.keepLocked(Line{})
	}
	if len(tr.recent) > 2*RecentMax || len(tr.Recent(5*RecentMax)) != RecentMax {
		t.Errorf("%d kept", len(tr.recent))
	}
}
