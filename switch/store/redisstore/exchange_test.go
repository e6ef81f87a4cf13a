package redisstore

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// reply is an error as the server sends it.
type reply string

func (r reply) Error() string { return string(r) }
func (r reply) RedisError()   {}

var _ redis.Error = reply("")

// TestClassify: only what cannot be repaired by trying again is damage.
func TestClassify(t *testing.T) {
	for _, test := range []struct {
		err  error
		want error
	}{
		{reply("WRONGTYPE Operation against a key script: x, on @user_script:1."), store.ErrDamaged},
		{reply("ERR The ID specified script: x, on @user_script:3."), store.ErrDamaged},
		{reply("OOM allow-oom flag is not set on the script"), store.ErrUnavailable},
		{reply("MISCONF Redis is configured to save RDB snapshots"), store.ErrUnavailable},
		{reply("NOREPLICAS Not enough good replicas to write."), store.ErrUnavailable},
		{reply("READONLY You can't write against a read only replica."), store.ErrUnavailable},
		{reply("BUSY Redis is busy running a script."), store.ErrUnavailable},
		{reply("LOADING Redis is loading the dataset in memory"), store.ErrUnavailable},
		{reply("CLUSTERDOWN The cluster is down"), store.ErrUnavailable},
		{reply("NOPERM script: x, on @user_script:3."), store.ErrUnavailable},
		{io.EOF, store.ErrUnavailable},
		{errors.New("ERR a text that only looks like user_script"), store.ErrUnavailable},
		{context.DeadlineExceeded, store.ErrUnavailable},
	} {
		got := classify(test.err)
		if !errors.Is(got, test.want) || !errors.Is(got, test.err) {
			t.Errorf("%v became %v, want %v", test.err, got, test.want)
		}
		if test.want == store.ErrUnavailable && errors.Is(got, store.ErrDamaged) {
			t.Errorf("%v is damage and unavailable at once", test.err)
		}
	}
}

// TestRedirect: only what was not executed for certain is sent again.
func TestRedirect(t *testing.T) {
	s := &Store{scripts: newScripts(), keys: newKeySpace("")}
	var err error
	if s.opt, err = options("h:1", "h:2").withDefaults(); err != nil {
		t.Fatal(err)
	}
	s.router = newRouter(&s.opt)
	defer func() { _ = s.router.close() }()
	s.setClocks()
	home, err := s.router.node("h:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		reply       string
		send, pause bool
		addr        string // where it goes next
		asking      bool
	}{
		{"NOSCRIPT No matching script.", true, false, "h:1", false},
		{"ASK 12 h:5", true, false, "h:5", true},
		{"ASK 12 :6", true, false, "h:6", true},
		{"MOVED 12 h:7", true, false, "h:7", false},
		{"TRYAGAIN Multiple keys request during rehashing of slot", true, true, "h:1", false},
		{"CLUSTERDOWN Hash slot not served", false, false, "", false},
		{"OOM command not allowed", false, false, "", false},
		{"ERR anything", false, false, "", false},
		{"BUSY running a script", false, false, "", false},
		{"READONLY replica", false, false, "", false},
	} {
		s.router.routes[3].Store(home)
		r := s.ask(3, s.scripts.commit, []string{"k"})
		send, pause := s.redirect(r, test.reply)
		if send != test.send || pause != test.pause {
			t.Errorf("%s: send %v, pause %v", test.reply, send, pause)
		}
		if got := s.target(r).addr; send && (got != test.addr || r.asking != test.asking) {
			t.Errorf("%s: goes to %s, asking %v", test.reply, got, r.asking)
		}
	}
}

