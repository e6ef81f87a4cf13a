package stack

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// fakeTools puts shell scripts in front of PATH; each writes its arguments into calls.
func fakeTools(t *testing.T, scripts map[string]string) (calls func() string) {
	t.Helper()
	dir := t.TempDir()
	record := filepath.Join(dir, "calls")
	for name, body := range scripts {
		script := "#!/bin/sh\necho \"" + name + " $*\" >> " + record + "\n" + body + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		body, err := os.ReadFile(record)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(body)
	}
}

// fakeInstaller works on a project root and a stack folder of its own.
func fakeInstaller(t *testing.T, sums string) (*Installer, *strings.Builder) {
	t.Helper()
	lay := layout{root: t.TempDir(), dir: t.TempDir()}
	writeFile(t, lay.checksums(), sums)
	writeFile(t, lay.kafkaPom(), "<project/>")
	writeFile(t, filepath.Join(lay.frontSource(), "go.mod"), "module x\n")
	writeFile(t, filepath.Join(lay.dir, "bin", "keep"), "")
	said := &strings.Builder{}
	return &Installer{Progress: said, lay: lay, root: true}, said
}

const fakeJava = `echo 'openjdk version "21.0.4" 2024-07-16' >&2`

// fakeMaven puts one right jar where the plugin is told to.
const fakeMaven = `for a in "$@"; do case $a in -DoutputDirectory=*) out=${a#*=};; esac; done
mkdir -p "$out"; printf x > "$out/kafka_2.13-` + KafkaVersion + `.jar"`

