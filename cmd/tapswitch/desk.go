package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/agency"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/keyfile"
	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/ledger/feed"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/desk"
	"github.com/tapswitch/tapswitch/switch/gate"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// startDesk opens the card agency's part, where a city is configured.
func (n *node) startDesk(ctx context.Context) error {
	c := n.config
	if c.Desk.City == "" || !c.Has(config.RoleGate) {
		return nil
	}
	key := func(name, configured, file string) ([]byte, error) {
		b, err := keyfile.Open(ctx, n.hot, name, keyPath(c.DataDir, configured, file))
		if err != nil {
			return nil, fmt.Errorf("keys.%s_file: %w", name, err)
		}
		return b, nil
	}
	tokenKey, err := key("token", c.Keys.TokenFile, "token.key")
	if err != nil {
		return err
	}
	tokenizer, err := pan.NewTokenizer(tokenKey)
	if err != nil {
		return err
	}
	o := agency.Options{City: c.Desk.City, Store: n.hot, Engine: n.engine, Works: n.works, Tokenizer: tokenizer,
		PlainHTTP: c.Desk.PlainHTTP, JudgeEvery: c.Desk.JudgeEvery, DataDir: c.DataDir, Now: n.clock.now, Log: n.log}
	if o.NoticeKey, err = key("notice", c.Keys.NoticeFile, "notice.key"); err != nil {
		return err
	}
	if o.SigningKey, err = key("signing", c.Keys.SigningFile, "signing.key"); err != nil {
		return err
	}
	if n.wh != nil {
		o.Warehouse = n.wh
	}
	if c.Feed.Kind == "kafka" {
		o.Brokers, o.RecordsTopic = c.Feed.Brokers, c.Feed.Topic
	}
	if c.Bank.File != "" {
		o.Links = &n.links
	}
	if n.agency, err = agency.Open(ctx, o); err != nil {
		return fmt.Errorf("desk: %w", err)
	}
	n.onStop("desk", n.agency.Close)
	return n.reclose(ctx)
}

// compareLedger looks, before anything is written to the store or handed to the warehouse,
// whether the store is an older copy than the ledger: restored, and everything since undone.
// Such a copy goes on behind what the ledger holds, when nothing is on its way there any more.
func (n *node) compareLedger(ctx context.Context) error {
	if n.wh == nil {
		return n.openEpoch(ctx, nil)
	}
	held, err := n.wh.Positions(ctx)
	if err != nil {
		return fmt.Errorf("how far the ledger is: %w", err)
	}
	found, err := n.hot.Buckets(ctx) // after the ledger was asked: others may write meanwhile
	if err != nil {
		return fmt.Errorf("hot store: %w", err)
	}
	from, behind := desk.Behind(found, held)
	if !behind {
		return n.openEpoch(ctx, nil)
	}
	n.undone = max(from, 1)
	n.log.Warn("the hot store is an older copy than the ledger: what was done since is undone",
		"from", from)
	if held, err = n.emptyTopic(ctx, held); err != nil {
		return err
	}
	return n.openEpoch(ctx, held[:])
}

// emptyMax bounds how long a restored store waits for the topic.
const emptyMax = 10 * time.Minute

// emptyTopic brings what the topic holds into the ledger and returns how far that is then.
func (n *node) emptyTopic(ctx context.Context, held warehouse.Positions) (warehouse.Positions, error) {
	if n.config.Feed.Kind != "kafka" {
		return held, nil
	}
	ctx, cancel := context.WithTimeout(ctx, emptyMax)
	defer cancel()
	err := feed.Empty(ctx, feed.SinkOptions{Kafka: kafka(n.config), Group: n.config.Feed.Group, Warehouse: n.wh,
		FlushEvery: n.config.Feed.FlushEvery, FlushRows: n.config.Feed.FlushRows, Counters: n.counters, Log: n.log})
	if err == nil {
		held, err = n.wh.Positions(ctx)
	}
	if err != nil {
		return held, fmt.Errorf("feed: what is on its way to the ledger: %w", err)
	}
	return held, nil
}

// openEpoch makes this process a writer of a store of its own, or a restored store go on.
func (n *node) openEpoch(ctx context.Context, held []txn.Position) error {
	if !n.hot.alone && held == nil {
		return nil
	}
	if err := n.hot.open(ctx, n.clock.now(), held); err != nil {
		return fmt.Errorf("hot store: %w", err)
	}
	return nil
}

// reclose closes again what a restored store has forgotten, before any card is served. A start
// that cannot do so fails.
func (n *node) reclose(ctx context.Context) error {
	if n.undone == 0 {
		return nil
	}
	done, err := n.agency.Desk.Reclose(ctx, wholeLedger{n.wh}, n.undone)
	if err != nil {
		return fmt.Errorf("desk: cards that the ledger knows as closed: %w", err)
	}
	n.log.Warn("cards closed again after a restore", "cards", done.Cards, "dead", done.Dead,
		"accounts", done.Accounts, "unclaimed", done.Unclaimed, "accounts_behind", len(done.Lost))
	return nil
}

// wholeLedger reads the warehouse for the desk.
type wholeLedger struct{ reader warehouse.Reader }

// RecordsSince implements desk.Ledger.
func (l wholeLedger) RecordsSince(ctx context.Context, from txn.BusinessDate, yield func(*txn.Record) error) error {
	return l.reader.Records(ctx, warehouse.Filter{From: from}, yield)
}

// deskMounts returns the engine that the gate asks, and what of its API the agency serves.
func (n *node) deskMounts() (gate.Engine, []gate.Mount) {
	if n.agency == nil {
		return n.engine, nil
	}
	// Lists of cards, and what suppliers deliver, are CSV; lists of other cities are signed text.
	mounts := []gate.Mount{{Prefix: "/v1/desk/foreign/", Handler: n.agency, Media: "text/plain"}}
	for _, prefix := range agency.Prefixes() {
		mounts = append(mounts, gate.Mount{Prefix: prefix, Handler: n.agency, Media: "text/csv"})
	}
	return n.agency.Watched(n.engine), mounts
}

// serveParts adds what the parts show at the admin address.
func (n *node) serveParts(mux *http.ServeMux) {
	n.serveBank(mux)
	if n.agency != nil {
		n.agency.Pages(mux)
	}
	if n.console != nil {
		mux.Handle("/console", n.console)
		mux.Handle("/console/", n.console)
	}
}
