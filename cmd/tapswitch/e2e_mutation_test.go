package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// A test of faults that is green proves nothing until a planted bug turns it red. Each bug
// that FAULTS.md names is planted somewhere, as near to the part as it can be; this list
// says where, and that the test is still there. Those of this package plant it in the real
// binary and real servers.

// e2ePlanted names the tests that plant a bug and expect it to be seen.
func e2ePlanted() []struct{ bug, file, test string } {
	return []struct{ bug, file, test string }{
		{"go-redis retries on", "switch/store/redisstore/fault_test.go", "TestOneExecution"},
		{"no deadline in the script", "switch/store/redisstore/fault_test.go", "TestFrozenServer"},
		{"no comparison of versions", "switch/store/redisstore/commit_test.go", "TestRaceSeesMissingCompare"},
		{"appendfsync everysec", "cmd/tapswitch/e2e_power_test.go", "TestE2EPlantedEverysec"},
		{"journal without sync", "cmd/tapswitch/e2e_power_test.go", "TestE2EPlantedNoSync"},
		{"outbox trimmed by length", "cmd/tapswitch/e2e_mutation_test.go", "TestE2EPlantedTrimByLength"},
		{"Kafka acks none", "ledger/feed/kafka_test.go", "TestPlantedAcksNone"},
		{"totals without FINAL", "ledger/warehouse/clickhouse/clickhouse_test.go", "TestAckLost"},
		{"ledger read without FINAL", "cmd/tapswitch/e2e_stack_test.go", "TestE2EClickHouseAckLost"},
		{"the check itself", "cmd/tapswitch/e2e_crash_test.go", "TestE2EMorning"},
	}
}

// TestE2EPlantedBugs: the tests that plant the bugs exist.
func TestE2EPlantedBugs(t *testing.T) {
	for _, p := range e2ePlanted() {
		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(p.file)))
		if err != nil || !strings.Contains(string(text), "func "+p.test+"(") {
			t.Errorf("%s: no %s in %s: %v", p.bug, p.test, p.file, err)
		}
	}
}

// TestE2EPlantedTrimByLength: somebody caps the outbox by length while the relay hangs.
// TestE2ERelays is the same without it, and green.
func TestE2EPlantedTrimByLength(t *testing.T) {
	s := newE2EStack(t, e2eStackOptions{seed: 48})
	s.city.hook(0.2, func(context.Context) error { return s.relay.signal(syscall.SIGSTOP) })
	s.city.hook(0.6, func(context.Context) error {
		var commands []string
		for b := range txn.BucketCount {
			commands = append(commands, fmt.Sprintf("XTRIM {%s}:out MAXLEN 1", txn.Bucket(b)))
		}
		_, err := e2eRedisSay(s.redis.Addr(), commands...)
		return errors.Join(err, s.relay.signal(syscall.SIGCONT))
	})
	out := s.city.drive()
	// A hole stops the bucket: the warehouse never confirms what lies behind it.
	var gaps float64
	e2eUntil(t, e2eDrainMax, "neither drained nor stopped by a hole", func() (bool, error) {
		// A counter that is not there yet counts as none.
		gaps, _ = s.sink.metric("tapswitch_feed_total", `event="gaps_total"`)
		drained, err := s.gate.drained()
		return gaps > 0 || drained, err
	})
	if gaps > 0 {
		t.Logf("seen: the sink stopped at %.0f holes", gaps)
		return
	}
	e := &e2eEvidence{plan: s.city.plan, outcome: out, cards: s.city.cards(), records: s.records()}
	if len(e.faults()) == 0 {
		t.Error("the outbox was trimmed by length and the check is green: it sees nothing")
	}
}
