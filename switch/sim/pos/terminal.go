package pos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/tapswitch/tapswitch/crypto/block"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// terminal is one till. It belongs to one goroutine.
type terminal struct {
	o      *Options
	id     string
	random *rand.Rand
	report TerminalReport
	rows   []*Row
	byStan map[uint32]*Row
	turn   int // of Amounts

	nc     net.Conn
	reader *message.Reader
	stan   uint32
	keys   keys
	// stale says that the host wants a new sign-on.
	stale    bool
	latency  []time.Duration
	findings []string
}

// keys are the working keys of a terminal; mac is nil for none.
type keys struct {
	mac *mac.MAC
	pin pinCipher
}

// pinCipher enciphers one block.
type pinCipher interface{ Encrypt(dst, src []byte) }

func newTerminal(o *Options, index int) *terminal {
	t := &terminal{o: o, id: o.terminalID(index), byStan: map[uint32]*Row{},
		random: rand.New(rand.NewPCG(o.Seed, uint64(o.FirstTerminal+index)))}
	t.report = TerminalReport{Terminal: t.id, Batch: fmt.Sprintf("%06d", o.Batch)}
	return t
}

var (
	// errNoAnswer says that nothing usable came in time, errMAC that the answer's MAC is
	// wrong: both leave open what the host has done.
	errNoAnswer = errors.New("no answer")
	errMAC      = errors.New("answer with a wrong MAC")
)

// work is the terminal's day.
func (t *terminal) work(ctx context.Context, start time.Time, index int) {
	defer t.hangUp()
	if err := t.signOn(ctx); err != nil {
		t.report.Failed = err.Error()
		return
	}
	if t.o.Downloads && !t.download(ctx) {
		return
	}
	for n := range t.o.Transactions {
		from, ok := t.await(ctx, start, n*t.o.Terminals+index)
		if !ok {
			break
		}
		t.transact(ctx, from)
		if t.stale {
			if err := t.signOn(ctx); err != nil {
				t.report.Failed = err.Error()
				return
			}
		}
	}
	if ctx.Err() == nil {
		t.settle(ctx)
		t.signOff(ctx)
	}
}

// await waits until the n-th transaction of the run is to start, and returns when that is.
func (t *terminal) await(ctx context.Context, start time.Time, n int) (time.Time, bool) {
	if t.o.Rate == 0 {
		return time.Now(), ctx.Err() == nil
	}
	due := start.Add(time.Duration(float64(n) / t.o.Rate * float64(time.Second)))
	return due, t.pause(ctx, time.Until(due))
}

// pause waits and reports whether the day goes on.
func (t *terminal) pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// number returns the next trace number.
func (t *terminal) number() uint32 {
	t.stan = t.stan%999_999 + 1
	return t.stan
}

// contradict notes what cannot be squared with the book.
func (t *terminal) contradict(format string, args ...any) {
	t.report.Contradictions++
	if len(t.findings) < ContradictionsMax {
		t.findings = append(t.findings, "terminal "+t.id+": "+fmt.Sprintf(format, args...))
	}
}

// message starts a message with what every one has.
func (t *terminal) message(mti message.MTI, stan uint32, p message.Private) (*message.Message,
	error,
) {
	m := message.New(t.o.Spec, mti)
	m.TPDU, m.Header = t.o.TPDU, t.o.Header
	p.Batch = t.report.Batch
	digits, err := p.Digits()
	return m, errors.Join(err, m.SetSTAN(stan), m.SetText(41, t.id), m.SetText(42, t.o.Merchant),
		m.SetDigits(60, digits))
}

// signOn signs on and takes the batch number and the working keys, trying again as reversals
// are.
func (t *terminal) signOn(ctx context.Context) error {
	var err error
	for try := range t.o.RetriesMax {
		if try > 0 && !t.pause(ctx, t.o.RetryDelay) {
			return ctx.Err()
		}
		if err = t.trySignOn(ctx); err == nil {
			t.report.SignOns++
			t.stale = false
			return nil
		}
	}
	return fmt.Errorf("sign-on of terminal %s, tried %d times: %w", t.id, t.o.RetriesMax, err)
}

func (t *terminal) trySignOn(ctx context.Context) error {
	stan := t.number()
	m, err := t.message(message.NetworkRequest, stan,
		message.Private{Type: "00", Network: t.o.Network})
	if err != nil {
		return err
	}
	a, err := t.ask(ctx, m, &expectation{mti: message.NetworkResponse, stan: stan})
	if err != nil {
		return err
	}
	if code := a.ResponseCode(); code != "00" {
		return fmt.Errorf("the host answers %q", code)
	}
	digits, _ := a.Digits(60)
	if p, err := message.ParsePrivate(digits); err == nil && p.Batch != "" && p.Batch != "000000" {
		t.report.Batch = p.Batch
	}
	if t.o.MasterKey == nil {
		return nil
	}
	field, _ := a.Bytes(62)
	return t.openKeys(field)
}

// openKeys takes the working keys out of field 62 and checks them.
func (t *terminal) openKeys(field []byte) error {
	w, err := message.ParseWorkingKeys(field)
	if err != nil {
		return fmt.Errorf("working keys: %w", err)
	}
	master, err := block.New(block.TDES, t.o.MasterKey)
	if err != nil {
		return err
	}
	open := func(k message.WrappedKey) ([]byte, error) {
		key := make([]byte, len(k.Key))
		if err := block.DecryptECB(master, key, k.Key); err != nil {
			return nil, err
		}
		c, err := block.New(desOf(key), key)
		if err != nil {
			return nil, err
		}
		var zero [8]byte
		c.Encrypt(zero[:], zero[:])
		if [4]byte(zero[:4]) != k.Check {
			return nil, errors.New("working key with a wrong check value")
		}
		return key, nil
	}
	pin, err := open(w.PIN)
	if err != nil {
		return err
	}
	key, err := open(w.MAC)
	if err != nil {
		return err
	}
	scheme := mac.CUPTDES
	if len(key) == 8 {
		scheme = mac.CUPDES
	}
	made, err := mac.New(scheme, key)
	if err != nil {
		return err
	}
	t.keys.mac = made
	t.keys.pin, err = block.New(desOf(pin), pin)
	return err
}

func desOf(key []byte) block.Algorithm {
	if len(key) == 8 {
		return block.DES
	}
	return block.TDES
}

// signOff ends the day; nothing depends on the answer.
func (t *terminal) signOff(ctx context.Context) {
	stan := t.number()
	m, err := t.message(message.NetworkAdvice, stan, message.Private{Type: "00", Network: "002"})
	if err == nil {
		_, _ = t.ask(ctx, m, &expectation{mti: 0x0830, stan: stan})
	}
}
