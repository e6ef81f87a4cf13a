package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/keyfile"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/tools"
	"github.com/tapswitch/tapswitch/crypto/keyring"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/bank"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// settleDays is how many business dates a terminal's batch may span.
const settleDays = 7

// startBank starts the edge of bank cards where the configuration has one.
func (n *node) startBank(ctx context.Context) error {
	c := n.config
	if c.Bank.File == "" || !c.Has(config.RoleGate) {
		return nil
	}
	file, err := bank.LoadConfig(c.Bank.File)
	if err != nil {
		return err
	}
	o, err := n.bankOptions(ctx, file)
	if err != nil {
		return err
	}
	if n.bank, err = bank.Open(ctx, o); err != nil {
		return fmt.Errorf("bank: %w", err)
	}
	n.works.OnBank(n.bank.Due)
	n.onStop("bank", n.bank.Shutdown)
	return n.bank.Serve(n.fatal)
}

// bankOptions opens the keys that the edge needs.
func (n *node) bankOptions(ctx context.Context, file *bank.Config) (o bank.Options, err error) {
	c := n.config
	tokenKey, err := keyfile.Open(ctx, n.hot, "token", keyPath(c.DataDir, c.Keys.TokenFile, "token.key"))
	if err != nil {
		return o, fmt.Errorf("keys.token_file: %w", err)
	}
	masterKey, err := keyfile.Open(ctx, n.hot, "master", keyPath(c.DataDir, c.Keys.MasterFile, "master.key"))
	if err != nil {
		return o, fmt.Errorf("keys.master_file: %w", err)
	}
	tokenizer, err := pan.NewTokenizer(tokenKey)
	clear(tokenKey)
	if err != nil {
		return o, err
	}
	ring, err := n.openRing()
	if err != nil {
		return o, err
	}
	o = bank.Options{
		Config: file, Engine: n.engine, Registry: n.hot, Clock: n.hot, List: n.hot, Marks: n.hot.marks,
		Tokenizer: tokenizer, MasterKey: masterKey, Ring: ring, Calendar: n.clock.days,
		Now: n.clock.now, Log: n.log, Failpoint: failpoint(),
	}
	if n.wh != nil {
		o.Batch = n.batch
	}
	return o, nil
}

// openRing opens the key ring, which stays open until the node stops; nil where none is
// configured.
func (n *node) openRing() (*keyring.Ring, error) {
	c := n.config
	if c.Keys.RingFile == "" {
		return nil, nil
	}
	for _, path := range append([]string{c.Keys.RingFile}, c.Keys.RingComponents...) {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("keys.ring_file: %w", err)
		}
	}
	a, b, err := tools.ReadPair(c.Keys.RingComponents)
	if err != nil {
		return nil, fmt.Errorf("keys.ring_components: %w", err)
	}
	defer a.Close()
	defer b.Close()
	sink, err := keyring.OpenFileSink(c.Keys.RingFile + ".audit")
	if err != nil {
		return nil, err
	}
	ring, err := keyring.Open(c.Keys.RingFile, a, b, keyring.Options{Audit: sink,
		Actor: keyring.Actor{Name: "tapswitch"}})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("keys.ring_file: %w", err), sink.Close())
	}
	n.onStop("key ring", func(context.Context) error {
		ring.Close()
		return sink.Close()
	})
	return ring, nil
}

// batch returns the settled records of a terminal's batch once everything committed so far is
// in the warehouse.
func (n *node) batch(ctx context.Context, terminal txn.TerminalID, number uint32) ([]txn.Record, error) {
	if err := n.Drain(ctx); err != nil {
		return nil, err
	}
	from := n.clock.days.Date(n.clock.now() - settleDays*24*60*60*1000)
	var all []txn.Record
	err := n.wh.Records(ctx, warehouse.Filter{From: from, Terminal: terminal, Boot: number},
		func(r *txn.Record) error {
			all = append(all, *r)
			return nil
		})
	return all, err
}

// serveBank adds the bank edge to the admin server: what is connected, and the dead letters.
func serveBank(mux *http.ServeMux, edge *bank.Switch) {
	write := func(w http.ResponseWriter, v any, err error) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case errors.Is(err, bank.ErrNotDead), errors.Is(err, bank.ErrNoSignature):
			w.WriteHeader(http.StatusNotFound)
		case err != nil:
			w.WriteHeader(http.StatusInternalServerError)
		}
		if err != nil {
			v = map[string]string{"error": err.Error()}
		}
		_ = json.NewEncoder(w).Encode(v) // a client that went away
	}
	mux.HandleFunc("GET /bank", func(w http.ResponseWriter, r *http.Request) {
		status, err := edge.Status(r.Context())
		write(w, status, err)
	})
	mux.HandleFunc("GET /bank/dead", func(w http.ResponseWriter, r *http.Request) {
		dead, err := edge.Dead(r.Context())
		write(w, dead, err)
	})
	mux.HandleFunc("GET /bank/batches", func(w http.ResponseWriter, r *http.Request) {
		batches, err := edge.Batches(r.Context(), r.URL.Query().Get("terminal"))
		write(w, batches, err)
	})
	mux.HandleFunc("GET /bank/signatures/{request}", func(w http.ResponseWriter, r *http.Request) {
		signature, err := edge.Signature(r.Context(), r.PathValue("request"))
		write(w, signature, err)
	})
	for _, action := range []string{"retry", "close"} {
		mux.HandleFunc("POST /bank/dead/{request}/"+action, func(w http.ResponseWriter, r *http.Request) {
			t, err := edge.Resolve(r.Context(), r.PathValue("request"), action == "retry")
			write(w, map[string]string{"request": t.ID.String(), "phase": t.Phase.String()}, err)
		})
	}
}
