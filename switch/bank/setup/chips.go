package setup

import (
	"fmt"

	"github.com/tapswitch/tapswitch/switch/bank/emv"
)

// Chips is what chip terminals download; nil where no file is configured.
type Chips struct{ Keys, Applications *emv.Set }

// Load reads the files of what chip terminals download.
func (e *EMV) Load() (c Chips, err error) {
	if e.CAKeys != "" {
		if c.Keys, err = emv.LoadKeys(e.CAKeys); err != nil {
			return c, fmt.Errorf("%w: emv: ca_keys: %w", ErrConfig, err)
		}
	}
	if e.AIDs != "" {
		if c.Applications, err = emv.LoadApplications(e.AIDs); err != nil {
			return c, fmt.Errorf("%w: emv: aids: %w", ErrConfig, err)
		}
	}
	return c, nil
}
