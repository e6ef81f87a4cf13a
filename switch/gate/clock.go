package gate

import (
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// appendTime appends an instant as RFC 3339 in UTC with milliseconds.
func appendTime(dst []byte, at txn.Millis) []byte {
	return at.Time().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
}

// parseUint reads a canonical decimal of at most 2^53-1: no sign, no leading zero.
func parseUint(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 16 || b[0] == '0' && len(b) > 1 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if !isDigit(c) {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n <= uint64(txn.MinorMax)
}

// wallClock is the clock of a gate that was given none.
func wallClock() txn.Millis { return txn.MillisOf(time.Now()) }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
