package citydemo

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/bank/message"
	"github.com/tapswitch/tapswitch/switch/sim"
	"github.com/tapswitch/tapswitch/switch/sim/bankhost"
	"github.com/tapswitch/tapswitch/switch/sim/pos"
)

const (
	// clockEnv names the file by which the switch's clock is moved.
	clockEnv = "TAPSWITCH_CLOCK_FILE"
	// cardBIN and bankBIN begin the test numbers of the cards and of the bank's accounts.
	cardBIN, bankBIN = "310480", "622260"
	bankLink         = "b0"
	bankTimeout      = 1500 * time.Millisecond
	// slowEnds and lostEnds are amounts that the bank answers late, or never.
	slowEnds, lostEnds = "13", "17"
	slowAnswer         = 700 * time.Millisecond
	// agencyKey is the id of the key of receipts and lists.
	agencyKey = "agency-1"
	lookEvery = 20 * time.Millisecond
	lookMax   = 45 * time.Second
)

// zone is the cities' local time.
func zone() *time.Location { return time.FixedZone("", 8*60*60) }

// clock is the switch's clock, which only goes forward. One goroutine moves it.
type clock struct {
	path   string
	offset atomic.Int64
}

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.offset.Load())).In(zone()) }

// set moves the clock to an instant. The file is replaced in one step.
func (c *clock) set(to time.Time) error {
	offset := time.Until(to)
	if offset < time.Duration(c.offset.Load()) && c.offset.Load() != 0 {
		return nil // the story is that far already
	}
	temp := c.path + ".tmp"
	if err := os.WriteFile(temp, []byte(offset.String()+"\n"), 0o600); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	if err := os.Rename(temp, c.path); err != nil {
		return fmt.Errorf("clock: %w", err)
	}
	c.offset.Store(int64(offset))
	return nil
}

// town is the switch, the bank, the parties and all who speak to them.
type town struct {
	o        *Options
	clock    *clock
	settings map[string]string
	node     *Switch
	bank     *bankhost.Host
	parties  *parties
	client   *sim.Client
	admin    string // token of the first operator
	keys     receipt.Key
	cards    []pan.Number // not used yet
	accounts []pan.Number // of the bank, not used yet
}

func newTown(ctx context.Context, o *Options) (t *town, err error) {
	t = &town{o: o, clock: &clock{path: filepath.Join(o.Dir, "clock")}}
	defer func() {
		if err != nil {
			err = errors.Join(err, t.close())
		}
	}()
	if err := t.clock.set(day(3, 2, 8, 30)); err != nil {
		return nil, err
	}
	if t.cards, err = pos.Cards([]string{cardBIN}, 16, 11); err != nil {
		return nil, err
	}
	if t.accounts, err = pos.Cards([]string{bankBIN}, 16, 12); err != nil {
		return nil, err
	}
	if err := t.startBank(); err != nil {
		return nil, err
	}
	t.settings = map[string]string{"data_dir": filepath.Join(o.Dir, "data"),
		"listen":       "127.0.0.1:0",
		"admin_listen": "127.0.0.1:0", "log.level": "warn", "desk.city": o.City,
		"desk.plain_http":  "true",
		"feed.flush_every": "50ms", "bank.file": filepath.Join(o.Dir, "bank.yaml"),
		"gate.drain_delay": "0s",
		"desk.judge_every": "1h"}
	if err := t.start(ctx); err != nil {
		return nil, err
	}
	t.client = sim.NewClient(sim.ClientOptions{Addr: t.node.Gate, Now: t.clock.now})
	if t.admin, err = t.node.Secret(t.node.AdminToken); err != nil {
		return nil, err
	}
	if t.parties, err = newParties(t.clock, t.bank); err != nil {
		return nil, err
	}
	t.parties.gate.Store(&t.node.Gate)
	return t, t.readKey()
}

// day is an instant of 2026 in local time.
func day(month time.Month, day, hour, minute int) time.Time {
	return time.Date(2026, month, day, hour, minute, 0, 0, zone())
}

func (t *town) start(ctx context.Context) (err error) {
	t.node, err = t.o.Start(ctx, t.settings, []string{clockEnv + "=" + t.clock.path})
	return err
}

