package bench

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/bench/load"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/switch/gate"
)

// LoadOptions say how a switch that runs elsewhere is loaded.
type LoadOptions struct {
	// URL is the gate's address, http://host:port.
	URL string
	// Token is an operator's token with role admin: terminals are registered and CardCount
	// cards enrolled with full purses.
	Token     string
	CardCount int
	// Terminal and Key (hex) sign instead, for the card numbers in Cards, one a line.
	Terminal, Key, Cards string
	Connections          int
	// Rate is the taps a second of an open loop; 0 finds the capacity.
	Rate     float64
	Duration time.Duration
	// Remote allows an address that is not loopback.
	Remote          bool
	Version, Commit string
	Progress        io.Writer
}

// ErrLoadOptions reports options that make no sense.
var ErrLoadOptions = errors.New("bench load")

// loadTapsMax bounds the prepared taps: some gigabytes.
const loadTapsMax = 4_000_000

// Load sends taps to a running switch and reports the answers. Taps that are refused or
// fail are counted, not an error.
func Load(ctx context.Context, o LoadOptions) (*report.Report, error) {
	addr, err := o.check()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	r := &report.Report{Version: o.Version, Commit: o.Commit, Command: "tapswitch bench load",
		Date: began.UTC().Format(time.RFC3339), Machine: report.MachineOf(""), LoadBefore: report.LoadAverage()}
	b := &bench{Section: &report.Section{Name: "load", Title: "Taps to a running switch",
		Command: r.Command}, o: Options{Progress: o.Progress}}
	r.Sections = []*report.Section{b.Section}
	f, err := o.fleet(ctx, addr)
	if err != nil {
		return nil, err
	}
	rate := o.Rate
	if rate == 0 {
		rate = rateGuess
	}
	n := min(loadTapsMax, int(rate*1.2*o.Duration.Seconds())+1)
	b.say("signing %d taps", n)
	result, err := load.Run(ctx, load.Options{Addr: addr, Connections: o.Connections, Rate: o.Rate,
		Duration: o.Duration, Warmup: o.Duration / 10, Requests: f.taps(n),
		Wire: load.HTTP(approved), Slice: o.Duration / 50})
	if err != nil {
		return nil, err
	}
	b.addLoad(o, result)
	r.Seconds = time.Since(began).Seconds()
	b.Section.Seconds, b.Section.Load = r.Seconds, report.LoadAverage()
	return r, nil
}

func (b *bench) addLoad(o LoadOptions, r *load.Result) {
	how := "each connection as fast as it is answered"
	if o.Rate > 0 {
		how = fmt.Sprintf("open loop at %.0f taps/s", o.Rate)
	}
	b.sized("%d connections, %s, %s", o.Connections, how, o.Duration)
	b.Add(report.Of("approved", "taps/s", r.PerSecond()))
	b.Add(report.Of("approved", "taps", float64(r.Good)))
	b.Add(report.Of("declined", "taps", float64(r.Refused)))
	b.Add(report.Of("failed", "taps", float64(r.Failed)))
	for _, q := range []struct {
		name string
		at   float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}} {
		b.Add(report.Of("answer, "+q.name, "ms", ms(r.Quantile(q.at))))
	}
	b.Add(report.Of("generator", "cores", r.CPU.Seconds()/r.Wall.Seconds()))
	if r.Sample != "" {
		b.note("One answer that was no approval: %s", firstLineOf(string(load.Body([]byte(r.Sample)))))
	}
	b.Plots = append(b.Plots, report.Plot{Kind: report.PlotPercentiles, Title: "Latency", Y: "ms",
		Series: []report.Series{{Name: "answer", Points: curve(r)}}},
		overTime("Latency over time", r))
}

func firstLineOf(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// check returns the address to connect to.
func (o *LoadOptions) check() (string, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" || u.Port() == "" {
		return "", fmt.Errorf("%w: --url %q: want http://host:port", ErrLoadOptions, o.URL)
	}
	if !o.Remote && !loopback(u.Hostname()) {
		return "", fmt.Errorf("%w: %s is not this machine; --remote allows it", ErrLoadOptions,
			u.Hostname())
	}
	switch {
	case (o.Token == "") == (o.Terminal == ""):
		return "", fmt.Errorf("%w: give either --token-file or --terminal", ErrLoadOptions)
	case o.Terminal != "" && (o.Key == "" || o.Cards == ""):
		return "", fmt.Errorf("%w: --terminal needs --key-file and --card-file", ErrLoadOptions)
	case o.Token != "" && o.CardCount < 1:
		return "", fmt.Errorf("%w: --cards must be above zero", ErrLoadOptions)
	case o.Rate < 0 || o.Duration < time.Second || o.Connections < 1:
		return "", fmt.Errorf("%w: want a rate, connections and a duration of a second at least",
			ErrLoadOptions)
	case o.Rate*o.Duration.Seconds() > loadTapsMax:
		return "", fmt.Errorf("%w: at most %d taps are prepared: fewer a second or less time",
			ErrLoadOptions, loadTapsMax)
	}
	return u.Host, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// fleetOf makes the terminals and cards that the options name.
func (o *LoadOptions) fleet(ctx context.Context, addr string) (*fleet, error) {
	if o.Token != "" {
		return newFleet(ctx, fleetOptions{addr: addr, token: o.Token,
			terminals: min(o.Connections, 256), cards: o.CardCount})
	}
	key, err := hex.DecodeString(o.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: the key is not hexadecimal", ErrLoadOptions)
	}
	t := &terminal{id: o.Terminal, signer: gate.NewSigner(o.Terminal, key), boot: boot()}
	f := &fleet{terminals: []*terminal{t}, numbers: strings.Fields(o.Cards),
		zone: time.FixedZone("", 8*60*60)}
	f.cards = len(f.numbers)
	if f.cards == 0 {
		return nil, fmt.Errorf("%w: the card file is empty", ErrLoadOptions)
	}
	return f, f.meet(ctx, addr)
}

// meet sends the first tap and learns from where on signatures must count.
func (f *fleet) meet(ctx context.Context, addr string) error {
	c, err := load.Dial(ctx, addr, load.HTTP(approved), callMax)
	if err != nil {
		return err
	}
	defer c.Close()
	t := f.terminals[0]
	for range 2 {
		answer, err := c.Do(f.tap(t, f.card(f.nextCard())))
		if err != nil {
			return err
		}
		if load.Status(answer) == 200 {
			return nil
		}
		var refusal struct {
			Error struct {
				Code        string
				Message     string
				NextCounter uint64 `json:"next_counter"`
			}
		}
		if err := json.Unmarshal(load.Body(answer), &refusal); err != nil {
			return fmt.Errorf("the first tap: status %d", load.Status(answer))
		}
		if refusal.Error.NextCounter == 0 {
			return fmt.Errorf("the first tap: %s: %s", refusal.Error.Code, refusal.Error.Message)
		}
		t.counter = refusal.Error.NextCounter - 1
	}
	return errors.New("the first tap: the counter of the signature is refused again and again")
}
