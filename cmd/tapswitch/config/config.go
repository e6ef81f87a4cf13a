// Package config is the one configuration of tapswitch: defaults < file < environment <
// flags. The comments of the Config structs are the manual.
//
// Every value knows where it came from (Origin). An unknown key is refused with the
// nearest known one. Secrets never stand here: the configuration names files. The
// package reads files and the environment once, in Load; a Config is a value after that.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// Config is everything that an operator may set.
type Config struct {
	// DataDir holds all local data: journal, checkpoints, Parquet, keys. Default
	// "tapswitch-data".
	DataDir string `koanf:"data_dir"`
	// Listen is the address of the gate for terminals and operators, host:port; without a
	// host it is every address of the machine. Port 0 takes a free one; DataDir/run.json
	// tells which. Default 127.0.0.1:8583.
	Listen string `koanf:"listen"`
	// AdminListen is the address for metrics, health and profiles, not the gate's. Keep it on
	// loopback or behind a firewall: it has no authentication. Empty starts no such server.
	// Default 127.0.0.1:8584.
	AdminListen string `koanf:"admin_listen"`

	// Roles are the parts that this process runs: gate (terminals and operators), relay
	// (outbox to Kafka) and sink (Kafka to warehouse). Default all. With feed.kind direct
	// the gate's process carries the records itself and relay and sink mean nothing.
	Roles []string `koanf:"roles"`

	Log       Log       `koanf:"log"`
	Keys      Keys      `koanf:"keys"`
	Scheme    Scheme    `koanf:"scheme"`
	Gate      Gate      `koanf:"gate"`
	Bank      Bank      `koanf:"bank"`
	Desk      Desk      `koanf:"desk"`
	Console   Console   `koanf:"console"`
	Uploads   Uploads   `koanf:"uploads"`
	QR        QR        `koanf:"qr"`
	Store     Store     `koanf:"store"`
	Feed      Feed      `koanf:"feed"`
	Warehouse Warehouse `koanf:"warehouse"`
}

// Log is what is logged.
type Log struct {
	// Level is debug, info, warn or error. Default info.
	Level string `koanf:"level"`
}

// Keys names the files of the process's secrets. A file that others may read stops the
// start. A file that does not exist is made, with mode 0600, on the first start.
type Keys struct {
	// TokenFile holds the key (32 bytes, hex) under which card numbers become tokens. Losing
	// it loses every card: back it up. All processes of a scheme share it.
	TokenFile string `koanf:"token_file"`
	// MasterFile holds the key (32 bytes, hex) that wraps terminal keys at rest.
	MasterFile string `koanf:"master_file"`
	// NoticeFile holds the key (32 bytes, hex) that wraps the secrets of the parties that are
	// notified of freezes.
	NoticeFile string `koanf:"notice_file"`
	// SigningFile holds the seed (32 bytes, hex) of the Ed25519 key that signs lists for gates
	// and freeze receipts.
	SigningFile string `koanf:"signing_file"`
	// RingFile is the key store (tapswitch keys) with the keys of bank links and terminals.
	// Empty is none: links without MACs, terminals without PINs.
	RingFile string `koanf:"ring_file"`
	// RingComponents are the two files of its master key's components.
	RingComponents []string `koanf:"ring_components"`
}

// Bank is the edge of bank cards.
type Bank struct {
	// File says who is connected: listeners, links, routes (YAML; see docs of package bank).
	// Empty starts no such edge.
	File string `koanf:"file"`
}

// Desk is the card agency's part: accounts, notices to parties, lists for gates, liability.
type Desk struct {
	// City is the policy: handan, zhoushan, wenzhou, shiyan, zhengzhou, or a policy file's
	// path. Empty starts no desk, and then purses have no lease.
	City string `koanf:"city"`
	// PlainHTTP lets webhooks of parties go without TLS. Default false.
	PlainHTTP bool `koanf:"plain_http"`
	// JudgeEvery is how often the ledger is looked through for what lost cards were used
	// for, to book who bears it. Default 1m.
	JudgeEvery time.Duration `koanf:"judge_every"`
}

