package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/knadh/koanf/parsers/yaml"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/fare"
	"github.com/tapswitch/tapswitch/switch/txn"
)

//go:embed tariff.yaml
var sampleTariff []byte

// readPolicy makes the engine's policy from the configuration and the tariff file.
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
		OfflineAgeMax: millis(s.OfflineAgeMax),
		PurchaseMax:   txn.Minor(s.PurchaseMax), LoadMax: txn.Minor(s.LoadMax),
		BalanceMax:     txn.Minor(s.BalanceMax),
		PassBackWindow: millis(s.PassBackWindow), JourneyMax: millis(s.JourneyMax),
		JourneyLapse: millis(s.JourneyLapse),
	}
	return p, p.Check()
}

func millis(d time.Duration) txn.Millis { return txn.Millis(d.Milliseconds()) }

// readTariff reads a fare file; path "" is the built-in sample.
func readTariff(path string) (*fare.Tariff, error) {
	text, name := sampleTariff, "built-in tariff"
	if path != "" {
		var err error
		if text, err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("tariff file: %w", err)
		}
		name = path
	}
	tree, err := yaml.Parser().Unmarshal(text)
	if err != nil {
		return nil, fmt.Errorf("tariff file %s: %w", name, err)
	}
	// Through JSON, which decodes strictly: a key that the tariff does not know is an error.
	flat, err := json.Marshal(tree)
	if err != nil {
		return nil, fmt.Errorf("tariff file %s: %w", name, err)
	}
	var file fare.File
	dec := json.NewDecoder(bytes.NewReader(flat))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("tariff file %s: %w", name, err)
	}
	return fare.Compile(file)
}
