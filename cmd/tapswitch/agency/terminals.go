package agency

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/blacklist/list"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// terminals is the directory of gates: what stands in the registry. Which there are is asked
// every time, so that a new gate counts at once; what was read of one holds for a minute. It is
// used by one goroutine at a time.
type terminals struct {
	registry store.Registry
	known    map[string]list.Device // the zero Device for a terminal that works with no list
	read     time.Time
}

// terminalsAge is how old what was read of a terminal may get.
const terminalsAge = time.Minute

// Devices implements list.Directory. A terminal that takes no taps works with no list.
func (t *terminals) Devices(ctx context.Context, yield func(list.Device) bool) error {
	const prefix = "terminal/"
	keys, err := t.registry.Keys(ctx, prefix)
	if err != nil {
		return fmt.Errorf("registered terminals: %w", err)
	}
	if t.known == nil || time.Since(t.read) > terminalsAge {
		t.known, t.read = make(map[string]list.Device, len(keys)), time.Now()
	}
	for _, key := range keys {
		d, known := t.known[key]
		if !known {
			value, _, err := t.registry.Get(ctx, key)
			if err != nil {
				return fmt.Errorf("registered terminals: %w", err)
			}
			d = deviceOf(strings.TrimPrefix(key, prefix), value)
			t.known[key] = d
		}
		if d != (list.Device{}) && !yield(d) {
			return nil
		}
	}
	return nil
}

// deviceOf reads a registered terminal, the zero Device when it works with no list.
func deviceOf(name string, value []byte) list.Device {
	var r struct {
		Operator, Line, Station string
		Kinds                   []string
		Revoked                 bool
	}
	id, bad := txn.ParseTerminalID(name)
	if json.Unmarshal(value, &r) != nil || bad != nil || !taps(r.Kinds) {
		return list.Device{}
	}
	return list.Device{Terminal: id, Operator: r.Operator, Line: r.Line, Station: r.Station, Active: !r.Revoked}
}

func taps(kinds []string) bool {
	for _, name := range kinds {
		if k, err := txn.ParseKind(name); err == nil && k.IsTap() {
			return true
		}
	}
	return false
}