// Uploads is how records that gates made off line are taken in.
type Uploads struct {
	// TACFile says which keys of keys.ring_file verify the TACs of which issuers' cards (JSON;
	// see package cmd/tapswitch/uploads). Empty takes records without.
	TACFile string `koanf:"tac_file"`
	// HoldBrokenChains holds a record for a person whose balance does not follow from the
	// card's others; else it is booked and the card is listed as suspicious. Default false.
	HoldBrokenChains bool `koanf:"hold_broken_chains"`
}

// QR is whose transit QR codes are taken.
type QR struct {
	// File names the CAs, the revoked certificates and the city's profile (JSON; see package
	// cmd/tapswitch/qrdesk). It is read again when it changes. Empty takes no codes.
	File string `koanf:"file"`
}

// Console is the pages for finance and the card desk, at AdminListen below /console. Persons
// sign in with their operator's token.
type Console struct {
	// SecureCookies marks the session's cookie for TLS; set it where a proxy ends TLS before the
	// admin address. Default false: then sign-in works without TLS too, so keep AdminListen on
	// loopback.
	SecureCookies bool `koanf:"secure_cookies"`
	// SessionIdle ends a session that was not used for so long. Default 15m.
	SessionIdle time.Duration `koanf:"session_idle"`
	// SessionMax ends a session in any case. Default 8h.
	SessionMax time.Duration `koanf:"session_max"`
	// BreaksDir is the folder of the breaks, as tapswitch recon has it in --book. Default recon
	// in DataDir.
	BreaksDir string `koanf:"breaks_dir"`
}

// Scheme is how taps are priced and bounded.
type Scheme struct {
	// Zone is the IANA name of the local time, or an offset of at most 14 hours such as
	// "+08:00". Default "+08:00".
	Zone string `koanf:"zone"`
	// CutOff is when the business day begins, after local midnight. Default 0.
	CutOff time.Duration `koanf:"cut_off"`
	// CalendarFile adds years to the working days by which settlement dates its orders, or replaces
	// some: YAML of the form of deploy/schemes/calendar.yaml. Empty uses the built-in years.
	CalendarFile string `koanf:"calendar_file"`
	// TariffFile is the tariff: a YAML file, or a directory with a file for each of its
	// versions, of which the one in force when a card was tapped prices the tap. Check them
	// with "tapswitch fare lint". Empty uses the built-in sample tariff.
	TariffFile string `koanf:"tariff_file"`
	// AcceptTerminalFare books the fare that a terminal computed. Default true.
	AcceptTerminalFare bool `koanf:"accept_terminal_fare"`
	// FutureMax is how far a terminal's clock may be ahead. Default 5m.
	FutureMax time.Duration `koanf:"future_max"`
	// AgeMax is how old an on-line request may be. Default 24h.
	AgeMax time.Duration `koanf:"age_max"`
	// OfflineAgeMax is how late an off-line record may come. Default 720h.
	OfflineAgeMax time.Duration `koanf:"offline_age_max"`
	// PurchaseMax bounds one purchase, in fen. Default 100000.
	PurchaseMax int64 `koanf:"purchase_max"`
	// LoadMax bounds one load, in fen. Default 200000.
	LoadMax int64 `koanf:"load_max"`
	// BalanceMax bounds the purse, in fen. Default 1000000.
	BalanceMax int64 `koanf:"balance_max"`
	// PostPaidLimit is how much a card may owe for rides that its balance did not pay, in fen; the
	// next load pays it first. Default 0: none.
	PostPaidLimit int64 `koanf:"post_paid_limit"`
	// PostPaidTapMax bounds one such tap, in fen. Default 2000.
	PostPaidTapMax int64 `koanf:"post_paid_tap_max"`
	// PostPaidRidesMax is how many taps in a row may go unpaid. Default 3.
	PostPaidRidesMax int `koanf:"post_paid_rides_max"`
	// PostPaidWidenMax bounds what a trust flag adds to the limit, in fen. Default 5000.
	PostPaidWidenMax int64 `koanf:"post_paid_widen_max"`
	// PostPaidAnonymous gives it to cards too that belong to no account. Default false.
	PostPaidAnonymous bool `koanf:"post_paid_anonymous"`
	// PassBackWindow refuses a second entry within it. Default 10m.
	PassBackWindow time.Duration `koanf:"pass_back_window"`
	// PassBackStation refuses a second entry at the same station within it. Default 0: no rule of
	// its own.
	PassBackStation time.Duration `koanf:"pass_back_station"`
	// PassBackGate refuses the same tap once more at one line of gates within it. Default 0: none.
	PassBackGate time.Duration `koanf:"pass_back_gate"`
	// PassBackGateDigits is how many characters at the end of a terminal's id tell the gates of one
	// line apart. Default 0: each terminal by itself.
	PassBackGateDigits int `koanf:"pass_back_gate_digits"`
	// PassBackExempt are the rider categories that let others through with their card. Default
	// none.
	PassBackExempt []string `koanf:"pass_back_exempt"`
	// JourneyMax is the longest metro ride. Default 4h.
	JourneyMax time.Duration `koanf:"journey_max"`
	// JourneyLapse closes a journey that was never left. Default 5h.
	JourneyLapse time.Duration `koanf:"journey_lapse"`
}

