package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tapswitch/tapswitch/switch/store"
)

// versionMin is the least major version: partial stream ids, #! scripts.
const versionMin = 7

// ErrSettings reports a server whose settings can lose commits.
var ErrSettings = errors.New("server settings can lose answered commits")

// Finding is what CheckSettings saw of one setting of one node.
type Finding struct {
	Node    string
	Setting string
	Want    string
	Got     string
	// OK says that the setting is as wanted.
	OK bool
	// Fatal says that Open refuses the server when the setting is not OK; otherwise it is
	// advice.
	Fatal bool
	// Fix says what to do; empty when OK.
	Fix string
}

// rule is one setting and what it must be.
type rule struct {
	setting string
	want    string
	fatal   bool
	fix     string
	ok      func(got string) bool // nil: got must be want
}

// replicasOnline is the count of replicas that follow the master; connected_slaves also
// counts those that still load.
const replicasOnline = "replicas online"

func rules(opt *Options) []rule {
	atLeast := func(n int) func(string) bool {
		return func(got string) bool {
			major, _, _ := strings.Cut(got, ".")
			v, err := strconv.Atoi(major)
			return err == nil && v >= n
		}
	}
	cluster := "0"
	if opt.Cluster {
		cluster = "1"
	}
	return []rule{
		{"redis_version", "7 or later", true, "install Redis 7", atLeast(versionMin)},
		{"role", "master", true, "give the address of the master", nil},
		{"cluster_enabled", cluster, true, "set the store's cluster option to match", nil},
		{"appendonly", "yes", true, "CONFIG SET appendonly yes; CONFIG REWRITE", nil},
		{"appendfsync", "always", true, "CONFIG SET appendfsync always; CONFIG REWRITE", nil},
		{"no-appendfsync-on-rewrite", "no", true,
			"CONFIG SET no-appendfsync-on-rewrite no; CONFIG REWRITE", nil},
		{"maxmemory-policy", "noeviction", true,
			"CONFIG SET maxmemory-policy noeviction; CONFIG REWRITE", nil},
		{"aof_last_write_status", "ok", true, "look at the disk of the append-only file", nil},
		{replicasOnline, fmt.Sprintf("%d or more", opt.Replicas), opt.Replicas > 0,
			"start the replicas, or lower the store's replicas option", atLeast(opt.Replicas)},
		{"maxmemory", "above 0", false,
			"CONFIG SET maxmemory to about 60% of the machine; without it the kernel kills the server",
			atLeast(1)},
	}
}

// CheckSettings connects to every master and reports each setting that decides whether
// answered commits survive. It changes nothing. The error is one of reaching the servers;
// settings are told in the findings alone.
func CheckSettings(ctx context.Context, opt Options) ([]Finding, error) {
	opt, err := opt.withDefaults()
	if err != nil {
		return nil, err
	}
	r := newRouter(&opt)
	if err := r.find(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("redisstore: check: %w", err), r.close())
	}
	findings, err := checkNodes(ctx, r.masters(), &opt)
	return findings, errors.Join(err, r.close())
}

func checkNodes(ctx context.Context, nodes []*node, opt *Options) ([]Finding, error) {
	var findings []Finding
	for _, n := range nodes {
		got, err := settingsOf(ctx, n)
		if err != nil {
			return findings, fmt.Errorf("redisstore: check %s: %w: %w", n.addr,
				store.ErrUnavailable, err)
		}
		for _, r := range rules(opt) {
			findings = append(findings, r.find(n.addr, got))
		}
	}
	return findings, nil
}

func (r *rule) find(addr string, got map[string]string) Finding {
	f := Finding{Node: addr, Setting: r.setting, Want: r.want, Fatal: r.fatal}
	value, known := got[r.setting]
	f.Got = value
	switch {
	case !known:
		f.Got, f.Fix = "not told", "allow the store's user CONFIG GET and INFO, or "+r.fix
	case r.ok == nil && value == r.want || r.ok != nil && r.ok(value):
		f.OK = true
	default:
		f.Fix = r.fix
	}
	return f
}

// settingsOf reads INFO and CONFIG GET of a node into one table. A server that refuses
// CONFIG tells less, which the findings show.
func settingsOf(ctx context.Context, n *node) (map[string]string, error) {
	client := n.clients[queryLane].Load()
	got := map[string]string{}
	online := 0
	for _, section := range []string{"server", "replication", "persistence", "cluster"} {
		info, err := client.Info(ctx, section).Result()
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(info) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				got[name] = value
			}
			if strings.HasPrefix(line, "slave") && strings.Contains(line, "state=online") {
				online++
			}
		}
	}
	got[replicasOnline] = strconv.Itoa(online)
	for _, pattern := range []string{"append*", "no-appendfsync*", "maxmemory*"} {
		config, err := client.ConfigGet(ctx, pattern).Result()
		if err != nil && !isRefused(err) {
			return nil, err
		}
		for name, value := range config {
			got[name] = value
		}
	}
	return got, nil
}

func isRefused(err error) bool {
	return redis.HasErrorPrefix(err, "NOPERM") || redis.HasErrorPrefix(err, "unknown command")
}

// refuse returns ErrSettings with every fatal finding that is not OK.
func refuse(findings []Finding) error {
	var bad []string
	for _, f := range findings {
		if f.Fatal && !f.OK {
			bad = append(bad, fmt.Sprintf("%s: %s is %q, want %s: %s", f.Node, f.Setting, f.Got,
				f.Want, f.Fix))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("redisstore: %w: %s", ErrSettings, strings.Join(bad, "; "))
}