// restart stops the switch in order and starts it again on what it has: from its start on it
// knows every gate that was registered.
func (t *town) restart(ctx context.Context) error {
	if err := t.node.Stop(); err != nil {
		return err
	}
	if err := t.start(ctx); err != nil {
		return err
	}
	t.client.SetAddr(t.node.Gate)
	t.parties.gate.Store(&t.node.Gate)
	return nil
}

// readKey takes over the public key of the agency, as a holder has it from its counter.
func (t *town) readKey() error {
	text, err := os.ReadFile(filepath.Join(t.settings["data_dir"], "keys", "signing.key"))
	if err != nil {
		return fmt.Errorf("the agency's key: %w", err)
	}
	seed, err := hex.DecodeString(string(text[:2*ed25519.SeedSize]))
	if err != nil {
		return errors.New("the agency's key is no key")
	}
	public, _ := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	t.keys = receipt.Key{ID: agencyKey, Algorithm: receipt.Ed25519, Public: public}
	return nil
}

const bankFile = `
acquirer: "48025800"
forwarder: "48025800"
reversal_after: 200ms
reversal_max: 1s
listeners:
  - {name: pos, address: "127.0.0.1:0", spec: cup_pos, terminals: terminals.csv}
links:
  - {name: b0, addresses: ["%[1]s", "%[1]s"], spec: cups, station: "01020000", home: "48025800",
	timeout: %[2]s}
routes:
  - {name: cards, bins: ["622260", "310480"], issuer: ICBC, links: [b0]}
`

// startBank starts the partner bank and writes the switch's file of it.
func (t *town) startBank() error {
	spec, err := message.Named("cups")
	if err != nil {
		return err
	}
	t.bank, err = bankhost.Start(bankhost.Options{Spec: spec, Address: "127.0.0.1:0", Seed: 1,
		Framing: message.Framing{Form: message.ASCII4}, Behaviour: bankhost.Behaviour{
			DelayFrom: bankhost.Span(slowAnswer), DelayTo: bankhost.Span(slowAnswer),
			Rules: []bankhost.Rule{{AmountEnds: slowEnds, Effect: bankhost.Delay, Times: 1},
				{AmountEnds: lostEnds, Effect: bankhost.LoseAnswer, Times: 1}}}})
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(t.o.Dir, "terminals.csv"))
	if err != nil {
		return err
	}
	if err := errors.Join(pos.WriteTerminals(f, pos.Options{Terminals: 2}, ""),
		f.Close()); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(t.o.Dir, "bank.yaml"),
		fmt.Appendf(nil, bankFile, t.bank.Address(), bankTimeout), 0o600)
}

func (t *town) close() error {
	var errs []error
	if t.client != nil {
		t.client.Close()
	}
	if t.node != nil {
		errs = append(errs, t.node.Stop())
	}
	if t.bank != nil {
		errs = append(errs, t.bank.Close())
	}
	if t.parties != nil {
		errs = append(errs, t.parties.close())
	}
	return errors.Join(errs...)
}

// request is an operator's call; body may be nil.
type request struct {
	token, method, path string
	body                any
}

// call makes an operator's call and decodes the answer into out, if there is one. A refusal is
// returned as *sim.APIError.
func (t *town) call(ctx context.Context, q request, out any) error {
	var text []byte
	if q.body != nil {
		var err error
		if text, err = json.Marshal(q.body); err != nil {
			return fmt.Errorf("%s %s: %w", q.method, q.path, err)
		}
	}
	r, err := t.client.Operate(ctx, q.token, q.method, q.path, text)
	switch {
	case err != nil:
		return err
	case r.Refused != nil:
		return r.Refused
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(r.Body, out); err != nil {
		return fmt.Errorf("%s %s: %w", q.method, q.path, err)
	}
	return nil
}

// person creates an operator.
func (t *town) person(ctx context.Context, name string, roles ...string) (*person, error) {
	var a struct{ Token string }
	err := t.call(ctx, request{t.admin, http.MethodPut, "/v1/operators/" + name,
		map[string]any{"roles": roles}}, &a)
	return &person{name: name, token: a.Token}, err
}

// await looks at done until it holds.
func await(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, lookMax)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last error
	for {
		ok, err := done()
		if ok && err == nil {
			return nil
		}
		last = err
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waited in vain for %s", what), last)
		}
	}
}
