package day

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/settle/certificate"
	"github.com/tapswitch/tapswitch/ledger/settle/chart"
	"github.com/tapswitch/tapswitch/ledger/settle/journal"
	"github.com/tapswitch/tapswitch/ledger/settle/pack"
	"github.com/tapswitch/tapswitch/switch/txn"
)

var errDiskFull = errors.New("no space left on device")

// failing is a disk whose n-th write of the journal fails, in one of several ways.
type failing struct {
	n     int
	wrote func(line []byte) []byte // what of the line reaches the disk
}

// Write implements journal.Disk.
func (d *failing) Write(f *os.File, line []byte) error {
	if d.n--; d.n == 0 {
		_, err := f.Write(d.wrote(line))
		return errors.Join(err, f.Sync(), errDiskFull)
	}
	_, err := f.Write(line)
	return errors.Join(err, f.Sync())
}

// life takes a day from its end to its certificate, as far as it gets.
func (o *office) life() error {
	if _, err := o.desk.CloseDay(o.t.Context(), theDay, "li.na"); err != nil {
		return err
	}
	if _, err := o.desk.Settle(o.t.Context(), theDay, "li.na"); err != nil {
		return err
	}
	_, _, err := o.desk.Certify(o.t.Context(), theDay, certifier(o.t))
	return err
}

// withoutJournal is the tree of an office but for the journal, whose events may bear the names of
// another actor.
func (o *office) withoutJournal() map[string]string {
	all := tree(o.t, o.o.Dir)
	delete(all, journal.FileName)
	for name := range all {
		if strings.HasPrefix(filepath.Base(name), "LOCK") || strings.HasSuffix(name, ".lock") {
			delete(all, name)
		}
	}
	return all
}

