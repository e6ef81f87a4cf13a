package bank

import "github.com/tapswitch/tapswitch/switch/bank/count"

// Stats count what the bank edge did; see package count.
type Stats = count.Stats

// Stats returns the counters.
func (s *Switch) Stats() *Stats { return &s.stats }
