package qrtap_test

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/qrtap"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// told keeps what an observer is told.
type told struct {
	verified int
	reasons  []txn.Reason
	replays  int
}

func (o *told) Verified(took time.Duration) {
	if took > 0 {
		o.verified++
	}
}

func (o *told) Decided(reason txn.Reason, replay bool) {
	o.reasons = append(o.reasons, reason)
	if replay {
		o.replays++
	}
}

// Every answer is told once, with its reason, also that of a code which nobody has signed.
func TestObserver(t *testing.T) {
	r := newRig(t)
	var o told
	r.o.Observer = &o
	r.handler = qrtap.New(r.o)
	code := r.code(r.card(1), morning)
	first := r.body(hex.EncodeToString(code), "")
	r.post(qrtap.Prefix, first)
	r.post(qrtap.Prefix, first)
	r.tap(code, "")
	r.tap(nil, "")
	want := []txn.Reason{txn.ReasonNone, txn.ReasonNone, txn.CodeUsed, txn.CodeMalformed}
	if len(o.reasons) != len(want) || o.verified != len(want) || o.replays != 1 {
		t.Fatalf("%+v", o)
	}
	for i, reason := range want {
		if o.reasons[i] != reason {
			t.Errorf("%d: %s, want %s", i, o.reasons[i], reason)
		}
	}
	// What is no tap is no answer.
	if r.post(qrtap.Prefix, "{"); len(o.reasons) != len(want) {
		t.Errorf("%+v", o)
	}
}
