package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/deploy/stack"
	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// TestLostReply: a commit whose reply was lost is in doubt and was executed once; trying
// again with the same version sees that.
func TestLostReply(t *testing.T) {
	server := startSingle(t)
	p := startProxy(t, server.Addr())
	for n, l := range []loss{closeReply, resetReply, swallow} {
		opt := options(p.addr())
		opt.ReadTimeout = 300 * time.Millisecond
		s := open(t, opt)
		c := cardIn(txn.Bucket(n), n)
		mustCommit(t, s, write(c, 0, "balance 1000"))
		debit := write(c, 1, "balance 900")
		p.arm(c.String(), l)
		err := s.Commit(context.Background(), []*store.Commit{debit})
		wantErr(t, err, store.ErrUnavailable)
		if p.losses() != 1 || debit.Status != store.Unanswered {
			t.Fatalf("loss %d: %d replies lost, status %v", l, p.losses(), debit.Status)
		}
		again := commit(t, s, write(c, 1, "balance 900"))
		wantStatus(t, again, store.VersionConflict)
		if again.Current.Version != 2 || string(again.Current.State) != "state balance 900" {
			t.Fatalf("loss %d: current %+v", l, again.Current)
		}
		if n := len(outbox(t, s, txn.BucketOf(c))); n != 3 {
			t.Fatalf("loss %d: %d outbox entries, want marker and 2", l, n)
		}
	}
}

// executions loses the reply to one commit that compares no version, and returns how
// often it was executed and what the caller was told.
func executions(t *testing.T, tune func(*redis.Options)) (int, error) {
	server := startSingle(t)
	p := startProxy(t, server.Addr())
	opt := options(p.addr())
	opt.ReadTimeout, opt.tune = time.Second, tune
	s := open(t, opt)
	b := txn.Bucket(20)
	mustCommit(t, s, write(cardIn(b, 1), 0, "a"))
	p.arm(cardIn(b, 2).String(), closeReply)
	err := s.Commit(context.Background(), []*store.Commit{{Card: cardIn(b, 2), AnyVersion: true,
		Record: []byte("once")}})
	n := 0
	for _, e := range outbox(t, s, b) {
		if strings.HasPrefix(string(e.Record), "once") {
			n++
		}
	}
	return n, err
}

// TestOneExecution: the client does not repeat by itself; and this test would see it if it
// did, as it does with go-redis' own setting.
func TestOneExecution(t *testing.T) {
	n, err := executions(t, nil)
	wantErr(t, err, store.ErrUnavailable)
	if n != 1 {
		t.Fatalf("executed %d times", n)
	}
	n, err = executions(t, func(o *redis.Options) { o.MaxRetries = 3 })
	if n != 2 || err != nil {
		t.Fatalf("with retries executed %d times, error %v: the test cannot see a repetition", n,
			err)
	}
}

// frozen runs a commit against a stopped server with a context that ends after limit,
// resumes the server, and returns how long the caller waited and whether the commit was
// executed afterwards.
func frozen(t *testing.T, tune func(*Store), limit time.Duration) (time.Duration, bool) {
	server := startSingle(t)
	opt := options(server.Addr())
	opt.ReadTimeout = 250 * time.Millisecond
	s := open(t, opt)
	tune(s)
	mustCommit(t, s, write(card(1), 0, "a"))
	look := client(t, server.Addr())
	calls := scriptCalls(t, look)
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	c := write(card(1), 1, "b")
	begun := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	err := s.Commit(ctx, []*store.Commit{c})
	took := time.Since(begun)
	wantErr(t, err, store.ErrUnavailable)
	wantErr(t, c.Err, store.ErrUnavailable)
	awaitDeadline(s, begun.Add(opt.ReadTimeout+100*time.Millisecond))
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server took the abandoned call", func() bool {
		return scriptCalls(t, look) > calls
	})
	return took, load(t, s, card(1)).Version == 2
}

// awaitDeadline waits until at, when a call's deadline has passed.
func awaitDeadline(s *Store, at time.Time) {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stop:
	}
}

// scriptCalls returns how many script calls the server has executed.
func scriptCalls(t *testing.T, c *redis.Client) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	defer cancel()
	info, err := c.Info(ctx, "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "cmdstat_evalsha:calls=")
	calls, _, _ := strings.Cut(rest, ",")
	return fmt.Sprintf("%12s", calls)
}

