// Package lock keeps a folder of the ledger to one process: the kernel gives the lock back when
// the process ends, however it does. Where there is no such lock nothing is opened at all.
package lock

import "errors"

// Name is the file that is locked. It stays when the lock is given back.
const Name = "LOCK"

// ErrHeld reports a folder that another process has.
var ErrHeld = errors.New("in use by another process")
