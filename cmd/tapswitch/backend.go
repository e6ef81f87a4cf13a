package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
	"github.com/tapswitch/tapswitch/cmd/tapswitch/keyfile"
	"github.com/tapswitch/tapswitch/ledger/feed"
	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/ledger/warehouse/clickhouse"
	warehouselocal "github.com/tapswitch/tapswitch/ledger/warehouse/local"
	"github.com/tapswitch/tapswitch/switch/blacklist"
	"github.com/tapswitch/tapswitch/switch/engine"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/store/local"
	"github.com/tapswitch/tapswitch/switch/store/redisstore"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// This file chooses the concrete parts behind the three seams: hot store, feed, warehouse.

// hot is the hot store with what the engine needs beside it.
type hot struct {
	store.Store
	// cards is what the engine loads and commits through: the store, or a cache before it.
	cards store.Cards
	marks engine.Blacklist
	// replica follows the store's blacklist; nil when the store's own set is read.
	replica *blacklist.Replica
	// open opens an epoch behind what the ledger holds. A store that is this process's alone
	// gets one at every start, one that others write to only after it was restored.
	open  func(ctx context.Context, at txn.Millis, held []txn.Position) error
	alone bool
}

// openStore opens the hot store that the configuration names.
func openStore(
	ctx context.Context, c *config.Config, clock clock, log *slog.Logger, fatal func(error),
) (*hot, error) {
	if c.Store.Kind == "redis" {
		return openRedis(ctx, c, clock, log)
	}
	s, err := local.Open(ctx, local.Options{
		Dir: filepath.Join(c.DataDir, "store"), Date: clock.date(), Now: clock.now,
		CheckpointEvery: c.Store.Local.CheckpointEvery, SegmentBytes: c.Store.Local.SegmentBytes,
		OutboxMax: c.Store.OutboxMax, HotStatesMax: c.Store.Local.HotCardsMax,
		Logger: log, OnFatal: fatal, Failpoint: failpoint(),
	})
	if err != nil {
		return nil, fmt.Errorf("hot store: %w", err)
	}
	return &hot{Store: s, cards: s, marks: blacklist.Live(s.Listed()), open: s.OpenEpochAfter,
		alone: true}, nil
}

func openRedis(
	ctx context.Context, c *config.Config, clock clock, log *slog.Logger,
) (*hot, error) {
	options, err := redisOptions(c, clock, log)
	if err != nil {
		return nil, err
	}
	s, err := redisstore.Open(ctx, options)
	if err != nil {
		return nil, cli.WithCode(cli.ExitUnavailable, fmt.Errorf("hot store: %w", err))
	}
	replica := blacklist.NewReplica(blacklist.ReplicaOptions{Source: s,
		Report: func(err error) { log.Warn("blacklist replica", "error", err) }})
	return &hot{
		Store: s, cards: engine.NewCache(s, c.Store.Redis.CacheCardsMax),
		marks: replica, replica: replica, open: s.OpenEpochAfter,
	}, nil
}

