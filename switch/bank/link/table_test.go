package link

import (
	"errors"
	"testing"
	"time"
)

// tabled makes a table and a connection that only it knows.
func tabled() (*table, *conn) {
	l := DefaultLimits()
	return newTable(&l, &Counters{}), &conn{}
}

// flying registers an exchange and puts it on c.
func flying(t *testing.T, table *table, c *conn, key Key) (*entry, item) {
	t.Helper()
	e, err := table.add(&call{key: key}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	gen, err := table.place(e, c, false)
	if err != nil {
		t.Fatal(err)
	}
	return e, item{e: e, gen: gen}
}

// The writer may hold an exchange longer than its caller does. When the write fails later,
// the one that has the same memory now must not end.
func TestStaleBatchDoesNotEndAnotherExchange(t *testing.T) {
	table, c := tabled()
	one, two := Key{Class: 2, STAN: 1}, Key{Class: 2, STAN: 2}
	e, stale := flying(t, table, c, one)
	e.state.Store(stateSent)
	if v, _ := table.answer(one, []byte("a")); v != matched {
		t.Fatalf("verdict %d", v)
	}
	<-e.done
	table.recycle(e)
	again, _ := flying(t, table, c, two)
	if again != e {
		t.Fatal("the memory was not used again: the test shows nothing")
	}
	table.unsent(&stale, ErrLost)
	if table.inFlight(nil) != 1 || table.inFlight(c) != 1 {
		t.Error("the wrong exchange was ended")
	}
}

// Nobody can answer what was not sent: such an answer is dropped.
func TestAnswerBeforeTheRequestIsWrong(t *testing.T) {
	table, c := tabled()
	key := Key{Class: 2, STAN: 1}
	e, _ := flying(t, table, c, key)
	for _, state := range []uint32{stateQueued, stateCopying} {
		e.state.Store(state)
		if v, _ := table.answer(key, []byte("a")); v != wrongAnswer {
			t.Errorf("in state %d: verdict %d", state, v)
		}
	}
	if table.inFlight(nil) != 1 {
		t.Error("the exchange ended")
	}
}

func TestRetiredConnectionTakesOnlyManagement(t *testing.T) {
	table, c := tabled()
	table.retire(c)
	e, err := table.add(&call{key: Key{Class: 2, STAN: 1}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.place(e, c, false); !errors.Is(err, ErrDown) {
		t.Errorf("traffic: %v", err)
	}
	if _, err := table.place(e, c, true); err != nil {
		t.Errorf("management: %v", err)
	}
}

// Whatever happens to an exchange, the counts of the table and the connection return to 0.
func TestCountsReturnToZero(t *testing.T) {
	table, c := tabled()
	stan := uint32(0)
	for name, end := range map[string]func(e *entry, it item){
		"answered": func(e *entry, _ item) {
			e.state.Store(stateSent)
			table.answer(e.key, []byte("a"))
		},
		"given up in the queue": func(e *entry, _ item) { table.giveUp(e, true, ErrTimeout) },
		"given up on the way": func(e *entry, _ item) {
			e.state.Store(stateSent)
			table.giveUp(e, true, ErrTimeout)
		},
		"refused by the queue": func(e *entry, _ item) {
			table.displace(e)
			table.giveUp(e, false, ErrQueueFull)
		},
		"not written": func(e *entry, it item) { table.unsent(&it, ErrLost) },
		"lost": func(e *entry, _ item) {
			e.state.Store(stateSent)
			table.lost(c, ErrLost)
		},
		"ended twice": func(e *entry, it item) {
			table.unsent(&it, ErrLost)
			table.giveUp(e, true, ErrTimeout)
			table.lost(c, ErrLost)
			table.displace(e)
		},
	} {
		stan++
		e, it := flying(t, table, c, Key{Class: 2, STAN: stan})
		end(e, it)
		<-e.done
		table.recycle(e)
		if table.inFlight(nil) != 0 || table.inFlight(c) != 0 {
			t.Errorf("%s: %d in flight, %d on the connection", name, table.inFlight(nil),
				table.inFlight(c))
		}
	}
	table.expireLocked(time.Now().Add(DefaultLimits().LateKeep))
	if len(table.by) != 0 || table.lateLen != 0 {
		t.Errorf("%d keys, %d late", len(table.by), table.lateLen)
	}
}
