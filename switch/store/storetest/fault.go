package storetest

import (
	"fmt"

	"github.com/tapswitch/tapswitch/switch/store"
)

// Op names an operation of a store for the fault hook.
type Op string

// The operations, one a method of store.Store. OpCommit is asked once for each commit
// of a list.
const (
	OpLoad      Op = "Load"
	OpCommit    Op = "Commit"
	OpSnapshot  Op = "Snapshot"
	OpChanges   Op = "Changes"
	OpEntry     Op = "Entry"
	OpTails     Op = "Tails"
	OpRead      Op = "Read"
	OpConfirm   Op = "Confirm"
	OpDueBefore Op = "DueBefore"
	OpCutOver   Op = "CutOver"
	OpBuckets   Op = "Buckets"
	OpOpenEpoch Op = "OpenEpoch"
	OpGet       Op = "Get"
	OpPut       Op = "Put"
	OpKeys      Op = "Keys"
)

// Ops returns every operation that a fault hook is asked about.
func Ops() []Op {
	return []Op{OpLoad, OpCommit, OpSnapshot, OpChanges, OpEntry, OpTails, OpRead, OpConfirm,
		OpDueBefore, OpCutOver, OpBuckets, OpOpenEpoch, OpGet, OpPut, OpKeys}
}

// Fault says how an operation fails.
type Fault uint8

// The faults. A failed operation returns store.ErrUnavailable; for one that only reads
// NotApplied and AppliedUnreported are the same.
const (
	NoFault Fault = iota
	NotApplied
	AppliedUnreported
)

func unavailable(op Op) error {
	return fmt.Errorf("storetest: injected fault in %s: %w", op, store.ErrUnavailable)
}
