package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/tapswitch/tapswitch/bench/iso"
	"github.com/tapswitch/tapswitch/bench/report"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// The targets of the bank scenario.
const (
	bankOurs    = "tapswitch"
	bankBalance = "tapswitch, balance"
	// bankShare is the load at which the time that the switch adds is looked at.
	bankShare = 0.7
)

// bankCards compares the switch, with durable state before each forward and before each
// answer, with jPOS forwarding without any, between the same two ends.
func bankCards(ctx context.Context, b *bench) error {
	return inScratch(b.dir, func(dir string) error {
		r, err := b.runISO(ctx, iso.Modes(), iso.Direct(), iso.ThroughJPOS(iso.JPOSOptions{}),
			iso.ThroughJPOS(iso.JPOSOptions{Nagle: iso.NagleBoth}), b.ours(dir, bankOurs, nil),
			b.ours(dir, bankBalance, iso.Inquiry))
		if err != nil {
			return err
		}
		for _, s := range r.Skipped {
			b.note("%s", s)
		}
		b.addBank(r)
		return b.addBankShare(ctx, dir, r)
	})
}

func (b *bench) runISO(ctx context.Context, modes []iso.Mode, targets ...iso.Target,
) (*iso.Report, error) {
	o := iso.Options{Targets: targets, Modes: modes, Rounds: max(1, b.size.Rounds-2),
		Duration: b.size.RunFor, Warmup: b.size.RunFor / 4, WarmFirst: b.size.RunFor,
		Progress:  b.o.Progress,
		StartBank: iso.BankProcess(b.o.Binary, "bench", "serve-bank")}
	return iso.Run(ctx, o)
}

// ours is the switch between an acquirer and a bank.
func (b *bench) ours(dir, name string, request func(*message.Writer, []byte, *message.Spec,
	*iso.Request) ([]byte, error)) iso.Target {
	t := iso.Target{Name: name}
	if request != nil {
		t.Load = func(l *iso.Load) { l.Make = request }
	}
	t.Start = func(ctx context.Context, bank string) (string, func() error, error) {
		data := filepath.Join(dir, name)
		if err := os.MkdirAll(data, 0o700); err != nil {
			return "", nil, err
		}
		file := filepath.Join(data, "bank.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, bankFile, bank), 0o600); err != nil {
			return "", nil, err
		}
		c, err := b.startSwitch(ctx, data, "bank.file="+file)
		if err != nil {
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

// bankFile connects an acquirer and a bank that both speak ISO 8583:1987 in ASCII.
const bankFile = `
acquirer: "48025800"
listeners:
  - {name: acq, address: "127.0.0.1:0", spec: iso87_ascii, acquirer: "48025800"}
links:
  - {name: bank, addresses: ["%[1]s", "%[1]s"], spec: iso87_ascii, sign_on: none, in_flight: 60000}
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
			if jpos = r.Row(name, m); jpos == nil {
				continue
			}
			b.Add(report.Of(fmt.Sprintf("throughput to %s, %s", name, m), "ratio",
				divided(ours.PerSecond(), jpos.PerSecond())...).AtLeast(1.5))
			b.Add(report.Of(fmt.Sprintf("throughput of balances to %s, %s", name, m), "ratio",
				divided(r.Row(bankBalance, m).PerSecond(), jpos.PerSecond())...).AtLeast(2.5))
		}
	}
}

// addBankShare measures what the switch adds at a share of its own capacity.
func (b *bench) addBankShare(ctx context.Context, dir string, r *iso.Report) error {
	full := r.Row(bankOurs, iso.Modes()[0])
	if full == nil {
		return nil
	}
	rate := bankShare * report.Of("", "", full.PerSecond()...).Median
	mode := iso.Mode{Connections: full.Mode.Connections, Rate: rate}
	share, err := b.runISO(ctx, []iso.Mode{mode}, iso.Direct(),
		b.ours(filepath.Join(dir, "share"), bankOurs, nil))
	if err != nil {
		return err
	}
	direct, ours := share.Row("no switch", mode).Quantile(0.99), share.Row(bankOurs, mode).Quantile(0.99)
	added := make([]float64, 0, len(ours))
	for i := range ours {
		added = append(added, ours[i]-direct[i])
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
