package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/citydemo"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// runCityDemo plays a card's life under a city's rules.
func runCityDemo(c *cobra.Command, o *demoOptions) (err error) {
	if !slices.Contains(citydemo.Cities(), o.city) || o.lang != "en" && o.lang != "zh" ||
		o.form == cli.CSV {
		return cli.WithCode(cli.ExitUsage, fmt.Errorf("--city: want one of %s, --lang: en or zh, "+
			"-o: table or json", strings.Join(citydemo.Cities(), ", ")))
	}
	dir, err := os.MkdirTemp("", "tapswitch-city-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	r, err := citydemo.Run(c.Context(), citydemo.Options{City: o.city, Dir: dir, Start: startCitySwitch})
	if err != nil {
		return err
	}
	if o.form == cli.JSON {
		err = cli.PrintJSON(c.OutOrStdout(), r)
	} else {
		err = r.Write(c.OutOrStdout(), o.lang)
	}
	if err != nil {
		return err
	}
	return r.Err()
}

// startCitySwitch starts this binary as a switch of its own.
func startCitySwitch(ctx context.Context, settings map[string]string, env []string) (*citydemo.Switch, error) {
	s, err := newDemoSwitch(filepath.Join(filepath.Dir(settings["data_dir"]), "switch.log"), settings)
	if err != nil {
		return nil, err
	}
	s.env = env
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return &citydemo.Switch{Gate: s.where().Gate, Bank: s.where().Bank, Secret: s.secret, Stop: s.stop,
		Log: s.logTail, AdminToken: adminTokenFile}, nil
}
