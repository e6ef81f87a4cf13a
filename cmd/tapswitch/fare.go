package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/faredesk"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
)

// ledgerSource is the configured warehouse, as the commands about fares read it.
type ledgerSource struct{ flags configFlags }

var _ faredesk.Ledger = (*ledgerSource)(nil)

// Add gives c the flags of the configuration.
func (s *ledgerSource) Add(c *cobra.Command) { s.flags.add(c) }

// Open opens the warehouse beside a switch that may be running.
func (s *ledgerSource) Open(ctx context.Context) (warehouse.Reader, func() error, error) {
	loaded, err := s.flags.load()
	if err != nil {
		return nil, nil, err
	}
	return openReader(ctx, &loaded.Config)
}

// Book is the folder of the breaks of reconciliation, the one that the console shows.
func (s *ledgerSource) Book() (string, error) {
	loaded, err := s.flags.load()
	if err != nil {
		return "", err
	}
	return breaksDir(&loaded.Config), nil
}
