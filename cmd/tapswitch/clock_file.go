package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// clockFileEnv names a file that says how far the switch's clock stands from the machine's,
// as a duration ("-6130h12m"). It is for demonstrations that need days to pass, and for
// tests: what the switch decides is decided as ever. The file is read at every look at the
// clock, and the clock never goes back.
const clockFileEnv = "TAPSWITCH_CLOCK_FILE"

// errClockFile reports a clock file that a switch must not have.
var errClockFile = errors.New(clockFileEnv)

// clockOf returns the clock that the environment asks for, nil for the machine's. A switch
// that anybody else than this machine can reach, or whose store others share, has no other.
func clockOf(c *config.Config) (func() txn.Millis, error) {
	path := os.Getenv(clockFileEnv)
	if path == "" {
		return nil, nil
	}
	for _, address := range []string{c.Listen, c.AdminListen} {
		if address != "" && !loopback(address) {
			return nil, cli.WithCode(cli.ExitUsage,
				fmt.Errorf("%w: refused while the switch listens on %s: want a loopback address",
					errClockFile, address))
		}
	}
	if c.Store.Kind != "local" || c.Feed.Kind != "direct" {
		return nil, cli.WithCode(cli.ExitUsage,
			fmt.Errorf("%w: refused with a store or feed that others share", errClockFile))
	}
	if _, err := clockOffset(path); err != nil {
		return nil, cli.WithCode(cli.ExitUsage, err)
	}
	latest := new(atomic.Int64)
	return func() txn.Millis {
		offset, err := clockOffset(path)
		if err != nil {
			return txn.Millis(latest.Load()) // the file is being taken away: time stands
		}
		now := int64(txn.MillisOf(time.Now().Add(offset)))
		for {
			last := latest.Load()
			if now <= last {
				return txn.Millis(last)
			}
			if latest.CompareAndSwap(last, now) {
				return txn.Millis(now)
			}
		}
	}, nil
}

func clockOffset(path string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errClockFile, err)
	}
	d, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%w: %s does not hold a duration", errClockFile, path)
	}
	return d, nil
}

func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
