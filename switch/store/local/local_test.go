package local

import (
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/storetest"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const testDate txn.BusinessDate = 20260228

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	goleak.VerifyTestMain(m)
}

// testOptions are small and quick.
func testOptions(t testing.TB) Options {
	return Options{
		Dir: t.TempDir(), Date: testDate, SegmentBytes: segmentBytesMin,
		CheckpointEvery: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	}
}

// open opens a store that is closed when the test ends.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// opened opens a store and its next epoch.
func opened(t testing.TB, o Options) *Store {
	t.Helper()
	s := open(t, o)
	if err := s.OpenEpoch(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// factory makes stores whose buckets begin at date: the suite's cut-overs want the
// first of its dates, the model's another.
func factory(date txn.BusinessDate) storetest.Factory {
	return storetest.Factory{
		Open: func(t testing.TB, o storetest.Options) store.Store {
			local := testOptions(t)
			local.Date = date
			local.OutboxMax, local.ChangesKept = o.OutboxMax, o.ListLogMax
			if o.OutboxMax == 0 {
				local.OutboxMax = 200_000
			}
			return open(t, local)
		},
		Reopen: func(t testing.TB, s store.Store) store.Store {
			return open(t, s.(*Store).opts)
		},
		Crash: func(t testing.TB, s store.Store) store.Store {
			return open(t, abandon(t, s.(*Store)))
		},
		Drop: func(t testing.TB, s store.Store) {
			if err := os.RemoveAll(s.(*Store).opts.Dir); err != nil {
				t.Error(err)
			}
		},
	}
}

// abandon makes s stop as a kill would, without a last checkpoint and with whatever
// was not written lost, and returns the options to open its directory again.
func abandon(t testing.TB, s *Store) Options {
	t.Helper()
	o := s.opts
	s.fail(errKilled)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestConformance(t *testing.T) { storetest.Run(t, factory(testDate)) }

func TestModel(t *testing.T) { storetest.RunModel(t, factory(20260101)) }

func TestLinearizable(t *testing.T) { storetest.RunLinearizable(t, factory(testDate)) }

// TestConformanceColdCards runs the suite with hardly any card in memory.
func TestConformanceColdCards(t *testing.T) {
	f := factory(testDate)
	warm := f.Open
	f.Open = func(t testing.TB, o storetest.Options) store.Store {
		s := warm(t, o).(*Store)
		for i := range s.buckets {
			s.buckets[i].hotMax = 2
		}
		return s
	}
	storetest.Run(t, f)
}