// Gate is the HTTP edge.
type Gate struct {
	// ClockSkew is how far the timestamp of a signature may be off. Default 120s; between
	// 60s and 300s.
	ClockSkew time.Duration `koanf:"clock_skew"`
	// Budget is the time that a request may take. Default 2s.
	Budget time.Duration `koanf:"budget"`
	// InFlightMax is how many requests are worked on at once; more are told 503. Freezes
	// and reversals pass. Default 4096.
	InFlightMax int `koanf:"in_flight_max"`
	// ConnectionsPerIPMax bounds the connections of one address; 0 for no bound. Default 0,
	// because terminals often share one address.
	ConnectionsPerIPMax int `koanf:"connections_per_ip_max"`
	// TerminalRate is how many requests a terminal may make a second; 0 for no bound.
	// Default 0.
	TerminalRate float64 `koanf:"terminal_rate"`
	// DrainDelay is how long the switch goes on serving after a stop was asked for and
	// /readyz turned to 503, on the gate and on AdminListen, so that a load balancer looks
	// away before connections are refused. Set it above the time that the balancer takes to
	// notice: checks until it gives up, times the time between them. Default 0, which
	// stops serving at once.
	DrainDelay time.Duration `koanf:"drain_delay"`
	// DrainTimeout bounds the orderly stop after DrainDelay. Default 15s.
	DrainTimeout time.Duration `koanf:"drain_timeout"`
}

// Store is the hot store.
type Store struct {
	// Kind is "local" (journal on local disk) or "redis". Default local.
	Kind string `koanf:"kind"`
	// OutboxMax is how many settled records of one bucket may wait for the warehouse
	// before approvals stop. Default 500000; there are 64 buckets, and about 700 bytes a
	// record.
	OutboxMax int `koanf:"outbox_max"`
	// Local is used with kind local.
	Local LocalStore `koanf:"local"`
	// Redis is used with kind redis.
	Redis Redis `koanf:"redis"`
}

// LocalStore is the journal with its checkpoints.
type LocalStore struct {
	// HotCardsMax is how many card states stay in memory. Default 4000000.
	HotCardsMax int `koanf:"hot_cards_max"`
	// CheckpointEvery is how often changed states go to Pebble. Default 5s.
	CheckpointEvery time.Duration `koanf:"checkpoint_every"`
	// SegmentBytes is the size of one journal file. Default 67108864.
	SegmentBytes int64 `koanf:"segment_bytes"`
}

