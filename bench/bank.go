package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/bench/iso"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/crypto/mac"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// The targets of the bank scenario.
const (
	bankOurs    = "tapswitch"
	bankBalance = "tapswitch, balance"
	// withMACs follows the name of a target on whose two sides every message has its MAC.
	withMACs = ", MACs"
	// bankShare is the load at which the time that the switch adds is looked at.
	bankShare = 0.7
	// bankRestMax is how long a load waits for what the one before left to be settled.
	bankRestMax = time.Minute
)

// bankCards compares the switch, with durable state before each forward and before each
// answer, with jPOS forwarding without any, between the same two ends.
func bankCards(ctx context.Context, b *bench) error {
	return inScratch(b.dir, func(dir string) error {
		r, err := b.runISO(ctx, max(1, b.size.Rounds-2), iso.Modes(), iso.Direct(), iso.ThroughJPOS(iso.JPOSOptions{}),
			iso.ThroughJPOS(iso.JPOSOptions{Nagle: iso.NagleBoth}), b.ours(dir, bankOurs, nil),
			b.ours(dir, bankBalance, iso.Inquiry), directMACs(),
			b.oursMACs(dir, bankOurs, nil), b.oursMACs(dir, bankBalance, iso.Inquiry))
		if err != nil {
			return err
		}
		for _, s := range r.Skipped {
			b.note("%s", s)
		}
		b.addBank(r)
		if err := b.addCodecs(ctx); err != nil {
			return err
		}
		return b.addBankShare(ctx, dir)
	})
}

// addCodecs measures what reading and writing a message costs by itself.
func (b *bench) addCodecs(ctx context.Context) error {
	for _, c := range iso.Codecs() {
		for _, cores := range []int{1, 2} {
			var rates []float64
			for range max(1, b.size.Rounds-2) {
				rate, err := c.PerSecond(ctx, cores, b.size.RunFor/2)
				if err != nil {
					return err
				}
				rates = append(rates, rate)
			}
			name := fmt.Sprintf("%s, %d core", c.Name, cores)
			if cores > 1 {
				name += "s"
			}
			b.Add(report.Of(name, "messages/s", rates...))
		}
	}
	return nil
}

func (b *bench) runISO(ctx context.Context, rounds int, modes []iso.Mode,
	targets ...iso.Target) (*iso.Report, error) {
	o := iso.Options{Targets: targets, Modes: modes, Rounds: rounds,
		Duration: b.size.RunFor, Warmup: b.size.RunFor / 4, WarmFirst: b.size.RunFor,
		Progress:  b.o.Progress,
		StartBank: iso.BankProcess(b.o.Binary, "bench", "serve-bank")}
	return iso.Run(ctx, o)
}

// makes writes the requests of a load.
type makes = func(*message.Writer, []byte, *message.Spec, *iso.Request) ([]byte, error)

// directMACs is no switch at all, with MACs.
func directMACs() iso.Target {
	t := iso.Direct()
	t.Name += withMACs
	t.Load = func(l *iso.Load) { l.MAC = bankMAC(iso.BankKey()) }
	return t
}

// oursMACs is ours with MACs on both sides: the load makes one with the acquirer's key, the
// switch checks it and makes another with the bank's, the bank checks that, and so back.
func (b *bench) oursMACs(dir, name string, request makes) iso.Target {
	t := b.ours(dir, name+withMACs, request)
	load := t.Load
	t.Load = func(l *iso.Load) {
		load(l)
		l.MAC = bankMAC(iso.AcquirerKey())
	}
	return t
}

// bankMAC is the MAC of a key of the benchmark, which is one of AES.
func bankMAC(key []byte) *mac.MAC {
	m, err := iso.NewMAC(key)
	if err != nil {
		panic("bench: internal error: " + err.Error())
	}
	return m
}

// ours is the switch between an acquirer and a bank.
func (b *bench) ours(dir, name string, request makes) iso.Target {
	var c *child
	t := iso.Target{Name: name, Load: func(l *iso.Load) { l.Make = request },
		Rest: func(ctx context.Context) { c.settle(ctx, bankRestMax) }}
	t.Start = func(ctx context.Context, bank string) (string, func() error, error) {
		data := filepath.Join(dir, strings.ReplaceAll(name, ", ", "-")) // lists are cut at commas
		if err := os.MkdirAll(data, 0o700); err != nil {
			return "", nil, err
		}
		settings, err := bankSettings(data, bank, strings.HasSuffix(name, withMACs))
		if err != nil {
			return "", nil, err
		}
		if c, err = b.startSwitch(ctx, data, settings...); err != nil {
			return "", nil, err
		}
		addr, err := bankAddress(data)
		if err == nil {
			err = c.wait(ctx, c.linked)
		}
		if err != nil {
			return "", nil, errors.Join(err, c.stop())
		}
		return addr, c.stop, nil
	}
	return t
}

// bankSettings writes the bank file of a switch, and its key ring where it needs one, and
// returns the settings that name them.
func bankSettings(data, bank string, macs bool) (settings []string, err error) {
	var keys [2]string
	if macs {
		if settings, err = bankRing(data); err != nil {
			return nil, err
		}
		for i, name := range []string{"acquirer", "bank"} {
			keys[i] = fmt.Sprintf(", keys: {mac: %s, mac_key: mac/%s}", iso.MACScheme, name)
		}
	}
	file := filepath.Join(data, "bank.yaml")
	text := fmt.Appendf(nil, bankFile, bank, keys[0], keys[1])
	return append(settings, "bank.file="+file), os.WriteFile(file, text, 0o600)
}

