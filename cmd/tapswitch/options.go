package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
)

// configFlags are the flags of every command that needs the configuration.
type configFlags struct {
	file string
	set  []string
	// The short forms of the settings that are given most.
	data, listen, admin, store, feed, warehouse string
}

func (f *configFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.file, "config", "", "configuration file (YAML)")
	flags.StringArrayVar(&f.set, "set", nil, "one setting as key=value, may be repeated")
	flags.StringVar(&f.data, "data", "", "data directory (data_dir)")
	flags.StringVar(&f.listen, "listen", "", "address of the gate (listen)")
	flags.StringVar(&f.admin, "admin-listen", "", "address of metrics and health (admin_listen)")
	flags.StringVar(&f.store, "store", "", "hot store: local or redis (store.kind)")
	flags.StringVar(&f.feed, "feed", "", "feed: direct or kafka (feed.kind)")
	flags.StringVar(&f.warehouse, "warehouse", "", "warehouse: local or clickhouse (warehouse.kind)")
}

// load reads the configuration; what is wrong with it is a usage error.
func (f *configFlags) load() (*config.Loaded, error) {
	values := map[string]string{}
	for key, value := range map[string]string{
		"data_dir": f.data, "listen": f.listen, "admin_listen": f.admin,
		"store.kind": f.store, "feed.kind": f.feed, "warehouse.kind": f.warehouse,
	} {
		if value != "" {
			values[key] = value
		}
	}
	for _, pair := range f.set {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, cli.WithCode(cli.ExitUsage, fmt.Errorf("--set %q: want key=value", pair))
		}
		values[key] = value
	}
	loaded, err := config.Load(f.file, values)
	return loaded, cli.WithCode(cli.ExitUsage, err)
}