// TestFrozenServer: callers return in time, and what they gave up is not executed when the
// server wakes up.
func TestFrozenServer(t *testing.T) {
	none := func(*Store) {}
	took, executed := frozen(t, none, time.Hour)
	if took > 2*time.Second || executed {
		t.Fatalf("without a context: waited %v, executed later: %v", took, executed)
	}
	took, executed = frozen(t, none, 50*time.Millisecond)
	if took > 200*time.Millisecond || executed {
		t.Fatalf("with a context of 50ms: waited %v, executed later: %v", took, executed)
	}
	// Without the deadline in the script the same test finds the commit executed.
	_, executed = frozen(t, func(s *Store) {
		text := strings.Replace(preludeLua, "now > tonumber(ARGV[2])", "false", 1)
		s.scripts.commit = newScript("#!lua\n" + text + commitLua)
		s.scripts.commit.writes = true
	}, time.Hour)
	if !executed {
		t.Fatal("without a deadline nothing was executed: the test cannot see it")
	}
}

// load is goroutines that write cards of their own; acked is what was answered.
type writers struct {
	stop  chan struct{}
	wg    sync.WaitGroup
	mu    sync.Mutex // guards acked
	acked map[pan.Token]uint64
}

func startWriters(s *Store, count int) *writers {
	w := &writers{stop: make(chan struct{}), acked: map[pan.Token]uint64{}}
	for g := range count {
		w.wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-w.stop:
					return
				default:
					w.write(s, card(1000*g+n%200))
				}
			}
		})
	}
	return w
}

