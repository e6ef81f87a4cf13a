// Package gracewire joins what forgives journeys afterwards (package redress) with the ledger
// and the operators of a switch.
//
// It keeps nothing. A look at the ledger waits until the warehouse has what the store had, for
// at most settledMax; then it is an error, and whoever asked may ask again.
package gracewire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/disruption/redress"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// Mount serves the calls of a service at the gate.
func Mount(s *redress.Service) gate.Mount {
	givers := []string{string(gate.RoleAdmin), string(gate.RoleDesk), string(gate.RoleDeskConfirm)}
	readers := append([]string{string(gate.RoleViewer), string(gate.RoleSupervisor),
		string(gate.RoleFinance)}, givers...)
	return gate.Mount{Prefix: redress.Prefix, Handler: s.Handler(func(r *http.Request) (string, []string) {
		return r.Header.Get(gate.HeaderActor), r.Header.Values(gate.HeaderRoles)
	}, readers, givers)}
}

// Ledger is the warehouse, with the store's word on what it has. It implements redress.Ledger.
type Ledger struct {
	Reader warehouse.Reader
	Clock  store.Clock
}

const (
	// settledMax is how long the warehouse may be behind while somebody waits for an answer.
	settledMax   = 30 * time.Second
	settledEvery = 100 * time.Millisecond
)

var errLedgerBehind = errors.New("the warehouse is behind the store; ask again")

// Since implements redress.Ledger.
func (l Ledger) Since(ctx context.Context, from txn.BusinessDate, yield func(*txn.Record) error) error {
	return l.Reader.Records(ctx, warehouse.Filter{From: from}, yield)
}

// Settled implements redress.Ledger: the warehouse has confirmed what is in the store now.
func (l Ledger) Settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settledMax)
	defer cancel()
	now, err := l.Clock.Buckets(ctx)
	if err != nil {
		return fmt.Errorf("numbering of the buckets: %w", err)
	}
	ticker := time.NewTicker(settledEvery)
	defer ticker.Stop()
	for has := now; ; {
		if holds(has, now) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errLedgerBehind, ctx.Err())
		case <-ticker.C:
		}
		if has, err = l.Clock.Buckets(ctx); err != nil {
			return fmt.Errorf("numbering of the buckets: %w", err)
		}
	}
}

// holds reports whether everything that was last in want is confirmed in has.
func holds(has, want []store.BucketInfo) bool {
	confirmed := map[txn.Bucket]txn.Position{}
	for i := range has {
		confirmed[has[i].Bucket] = has[i].Confirmed
	}
	for i := range want {
		if want[i].Pending > 0 && confirmed[want[i].Bucket].Before(want[i].Last) {
			return false
		}
	}
	return true
}
