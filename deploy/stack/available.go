package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// RequireEnv is the environment variable that turns a missing server from a skipped test into a
// failed one: TAPSWITCH_REQUIRE_STACK=1.
const RequireEnv = "TAPSWITCH_REQUIRE_STACK"

// ErrNotInstalled says that a server is not there; the text around it names what is missing and
// what to run.
var ErrNotInstalled = errors.New("is not installed: run make stack-up")

// Available reports whether the server can be started here: nil, or why not.
func Available(kind Kind) error {
	switch kind {
	case Redis:
		return redisAvailable()
	case Kafka:
		return kafkaAvailable()
	case ClickHouse:
		return clickHouseAvailable()
	}
	return fmt.Errorf("stack: no server is called %q: use one of %v", kind, Kinds())
}

// missing wraps ErrNotInstalled with the server's name first, so that the text of a skipped test
// begins with what is not there.
func missing(kind Kind, what string) error {
	return fmt.Errorf("%s %w (%s)", kind, ErrNotInstalled, what)
}

// redisAvailable asks the program in PATH itself: a package manager may have put an old one there.
func redisAvailable() error {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return missing(Redis, "no redis-server in PATH")
	}
	version, err := redisVersion(context.Background())
	if err != nil {
		return err
	}
	major, err := strconv.Atoi(strings.SplitN(version, ".", 2)[0])
	if err != nil || major < RedisMajorMin {
		return missing(Redis, fmt.Sprintf("redis-server is %s, need %d", version, RedisMajorMin))
	}
	return nil
}

// kafkaAvailable does not start a JVM: that would cost every skipped test half a second.
func kafkaAvailable() error {
	lay, err := newLayout()
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("java"); err != nil {
		return missing(Kafka, "no java in PATH")
	}
	jar := filepath.Join(lay.kafkaJars(), "kafka_2.13-"+KafkaVersion+".jar")
	if _, err := os.Stat(jar); err != nil {
		return missing(Kafka, "no kafka jar of version "+KafkaVersion)
	}
	return checked(lay, Kafka)
}

// clickHouseAvailable needs the fetched library and the front that was built for it.
func clickHouseAvailable() error {
	lay, err := newLayout()
	if err != nil {
		return err
	}
	if _, err := os.Stat(lay.libchdb()); err != nil {
		return missing(ClickHouse, "no libchdb.so of version "+ChdbVersion)
	}
	if _, err := os.Stat(lay.frontBinary()); err != nil {
		return missing(ClickHouse, "the HTTP front has not been built")
	}
	return checked(lay, ClickHouse)
}

// checked refuses files that were fetched but did not have the pinned checksums, and those of a
// fetch that was broken off.
func checked(lay layout, kind Kind) error {
	if _, err := os.Stat(lay.verified(kind)); err != nil {
		return missing(kind, "what was fetched has not passed the checksums")
	}
	return nil
}

// testingT is the part of *testing.T that Require needs; importing the package would bring its
// flags into stackctl.
type testingT interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Require is for the first line of a test that needs real servers. Where one is not installed the
// test is skipped with the reason, or fails if TAPSWITCH_REQUIRE_STACK is 1.
func Require(t testingT, kinds ...Kind) {
	t.Helper()
	for _, kind := range kinds {
		err := Available(kind)
		if err == nil {
			continue
		}
		if os.Getenv(RequireEnv) == "1" {
			t.Fatalf("not run: %v", err)
		}
		t.Skipf("not run: %v", err)
	}
}