// events are the kinds of the events of an office.
func (o *office) events() (kinds []string) {
	for _, e := range o.desk.journal.Events() {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// TestTheJournalFailsAtAnyStep: every event of a day's life in turn is not written, written half,
// or written and reported as failed. Nothing is taken after it until the desk is opened again;
// then the day goes on to the same certificate, and every step is noted once.
func TestTheJournalFailsAtAnyStep(t *testing.T) {
	want := newOffice(t, 31, 500)
	want.append(want.chain.CloseDay())
	if err := want.life(); err != nil {
		t.Fatal(err)
	}
	whole, steps := want.withoutJournal(), want.events()
	if !slices.Equal(steps, []string{eventClosing, eventClosed, eventRun, eventCertified}) {
		t.Fatalf("events %v", steps)
	}
	for name, wrote := range map[string]func([]byte) []byte{
		"not applied":          func([]byte) []byte { return nil },
		"half applied":         func(line []byte) []byte { return line[:len(line)/2] },
		"applied and reported": func(line []byte) []byte { return line },
	} {
		for n := range steps {
			t.Run(fmt.Sprintf("%s %s", steps[n], name), func(t *testing.T) {
				o := newOffice(t, 31, 500)
				o.append(o.chain.CloseDay())
				_ = o.desk.Close()
				o.o.Disk = &failing{n: n + 1, wrote: wrote}
				o.open()
				if err := o.life(); !errors.Is(err, errDiskFull) {
					t.Fatalf("the fault was passed over: %v", err)
				}
				if err := o.life(); err == nil {
					t.Fatal("the desk went on without its journal")
				}
				o.o.Disk = nil
				o.reopen()
				if err := o.life(); err != nil {
					t.Fatal(err)
				}
				if got := o.events(); !slices.Equal(got, steps) {
					t.Errorf("events %v, want %v", got, steps)
				}
				if got := o.withoutJournal(); !reflect.DeepEqual(got, whole) {
					for file, text := range whole {
						if got[file] != text {
							t.Errorf("%s differs", file)
						}
					}
					t.Errorf("%d files, want %d", len(got), len(whole))
				}
			})
		}
	}
}

// TestKilledAtEveryFile ends a run after each of its files: nothing of it stays, and the next run
// is the first.
func TestKilledAtEveryFile(t *testing.T) {
	want := newOffice(t, 32, 300)
	want.close(theDay)
	whole := tree(t, want.settle(theDay).Dir)
	for n := 1; n <= len(whole)-1; n++ {
		o := newOffice(t, 32, 300)
		o.close(theDay)
		func() {
			defer func() {
				if _, ok := recover().(crash); !ok {
					t.Errorf("file %d was never written", n)
				}
			}()
			left := n
			o.desk.Passed = func(point string) {
				if left--; point == "finance_file" && left == 0 {
					panic(crash{point})
				}
			}
			o.settle(theDay)
		}()
		o.reopen()
		if runs, err := filepath.Glob(filepath.Join(o.o.Dir, "runs", "*", "*")); err != nil || len(runs) > 0 {
			t.Errorf("after file %d: %v %v", n, runs, err)
		}
		if got := tree(t, o.settle(theDay).Dir); !reflect.DeepEqual(got, whole) {
			t.Errorf("after file %d the next run differs", n)
		}
	}
}

// TestNoRoomForAFile: a run that cannot write one of its files is none, says so, and leaves the
// place as it was.
func TestNoRoomForAFile(t *testing.T) {
	o := newOffice(t, 33, 300)
	o.close(theDay)
	files := 0
	o.desk.Passed = func(string) { files++ }
	o.settle(theDay)
	for _, n := range []int{1, 2, files / 2} {
		o := newOffice(t, 33, 300)
		o.close(theDay)
		left := n
		o.desk.Passed = func(string) {
			if left--; left != 0 {
				return
			}
			work, err := filepath.Glob(filepath.Join(o.o.Dir, "runs", "*", unfinished+"*"))
			if err != nil || len(work) != 1 {
				t.Fatalf("folders %v %v", work, err)
			}
			if err := os.RemoveAll(work[0]); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := o.desk.Settle(t.Context(), theDay, "a"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("file %d: %v", n, err)
		}
		o.desk.Passed = func(string) {}
		if run := o.settle(theDay); !run.Fresh || run.Manifest.Run != 1 {
			t.Errorf("after a failure at file %d: %+v", n, run.Manifest)
		}
	}
}

// tornIn are the ways in which a file may be found after all.
func tornIn() map[string]func(path string, text []byte) error {
	return map[string]func(string, []byte) error{
		"a bit":   func(path string, text []byte) error { text[len(text)/2] ^= 4; return os.WriteFile(path, text, 0o600) },
		"cut":     func(path string, text []byte) error { return os.WriteFile(path, text[:len(text)-1], 0o600) },
		"longer":  func(path string, text []byte) error { return os.WriteFile(path, append(text, '\n'), 0o600) },
		"empty":   func(path string, _ []byte) error { return os.WriteFile(path, nil, 0o600) },
		"missing": func(path string, _ []byte) error { return os.Remove(path) },
	}
}

// TestAnyTornFileOfARunIsTold: whatever file of a run is torn in whatever way, the run is not
// read, not certified and not returned as good.
func TestAnyTornFileOfARunIsTold(t *testing.T) {
	o := newOffice(t, 34, 300)
	o.close(theDay)
	run := o.settle(theDay)
	for name, text := range tree(t, run.Dir) {
		path := filepath.Join(run.Dir, name)
		for way, tear := range tornIn() {
			if err := tear(path, []byte(text)); err != nil {
				t.Fatal(err)
			}
			_, readErr := ReadRun(run.Dir)
			_, _, err := o.desk.Certify(t.Context(), theDay, certifier(t))
			if name != pack.ManifestName && !errors.Is(readErr, ErrDamaged) || !errors.Is(err, ErrDamaged) {
				t.Errorf("%s, %s: read %v, certified %v", name, way, readErr, err)
			}
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, _, err := o.desk.Certify(t.Context(), theDay, certifier(t)); err != nil {
		t.Errorf("the run as it was written: %v", err)
	}
}

// TestAChangedBalanceIsNotCarriedOn: the trial balance that the next day opens with, and the
// orders that a correction takes off, are those that were written: a file changed together with
// its manifest is told by the journal.
func TestAChangedBalanceIsNotCarriedOn(t *testing.T) {
	o := newOffice(t, 35, 400)
	o.close(theDay)
	o.append(o.chain.Batch(400))
	o.close(theDay.Next())
	run := o.settle(theDay)
	path := filepath.Join(run.Dir, pack.TrialName)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var trial []chart.Balance
	if err := json.Unmarshal(good, &trial); err != nil {
		t.Fatal(err)
	}
	for i, n := 0, int64(100); i < len(trial) && n > -200; i++ {
		if trial[i].Currency == txn.CNY { // a hundred fen from one to another: the sum stays
			trial[i].Closing += n
			n -= 200
		}
	}
	forged, err := json.Marshal(trial)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, forged, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := o.desk.Settle(t.Context(), theDay.Next(), "a"); !errors.Is(err, ErrDamaged) {
		t.Errorf("a changed balance was carried on: %v", err)
	}
	manifest := filepath.Join(run.Dir, pack.ManifestName)
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	too := bytes.ReplaceAll(text, []byte(hash(good)), []byte(hash(forged)))
	if bytes.Equal(too, text) {
		t.Fatal("the manifest does not name the file")
	}
	if err := os.WriteFile(manifest, too, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadRun(run.Dir); err != nil {
		t.Errorf("the forgery is not whole: %v", err)
	}
	if _, err := o.desk.Settle(t.Context(), theDay.Next(), "a"); !errors.Is(err, ErrDamaged) {
		t.Errorf("a changed manifest was carried on: %v", err)
	}
	if _, _, err := o.desk.Certify(t.Context(), theDay, certifier(t)); !errors.Is(err, ErrDamaged) {
		t.Errorf("a changed manifest was certified: %v", err)
	}
	for file, was := range map[string][]byte{path: good, manifest: text} {
		if err := os.WriteFile(file, was, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if run := o.settle(theDay.Next()); !run.Fresh {
		t.Errorf("%+v", run.Manifest)
	}
}

// TestATornCertificateIsTold: the next day does not follow a certificate that was changed.
func TestATornCertificateIsTold(t *testing.T) {
	o := newOffice(t, 36, 300)
	o.close(theDay)
	o.settle(theDay)
	_, path, err := o.desk.Certify(t.Context(), theDay, certifier(t))
	if err != nil {
		t.Fatal(err)
	}
	o.append(o.chain.Batch(300))
	o.close(theDay.Next())
	o.settle(theDay.Next())
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for way, tear := range tornIn() {
		if way == "longer" {
			continue // a line feed more is no change of what was signed
		}
		if err := tear(path, bytes.Clone(text)); err != nil {
			t.Fatal(err)
		}
		if _, _, err := o.desk.Certify(t.Context(), theDay.Next(), certifier(t)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: the next day follows it: %v", way, err)
		}
		if _, _, err := o.desk.Certify(t.Context(), theDay, certifier(t)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: it is given again: %v", way, err)
		}
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.desk.Certify(t.Context(), theDay.Next(), certifier(t)); err != nil {
		t.Error(err)
	}
}

// TestNoCertificateWithoutItsBooks: a step that fails leaves the day as it was, so that the same
// command goes on: a certificate that cannot be written is not noted.
func TestNoCertificateWithoutItsBooks(t *testing.T) {
	o := newOffice(t, 37, 300)
	o.close(theDay)
	run := o.settle(theDay)
	blocked := filepath.Join(o.o.Dir, "certificates")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.desk.Certify(t.Context(), theDay, certifier(t)); err == nil {
		t.Error("certified where no certificate can stand")
	}
	if got := stateOf(o.desk.journal.Events(), theDay); got != Closed {
		t.Errorf("the day is %s", got)
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	made, _, err := o.desk.Certify(t.Context(), theDay, certifier(t))
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(run.Dir, certificate.FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if sum, err := certificate.Verify(f, made); err != nil || sum.Date != txn.BusinessDate(made.BusinessDate) {
		t.Errorf("%+v %v", sum, err)
	}
}
