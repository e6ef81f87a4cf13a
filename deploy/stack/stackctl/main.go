// Command stackctl installs, starts and stops the real servers of the project: see package stack.
// It is what make stack-up and make stack-down run.
//
//	stackctl install [KIND...]   install what is missing and check it
//	stackctl up [KIND...]        install, then start on the fixed loopback ports
//	stackctl down                stop what up started
//	stackctl status              one line for each server
//	stackctl env                 shell lines with the addresses
//	stackctl checksums           the lines of checksums.txt for what is installed
//
// KIND is redis, kafka or clickhouse; none means all. Results go to standard output, progress to
// standard error. Exit codes: 0 done, 1 failed, 2 wrong use, 3 something could not be installed or
// (status) a server is down, 130 interrupted.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"

	"github.com/tapswitch/tapswitch/deploy/stack"
)

// Exit codes, those of the tapswitch command.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDown        = 3
	exitInterrupted = 130
)

const usage = `stackctl installs and runs the real servers for tests and demonstrations.

  stackctl install [KIND...]   install what is missing and check it
  stackctl up [KIND...]        install, then start on the fixed loopback ports
  stackctl down                stop what up started
  stackctl status              one line for each server
  stackctl env                 shell lines with the addresses: eval "$(stackctl env)"
  stackctl checksums           the lines of checksums.txt for what is installed

KIND is redis, kafka or clickhouse; none means all.
`

// errUsage says that the command line was not understood.
var errUsage = errors.New("wrong use")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "stackctl: %v\n", err)
	}
	os.Exit(exitCode(ctx, err))
}

// errServerDown says that status found a server that does not run.
var errServerDown = errors.New("not every server runs: start them with stackctl up")

// exitCode maps an error to the codes above; an interruption wins over what it caused.
func exitCode(ctx context.Context, err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errUsage):
		return exitUsage
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.Is(err, stack.ErrInstall), errors.Is(err, stack.ErrNotInstalled),
		errors.Is(err, errServerDown):
		return exitDown
	}
	return exitFailed
}

// run carries out one command line; out is for results, progress for everything else.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: no command\n\n%s", errUsage, usage)
	}
	kinds, err := parseKinds(args[1:])
	if err != nil {
		return err
	}
	installer := &stack.Installer{Progress: progress}
	switch args[0] {
	case "install":
		return installer.Install(ctx, kinds...)
	case "up":
		if err := installer.Install(ctx, kinds...); err != nil {
			return err
		}
		return stack.Up(ctx, progress, kinds...)
	case "down":
		return stack.Down(ctx, progress)
	case "status":
		return status(ctx, out)
	case "env":
		return printLines(out, "export ", stack.Environment())
	case "checksums":
		lines, err := stack.Checksums()
		return errors.Join(err, printLines(out, "", lines))
	case "help", "-h", "--help":
		return printLines(out, "", []string{usage})
	}
	return fmt.Errorf("%w: no command %q\n\n%s", errUsage, args[0], usage)
}

// parseKinds returns all kinds for no names.
func parseKinds(names []string) ([]stack.Kind, error) {
	if len(names) == 0 {
		return stack.Kinds(), nil
	}
	kinds := make([]stack.Kind, 0, len(names))
	for _, name := range names {
		if !slices.Contains(stack.Kinds(), stack.Kind(name)) {
			return nil, fmt.Errorf("%w: no server is called %q: use one of %v", errUsage, name,
				stack.Kinds())
		}
		kinds = append(kinds, stack.Kind(name))
	}
	return kinds, nil
}

// status prints a table and fails if a server is down, so that scripts can wait on it.
func status(ctx context.Context, out io.Writer) error {
	servers, err := stack.Status(ctx)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "SERVER\tADDRESS\tPID\tSTATE")
	down := false
	for _, s := range servers {
		state := "down"
		switch {
		case s.Answers:
			state = "answers"
		case s.PID != 0:
			state = "runs, no answer"
		}
		down = down || !s.Answers
		_, _ = fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", s.Name, s.Addr, s.PID, state)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	if down {
		return errServerDown
	}
	return nil
}

// printLines prints one line each; a closed pipe is an error.
func printLines(out io.Writer, prefix string, lines []string) error {
	for _, line := range lines {
		if _, err := fmt.Fprintln(out, prefix+line); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	return nil
}
