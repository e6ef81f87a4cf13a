package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sumOfX is the SHA-256 of the one-byte file "x".
const sumOfX = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPinnedChecksumsAreReadAndCompared(t *testing.T) {
	dir := t.TempDir()
	list := writeFile(t, filepath.Join(dir, "checksums.txt"),
		"# a comment\n\n"+sumOfX+"  kafka/a.jar\n")
	sums, err := readPinned(list)
	if err != nil {
		t.Fatal(err)
	}
	good := writeFile(t, filepath.Join(dir, "good"), "x")
	bad := writeFile(t, filepath.Join(dir, "bad"), "y")
	cases := map[string]struct {
		files map[string]string
		want  string // part of the error, "" for none
	}{
		"right":   {map[string]string{"kafka/a.jar": good}, ""},
		"changed": {map[string]string{"kafka/a.jar": bad}, "pinned " + sumOfX},
		"unknown": {map[string]string{"kafka/a.jar": good, "kafka/b.jar": good}, "kafka/b.jar is not"},
		"missing": {map[string]string{}, "kafka/a.jar was not fetched"},
	}
	for name, c := range cases {
		err := sums.check(Kafka, c.files)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := sums.check(ClickHouse, map[string]string{}); err != nil {
		t.Errorf("the pins of kafka were asked of clickhouse: %v", err)
	}
}

func TestMismatchNamesOnlySome(t *testing.T) {
	sums := pinned{}
	for i := range 4 * mismatchesMax {
		sums[fmt.Sprintf("kafka/%02d.jar", i)] = sumOfX
	}
	err := sums.check(Kafka, map[string]string{})
	if err == nil || strings.Count(err.Error(), "was not fetched") != mismatchesMax ||
		!strings.Contains(err.Error(), "and 15 more") {
		t.Errorf("error %v", err)
	}
}

func TestDamagedListIsRefused(t *testing.T) {
	for _, text := range []string{"abc  kafka/a.jar\n", sumOfX + " kafka/a.jar\n", sumOfX + "\n"} {
		list := writeFile(t, filepath.Join(t.TempDir(), "checksums.txt"), text)
		if _, err := readPinned(list); err == nil {
			t.Errorf("%q was read", text)
		}
	}
	if _, err := readPinned(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing list was read")
	}
}

// TestVerifyRefusesAChangedJar runs the check of the install on a folder of its own.
func TestVerifyRefusesAChangedJar(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	lay := layout{root: root, dir: dir}
	writeFile(t, lay.checksums(), sumOfX+"  kafka/a.jar\n")
	jar := writeFile(t, filepath.Join(lay.kafkaJars(), "a.jar"), "x")
	var said strings.Builder
	in := &Installer{Progress: &said, lay: lay}
	for range 2 {
		if err := in.verify(Kafka); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(said.String(), "checking"); n != 1 {
		t.Errorf("summed %d times, want once while nothing changes", n)
	}
	writeFile(t, jar, "yy")
	if err := in.verify(Kafka); !errors.Is(err, ErrChecksum) {
		t.Errorf("a changed jar: %v, want ErrChecksum", err)
	}
	if err := checked(lay, Kafka); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("after the mismatch it counts as installed: %v", err)
	}
	writeFile(t, jar, "x")
	if err := in.verify(Kafka); err != nil {
		t.Errorf("the right jar again: %v", err)
	}
	if err := checked(lay, Kafka); err != nil {
		t.Error(err)
	}
}

// TestListMatchesThePins keeps versions.go, pom.xml and checksums.txt together.
func TestListMatchesThePins(t *testing.T) {
	lay, err := newLayout()
	if err != nil {
		t.Fatal(err)
	}
	sums, err := readPinned(lay.checksums())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kafka/kafka_2.13-" + KafkaVersion + ".jar",
		"clickhouse/libchdb.so"} {
		if sums[name] == "" {
			t.Errorf("%s has no checksum", name)
		}
	}
	pom, err := os.ReadFile(lay.kafkaPom())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(pom), "<version>"+KafkaVersion+"</version>") {
		t.Errorf("pom.xml does not name version %s", KafkaVersion)
	}
}

func TestChecksumsOfWhatIsInstalledAreThePinnedOnes(t *testing.T) {
	for _, kind := range []Kind{Kafka, ClickHouse} {
		Require(t, kind)
	}
	lay, err := newLayout()
	if err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadFile(lay.checksums())
	if err != nil {
		t.Fatal(err)
	}
	lines, err := Checksums()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(list), strings.Join(lines, "\n")+"\n") {
		t.Errorf("checksums.txt does not end with the %d lines of Checksums", len(lines))
	}
}
