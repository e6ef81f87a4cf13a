//go:build !linux

package load

import (
	"context"
	"errors"
)

// errUnsupported reports a system without epoll.
var errUnsupported = errors.New("load: the generator needs Linux")

func drive(context.Context, DriveOptions, Player) (Cost, error) { return Cost{}, errUnsupported }
