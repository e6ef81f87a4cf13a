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
	"github.com/tapswitch/tapswitch/switch/bank/audit"
	"github.com/tapswitch/tapswitch/switch/bank/rota"
	"github.com/tapswitch/tapswitch/switch/gate"
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
	n.links.Use(n.bank)
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
		o.Batch, o.Records = n.batch, n.records
	}
	return o, nil
}

// openRing opens the key ring, which stays open until the node stops; nil where none is
// configured.
func (n *node) openRing() (*keyring.Ring, error) {
	c := n.config
	if c.Keys.RingFile == "" || n.ring != nil {
		return n.ring, nil
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
	n.ring = ring
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

// records yields the settled records of business dates once everything committed so far is in
// the warehouse.
func (n *node) records(ctx context.Context, from, to txn.BusinessDate,
	yield func(*txn.Record) error) error {
	if err := n.Drain(ctx); err != nil {
		return err
	}
	return n.wh.Records(ctx, warehouse.Filter{From: from, To: to}, yield)
}

// auditMax is how many lines of the audit trail one answer holds.
const auditMax = 200

// serveBank adds the bank edge to the admin server: what is connected, the dead letters, keys
// and totals. A call that changes something wants an operator's token.
func (n *node) serveBank(mux *http.ServeMux) {
	edge := n.bank
	if edge == nil {
		return
	}
	read := func(pattern string, call func(r *http.Request) (any, error)) {
		mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := call(r)
			writeBank(w, v, err)
		})
	}
	read("/bank", func(r *http.Request) (any, error) { return edge.Status(r.Context()) })
	read("/bank/dead", func(r *http.Request) (any, error) { return edge.Dead(r.Context()) })
	read("/bank/batches", func(r *http.Request) (any, error) {
		return edge.Batches(r.Context(), r.URL.Query().Get("terminal"))
	})
	read("/bank/signatures/{request}", func(r *http.Request) (any, error) {
		return edge.Signature(r.Context(), r.PathValue("request"))
	})
	read("/bank/audit", func(r *http.Request) (any, error) {
		return edge.Audited(r.Context(), auditMax)
	})
	change := func(pattern string, roles []gate.Role,
		call func(r *http.Request, by audit.Actor) (any, error)) {
		mux.HandleFunc("POST "+pattern, func(w http.ResponseWriter, r *http.Request) {
			by, err := recognize(r.Context(), n.hot, r, roles)
			if err != nil {
				n.log.Warn("bank call refused", "call", pattern, "from", r.RemoteAddr, "error", err)
				writeBank(w, nil, err)
				return
			}
			v, err := call(r, by)
			writeBank(w, v, err)
		})
	}
	for _, action := range []string{"retry", "close"} {
		change("/bank/dead/{request}/"+action, rolesOfMoney,
			func(r *http.Request, by audit.Actor) (any, error) {
				t, err := edge.Resolve(r.Context(), r.PathValue("request"), action == "retry", by)
				return map[string]string{"request": t.ID.String(), "phase": t.Phase.String()}, err
			})
	}
	change("/bank/links/{link}/keys", rolesOfKeys, func(r *http.Request, by audit.Actor) (any, error) {
		return edge.OrderKeys(r.Context(), r.PathValue("link"), by)
	})
	change("/bank/links/{link}/reconcile", rolesOfMoney,
		func(r *http.Request, by audit.Actor) (any, error) {
			return edge.Reconcile(r.Context(), r.PathValue("link"), by)
		})
}

// writeBank writes the answer of a call.
func writeBank(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		status := statusOfOperator(err)
		switch {
		case status != 0:
		case errors.Is(err, bank.ErrNotDead), errors.Is(err, bank.ErrNoTask),
			errors.Is(err, bank.ErrNoSignature):
			status = http.StatusNotFound
		case errors.Is(err, rota.ErrBusy):
			status = http.StatusConflict
		default:
			status = http.StatusInternalServerError
		}
		w.WriteHeader(status)
		v = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // a client that went away
}
