package flat

import (
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestParseTime(t *testing.T) {
	good := func(s string, want txn.Millis) {
		t.Helper()
		if got, ok := ParseTime([]byte(s)); !ok || got != want {
			t.Errorf("%q: %d, %v, want %d", s, got, ok, want)
		}
	}
	bad := func(s string) {
		t.Helper()
		if got, ok := ParseTime([]byte(s)); ok {
			t.Errorf("%q taken as %d", s, got)
		}
	}
	good("1970-01-01T00:00:00Z", 0)
	good("1970-01-01T08:00:00+08:00", 0)
	good("2026-11-21T08:00:00.250+08:00", 1795219200250)
	good("2026-11-21T08:00:00.2509999+08:00", 1795219200250)
	good("2024-02-29T00:00:00-00:30", 1709166600000)
	good("2000-02-29T12:00:00.1Z", 951825600100)
	good("9999-12-31T23:59:59.999Z", 253402300799999)
	for _, s := range []string{"", "2026", "2026-11-21", "2026-11-21T08:00:00", "2026-11-21 08:00:00Z",
		"2026-11-21t08:00:00Z", "2026-11-21T08:00:00z", "2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-02-29T00:00:00Z",
		"2026-04-31T00:00:00Z", "1900-02-29T00:00:00Z", "2026-01-01T24:00:00Z",
		"2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:00.Z",
		"2026-01-01T00:00:00.1234567890Z", "2026-01-01T00:00:00+8:00", "2026-01-01T00:00:00+0800",
		"2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+08:60", "2026-01-01T00:00:00Zx",
		"1969-12-31T23:59:59Z", "-001-01-01T00:00:00Z", "２026-01-01T00:00:00Z"} {
		bad(s)
	}
}

// TestEveryDay walks over the days of 400 years, the period of the calendar.
func TestEveryDay(t *testing.T) {
	at := time.Date(1970, 1, 1, 12, 0, 0, 0, time.UTC)
	for at.Year() < 2371 {
		s := at.Format(time.RFC3339)
		if got, ok := ParseTime([]byte(s)); !ok || got != txn.MillisOf(at) {
			t.Fatalf("%s: %d, %v", s, got, ok)
		}
		at = at.AddDate(0, 0, 1)
	}
}

// FuzzTime compares with time.Parse.
func FuzzTime(f *testing.F) {
	for _, seed := range []string{"2026-11-21T08:00:00.000+08:00", "2026-11-21T08:00:00Z",
		"2024-02-29T23:59:59.999999999-23:59", "2023-02-29T00:00:00Z", "2026-11-21t08:00:00z",
		"1970-01-01T00:00:00Z", "2026-12-31T23:59:60Z", "2026-11-21T08:00:00,5Z", "2100-02-29T00:00:00Z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := ParseTime([]byte(s))
		want, err := time.Parse(time.RFC3339Nano, s)
		switch {
		case ok && err != nil:
			t.Fatalf("%q taken, but not by the standard: %v", s, err)
		case ok && got != txn.MillisOf(want):
			t.Fatalf("%q: %d, the standard reads %d", s, got, txn.MillisOf(want))
		case !ok && err == nil && want.Year() > 1970 && !lenient(s):
			t.Fatalf("%q refused, the standard reads %v", s, want)
		}
	})
}

// lenient reports forms that time.Parse takes and RFC 3339 does not, or that are finer than
// nine digits.
func lenient(s string) bool {
	if len(s) < len("2006-01-02T15:04:05Z") || strings.Contains(s, ",") || s[10] != 'T' || s[13] != ':' {
		return true
	}
	_, fraction, ok := strings.Cut(s, ".")
	return ok && strings.IndexAny(fraction, "Z+-") > 9
}
