// Package cli holds what the commands of tapswitch share: the exit codes that scripts rely
// on, how an error carries one, and the forms in which a command prints its data. It knows no
// part of the switch, keeps no state, prints nothing of its own and never ends the process:
// main does.
package cli

import "errors"

// The exit codes. 0 is success.
const (
	ExitFailed      = 1
	ExitUsage       = 2
	ExitUnavailable = 3 // a server that is needed does not answer
	ExitNotFound    = 4
	ExitConflict    = 5
	ExitBreaks      = 6 // breaks, contradictions or findings
	ExitInterrupted = 130
)

// ExitError is an error with its exit code.
type ExitError struct {
	Code int
	Err  error
}

// Error returns the text of the error: the code is not part of it.
func (e *ExitError) Error() string { return e.Err.Error() }

// Unwrap returns the error without its code.
func (e *ExitError) Unwrap() error { return e.Err }

// WithCode gives err an exit code; nil stays nil.
func WithCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &ExitError{Code: code, Err: err}
}

// Code returns the exit code of err: 0 for nil, and ExitFailed where it carries none. Of
// several the outermost counts.
func Code(err error) int {
	var coded *ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.Code
	}
	return ExitFailed
}
