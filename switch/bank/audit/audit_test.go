package audit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/audit"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// sick is a registry that takes no values.
type sick struct{ store.Registry }

var errSick = errors.New("the registry is sick")

func (sick) Put(context.Context, string, []byte, uint64) error { return errSick }

func trail(now *txn.Millis) (*audit.Trail, *storetest.Memory) {
	m := storetest.NewMemory(storetest.MemoryOptions{})
	return audit.NewTrail(m, func() txn.Millis { return *now }), m
}

// A line is there before its deed, and says afterwards what came of it; the newest is first.
func TestLineBeforeAndAfterTheDeed(t *testing.T) {
	now := txn.Millis(1_000)
	trail, m := trail(&now)
	first, err := trail.Begin(t.Context(), audit.Line{Actor: audit.Actor{Name: "li", Role: "admin"},
		Action: "keys", Subject: "icbc mac"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trail.Begin(t.Context(), audit.Line{Actor: audit.Itself("schedule"), Action: "keys",
		Subject: "ccb mac"}); err != nil { // of the same millisecond
		t.Fatal(err)
	}
	again := audit.NewTrail(m, func() txn.Millis { return now }) // a process that starts
	all, err := again.Lines(t.Context(), 10)
	if err != nil || len(all) != 2 || all[1].Outcome != audit.Begun || all[1].At != 1_000 ||
		all[0].Actor != (audit.Actor{Name: "tapswitch", Role: "schedule"}) {
		t.Fatalf("%+v %v", all, err)
	}
	if err := first.End(t.Context(), "in force", "A1B2C3"); err != nil {
		t.Fatal(err)
	}
	all, err = again.Lines(t.Context(), 10)
	if err != nil || all[1].Outcome != "in force" || all[1].KCV != "A1B2C3" ||
		all[1].Actor.Name != "li" || all[0].Outcome != audit.Begun {
		t.Errorf("%+v %v", all, err)
	}
	if all, _ := again.Lines(t.Context(), 1); len(all) != 1 || all[0].Subject != "ccb mac" {
		t.Errorf("%+v", all)
	}
}

// What cannot be noted is not done.
func TestNotNotedIsAnError(t *testing.T) {
	trail := audit.NewTrail(sick{storetest.NewMemory(storetest.MemoryOptions{})},
		func() txn.Millis { return 1 })
	if _, err := trail.Begin(t.Context(), audit.Line{Action: "keys", Subject: "icbc"}); !errors.Is(err,
		errSick) {
		t.Errorf("%v", err)
	}
}

// The oldest lines go when there are too many.
func TestLinesFull(t *testing.T) {
	now := txn.Millis(1)
	trail, m := trail(&now)
	for i := range audit.LinesMax + 50 {
		now = txn.Millis(i + 1)
		if _, err := trail.Begin(t.Context(), audit.Line{Subject: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	keys, err := m.Keys(t.Context(), "bank/audit/")
	if err != nil || len(keys) > audit.LinesMax || len(keys) < audit.LinesMax/2 {
		t.Errorf("%d lines are kept: %v", len(keys), err)
	}
	all, err := trail.Lines(t.Context(), 1)
	if err != nil || len(all) != 1 || all[0].Subject != fmt.Sprint(audit.LinesMax+49) {
		t.Errorf("the newest line: %+v %v", all, err)
	}
}