// Redis is Redis 7 or Redis Cluster. It must run with appendfsync always and noeviction;
// `tapswitch doctor` tells.
type Redis struct {
	// Addrs are host:port, several for a cluster. Default 127.0.0.1:6379.
	Addrs []string `koanf:"addrs"`
	// Cluster says that the addresses are of a Redis Cluster.
	Cluster bool `koanf:"cluster"`
	// Username and PasswordFile sign on, where the server asks for it.
	Username     string `koanf:"username"`
	PasswordFile string `koanf:"password_file"`
	// TLS encrypts the connection.
	TLS bool `koanf:"tls"`
	// Prefix is put before every key, so that several schemes can share a test server.
	Prefix string `koanf:"prefix"`
	// Replicas is how many replicas must have a commit before it is answered (WAIT).
	// Default 0; 1 for a server with a replica.
	Replicas int `koanf:"replicas"`
	// Timeout bounds one call. Default 250ms.
	Timeout time.Duration `koanf:"timeout"`
	// CacheCardsMax is how many card states the switch keeps in memory. Default 1000000.
	CacheCardsMax int `koanf:"cache_cards_max"`
}

// Feed carries settled records to the warehouse.
type Feed struct {
	// Kind is "direct" (handed over in the process) or "kafka". Default direct.
	Kind string `koanf:"kind"`
	// FlushEvery and FlushRows cut the batches that go to the warehouse. Default 5s and
	// 50000: larger batches make fewer and larger Parquet files, and take more memory.
	FlushEvery time.Duration `koanf:"flush_every"`
	FlushRows  int           `koanf:"flush_rows"`
	// Brokers are host:port of Kafka. Default 127.0.0.1:9092.
	Brokers []string `koanf:"brokers"`
	// Topic is the topic of settled records. Default tapswitch.records.
	Topic string `koanf:"topic"`
	// Group is the consumer group of the sink. Default tapswitch.sink.
	Group string `koanf:"group"`
	// ReplicationFactor is used when the topic is made. Default 1; 3 in production.
	ReplicationFactor int `koanf:"replication_factor"`
}

// Warehouse keeps the settled records.
type Warehouse struct {
	// Kind is "local" (Parquet below DataDir) or "clickhouse". Default local.
	Kind string `koanf:"kind"`
	// DSN of ClickHouse without password: clickhouse://host:9000/tapswitch or
	// http://host:8123/tapswitch.
	DSN string `koanf:"dsn"`
	// PasswordFile holds the password of the DSN's user.
	PasswordFile string `koanf:"password_file"`
}

// The roles of a process.
const (
	RoleGate  = "gate"
	RoleRelay = "relay"
	RoleSink  = "sink"
)

// Has reports whether the process runs role.
func (c *Config) Has(role string) bool { return slices.Contains(c.Roles, role) }

// Default returns the configuration of a single machine without servers.
func Default() Config {
	return Config{
		DataDir: "tapswitch-data", Listen: "127.0.0.1:8583", AdminListen: "127.0.0.1:8584",
		Roles: []string{RoleGate, RoleRelay, RoleSink},
		Log:   Log{Level: "info"},
		Scheme: Scheme{
			Zone: "+08:00", AcceptTerminalFare: true, FutureMax: 5 * time.Minute,
			AgeMax: 24 * time.Hour, OfflineAgeMax: 720 * time.Hour, PurchaseMax: 100_000,
			LoadMax: 200_000, BalanceMax: 1_000_000,
			PostPaidTapMax: 2_000, PostPaidRidesMax: 3, PostPaidWidenMax: 5_000, PassBackWindow: 10 * time.Minute,
			JourneyMax: 4 * time.Hour, JourneyLapse: 5 * time.Hour,
		},
		Gate: Gate{ClockSkew: 2 * time.Minute, Budget: 2 * time.Second, InFlightMax: 4096,
			DrainTimeout: 15 * time.Second},
		Desk:    Desk{JudgeEvery: time.Minute},
		Console: Console{SessionIdle: 15 * time.Minute, SessionMax: 8 * time.Hour},
		Store: Store{Kind: "local", OutboxMax: 500_000,
			Local: LocalStore{HotCardsMax: 4_000_000, CheckpointEvery: 5 * time.Second,
				SegmentBytes: 64 << 20},
			Redis: Redis{Addrs: []string{"127.0.0.1:6379"}, Timeout: 250 * time.Millisecond,
				CacheCardsMax: 1_000_000}},
		Feed: Feed{Kind: "direct", FlushEvery: 5 * time.Second, FlushRows: 50_000,
			Brokers: []string{"127.0.0.1:9092"}, Topic: "tapswitch.records",
			Group: "tapswitch.sink", ReplicationFactor: 1},
		Warehouse: Warehouse{Kind: "local", DSN: "clickhouse://127.0.0.1:9000/tapswitch"},
	}
}