// bankFile connects an acquirer and a bank that both speak ISO 8583:1987 in ASCII. Neither side
// sheds what waits: a stall shows in the latencies, not as declines.
const bankFile = `
acquirer: "48025800"
listeners:
  - {name: acq, address: "127.0.0.1:0", spec: iso87_ascii, acquirer: "48025800",
     in_flight: 60000%[2]s}
links:
  - {name: bank, addresses: ["%[1]s", "%[1]s"], spec: iso87_ascii, sign_on: none,
     in_flight: 60000%[3]s}
routes:
  - {name: all, issuer: BANK, links: [bank]}
`

// bankAddress reads where the switch takes acquirers from its run file.
func bankAddress(data string) (string, error) {
	text, err := os.ReadFile(filepath.Join(data, "run.json"))
	if err != nil {
		return "", err
	}
	var info struct{ Bank map[string]string }
	if err := json.Unmarshal(text, &info); err != nil || info.Bank["acq"] == "" {
		return "", fmt.Errorf("run.json names no listener: %w", err)
	}
	return info.Bank["acq"], nil
}

// linked reports whether every connection of the child's links is up.
func (c *child) linked() (bool, error) {
	resp, err := http.Get("http://" + c.Admin + "/bank")
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	var status struct {
		Links []struct{ Connections []struct{ State string } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&status); err != nil {
		return false, fmt.Errorf("state of the links: %w", err)
	}
	for _, l := range status.Links {
		for _, k := range l.Connections {
			if k.State != "up" {
				return false, nil
			}
		}
	}
	return len(status.Links) > 0, nil
}

// addBank adds the figures of a run and the ratios to jPOS.
func (b *bench) addBank(r *iso.Report) {
	b.sized("%d rounds of %s each, cards of a million, 2 connections to the bank",
		max(1, b.size.Rounds-2), b.size.RunFor)
	b.note("One load generator and one bank that approves everything, the same for all. The switch " +
		"commits each purchase durably as pending before it forwards it and as approved before it " +
		"answers; jPOS (QServer, asynchronous QMUX, one channel) keeps nothing.")
	b.note("Rows with MACs: AES-CMAC on every message, made and checked on both sides of the " +
		"switch under two keys of its key ring. jPOS computes none in any row, so that a ratio " +
		"with MACs is of the switch with them to jPOS without.")
	for _, row := range r.Rows {
		name := fmt.Sprintf("%s, %s", row.Target, row.Mode)
		b.Add(report.Of(name, "messages/s", row.PerSecond()...))
		b.Add(report.Of(name+", p50", "ms", row.Quantile(0.5)...))
		b.Add(report.Of(name+", p99", "ms", row.Quantile(0.99)...))
	}
	for _, m := range iso.Modes() {
		jpos, ours := r.Row("jPOS", m), r.Row(bankOurs, m)
		if jpos == nil || ours == nil {
			continue
		}
		if m.Rate > 0 {
			b.Add(report.Of(fmt.Sprintf("p99 to jPOS's, %s", m), "ratio",
				divided(ours.Quantile(0.99), jpos.Quantile(0.99))...).AtMost(0.5))
			continue
		}
		for _, name := range []string{"jPOS", "jPOS, Nagle"} {
			if jpos = r.Row(name, m); jpos != nil {
				b.addThroughput(r, jpos)
			}
		}
	}
}

// addThroughput adds how much more the switch does than jPOS, without and with MACs.
func (b *bench) addThroughput(r *iso.Report, jpos *iso.Row) {
	for _, macs := range []string{"", withMACs} {
		for _, of := range []struct {
			what, row string
			target    float64
		}{{"throughput", bankOurs, 1.5}, {"throughput of balances", bankBalance, 2.5}} {
			row := r.Row(of.row+macs, jpos.Mode)
			b.Add(report.Of(fmt.Sprintf("%s%s to %s, %s", of.what, macs, jpos.Target, jpos.Mode),
				"ratio", divided(row.PerSecond(), jpos.PerSecond())...).AtLeast(of.target))
		}
	}
}

// addBankShare measures what the switch adds at a share of its own capacity, which is measured
// right before in each round: that of some minutes ago is another machine's where others use
// it too.
func (b *bench) addBankShare(ctx context.Context, dir string) error {
	full := iso.Modes()[0]
	var direct, ours, added []float64
	for i := range max(1, b.size.Rounds-2) {
		at := filepath.Join(dir, fmt.Sprint("share-", i))
		capacity, err := b.runISO(ctx, 1, []iso.Mode{full},
			b.ours(filepath.Join(at, "full"), bankOurs, nil))
		if err != nil {
			return err
		}
		mode := iso.Mode{Connections: full.Connections,
			Rate: bankShare * capacity.Row(bankOurs, full).PerSecond()[0]}
		share, err := b.runISO(ctx, 1, []iso.Mode{mode}, iso.Direct(),
			b.ours(filepath.Join(at, "part"), bankOurs, nil))
		if err != nil {
			return err
		}
		without := share.Row("no switch", mode).Quantile(0.99)[0]
		with := share.Row(bankOurs, mode).Quantile(0.99)[0]
		direct, ours, added = append(direct, without), append(ours, with), append(added, with-without)
	}
	b.Add(report.Of("p99 without a switch at 70 % of the switch's capacity", "ms", direct...))
	b.Add(report.Of("p99 with the switch at 70 % of its capacity", "ms", ours...))
	b.Add(report.Of("p99 that the switch adds at 70 % of its capacity", "ms", added...).AtMost(1))
	return nil
}

func divided(a, b []float64) []float64 {
	out := make([]float64, 0, len(a))
	for i := range min(len(a), len(b)) {
		out = append(out, a[i]/b[i])
	}
	return out
}
