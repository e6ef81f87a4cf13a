package txn_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestTerminalIDs(t *testing.T) {
	for _, good := range []string{"G", "GATE01", "a.b_C9", "123456789012"} {
		id, err := txn.ParseTerminalID(good)
		if err != nil || id.String() != good {
			t.Errorf("%q: %q, %v", good, id, err)
		}
	}
	for _, bad := range []string{"", "1234567890123", "GATE 1", "GATE-1", "GÄTE", "a\x00", "a/b"} {
		if id, err := txn.ParseTerminalID(bad); !errors.Is(err, txn.ErrTerminalID) ||
			id != (txn.TerminalID{}) {
			t.Errorf("%q: %q, %v", bad, id, err)
		}
	}
}

func TestRequestIDs(t *testing.T) {
	for _, good := range []string{"GATE01-3-42", "G-0-0", "123456789012-4294967295-4294967295"} {
		id, err := txn.ParseRequestID(good)
		if err != nil || id.String() != good {
			t.Errorf("%q: %q, %v", good, id, err)
		}
		encoded := id.AppendBinary(nil)
		if len(encoded) != txn.RequestIDSize || txn.DecodeRequestID(encoded) != id {
			t.Errorf("%q: encoded %x", good, encoded)
		}
	}
	for _, bad := range []string{
		"", "GATE01", "GATE01-3", "-3-42", "GATE01--42", "GATE01-3-", "GATE01-03-42", "GATE01-3-042",
		"GATE01-+3-42", "GATE01-3-4294967296", "GATE01-3-42-", "G-1-3-42", "GATE01-3-4 2",
		"GATE01-3-٤", "GATE01-0x3-1", "GATE01-3-1_0", "1234567890123-1-1",
	} {
		if id, err := txn.ParseRequestID(bad); err == nil || !id.IsZero() {
			t.Errorf("%q: %q, %v", bad, id, err)
		}
	}
	if (txn.RequestID{}).String() != "" || !(txn.RequestID{}).IsZero() {
		t.Error("the zero id")
	}
	if (txn.RequestID{Boot: 1}).IsZero() {
		t.Error("an id without a terminal is zero")
	}
	greatest := txn.RequestID{Boot: math.MaxUint32, Counter: math.MaxUint32}
	copy(greatest.Terminal[:], strings.Repeat("W", txn.TerminalIDMax))
	if n := len(greatest.String()); n != 34 {
		t.Errorf("the longest id has %d characters", n)
	}
}

// One request has one spelling: what parses is written the same way again.
func FuzzParseRequestID(f *testing.F) {
	for _, s := range []string{"GATE01-3-42", "G-0-0", "GATE01-03-42", "--", "a-1-1-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := txn.ParseRequestID(s)
		if err != nil {
			if !errors.Is(err, txn.ErrRequestID) && !errors.Is(err, txn.ErrTerminalID) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if id.String() != s || id.IsZero() || txn.DecodeRequestID(id.AppendBinary(nil)) != id {
			t.Fatalf("%q became %q", s, id)
		}
	})
}

func TestParsePosition(t *testing.T) {
	for _, p := range []txn.Position{{}, {Bucket: 17, Epoch: 3, Seq: 42},
		{Bucket: 63, Epoch: 1<<64 - 1, Seq: 1<<64 - 1}} {
		if back, err := txn.ParsePosition(p.String()); err != nil || back != p {
			t.Errorf("%s: %v, %v", p, back, err)
		}
	}
	for _, bad := range []string{"", "b017", "b017-3", "b17-3-42", "b064-3-42", "b017-03-42",
		"b017-3-42-1", "017-3-42", "b017-+3-42", "b017--3"} {
		if p, err := txn.ParsePosition(bad); err == nil {
			t.Errorf("%q was read as %s", bad, p)
		}
	}
}
