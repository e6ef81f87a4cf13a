package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/collector"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
)

// runFile is written below the data directory once the switch is ready.
const runFile = "run.json"

// syncProcs are the processors that the scheduler is given beyond those that there are: the
// journal's sync holds one for as long as the disk takes, and on two cores that was half of
// them. GOMAXPROCS in the environment overrides it.
const syncProcs = 1

// runInfo tells other programs where a running switch is.
type runInfo struct {
	PID   int    `json:"pid"`
	Gate  string `json:"gate,omitempty"`
	Admin string `json:"admin,omitempty"`
	// Bank has the address of each listener for terminals and acquirers of banks.
	Bank    map[string]string `json:"bank,omitempty"`
	Version string            `json:"version"`
}

func runCommand() *cobra.Command {
	var flags configFlags
	c := &cobra.Command{
		Use: "run", Short: "Run the switch",
		Long: "Run the switch. Without configuration it is a durable single machine: journal, " +
			"checkpoints and Parquet below the data directory, no servers needed.",
		Example: "  tapswitch run --data /var/lib/tapswitch\n" +
			"  tapswitch run --config tapswitch.yaml --set store.kind=redis",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			loaded, err := flags.load()
			if err != nil {
				return err
			}
			return run(c.Context(), &loaded.Config, c.ErrOrStderr())
		},
	}
	flags.add(c)
	return c
}

// run starts a node, says where it is, and stops it in order when ctx ends: see node.Close.
// A fatal fault stops it with an error: a supervisor starts it again, and the store says what was done.
func run(ctx context.Context, c *config.Config, logTo io.Writer) error {
	log := newLog(logTo, c.Log.Level)
	go collector.Run(ctx)
	if os.Getenv("GOMAXPROCS") == "" && c.Store.Kind == "local" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + syncProcs)
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	now, err := clockOf(c)
	if err != nil {
		return err
	}
	if now != nil {
		log.Warn("the clock is not the machine's", "file", os.Getenv(clockFileEnv))
	}
	n, err := newNode(ctx, nodeOptions{Config: c, Log: log, Now: now})
	if err != nil {
		return err
	}
	info := runInfo{PID: os.Getpid(), Gate: n.gateAddr, Version: version}
	if n.admin != nil {
		info.Admin = n.admin.addr()
	}
	if n.bank != nil {
		info.Bank = n.bank.Addresses()
	}
	path := filepath.Join(c.DataDir, runFile)
	if err := writeRunFile(path, info); err != nil {
		return errors.Join(err, n.Close())
	}
	log.Info("ready", "gate", info.Gate, "admin", info.Admin, "version", version)
	var fault error
	select {
	case <-ctx.Done():
		log.Info("stopping", "drain_delay", c.Gate.DrainDelay.String())
	case fault = <-n.fail:
		log.Error("stopping after a fault", "error", fault)
	}
	return errors.Join(fault, n.Close(), os.Remove(path))
}

// writeRunFile writes the file in one step: a reader sees all of it or none.
func writeRunFile(path string, info runInfo) error {
	text, err := json.Marshal(info)
	if err != nil {
		return fmt.Errorf("run file: %w", err)
	}
	temp := path + ".tmp"
	if err := os.WriteFile(temp, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("run file: %w", err)
	}
	return os.Rename(temp, path)
}

func newLog(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo // Check has refused everything else
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l}))
}