// write commits the card's next version, or finds out after a fault which one it has.
func (w *writers) write(s *Store, c pan.Token) {
	w.mu.Lock()
	version := w.acked[c]
	w.acked[c] = version // tried at least
	w.mu.Unlock()
	commit := write(c, version, "x")
	err := s.Commit(context.Background(), []*store.Commit{commit})
	switch {
	case err == nil && commit.Status == store.Committed:
		version++
	case err == nil && commit.Status == store.VersionConflict:
		version = commit.Current.Version // the commit in doubt was executed
	default:
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked[c] = version
}

func (w *writers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := uint64(0)
	for _, v := range w.acked {
		n += v
	}
	return int(n)
}

func (w *writers) end() {
	close(w.stop)
	w.wg.Wait()
}

// check wants every answered commit in the store and no hole in any outbox.
func (w *writers) check(t *testing.T, s *Store) {
	t.Helper()
	perBucket := map[txn.Bucket]uint64{}
	for c, version := range w.acked {
		got := load(t, s, c).Version
		if got < version {
			t.Errorf("card %v has version %d, answered was %d", c, got, version)
		}
		perBucket[txn.BucketOf(c)] += got
	}
	for b, versions := range perBucket {
		entries := outbox(t, s, b)
		if uint64(len(entries)) != versions+1 {
			t.Errorf("%s: %d outbox entries for %d versions and a marker", b, len(entries), versions)
		}
		for i, e := range entries {
			if uint64(e.Position.Seq) != uint64(i) {
				t.Fatalf("%s: entry %d is %v", b, i, e.Position)
			}
		}
	}
}

// TestKilledServer kills the server under load, several times. The scripts are unknown
// after each restart.
func TestKilledServer(t *testing.T) {
	server := startSingle(t)
	opt := options(server.Addr())
	opt.ReadTimeout = 500 * time.Millisecond
	s := open(t, opt)
	w := startWriters(s, 8)
	for range 3 {
		goal := w.count() + 1500
		eventually(t, "commits go on", func() bool { return w.count() >= goal })
		if err := killAndStart(t.Context(), server); err != nil {
			t.Fatal(err)
		}
	}
	goal := w.count() + 500
	eventually(t, "commits go on after the last restart", func() bool { return w.count() >= goal })
	w.end()
	w.check(t, s)
}

// TestKilledNode kills one node of a cluster; the others' buckets go on being asked for.
func TestKilledNode(t *testing.T) {
	cluster := startCluster(t)
	opt := options(cluster.Addrs()...)
	opt.ReadTimeout = 500 * time.Millisecond
	s := open(t, opt)
	w := startWriters(s, 8)
	eventually(t, "commits", func() bool { return w.count() >= 1000 })
	if err := killAndStart(t.Context(), cluster.Nodes[1]); err != nil {
		t.Fatal(err)
	}
	if err := cluster.WaitOK(t.Context()); err != nil {
		t.Fatal(err)
	}
	goal := w.count() + 1000
	eventually(t, "commits go on", func() bool { return w.count() >= goal })
	w.end()
	w.check(t, s)
}

// TestMemoryFull: a commit that finds memory full writes nothing at all; what must never
// be refused for want of room still passes, and so does what frees memory.
func TestMemoryFull(t *testing.T) {
	server := startSingle(t)
	s := open(t, options(server.Addr()))
	ctx, b := context.Background(), txn.Bucket(30)
	mustCommit(t, s, write(cardIn(b, 1), 0, "a"))
	look := client(t, server.Addr())
	setMemory(t, look, "1mb")
	before := contents(t, look)
	plain := write(cardIn(b, 1), 1, "b")
	plain.Due = []store.DueChange{{Key: []byte("k"), At: 1}}
	stop := freeze(cardIn(b, 1), txn.Mark{}, txn.Lost)
	for range 2 {
		wantErr(t, s.Commit(ctx, []*store.Commit{plain}), store.ErrUnavailable)
		if after := contents(t, look); after != before {
			t.Fatalf("memory full, yet written:\n%s\n%s", before, after)
		}
	}
	wantErr(t, s.Commit(ctx, []*store.Commit{stop, plain}), store.ErrUnavailable)
	wantStatus(t, stop, store.Committed)
	wantErr(t, plain.Err, store.ErrUnavailable)
	if err := s.Confirm(ctx, []txn.Position{stop.Position}); err != nil {
		t.Fatalf("confirm: %v", err)
	}
	if err := s.CutOver(ctx, b, testDate.Next(), 1); err != nil {
		t.Fatalf("cut-over: %v", err)
	}
	wantErr(t, s.Put(ctx, "k", []byte("v"), 0), store.ErrUnavailable)
	if l := load(t, s, cardIn(b, 1)); l.Version != 1 || l.Mark.Reason != txn.Lost {
		t.Fatalf("loaded %+v", l)
	}
	setMemory(t, look, "0")
	plain.Mark = stop.List.Entry.Mark
	mustCommit(t, s, plain)
}

func setMemory(t *testing.T, c *redis.Client, max string) {
	t.Helper()
	if err := c.ConfigSet(context.Background(), "maxmemory", max).Err(); err != nil {
		t.Fatal(err)
	}
}

// contents is everything in the database, as text.
func contents(t *testing.T, c *redis.Client) string {
	t.Helper()
	ctx := context.Background()
	keys, err := c.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, k := range keys {
		all[k], err = c.Dump(ctx, k).Result()
		if err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("%q", all) // in order of the keys
}

// TestWrongTypes damages each key of a bucket in turn; a commit that writes to all of them
// then writes to none.
func TestWrongTypes(t *testing.T) {
	server := startSingle(t)
	look := client(t, server.Addr())
	ctx, b := context.Background(), txn.Bucket(31)
	k := newKeySpace("").bucket[b]
	for _, key := range []string{k.meta, k.out, k.frozen, k.freezes, k.due,
		newKeySpace("").card(cardIn(b, 1))} {
		for _, damage := range []string{"other type", "gone"} {
			t.Run(key+" "+damage, func(t *testing.T) {
				look.FlushAll(ctx)
				s := open(t, options(server.Addr()))
				full := freeze(cardIn(b, 1), txn.Mark{}, txn.Lost)
				full.AnyVersion, full.State = false, []byte("one")
				full.Due = []store.DueChange{{Key: []byte("k"), At: 1}}
				mustCommit(t, s, full)
				look.Del(ctx, key)
				if damage == "other type" {
					look.RPush(ctx, key, "damage")
				}
				before := contents(t, look)
				full.Version, full.Mark = 1, full.List.Entry.Mark
				err := s.Commit(ctx, []*store.Commit{full})
				if damage == "gone" && err == nil && full.Status != store.Committed {
					err = store.ErrDamaged // a conflict writes nothing either
				}
				if damage == "gone" && key == k.due {
					return // an empty due queue has no key
				}
				wantErr(t, err, store.ErrDamaged)
				if after := contents(t, look); after != before {
					t.Fatalf("written in spite of damage:\n%s\n%s", before, after)
				}
			})
		}
	}
}

// TestDamagedValues: what cannot be what was written is refused, and not made sense of.
func TestDamagedValues(t *testing.T) {
	server := startSingle(t)
	look := client(t, server.Addr())
	s := open(t, options(server.Addr()))
	ctx, b := context.Background(), txn.Bucket(32)
	c := cardIn(b, 1)
	k := s.keys.bucket[b]
	for _, value := range []string{"short", "\x00\x00\x00\x00\x00\x00\x00\x00state",
		"\x00\x00\x00\x00\x00\x00\x00\x01"} {
		look.Set(ctx, s.keys.card(c), value, 0)
		_, err := s.Load(ctx, c, nil)
		wantErr(t, err, store.ErrDamaged)
		wantErr(t, s.Commit(ctx, []*store.Commit{write(c, 9, "a")}), store.ErrDamaged)
	}
	look.Del(ctx, s.keys.card(c))
	look.HSet(ctx, k.frozen, string(c[:]), "bad")
	_, _, err := s.Entry(ctx, c)
	wantErr(t, err, store.ErrDamaged)
	_, err = s.Load(ctx, c, nil)
	wantErr(t, err, store.ErrDamaged)
	_, err = s.Snapshot(ctx, b, func(pan.Token, txn.Mark) {})
	wantErr(t, err, store.ErrDamaged)
	look.Del(ctx, k.frozen)
	look.HSet(ctx, k.meta, "list", "x")
	_, err = s.Tails(ctx)
	wantErr(t, err, store.ErrDamaged)
	_, err = s.Buckets(ctx)
	wantErr(t, err, store.ErrDamaged)
	look.HSet(ctx, k.meta, "list", "4") // the log has no change 4
	wantErr(t, s.Commit(ctx, []*store.Commit{freeze(c, txn.Mark{}, txn.Lost)}), store.ErrDamaged)
	look.HSet(ctx, k.meta, "list", "0")
	look.XAdd(ctx, &redis.XAddArgs{Stream: k.out, ID: "9-1", Values: []string{"r", "x"}})
	wantErr(t, s.Commit(ctx, []*store.Commit{write(c, 0, "a")}), store.ErrDamaged)
	if l := load(t, s, c); l.Version != 0 {
		t.Fatalf("written although the outbox refused: %+v", l)
	}
}

// TestShiftedReply: a reply of another call is refused, and the connection is not used
// again, since all its later replies are shifted too.
func TestShiftedReply(t *testing.T) {
	server := startSingle(t)
	p := startProxy(t, server.Addr())
	opt := options(p.addr())
	opt.Connections = 1
	s := open(t, opt)
	mustCommit(t, s, write(card(1), 0, "a"))
	mustCommit(t, s, write(card(1), 1, "b"))
	p.arm(s.keys.card(card(2)), repeatReply)
	c := write(card(2), 0, "c")
	err := s.Commit(context.Background(), []*store.Commit{c})
	wantErr(t, err, errShifted)
	wantErr(t, err, store.ErrUnavailable)
	if c.Status != store.Unanswered || p.losses() != 1 {
		t.Fatalf("status %v after a shifted reply", c.Status)
	}
	for v := range uint64(3) {
		mustCommit(t, s, write(card(3), v, "d"))
	}
	wantStatus(t, commit(t, s, write(card(2), 0, "c")), store.VersionConflict)
	load(t, s, card(1)) // a reply to shift
	p.arm(s.keys.card(card(3)), repeatReply)
	_, err = s.Load(context.Background(), card(3), nil)
	if !errors.Is(err, errShifted) {
		t.Fatalf("shifted load: %v", err)
	}
}

// TestAbandonedBuffers: a caller that gave up may reuse its buffers while the commit is
// still under way; run with the race detector.
func TestAbandonedBuffers(t *testing.T) {
	server := startSingle(t)
	opt := options(server.Addr())
	opt.ReadTimeout = 300 * time.Millisecond
	s := open(t, opt)
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	c := write(card(1), 0, "a")
	for range 20 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
		wantErr(t, s.Commit(ctx, []*store.Commit{c}), store.ErrUnavailable)
		cancel()
		clear(c.State)
		clear(c.Record)
		c.Card, c.Version = card(2), c.Version+1
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "commits work again", func() bool {
		return s.Commit(context.Background(), []*store.Commit{{Card: card(5)}}) == nil
	})
}

// TestReplicas: an answer waits for the replica; without it every commit is in doubt.
func TestReplicas(t *testing.T) {
	master := startSingle(t)
	_, port, _ := strings.Cut(master.Addr(), ":")
	replica := startSingle(t, "--replicaof", "127.0.0.1", port)
	opt := options(master.Addr())
	opt.Replicas = 1
	eventually(t, "the replica follows", func() bool {
		findings, err := CheckSettings(context.Background(), opt)
		return err == nil && refuse(findings) == nil
	})
	opt.ReadTimeout = 500 * time.Millisecond
	s := open(t, opt)
	b := txn.BucketOf(card(1))
	mustCommit(t, s, write(card(1), 0, "a"))
	if n := len(outbox(t, s, b)); n != 2 {
		t.Fatalf("%d outbox entries, want 2", n)
	}
	checkWithoutReplica(t, s, replica)
	eventually(t, "commits work again", func() bool {
		return s.Commit(context.Background(), []*store.Commit{{Card: card(5)}}) == nil
	})
	if n := len(outbox(t, s, b)); n != 3 {
		t.Fatalf("%d outbox entries, want 3", n)
	}
}

// checkWithoutReplica: neither a write, nor a check of what another wrote, nor a read of
// the outbox says yes while the replica holds less than that.
func checkWithoutReplica(t *testing.T, s *Store, replica *stack.Server) {
	t.Helper()
	if err := replica.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	wantErr(t, s.Commit(ctx, []*store.Commit{write(card(1), 1, "b")}), errReplicas)
	wantErr(t, s.Commit(ctx, []*store.Commit{{Card: card(1), Version: 2}}), errReplicas)
	_, _, err := s.Read(ctx, int(txn.BucketOf(card(1))), store.Cursor{}, 10)
	wantErr(t, err, store.ErrUnavailable)
	if err := replica.Resume(); err != nil {
		t.Fatal(err)
	}
}

// TestClockStep: when the server's clock steps, calls are refused and not executed until
// the next reply has told the new time.
func TestClockStep(t *testing.T) {
	server := startSingle(t)
	s := open(t, options(server.Addr()))
	mustCommit(t, s, write(card(1), 0, "a"))
	s.clocks[0].offset.Add(-10_000_000) // as if the server's had gone forward by ten seconds
	late := write(card(1), 1, "b")
	err := s.Commit(context.Background(), []*store.Commit{late})
	wantErr(t, err, store.ErrUnavailable)
	if !strings.Contains(err.Error(), "after its deadline") || load(t, s, card(1)).Version != 1 {
		t.Fatalf("late call: %v", err)
	}
	mustCommit(t, s, write(card(1), 1, "b"))
}

// TestRestoredDatabase: an epoch lower than the handle's is a database that went back in
// time, not a later writer.
func TestRestoredDatabase(t *testing.T) {
	server := startSingle(t)
	s := open(t, options(server.Addr()))
	ctx := context.Background()
	if err := s.OpenEpoch(ctx, 1); err != nil {
		t.Fatal(err)
	}
	b := txn.BucketOf(card(1))
	client(t, server.Addr()).HSet(ctx, s.keys.bucket[b].meta, "epoch", 1)
	wantErr(t, s.Commit(ctx, []*store.Commit{write(card(1), 0, "a")}), store.ErrDamaged)
	wantErr(t, s.CutOver(ctx, b, testDate.Next(), 1), store.ErrDamaged)
}

// TestJobGivenUp: a cut-over whose caller has gone before it began is not begun.
func TestJobGivenUp(t *testing.T) {
	server := startSingle(t)
	opt := options(server.Addr())
	opt.ReadTimeout = 300 * time.Millisecond
	s := open(t, opt)
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	wantErr(t, s.CutOver(ctx, 5, testDate.Next(), 1), store.ErrUnavailable)
	wantErr(t, s.CutOver(ctx, 5, testDate.Next(), 1), store.ErrUnavailable)
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the date is asked for", func() bool {
		infos, err := s.Buckets(context.Background())
		return err == nil && infos[5].Date == testDate
	})
}