func TestKafkaIsFetchedOnceAndChecked(t *testing.T) {
	calls := fakeTools(t, map[string]string{"java": fakeJava, "mvn": fakeMaven})
	in, said := fakeInstaller(t, sumOfX+"  kafka/kafka_2.13-"+KafkaVersion+".jar\n")
	stale := writeFile(t, filepath.Join(in.lay.kafkaJars(), "kafka_2.13-0.1.jar"), "old")
	t.Setenv("TAPSWITCH_STACK_DIR", in.lay.dir)
	for range 2 {
		if err := in.kafka(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(calls(), "mvn "); n != 1 {
		t.Errorf("maven ran %d times, want once:\n%s", n, calls())
	}
	if !strings.Contains(calls(), MavenDependencyPlugin+":copy-dependencies") {
		t.Errorf("the plugin has no version: %s", calls())
	}
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Error("a jar of another version is still there")
	}
	if !strings.Contains(said.String(), "kafka "+KafkaVersion+" is installed") {
		t.Errorf("progress was %q", said)
	}
}

func TestKafkaWithAWrongJarIsNotInstalled(t *testing.T) {
	fakeTools(t, map[string]string{"java": fakeJava, "mvn": fakeMaven})
	wrong := strings.Repeat("0", 64)
	in, _ := fakeInstaller(t, wrong+"  kafka/kafka_2.13-"+KafkaVersion+".jar\n")
	t.Setenv("TAPSWITCH_STACK_DIR", in.lay.dir)
	if err := in.kafka(t.Context()); !errors.Is(err, ErrChecksum) {
		t.Errorf("%v, want ErrChecksum", err)
	}
	if err := Available(Kafka); !errors.Is(err, ErrNotInstalled) {
		t.Errorf("after the mismatch: %v, want ErrNotInstalled", err)
	}
}

func TestOldJavaIsReplaced(t *testing.T) {
	// apt-get puts a newer java in the place of the old one.
	calls := fakeTools(t, map[string]string{
		"java":    `echo 'openjdk version "11.0.2"' >&2`,
		"apt-get": `sed -i s/11.0.2/17.0.1/ "$(dirname "$0")/java"`,
	})
	in, _ := fakeInstaller(t, "")
	if err := in.needJava(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(calls(), "apt-get update") || !strings.Contains(calls(),
		"apt-get install -y --no-install-recommends default-jdk-headless") {
		t.Errorf("calls:\n%s", calls())
	}
	if err := in.needJava(t.Context()); err != nil || strings.Count(calls(), "apt-get update") != 1 {
		t.Errorf("asked again with a new java: %v\n%s", err, calls())
	}
}

func TestJavaThatStaysOldIsRefused(t *testing.T) {
	fakeTools(t, map[string]string{"java": `echo 'java version "1.8.0_402"' >&2`, "apt-get": ""})
	in, _ := fakeInstaller(t, "")
	err := in.needJava(t.Context())
	if err == nil || !strings.Contains(err.Error(), "install a JDK of 17") {
		t.Errorf("error %v", err)
	}
}

func TestJavaVersionsAreRead(t *testing.T) {
	for text, want := range map[string]int{
		`openjdk version "17.0.15" 2025-04-15`: 17,
		`openjdk version "25" 2025-09-16`:      25,
		`openjdk version "26-ea" 2026-03-17`:   26,
		`java version "1.8.0_402"`:             1,
		`Unable to locate a runtime`:           0,
	} {
		fakeTools(t, map[string]string{"java": "echo '" + text + "' >&2"})
		got, err := javaMajor(t.Context())
		if got != want || (err != nil) != (want == 0) {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
}

// fakeNpm puts a library and its manifest under the prefix; fakeGo builds an empty binary.
const (
	fakeNpm = `while [ $# -gt 0 ]; do [ "$1" = --prefix ] && p=$2; shift; done
d=$p/node_modules/` + ChdbPackage + `; mkdir -p "$d"; printf x > "$d/libchdb.so"
printf '{"version": "` + ChdbVersion + `"}' > "$d/package.json"`
	fakeGo = `while [ $# -gt 0 ]; do [ "$1" = -o ] && printf front > "$2"; shift; done
echo "cgo=$CGO_ENABLED in $(basename "$PWD")" >> "$(dirname "$0")/calls"`
)

func TestClickHouseIsFetchedCheckedAndBuilt(t *testing.T) {
	calls := fakeTools(t, map[string]string{"npm": fakeNpm, "go": fakeGo})
	in, said := fakeInstaller(t, sumOfX+"  clickhouse/libchdb.so\n")
	t.Setenv("TAPSWITCH_STACK_DIR", in.lay.dir)
	writeFile(t, filepath.Join(filepath.Dir(in.lay.libchdb()), "package.json"), `{"version": "1.0"}`)
	for range 2 {
		if err := in.clickHouse(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(calls(), "npm install"); n != 1 {
		t.Errorf("npm ran %d times, want once for the other version:\n%s", n, calls())
	}
	for _, want := range []string{"--ignore-scripts", ChdbPackage + "@" + ChdbVersion,
		"cgo=0 in chdbfront"} {
		if !strings.Contains(calls(), want) {
			t.Errorf("%s is missing in\n%s", want, calls())
		}
	}
	if n := strings.Count(said.String(), "building"); n != 1 {
		t.Errorf("said %d times that it builds: %s", n, said)
	}
	if err := Available(ClickHouse); err != nil {
		t.Error(err)
	}
}

func TestFailedBuildLeavesTheOldFront(t *testing.T) {
	fakeTools(t, map[string]string{"go": "echo 'syntax error' >&2; exit 1"})
	in, _ := fakeInstaller(t, "")
	writeFile(t, in.lay.frontBinary(), "old")
	err := in.buildFront(t.Context())
	if err == nil || !strings.Contains(err.Error(), "syntax error") {
		t.Errorf("error %v", err)
	}
	if body, err := os.ReadFile(in.lay.frontBinary()); err != nil || string(body) != "old" {
		t.Errorf("the front is %q, %v", body, err)
	}
}

func TestOldRedisIsReplaced(t *testing.T) {
	calls := fakeTools(t, map[string]string{
		"redis-server": "echo 'Redis server v=6.2.6 sha=0'",
		"apt-get":      `sed -i s/6.2.6/7.0.15/ "$(dirname "$0")/redis-server"`,
	})
	in, said := fakeInstaller(t, "")
	if err := in.redis(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(calls(), "redis-server redis-tools") {
		t.Errorf("calls:\n%s", calls())
	}
	if !strings.Contains(said.String(), "redis 7.0.15") {
		t.Errorf("progress was %q", said)
	}
}

func TestRedisThatStaysOldIsRefused(t *testing.T) {
	for _, version := range []string{"v=6.2.6", "v=x", "nothing"} {
		fakeTools(t, map[string]string{"redis-server": "echo 'Redis server " + version + "'",
			"apt-get": ""})
		in, _ := fakeInstaller(t, "")
		if err := in.redis(t.Context()); err == nil {
			t.Errorf("%s was accepted", version)
		}
	}
}

func TestFailingAptIsReportedWithItsOwnWords(t *testing.T) {
	fakeTools(t, map[string]string{"apt-get": "echo 'Could not resolve the mirror' >&2; exit 100"})
	in, _ := fakeInstaller(t, "")
	err := in.apt(t.Context(), "maven")
	if err == nil || !strings.Contains(err.Error(), "Could not resolve the mirror") {
		t.Errorf("error %v", err)
	}
}

func TestAptWithoutRootSaysWhatToRun(t *testing.T) {
	calls := fakeTools(t, map[string]string{"apt-get": ""})
	in, _ := fakeInstaller(t, "")
	in.root = false
	err := in.apt(t.Context(), "maven")
	if err == nil || !strings.Contains(err.Error(), "run apt-get install maven") {
		t.Errorf("error %v", err)
	}
	if calls() != "" {
		t.Errorf("ran %s", calls())
	}
}

func TestLongOutputIsCut(t *testing.T) {
	if got := tail([]byte(strings.Repeat("x", 2*outputTailMax) + "end")); len(got) != outputTailMax ||
		!strings.HasSuffix(got, "end") {
		t.Errorf("%d bytes kept, want the last %d", len(got), outputTailMax)
	}
}

func TestInstallWaitsForAnother(t *testing.T) {
	fakeTools(t, map[string]string{"redis-server": "echo 'v=7.0.15'"})
	dir := t.TempDir()
	t.Setenv("TAPSWITCH_STACK_DIR", dir)
	lock, err := lockFile(filepath.Join(dir, "install.lock"), syscall.LOCK_NB)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- (&Installer{}).Install(context.Background(), Redis) }()
	select {
	case err := <-done:
		t.Errorf("installed beside another install: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestUnknownKindIsRefused(t *testing.T) {
	t.Setenv("TAPSWITCH_STACK_DIR", t.TempDir())
	err := (&Installer{}).Install(t.Context(), "oracle")
	if !errors.Is(err, ErrInstall) || !strings.Contains(err.Error(), "oracle") {
		t.Errorf("error %v", err)
	}
}
