package local_test

import (
	"testing"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/ledger/warehouse/warehousetest"
)

func TestConformance(t *testing.T) {
	warehousetest.Run(t, func(t *testing.T) warehousetest.Opener {
		dir := t.TempDir()
		return func(t *testing.T) warehouse.Warehouse {
			w, err := local.Open(local.Options{Dir: dir})
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			return w
		}
	})
}
