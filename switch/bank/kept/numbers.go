// Package kept is what the bank edge keeps in the registry for itself: how far its links have
// given out trace numbers, and answers of banks that are too long for a card's state. It owns the
// keys below bank/stan/ and bank/answer/.
//
// What returned nil is durable. All of it is safe for concurrent use, by several processes too.
// It decides nothing about money: a number that is lost is never given out, and an answer that is
// lost costs a repeat some of its fields.
package kept

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/tapswitch/tapswitch/switch/bank/link"
	"github.com/tapswitch/tapswitch/switch/store"
)

// Numbers keeps trace numbers in the registry, below bank/stan/: no number is given out twice,
// by whichever process, until all have been. Safe for concurrent use.
type Numbers struct{ Registry store.Registry }

// TriesMax bounds how often a reservation is tried against other processes.
const TriesMax = 32

// Reserve takes the next n numbers; see link.Reserver.
func (k Numbers) Reserve(ctx context.Context, name string, n int) (uint32, error) {
	key := "bank/stan/" + name
	for range TriesMax {
		value, version, err := k.Registry.Get(ctx, key)
		if err != nil {
			return 0, err
		}
		next := uint64(1)
		if version > 0 && len(value) > 0 {
			if next, err = strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 32); err != nil ||
				next < 1 || next > link.STANMax {
				return 0, fmt.Errorf("%w: trace number of link %s", store.ErrDamaged, name)
			}
		}
		after := (next+uint64(n)-1)%link.STANMax + 1
		err = k.Registry.Put(ctx, key, strconv.AppendUint(nil, after, 10), version)
		if err == nil {
			return uint32(next), nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return 0, err
		}
	}
	return 0, store.ErrConflict
}
