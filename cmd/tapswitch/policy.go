package main

import (
	_ "embed"
	"fmt"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/agency"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/faredesk"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/passback"
	"github.com/tapswitch/tapswitch/switch/txn"
)

//go:embed tariff.yaml
var sampleTariff []byte

// readPolicy makes the engine's policy from the configuration, the tariff file and the
// city's lease.
func readPolicy(c *config.Config) (engine.Policy, error) {
	tariff, err := readTariff(c.Scheme.TariffFile)
	if err != nil {
		return engine.Policy{}, err
	}
	loc, err := c.Scheme.Location()
	if err != nil {
		return engine.Policy{}, err
	}
	_, offset := time.Now().In(loc).Zone()
	s := &c.Scheme
	p := engine.Policy{
		Currency: txn.CNY, ZoneOffset: txn.Millis(offset) * 1000, Tariff: tariff,
		AcceptTerminalFare: s.AcceptTerminalFare,
		FutureMax:          millis(s.FutureMax), AgeMax: millis(s.AgeMax),
		OfflineAgeMax: millis(s.OfflineAgeMax), PurchaseMax: txn.Minor(s.PurchaseMax),
		LoadMax: txn.Minor(s.LoadMax), BalanceMax: txn.Minor(s.BalanceMax),
		PostPaid: engine.PostPaid{Limit: txn.Minor(s.PostPaidLimit), TapMax: txn.Minor(s.PostPaidTapMax),
			RidesMax: uint32(max(0, s.PostPaidRidesMax)), WidenMax: txn.Minor(s.PostPaidWidenMax),
			Anonymous: s.PostPaidAnonymous},
		PassBackWindow: millis(s.PassBackWindow), JourneyMax: millis(s.JourneyMax),
		JourneyLapse: millis(s.JourneyLapse),
		PassBack: passback.Rules{Station: millis(s.PassBackStation), Gate: millis(s.PassBackGate),
			GateDigits: s.PassBackGateDigits},
	}
	if p.PassBack.Exempt, err = passback.ParseExempt(s.PassBackExempt); err != nil {
		return p, fmt.Errorf("scheme.pass_back_exempt: %w", err)
	}
	return agency.Leased(p, c.Desk.City)
}

func millis(d time.Duration) txn.Millis { return txn.Millis(d.Milliseconds()) }

// readTariff reads a tariff file or a directory of its versions; path "" is the built-in
// sample.
func readTariff(path string) (*fare.Tariff, error) {
	book, err := tariff.Load(tariff.Source{Name: "built-in tariff", Text: sampleTariff})
	if path != "" {
		book, err = faredesk.ReadBook(path)
	}
	if err != nil {
		return nil, fmt.Errorf("scheme.tariff_file: %w", err)
	}
	var versions []*price.Tariff
	for _, v := range book.Versions() {
		versions = append(versions, v.Tariff)
	}
	return fare.Of(versions...), nil
}
