package redisstore

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

func TestOptions(t *testing.T) {
	for name, opt := range map[string]Options{
		"no address":        {},
		"two addresses":     {Addrs: []string{"a:1", "b:1"}},
		"prefix with brace": {Addrs: []string{"a:1"}, Prefix: "a{b"},
		"long prefix":       {Addrs: []string{"a:1"}, Prefix: strings.Repeat("p", PrefixMax+1)},
		"date":              {Addrs: []string{"a:1"}, Date: 20261399},
		"negative":          {Addrs: []string{"a:1"}, Replicas: -1},
		"connections":       {Addrs: []string{"a:1"}, Connections: ConnectionsMax + 1},
		"list":              {Addrs: []string{"a:1"}, ListMax: ListMaxMax + 1},
		"timeout":           {Addrs: []string{"a:1"}, ReadTimeout: time.Microsecond},
	} {
		if _, err := Open(context.Background(), opt); err == nil {
			t.Errorf("%s: opened", name)
		}
		if _, err := CheckSettings(context.Background(), opt); err == nil {
			t.Errorf("%s: checked", name)
		}
	}
	opt, err := Options{Addrs: []string{"a:1"}}.withDefaults()
	if err != nil || opt.ReadTimeout != DefaultTimeout || opt.ListMax != DefaultListMax ||
		opt.Connections != DefaultConnections || opt.OutboxMax != DefaultOutboxMax {
		t.Fatalf("defaults %+v, %v", opt, err)
	}
}

// TestClientOptions holds the settings on which correctness rests (FAULTS.md section 2).
func TestClientOptions(t *testing.T) {
	opt := Options{Addrs: []string{"a:1"}, TLS: &tls.Config{MinVersion: tls.VersionTLS13}}
	opt, err := opt.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	for l := range laneCount {
		o := clientOptions("a:1", l, &opt)
		if o.MaxRetries != -1 || !o.ContextTimeoutEnabled || o.Protocol != 3 ||
			o.ReadTimeout <= 0 || o.ReadTimeout > time.Second || o.TLSConfig != opt.TLS ||
			o.MaintNotificationsConfig.Mode != "disabled" {
			t.Errorf("lane %d: %+v", l, o)
		}
	}
}

func TestOpenUnreachable(t *testing.T) {
	server := startSingle(t)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, cluster := range []bool{false, true} {
		opt := options(server.Addr())
		opt.Cluster, opt.ReadTimeout = cluster, 100*time.Millisecond
		_, err := Open(context.Background(), opt)
		wantErr(t, err, store.ErrUnavailable)
	}
}

// TestOpenRefusesSettings sets each setting wrong in turn.
func TestOpenRefusesSettings(t *testing.T) {
	server := startSingle(t, "--maxmemory", "256mb")
	look := client(t, server.Addr())
	ctx := context.Background()
	opt := options(server.Addr())
	findings, err := CheckSettings(ctx, opt)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if !f.OK || f.Fix != "" {
			t.Errorf("with the project's own configuration: %+v", f)
		}
	}
	for _, c := range []struct{ setting, wrong, right string }{
		{"appendfsync", "everysec", "always"},
		{"appendonly", "no", "yes"},
		{"maxmemory-policy", "allkeys-lru", "noeviction"},
		{"no-appendfsync-on-rewrite", "yes", "no"},
	} {
		if err := look.ConfigSet(ctx, c.setting, c.wrong).Err(); err != nil {
			t.Fatal(err)
		}
		_, err := Open(ctx, opt)
		wantErr(t, err, ErrSettings)
		if !strings.Contains(err.Error(), c.setting+` is "`+c.wrong+`"`) ||
			!strings.Contains(err.Error(), "CONFIG SET") {
			t.Errorf("%s: error names neither setting nor fix: %v", c.setting, err)
		}
		skip := opt
		skip.SkipServerCheck = true
		_ = open(t, skip)
		if err := look.ConfigSet(ctx, c.setting, c.right).Err(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the log is on again", func() bool {
		s, err := Open(ctx, opt)
		return err == nil && s.Close() == nil
	})
	opt.Replicas = 1
	_, err = Open(ctx, opt)
	wantErr(t, err, ErrSettings)
	opt.Replicas, opt.Cluster = 0, true
	if _, err = Open(ctx, opt); err == nil {
		t.Fatal("a single node was opened as a cluster")
	}
}