// Check returns every value that makes no sense, each by its key.
func (c *Config) Check() error { return c.check(nil) }

// check is Check; it also says where a value comes from, as far as origin knows.
func (c *Config) check(origin map[string]string) error {
	var bad []error
	say := func(key, format string, args ...any) {
		err := fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...))
		if from := origin[key]; from != "" {
			err = fmt.Errorf("%w (%s)", err, from)
		}
		bad = append(bad, err)
	}
	oneOf := func(key, value string, allowed ...string) {
		for _, a := range allowed {
			if a == value {
				return
			}
		}
		say(key, "%q is not one of %v", value, allowed)
	}
	oneOf("store.kind", c.Store.Kind, "local", "redis")
	oneOf("feed.kind", c.Feed.Kind, "direct", "kafka")
	oneOf("warehouse.kind", c.Warehouse.Kind, "local", "clickhouse")
	oneOf("log.level", c.Log.Level, "debug", "info", "warn", "error")
	for _, role := range c.Roles {
		oneOf("roles", role, RoleGate, RoleRelay, RoleSink)
	}
	if len(c.Roles) == 0 {
		say("roles", "must name at least one")
	}
	if (c.Keys.RingFile == "") != (len(c.Keys.RingComponents) == 0) || len(c.Keys.RingComponents) != 0 &&
		len(c.Keys.RingComponents) != 2 {
		say("keys.ring_components", "a ring_file is opened with two component files")
	}
	if _, err := c.Scheme.Location(); err != nil {
		say("scheme.zone", "%v", err)
	}
	if c.Desk.JudgeEvery < time.Second {
		say("desk.judge_every", "%s is below 1s", c.Desk.JudgeEvery)
	}
	if c.DataDir == "" {
		say("data_dir", "must not be empty")
	}
	if c.Scheme.CutOff < 0 || c.Scheme.CutOff >= 24*time.Hour {
		say("scheme.cut_off", "%s is not within a day", c.Scheme.CutOff)
	}
	if c.Gate.ClockSkew < time.Minute || c.Gate.ClockSkew > 5*time.Minute {
		say("gate.clock_skew", "%s is not between 1m and 5m", c.Gate.ClockSkew)
	}
	c.checkNumbers(say)
	c.checkAddresses(say)
	return errors.Join(bad...)
}

func (c *Config) checkNumbers(say func(key, format string, args ...any)) {
	for _, p := range c.positive() {
		if p.value <= 0 {
			say(p.key, "%d must be above zero", p.value)
		}
	}
	for _, p := range c.notNegative() {
		if p.value < 0 {
			say(p.key, "%d must not be below zero", p.value)
		}
	}
	if !(c.Gate.TerminalRate >= 0) { // not a number either
		say("gate.terminal_rate", "%g must not be below zero", c.Gate.TerminalRate)
	}
	if c.Scheme.JourneyLapse < c.Scheme.JourneyMax {
		say("scheme.journey_lapse", "%s is below journey_max %s", c.Scheme.JourneyLapse,
			c.Scheme.JourneyMax)
	}
	if dsn, err := url.Parse(c.Warehouse.DSN); err != nil {
		say("warehouse.dsn", "is no URL")
	} else if _, secret := dsn.User.Password(); secret {
		say("warehouse.dsn", "must not hold a password; use password_file")
	}
}

