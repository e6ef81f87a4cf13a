package iso

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// Every codec does messages, on one core and on two, and says so when it cannot.
func TestCodecs(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	for _, c := range Codecs() {
		for _, cores := range []int{1, 2} {
			rate, err := c.PerSecond(t.Context(), cores, 20*time.Millisecond)
			if err != nil || rate < 1000 {
				t.Errorf("%s on %d cores: %.0f/s, %v", c.Name, cores, rate, err)
			}
		}
		one, err := c.start()
		if err != nil {
			t.Fatal(err)
		}
		if err := one([]byte("0200x")); err == nil {
			t.Errorf("%s reads nonsense", c.Name)
		}
	}
	if runtime.GOMAXPROCS(0) != before {
		t.Error("the number of processors is not what it was")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Codecs()[0].PerSecond(ctx, 1, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want canceled", err)
	}
}

// Loads with MACs: the bank refuses those of another key, and the load an answer without one.
func TestLoadWithMACs(t *testing.T) {
	needLinux(t)
	b := startTestBank(t, ASCII())
	key, err := NewMAC(BankKey())
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := NewMAC(AcquirerKey())
	if err != nil {
		t.Fatal(err)
	}
	l := testLoad(b.addr())
	l.MAC = key
	r, err := RunLoad(t.Context(), l)
	if err == nil {
		err = r.AllGood()
	}
	if err != nil {
		t.Fatal(err)
	}
	l.MAC = wrong
	if _, err := RunLoad(t.Context(), l); err == nil {
		t.Error("the bank takes MACs of another key")
	}
	bare := testLoad(b.addr()) // requests without a MAC, whose answers have none
	bare.MAC = key
	bare.Make = func(w *message.Writer, dst []byte, s *message.Spec, r *Request) ([]byte, error) {
		plain := *r
		plain.MAC = nil
		return Purchase(w, dst, s, &plain)
	}
	if _, err := RunLoad(t.Context(), bare); !errors.Is(err, message.ErrNoMAC) {
		t.Errorf("answers without a MAC: %v", err)
	}
}
