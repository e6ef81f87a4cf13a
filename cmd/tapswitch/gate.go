package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/keyfile"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/gate"
)

// The files that the first start writes: tokens of two persons, since a release takes two.
// Hand them over and remove them, or revoke them and create named ones.
const (
	adminTokenFile  = "admin.token"
	secondTokenFile = "second.token"
)

// newGate makes the HTTP edge of n.
func newGate(ctx context.Context, n *node) (*gate.Server, error) {
	c := n.config
	tokenKey, err := keyfile.Open(ctx, n.hot, "token", keyPath(c.DataDir, c.Keys.TokenFile, "token.key"))
	if err != nil {
		return nil, fmt.Errorf("keys.token_file: %w", err)
	}
	masterKey, err := keyfile.Open(ctx, n.hot, "master", keyPath(c.DataDir, c.Keys.MasterFile, "master.key"))
	if err != nil {
		return nil, fmt.Errorf("keys.master_file: %w", err)
	}
	tokenizer, err := pan.NewTokenizer(tokenKey)
	clear(tokenKey)
	if err != nil {
		return nil, err
	}
	limits := gate.DefaultLimits()
	limits.ClockSkew, limits.Budget = c.Gate.ClockSkew, c.Gate.Budget
	limits.InFlightMax, limits.QueriesMax = c.Gate.InFlightMax, max(1, c.Gate.InFlightMax*3/4)
	limits.ConnectionsPerIPMax, limits.TerminalRate = c.Gate.ConnectionsPerIPMax, c.Gate.TerminalRate
	limits.DrainDelay = c.Gate.DrainDelay
	n.metrics = newGateMetrics()
	asked, mounts := n.deskMounts()
	taken, err := n.uploadMount(asked, tokenizer, masterKey)
	if err != nil {
		return nil, err
	}
	mounts = append(mounts, taken, n.rideMount(asked, tokenizer))
	codes, err := n.qrMounts(asked, tokenizer)
	if err != nil {
		return nil, err
	}
	mounts = append(mounts, codes...)
	provisioned, err := n.provisionMounts(ctx)
	if err != nil {
		return nil, err
	}
	mounts = append(mounts, provisioned...)
	return gate.New(gate.Options{
		Engine: asked, Mounts: mounts, Registry: n.hot, Tokenizer: tokenizer, Cards: n.hot, Entries: n.hot,
		MasterKey: masterKey, Limits: limits, Currency: n.engine.Policy().Currency, Now: n.clock.now,
		Ready: n.hot.fresh, Logger: n.log, Observer: n.metrics,
	})
}

func keyPath(dataDir, configured, name string) string {
	if configured != "" {
		return configured
	}
	return filepath.Join(dataDir, "keys", name)
}

// errListNotFresh reports a replica that has not heard of the blacklist for too long.
var errListNotFresh = errors.New("the blacklist replica is not fresh")

// fresh reports whether the blacklist in memory may be believed. It does not block.
func (h *hot) fresh() error {
	if h.replica == nil {
		return nil
	}
	if f := h.replica.Freshness(); f != blacklist.Fresh {
		return fmt.Errorf("%w: %s", errListNotFresh, f)
	}
	return nil
}

// bootstrap creates the first two operators when the data directory has none.
func (n *node) bootstrap(ctx context.Context) error {
	for _, o := range []struct{ name, file string }{
		{"admin", adminTokenFile}, {"second", secondTokenFile},
	} {
		path := filepath.Join(n.config.DataDir, o.file)
		_, err := os.Stat(path)
		if err == nil {
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("bootstrap: %w", err)
		}
		if err := n.bootstrapOne(ctx, o.name, path); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) bootstrapOne(ctx context.Context, name, path string) error {
	key := "bootstrap/" + name
	_, version, err := n.hot.Get(ctx, key)
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	if version > 0 && n.config.Store.Kind == "local" {
		return nil // created before, and the file was taken away as it should be
	}
	token, err := gate.CreateOperator(ctx, n.hot, name, gate.Roles())
	if err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	if err := keyfile.WriteSecret(path, token+"\n"); err != nil {
		return err
	}
	if version > 0 {
		return nil
	}
	if err := n.hot.Put(ctx, key, []byte("created"), 0); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	n.log.Info("first operator created", "name", name, "token_file", path)
	return nil
}
