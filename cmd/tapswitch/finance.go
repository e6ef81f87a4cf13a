package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/finance"
)

// financeSource is the configured switch, as the commands of finance see it.
type financeSource struct{ flags configFlags }

var _ finance.Source = (*financeSource)(nil)

// Add gives c the flags of the configuration.
func (s *financeSource) Add(c *cobra.Command) { s.flags.add(c) }

// Open opens the warehouse beside a switch that may be running.
func (s *financeSource) Open(ctx context.Context) (*finance.Place, error) {
	loaded, err := s.flags.load()
	if err != nil {
		return nil, err
	}
	c := &loaded.Config
	zone, err := c.Scheme.Location()
	if err != nil {
		return nil, err
	}
	reader, done, err := openReader(ctx, c)
	if err != nil {
		return nil, err
	}
	p := &finance.Place{Reader: reader, Done: done, Dir: filepath.Join(c.DataDir, "finance"), Zone: zone,
		CutOff: c.Scheme.CutOff, Calendar: c.Scheme.CalendarFile}
	if c.Feed.Kind == "kafka" {
		p.Stream = finance.Stream(c.Feed.Brokers, c.Feed.Topic)
	}
	if name, count, ok := strings.Cut(os.Getenv(failpointEnv), ":"); ok {
		p.Passed = newFailpoint(name, count)
	}
	return p, nil
}
