package pos_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

// masterKey is a test key.
func masterKey() []byte {
	return []byte("\x01\x23\x45\x67\x89\xAB\xCD\xEF\xFE\xDC\xBA\x98\x76\x54\x32\x10")
}

// terminalHost starts a host that takes terminals.
func terminalHost(t testing.TB, set func(*bankhost.Options)) *bankhost.Host {
	t.Helper()
	spec, err := message.Named("cup_pos")
	if err != nil {
		t.Fatal(err)
	}
	o := bankhost.Options{Spec: spec, Address: "127.0.0.1:0", Seed: 7, MasterKey: masterKey(),
		PIN: "1234"}
	if set != nil {
		set(&o)
	}
	h, err := bankhost.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func cards(t testing.TB, count int) []pan.Number {
	t.Helper()
	all, err := pos.Cards([]string{"622260", "400000"}, count, 3)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// options are four quick terminals against h.
func options(t testing.TB, h *bankhost.Host) pos.Options {
	return pos.Options{Target: h.Address(), Terminals: 4, Transactions: 60, Cards: cards(t, 20),
		Seed:      5,
		MasterKey: masterKey(), PIN: "1234", Timeout: 10 * time.Second, RetryDelay: time.Millisecond}
}

func run(t testing.TB, o pos.Options) *pos.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	r, err := pos.Run(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// agree holds the terminals' books against the host's: every row that stands on one side
// stands on the other, with the same amount, and the money is the same.
func agree(t *testing.T, r *pos.Report, b *bankhost.Book) {
	t.Helper()
	type id struct {
		terminal, batch string
		stan            uint32
	}
	stands := map[id]bankhost.Entry{}
	for _, e := range b.Entries {
		if e.Kind != bankhost.Reversal && e.Kind != bankhost.Balance && e.Approved() {
			stands[id{e.Terminal, e.Batch, e.STAN}] = e
		}
	}
	for _, d := range r.Terminals {
		for _, row := range d.Rows {
			if row.Kind == pos.Balance {
				continue
			}
			k := id{d.Terminal, row.Batch, row.STAN}
			e, ok := stands[k]
			if ok != (row.State == pos.Approved) || ok && (e.Minor != row.Minor || e.Auth != row.Auth ||
				e.Closed != row.Closed || e.Refunded != row.Refunded) {
				t.Errorf("terminal %s number %d (%v): terminal says %v, the host's book %v %+v", d.Terminal,
					row.STAN, row.Kind, row.State, ok, e)
			}
			delete(stands, k)
		}
	}
	for k := range stands {
		t.Errorf("the host has %+v, no terminal does", k)
	}
	if b.Counts.DoubleExecuted != 0 {
		t.Errorf("%d executed twice", b.Counts.DoubleExecuted)
	}
	var sales int64
	for i := range r.Terminals {
		sales += r.Terminals[i].DebitMinor - r.Terminals[i].CreditMinor
	}
	if b.Posted != sales {
		t.Errorf("the terminals sold %d, the cards owe %d", sales, b.Posted)
	}
}

// flakyDial refuses the first connections.
func flakyDial(refuse int) func(context.Context, string) (net.Conn, error) {
	left := make(chan struct{}, refuse)
	for range refuse {
		left <- struct{}{}
	}
	return func(ctx context.Context, address string) (net.Conn, error) {
		select {
		case <-left:
			return nil, net.ErrClosed
		default:
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
}