// TestAgainEnds: a server that only redirects does not keep a call for ever.
func TestAgainEnds(t *testing.T) {
	s := &Store{scripts: newScripts()}
	s.setClocks()
	for try := range againMax + 1 {
		r := s.ask(3, s.scripts.commit, []string{"k"})
		r.err = classify(reply("TRYAGAIN"))
		rest := s.again(context.Background(), []*request{r}, try)
		if want := try < againMax; (len(rest) == 1) != want || (r.err == nil) != want {
			t.Errorf("try %d: again %d, error %v", try, len(rest), r.err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r := s.ask(3, s.scripts.commit, []string{"k"})
	r.err = classify(reply("NOSCRIPT"))
	if rest := s.again(ctx, []*request{r}, 0); len(rest) != 0 || r.err == nil {
		t.Error("sent again after its time was over")
	}
}

// TestReplyChecks: a reply is believed only when it echoes the call's nonce and, from a
// script that writes, tells the time.
func TestReplyChecks(t *testing.T) {
	s := &Store{scripts: newScripts(), id: newStoreID()}
	s.setClocks()
	now := time.Now()
	for _, test := range []struct {
		name   string
		script *script
		values func(nonce string) []any
		ok     bool
	}{
		{"read", s.scripts.load, func(n string) []any { return []any{n, "state"} }, true},
		{"read, other nonce", s.scripts.load, func(string) []any { return []any{"x", "s"} }, false},
		{"read, longer", s.scripts.load, func(n string) []any { return []any{n + "1", "s"} }, false},
		{"write", s.scripts.put, func(n string) []any { return []any{n + "17.5", "ok"} }, true},
		{"write, no time", s.scripts.put, func(n string) []any { return []any{n, "ok"} }, false},
		{"write, odd time", s.scripts.put, func(n string) []any { return []any{n + "a.b"} }, false},
		{"empty", s.scripts.put, func(string) []any { return nil }, false},
		{"integer", s.scripts.put, func(string) []any { return []any{int64(1)} }, false},
	} {
		r := s.ask(0, test.script, nil)
		cmd := redis.NewSliceCmd(context.Background())
		cmd.SetVal(test.values(r.nonce))
		r.cmd = cmd
		r.finish(s.clocks[0], now, now)
		if ok := r.err == nil; ok != test.ok || !ok && !errors.Is(r.err, errShifted) {
			t.Errorf("%s: %v", test.name, r.err)
		}
		if r.err != nil && (r.values != nil || r.strings != nil) {
			t.Errorf("%s: a refused reply left values", test.name)
		}
	}
}

func TestNonces(t *testing.T) {
	s := &Store{id: newStoreID()}
	seen := map[string]bool{}
	for range 1000 {
		n := s.nonce()
		if seen[n] {
			t.Fatalf("nonce %q twice", n)
		}
		seen[n] = true
	}
	if first, second := newStoreID(), newStoreID(); first == second {
		t.Fatal("two stores begin their nonces alike")
	}
}

// TestCommittedReplies reads what the script says of a commit, right and wrong.
func TestCommittedReplies(t *testing.T) {
	const head = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07"
	position := txn.Position{Bucket: 5, Epoch: 3, Seq: 42}
	for _, test := range []struct {
		reply  string
		status store.Status
		err    error
	}{
		{head + "C20261121 3-42 7", store.Committed, nil},
		{head + "P", store.DeadlinePassed, nil},
		{head + "T", store.ListClosed, nil},
		{head + "O", store.OutboxFull, nil},
		{head + "V\x00\x00\x00\x00", store.VersionConflict, nil},
		{head + "M\x00\x01\xff\xff\x00\x00\x00\x00\x00\x00\x00\x02s", store.MarkConflict, nil},
		{head + "V\x00", 0, store.ErrUnavailable},
		{head + "V\x00\x00\x00\x00short", 0, store.ErrDamaged},
		{head + "C20261121 x-1 7", 0, store.ErrDamaged},
		{head + "Cdate 3-42 7", 0, store.ErrDamaged},
		{head + "F9", 0, store.ErrFenced},
		{head + "F1", 0, store.ErrDamaged},
		{head + "Dmeta: WRONGTYPE", 0, store.ErrDamaged},
		{head + "?", 0, store.ErrUnavailable},
		{head, 0, errShifted},
		{"\x01" + head[1:] + "C20261121 3-42 7", 0, errShifted},
	} {
		it := someItems(1)[0]
		it.head, it.bucket, it.epoch = head, 5, 3
		it.take(test.reply)
		if !errors.Is(it.err, test.err) || test.err == nil && it.status != test.status {
			t.Errorf("%q: %v, %v", test.reply[len(head):], it.status, it.err)
		}
		if test.status == store.Committed && (it.position != position || it.listSeq != 7) {
			t.Errorf("%q: %v %d", test.reply, it.position, it.listSeq)
		}
	}
}
