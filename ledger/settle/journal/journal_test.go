package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func open3(t *testing.T) (string, *Journal) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "finance")
	j, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		body, _ := json.Marshal(i)
		e, err := j.Append(Event{Kind: "k", Actor: "a", At: 7, Date: 20260301, Body: body})
		if err != nil || e.Seq != uint64(i)+1 {
			t.Fatalf("event %d: %v", e.Seq, err)
		}
	}
	return dir, j
}

func TestAppendAndRead(t *testing.T) {
	dir, j := open3(t)
	want := j.Events()
	head := j.Head()
	beside, err := Read(dir)
	if err != nil || !reflect.DeepEqual(beside, want) || len(want) != 3 {
		t.Errorf("read beside: %v", err)
	}
	if _, err := Open(dir, nil); !errors.Is(err, ErrLocked) {
		t.Errorf("a second writer: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Append(Event{}); !errors.Is(err, ErrBroken) {
		t.Errorf("after close: %v", err)
	}
	again, err := Open(dir, nil)
	if err != nil || !reflect.DeepEqual(again.Events(), want) || again.Head() != head {
		t.Fatalf("opened again: %v", err)
	}
	defer again.Close()
	if e, err := again.Append(Event{Kind: "k"}); err != nil || e.Seq != 4 {
		t.Errorf("the next: %d %v", e.Seq, err)
	}
	if none, err := Read(t.TempDir()); none != nil || err != nil {
		t.Errorf("no journal: %v %v", none, err)
	}
}

// TestCutAnywhere: a file that ends anywhere keeps its whole lines; the rest was never
// acknowledged.
func TestCutAnywhere(t *testing.T) {
	dir, j := open3(t)
	_ = j.Close()
	path := filepath.Join(dir, FileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range whole {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := Open(dir, nil)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		lines := bytes.Count(whole[:cut], []byte("\n"))
		if got := len(j.Events()); got != lines {
			t.Fatalf("cut at %d: %d events of %d", cut, got, lines)
		}
		if _, err := j.Append(Event{Kind: "after"}); err != nil {
			t.Fatal(err)
		}
		_ = j.Close()
		if events, err := Read(dir); err != nil || len(events) != lines+1 {
			t.Fatalf("cut at %d, then one more: %d events, %v", cut, len(events), err)
		}
	}
}

// TestEveryBitCounts: no bit of a whole line can change unseen, nor can lines be dropped, doubled
// or swapped.
func TestEveryBitCounts(t *testing.T) {
	dir, j := open3(t)
	_ = j.Close()
	path := filepath.Join(dir, FileName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	last := bytes.LastIndexByte(whole[:len(whole)-1], '\n')
	for at := range last {
		text := bytes.Clone(whole)
		text[at] ^= 1
		bad(fmt.Sprintf("bit of byte %d", at), text)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	bad("dropped", []byte(lines[1]+lines[2]))
	bad("twice", []byte(lines[0]+lines[0]+lines[1]))
	bad("swapped", []byte(lines[1]+lines[0]+lines[2]))
}

// failing is a disk that fails, with or without having written.
type failing struct{ applied bool }

var errDisk = errors.New("disk full")

// Write implements Disk.
func (d failing) Write(f *os.File, line []byte) error {
	if d.applied {
		if _, err := f.Write(line); err != nil {
			return err
		}
	}
	return errDisk
}

// TestFaults: after a failed write the outcome is unknown until the journal is opened again, and
// nothing more is taken.
func TestFaults(t *testing.T) {
	for _, applied := range []bool{false, true} {
		dir, j := open3(t)
		_ = j.Close()
		j, err := Open(dir, failing{applied})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := j.Append(Event{Kind: "lost?"}); !errors.Is(err, ErrBroken) ||
				!errors.Is(err, errDisk) {
				t.Errorf("applied %v: %v", applied, err)
			}
		}
		_ = j.Close()
		want := 3
		if applied {
			want = 4
		}
		if events, err := Read(dir); err != nil || len(events) != want {
			t.Errorf("applied %v: %d events, %v", applied, len(events), err)
		}
	}
}

func TestEventFull(t *testing.T) {
	dir, j := open3(t)
	defer j.Close()
	long := Event{Kind: "k", Note: strings.Repeat("x", EventMax)}
	if _, err := j.Append(long); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	if events, err := Read(dir); err != nil || len(events) != 3 {
		t.Errorf("%d events, %v", len(events), err)
	}
	if _, err := j.Append(Event{Kind: "after"}); err != nil {
		t.Error(err)
	}
}