func redisOptions(c *config.Config, clock clock, log *slog.Logger) (redisstore.Options, error) {
	r := &c.Store.Redis
	o := redisstore.Options{
		Addrs: r.Addrs, Cluster: r.Cluster, Prefix: r.Prefix, Date: clock.date(),
		Now:         func() time.Time { return clock.now().Time() },
		ReadTimeout: r.Timeout, WriteTimeout: r.Timeout, Replicas: r.Replicas,
		OutboxMax: c.Store.OutboxMax, Logger: log,
	}
	if r.TLS {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if r.PasswordFile == "" {
		return o, nil
	}
	if _, err := keyfile.ReadSecret(r.PasswordFile); err != nil {
		return o, fmt.Errorf("store.redis.password_file: %w", err)
	}
	o.Credentials = func(context.Context) (string, string, error) {
		password, err := keyfile.ReadSecret(r.PasswordFile)
		return r.Username, password, err
	}
	return o, nil
}

// openWarehouse opens the warehouse that the configuration names.
func openWarehouse(ctx context.Context, c *config.Config, log *slog.Logger) (warehouse.Warehouse, error) {
	if c.Warehouse.Kind == "clickhouse" {
		dsn, err := warehouseDSN(c)
		if err != nil {
			return nil, err
		}
		w, err := clickhouse.Open(ctx, clickhouse.Options{DSN: dsn, Log: log, Migrate: true})
		if err != nil {
			return nil, cli.WithCode(cli.ExitUnavailable, fmt.Errorf("warehouse: %w", err))
		}
		return w, nil
	}
	w, err := warehouselocal.Open(warehouselocal.Options{
		Dir: filepath.Join(c.DataDir, "warehouse"), Log: log,
	})
	if err != nil {
		return nil, fmt.Errorf("warehouse: %w", err)
	}
	return w, nil
}

// warehouseDSN puts the password of the file into the DSN.
func warehouseDSN(c *config.Config) (string, error) {
	if c.Warehouse.PasswordFile == "" {
		return c.Warehouse.DSN, nil
	}
	password, err := keyfile.ReadSecret(c.Warehouse.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("warehouse.password_file: %w", err)
	}
	u, err := url.Parse(c.Warehouse.DSN)
	if err != nil {
		return "", fmt.Errorf("warehouse.dsn: not a URL")
	}
	u.User = url.UserPassword(u.User.Username(), password)
	return u.String(), nil
}

// carrier is a part that carries settled records until its context ends.
type carrier struct {
	name string
	run  func(context.Context) error
	// drain waits until everything committed up to now is in the warehouse; nil where
	// another process does that.
	drain func(context.Context) error
}

// newCarriers makes the carriers of this process. wh is nil in a process without sink.
func newCarriers(
	c *config.Config, s store.Store, wh warehouse.Warehouse, counters *feed.Counters,
	log *slog.Logger,
) []carrier {
	if c.Feed.Kind == "direct" {
		d := feed.NewDirect(feed.DirectOptions{
			Source: s, Warehouse: wh, FlushEvery: c.Feed.FlushEvery, FlushRows: c.Feed.FlushRows,
			Counters: counters, Log: log,
		})
		return []carrier{{name: "feed", run: d.Run, drain: d.Drain}}
	}
	var all []carrier
	var resend func(txn.Bucket) // by the relay of this process, when it has one
	if c.Has(config.RoleRelay) {
		r := feed.NewRelay(feed.RelayOptions{
			Source: s, Registry: s, Kafka: kafka(c), Counters: counters, Log: log,
		})
		resend = r.Resend
		all = append(all, carrier{name: "relay", run: r.Run})
	}
	if c.Has(config.RoleSink) {
		k := feed.NewSink(feed.SinkOptions{
			Kafka: kafka(c), Group: c.Feed.Group, Warehouse: wh, Source: s, OnGap: resend,
			FlushEvery: c.Feed.FlushEvery, FlushRows: c.Feed.FlushRows, Counters: counters, Log: log,
		})
		all = append(all, carrier{name: "sink", run: k.Run, drain: k.Drain})
	}
	return all
}

func kafka(c *config.Config) feed.Kafka {
	return feed.Kafka{Brokers: c.Feed.Brokers, Topic: c.Feed.Topic,
		Replication: c.Feed.ReplicationFactor}
}

// clock is the switch's time: the machine's, or a simulated one in replay.
type clock struct {
	now  func() txn.Millis
	days engine.Calendar
}

func (c clock) date() txn.BusinessDate { return c.days.Date(c.now()) }

func wallClock() txn.Millis { return txn.MillisOf(time.Now()) }

// failpoint returns the hook of crash tests: the process kills itself at the n-th passage of
// the point that TAPSWITCH_FAILPOINT names ("after_sync:100"). Nil in ordinary runs.
func failpoint() func(string) {
	text := os.Getenv(failpointEnv)
	if text == "" {
		return nil
	}
	name, count, _ := strings.Cut(text, ":")
	return newFailpoint(name, count)
}
