//go:build !linux

package iso

import (
	"context"
	"fmt"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

func runLoad(context.Context, *Load, *message.Spec) (*Result, error) {
	return nil, fmt.Errorf("%w: the generator needs Linux", ErrLoad)
}