type bounded struct {
	key   string
	value int64
}

func (c *Config) notNegative() []bounded {
	return []bounded{
		{"scheme.pass_back_window", int64(c.Scheme.PassBackWindow)},
		{"scheme.pass_back_station", int64(c.Scheme.PassBackStation)},
		{"scheme.pass_back_gate", int64(c.Scheme.PassBackGate)},
		{"scheme.pass_back_gate_digits", int64(c.Scheme.PassBackGateDigits)},
		{"gate.connections_per_ip_max", int64(c.Gate.ConnectionsPerIPMax)},
		{"gate.drain_delay", int64(c.Gate.DrainDelay)},
		{"store.redis.replicas", int64(c.Store.Redis.Replicas)},
	}
}

func (c *Config) positive() []bounded {
	return []bounded{
		{"scheme.future_max", int64(c.Scheme.FutureMax)},
		{"scheme.age_max", int64(c.Scheme.AgeMax)},
		{"scheme.offline_age_max", int64(c.Scheme.OfflineAgeMax)},
		{"scheme.purchase_max", c.Scheme.PurchaseMax},
		{"scheme.load_max", c.Scheme.LoadMax},
		{"scheme.balance_max", c.Scheme.BalanceMax},
		{"scheme.journey_max", int64(c.Scheme.JourneyMax)},
		{"scheme.journey_lapse", int64(c.Scheme.JourneyLapse)},
		{"console.session_idle", int64(c.Console.SessionIdle)},
		{"console.session_max", int64(c.Console.SessionMax)},
		{"gate.budget", int64(c.Gate.Budget)},
		{"gate.in_flight_max", int64(c.Gate.InFlightMax)},
		{"gate.drain_timeout", int64(c.Gate.DrainTimeout)},
		{"store.outbox_max", int64(c.Store.OutboxMax)},
		{"store.local.hot_cards_max", int64(c.Store.Local.HotCardsMax)},
		{"store.local.checkpoint_every", int64(c.Store.Local.CheckpointEvery)},
		{"store.local.segment_bytes", c.Store.Local.SegmentBytes},
		{"store.redis.timeout", int64(c.Store.Redis.Timeout)},
		{"store.redis.cache_cards_max", int64(c.Store.Redis.CacheCardsMax)},
		{"feed.flush_every", int64(c.Feed.FlushEvery)},
		{"feed.flush_rows", int64(c.Feed.FlushRows)},
		{"feed.replication_factor", int64(c.Feed.ReplicationFactor)},
	}
}

// Location returns the scheme's local time: an IANA zone, or a fixed "+08:00".
func (s *Scheme) Location() (*time.Location, error) {
	if t, err := time.Parse("-07:00", s.Zone); err == nil {
		return s.fixed(t)
	}
	loc, err := time.LoadLocation(s.Zone)
	if err != nil || s.Zone == "" {
		return nil, fmt.Errorf("%q is neither an offset such as +08:00 nor a known zone", s.Zone)
	}
	return loc, nil
}

// offsetMax is the largest offset from UTC that is in use, in seconds.
const offsetMax = 14 * 60 * 60

// fixed returns the zone of the offset in t. time.Parse takes 60 minutes and 24 hours, and
// may return the machine's own zone, which changes with the season.
func (s *Scheme) fixed(t time.Time) (*time.Location, error) {
	_, offset := t.Zone()
	if minutes := s.Zone[len(s.Zone)-2:]; minutes > "59" || offset > offsetMax || offset < -offsetMax {
		return nil, fmt.Errorf("%q is no offset from UTC: want hours up to 14 and minutes up to 59",
			s.Zone)
	}
	return time.FixedZone(s.Zone, offset), nil
}
