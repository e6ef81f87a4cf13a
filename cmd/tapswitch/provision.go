package main

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/agency"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/keyfile"
	"github.com/tapswitch/tapswitch/crypto/receipt"
	"github.com/tapswitch/tapswitch/switch/fare/tariff"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/gate/provision"
)

// provisionMounts opens what gates download besides lists, and who keeps it: with or without
// a city. Plans are signed by the key that signs lists.
func (n *node) provisionMounts(ctx context.Context) ([]gate.Mount, error) {
	c := n.config
	seed, err := keyfile.Open(ctx, n.hot, "signing", keyPath(c.DataDir, c.Keys.SigningFile, "signing.key"))
	if err != nil {
		return nil, fmt.Errorf("keys.signing_file: %w", err)
	}
	signer, err := receipt.NewEd25519Signer(agency.SigningKeyID, ed25519.NewKeyFromSeed(seed))
	clear(seed)
	if err != nil {
		return nil, err
	}
	s, err := provision.New(provision.Options{Registry: n.hot, Signer: signer, Now: n.clock.now,
		CheckTariff: checkTariff, Log: n.log, Who: provision.Who{
			Device: func(r *http.Request) string { return r.Header.Get(gate.HeaderDevice) },
			Operator: func(r *http.Request) (string, []string) {
				return r.Header.Get(gate.HeaderActor), r.Header.Values(gate.HeaderRoles)
			}}})
	if err != nil {
		return nil, err
	}
	if err := n.obeyOrders(ctx, s); err != nil {
		return nil, err
	}
	n.background("degraded modes", func(ctx context.Context) error { return n.followOrders(ctx, s) })
	handler := s.Handler()
	grace, err := n.graceMount(s)
	if err != nil {
		return nil, err
	}
	return append(grace, gate.Mount{Prefix: provision.TerminalPrefix, Handler: handler},
		gate.Mount{Prefix: provision.OfficePrefix, Handler: handler}), nil
}

// checkTariff refuses a tariff file that contradicts itself, or its document.
func checkTariff(d *provision.Document, content []byte) error {
	t, err := tariff.Compile(tariff.Source{Name: d.Version + ".yaml", Text: content})
	switch {
	case err != nil:
		return err
	case t.Version() != d.Version:
		return fmt.Errorf("the file is version %q, the document %q", t.Version(), d.Version)
	case !t.Holds(d.Effective):
		e := t.File().Effective
		return fmt.Errorf("the file does not hold when the document takes effect: effective line %d",
			e.Line)
	}
	return nil
}

// ordersEvery is how soon the engine charges by an order that was given or confirmed.
const ordersEvery = 2 * time.Second

// obeyOrders has the engine charge by the orders of degraded modes as they are now.
func (n *node) obeyOrders(ctx context.Context, s *provision.Service) error {
	orders, err := s.Orders(ctx)
	if err != nil {
		return fmt.Errorf("orders of degraded modes: %w", err)
	}
	policy := n.engine.Policy()
	policy.Orders = orders
	return n.engine.SetPolicy(policy)
}

// followOrders obeys until ctx ends. A registry that does not answer leaves the orders as they
// were.
func (n *node) followOrders(ctx context.Context, s *provision.Service) error {
	ticker := time.NewTicker(ordersEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := n.obeyOrders(ctx, s); err != nil && ctx.Err() == nil {
			n.log.Warn("orders stay as they were", "error", err)
		}
	}
}