// TestAccess: a user without CONFIG is told so; credentials are asked for.
func TestAccess(t *testing.T) {
	server := startSingle(t)
	look := client(t, server.Addr())
	ctx := context.Background()
	user := []any{"ACL", "SETUSER", "tap", "on", ">secret", "~*", "+@all", "-config"}
	if err := look.Do(ctx, user...).Err(); err != nil {
		t.Fatal(err)
	}
	opt := options(server.Addr())
	opt.Credentials = func(context.Context) (string, string, error) { return "tap", "secret", nil }
	_, err := Open(ctx, opt)
	wantErr(t, err, ErrSettings)
	if !strings.Contains(err.Error(), "CONFIG GET") || strings.Contains(err.Error(), "secret") {
		t.Fatalf("error %v", err)
	}
	opt.SkipServerCheck = true
	mustCommit(t, open(t, opt), write(card(1), 0, "a"))
	opt.Credentials = func(context.Context) (string, string, error) { return "tap", "wrong", nil }
	_, err = Open(ctx, opt)
	wantErr(t, err, store.ErrUnavailable)
	// A user without the right to a command of the script gets nothing written.
	if err := look.Do(ctx, "ACL", "SETUSER", "tap", "-xadd").Err(); err != nil {
		t.Fatal(err)
	}
	opt.Credentials = func(context.Context) (string, string, error) { return "tap", "secret", nil }
	s := open(t, opt)
	err = s.Commit(ctx, []*store.Commit{write(card(2), 0, "a")})
	if err == nil || load(t, s, card(2)).Version != 0 {
		t.Fatalf("without the right to XADD: %v", err)
	}
}

// TestOpenRefusesDamage: a bucket without meta that has other keys, or meta without an
// outbox, is not taken for new.
func TestOpenRefusesDamage(t *testing.T) {
	server := startSingle(t)
	look := client(t, server.Addr())
	ctx := context.Background()
	k := newKeySpace("").bucket[40]
	for _, key := range []string{k.meta, k.out} {
		look.FlushAll(ctx)
		s := open(t, options(server.Addr()))
		mustCommit(t, s, write(cardIn(40, 1), 0, "a"))
		look.Del(ctx, key)
		_, err := Open(ctx, options(server.Addr()))
		wantErr(t, err, store.ErrDamaged)
	}
}

// TestJoin: opening again joins the epoch, with the numbers and the date that are there.
func TestJoin(t *testing.T) {
	server := startSingle(t)
	first := open(t, options(server.Addr()))
	c := mustCommit(t, first, write(card(1), 0, "a"))
	opt := options(server.Addr())
	opt.Date = testDate.Next()
	second := open(t, opt)
	d := mustCommit(t, second, write(card(1), 1, "b"))
	if d.Position.Epoch != 1 || d.Position.Seq != c.Position.Seq+1 || d.Date != testDate {
		t.Fatalf("second handle commits at %v of %v", d.Position, d.Date)
	}
	other := options(server.Addr())
	other.Prefix = "other"
	if l := load(t, open(t, other), card(1)); l.Version != 0 {
		t.Fatalf("another prefix sees %+v", l)
	}
}

func TestEntryEncoding(t *testing.T) {
	for _, want := range []store.Entry{
		{Mark: txn.Mark{Reason: txn.Lost, Scope: txn.AppAll}},
		{Mark: txn.Mark{Reason: txn.Cancelled, Scope: txn.AppPurse}, Since: -5,
			Actor: strings.Repeat("a", actorMax), Note: strings.Repeat("n", noteMax)},
	} {
		text := string(appendEntry(nil, &want))
		got, err := decodeEntry(text)
		if err != nil || got != want {
			t.Fatalf("%+v became %+v, %v", want, got, err)
		}
		for n := range len(text) {
			if _, err := decodeEntry(text[:n]); err == nil {
				t.Fatalf("%d of %d bytes were taken for an entry", n, len(text))
			}
		}
		if _, err := decodeEntry(text + "x"); err == nil {
			t.Fatal("a byte too many was taken for an entry")
		}
	}
}

func FuzzDecodeEntry(f *testing.F) {
	e := store.Entry{Mark: txn.MarkOf(0x1ffff), Actor: "a", Note: "b"}
	f.Add(string(appendEntry(nil, &e)))
	f.Fuzz(func(t *testing.T, text string) {
		e, err := decodeEntry(text)
		if err == nil && string(appendEntry(nil, &e))[1:] != text[1:] {
			t.Fatalf("%q became %+v", text, e)
		}
	})
}

// FuzzTake: no reply, whatever it says, is taken for an answer to another commit or
// brings the reader down.
func FuzzTake(f *testing.F) {
	head := "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"
	f.Add(head + "C20261121 3-42 7")
	f.Add(head + "V\x00\x01\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01state")
	f.Add(head + "Dmeta")
	f.Add("")
	f.Fuzz(func(t *testing.T, reply string) {
		b := &batch{items: make([]item, 1), done: make(chan struct{})}
		b.left.Store(1)
		it := &b.items[0]
		it.owner, it.head = b, head
		it.take(reply)
		<-b.done
		ours := strings.HasPrefix(reply, head)
		if it.err == nil && (!ours || it.status == store.Unanswered) {
			t.Fatalf("%q was taken as %v", reply, it.status)
		}
	})
}
