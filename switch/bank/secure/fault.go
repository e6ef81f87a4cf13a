package secure

import "errors"

var (
	// ErrNoKey reports that a link or terminal has no key for this. A terminal has to sign on
	// (response code A0), a link needs a change of key.
	ErrNoKey = errors.New("no key")
	// ErrReplayed reports a key that the link had before.
	ErrReplayed = errors.New("the key was in use before")
	// ErrOptions reports options that cannot be meant.
	ErrOptions = errors.New("keys cannot be set up")
	// ErrTerminal reports a terminal id that is none.
	ErrTerminal = errors.New("not a terminal id")
)

// errBusy reports that other processes changed the same record again and again.
var errBusy = errors.New("the stored keys are changed by others all the time")
