package gate

import (
	"time"

	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Route names one call of the API, for metrics: "POST /v1/taps".
type Route uint8

// Stage is one part of the work on a request.
type Stage uint8

// The stages. Decide and commit cannot be told apart from outside the engine.
const (
	StageRead         Stage = iota // taking the body
	StageAuthenticate              // signature or token
	StageParse                     // body to request
	StageDecide                    // engine: load, decide, commit
	StageReply                     // answer to bytes
	stageEnd
)

// String returns the stage's name.
func (s Stage) String() string {
	if s >= stageEnd {
		return "unknown"
	}
	return [stageEnd]string{"read", "authenticate", "parse", "decide_commit", "reply"}[s]
}

// Stages are the durations of one request.
type Stages [stageEnd]time.Duration

// Code names one error of the gate.
type Code = refusal.Code

// Codes returns all codes, so that counters can be made once.
func Codes() []Code { return refusal.Codes() }

// Observer is told what the gate does. Its methods are called from many goroutines on the
// hot path: they must not block and should be counters resolved beforehand (Routes, Codes
// and txn.Reasons list all labels).
type Observer interface {
	// Decided is called for every decision, ReasonNone being an approval; entries of a
	// batch count each.
	Decided(route Route, reason txn.Reason)
	// Refused is called for every request or entry of a batch that was not executed, or
	// whose outcome is not known.
	Refused(route Route, code Code)
	// Staged is called for one request in Limits.SampleEvery.
	Staged(route Route, stages Stages)
}

// noObserver is the Observer of a gate that was given none.
type noObserver struct{}

// Decided does nothing.
func (noObserver) Decided(Route, txn.Reason) {}

// Refused does nothing.
func (noObserver) Refused(Route, Code) {}

// Staged does nothing.
func (noObserver) Staged(Route, Stages) {}
