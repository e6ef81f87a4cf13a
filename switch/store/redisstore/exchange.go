package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tapswitch/tapswitch/switch/store"
)

const (
	// againMax bounds how often a call that was not executed for certain is sent again:
	// a moved slot, then an unknown script there, and one more of each.
	againMax = 4
	// againPause is the wait after TRYAGAIN, while a slot's keys are on their way.
	againPause = 5 * time.Millisecond
)

// errShifted reports a reply that belongs to another call.
var errShifted = errors.New("reply of another call")

// errReplicas reports that too few replicas acknowledged in time.
var errReplicas = errors.New("too few replicas acknowledged")

// request is one script call on one place. The sender fills the upper part; exchange
// fills the answer.
type request struct {
	place  place
	script *script
	nonce  string
	args   []any // the whole command, from EVALSHA
	flat   bool  // the reply is a list of strings

	strings []string // the reply when flat
	values  []any    // the reply otherwise, without nonce or stamp
	err     error    // wraps ErrUnavailable or ErrDamaged

	cmd    redis.Cmder
	target *node // where a redirect sent it, nil for the route
	asking bool
}

// ask makes a request: KEYS, then what follows the nonce (and the deadline of a script
// that writes) in ARGV.
func (s *Store) ask(p place, sc *script, keys []string, argv ...any) *request {
	r := &request{place: p, script: sc, nonce: s.nonce()}
	r.args = make([]any, 0, 5+len(keys)+len(argv))
	r.args = append(r.args, "EVALSHA", sc.sha, len(keys))
	for _, k := range keys {
		r.args = append(r.args, k)
	}
	r.args = append(r.args, r.nonce)
	if sc.writes {
		r.args = append(r.args, s.clocks[p].deadline(slowFactor*s.opt.ReadTimeout))
	}
	r.args = append(r.args, argv...)
	return r
}

// askRead makes a request for one read command on one key.
func (s *Store) askRead(p place, key, command string, argv ...any) *request {
	return s.ask(p, s.scripts.echo, []string{key}, append([]any{command}, argv...)...)
}

// nonce returns what no other call of this process, and hardly one of another, carries.
func (s *Store) nonce() string {
	return s.id + strconv.FormatUint(s.calls.Add(1), 36) + ":"
}

func newStoreID() string { return strconv.FormatUint(rand.Uint64(), 36) + "." }

// query runs requests that are not commits and returns the first error.
func (s *Store) query(ctx context.Context, reqs ...*request) error {
	ctx, cancel := context.WithTimeout(ctx, slowFactor*s.opt.ReadTimeout)
	defer cancel()
	s.exchange(ctx, queryLane, reqs)
	for _, r := range reqs {
		if r.err != nil {
			return fmt.Errorf("redisstore: %s: %w", r.place, r.err)
		}
	}
	return nil
}

// exchange sends the requests to who serves their places and waits for all answers. It sends
// again only what the server said it did not execute.
func (s *Store) exchange(ctx context.Context, l lane, reqs []*request) {
	for try := 0; len(reqs) > 0; try++ {
		s.round(ctx, l, reqs)
		reqs = s.again(ctx, reqs, try)
	}
}

// round sends each request once, to all nodes at the same time.
func (s *Store) round(ctx context.Context, l lane, reqs []*request) {
	if len(reqs) == 1 {
		s.send(ctx, s.target(reqs[0]), l, reqs)
		return
	}
	groups := map[*node][]*request{}
	for _, r := range reqs {
		n := s.target(r)
		groups[n] = append(groups[n], r)
	}
	if len(groups) == 1 {
		for n, group := range groups {
			s.send(ctx, n, l, group)
		}
		return
	}
	var wg sync.WaitGroup
	for n, group := range groups {
		wg.Go(func() { s.send(ctx, n, l, group) })
	}
	wg.Wait()
}

func (s *Store) target(r *request) *node {
	if r.target != nil {
		return r.target
	}
	return s.router.routes[r.place].Load()
}

// send makes one call to one node: a command, or a pipeline.
func (s *Store) send(ctx context.Context, n *node, l lane, reqs []*request) {
	client := n.clients[l].Load()
	sent := time.Now()
	var wait *redis.Cmd
	if len(reqs) == 1 && !reqs[0].asking && (s.opt.Replicas == 0 || !reqs[0].script.writes) {
		// The error is the command's as well.
		_ = client.Process(ctx, reqs[0].command(ctx))
	} else {
		wait = s.sendPipeline(ctx, client, reqs)
	}
	received := time.Now()
	shifted := false
	for _, r := range reqs {
		r.finish(s.clocks[r.place], sent, received)
		shifted = shifted || errors.Is(r.err, errShifted)
	}
	s.checkReplicas(wait, reqs)
	if shifted {
		s.opt.Logger.Error("reply of another call refused", "node", n.addr)
		if err := n.replace(l, &s.opt); err != nil {
			s.opt.Logger.Warn("connections not closed", "node", n.addr, "err", err)
		}
	}
}

// sendPipeline sends several requests in one write, and WAIT behind them when replicas must
// acknowledge.
func (s *Store) sendPipeline(ctx context.Context, client *redis.Client,
	reqs []*request) (wait *redis.Cmd) {
	pipe := client.Pipeline()
	writes := false
	for _, r := range reqs {
		if r.asking {
			pipe.Do(ctx, "ASKING")
		}
		_ = pipe.Process(ctx, r.command(ctx)) // queued only
		writes = writes || r.script.writes
	}
	if s.opt.Replicas > 0 && writes {
		wait = pipe.Do(ctx, "WAIT", s.opt.Replicas, s.waitMillis(ctx))
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	return wait
}

// waitMillis is how long WAIT may take: most of the time that is left. 0 would be for ever.
func (s *Store) waitMillis(ctx context.Context) int64 {
	left := s.opt.ReadTimeout
	if end, ok := ctx.Deadline(); ok {
		left = min(left, time.Until(end))
	}
	return max(1, (left * 3 / 4).Milliseconds())
}

// checkReplicas puts writes in doubt that too few replicas acknowledged.
func (s *Store) checkReplicas(wait *redis.Cmd, reqs []*request) {
	if wait == nil {
		return
	}
	got, err := wait.Int()
	if err == nil && got >= s.opt.Replicas {
		return
	}
	for _, r := range reqs {
		if r.err == nil && r.script.writes {
			r.err = fmt.Errorf("%w: %w: %d of %d (%v)", store.ErrUnavailable, errReplicas, got,
				s.opt.Replicas, err)
		}
	}
}

func (r *request) command(ctx context.Context) redis.Cmder {
	if r.flat {
		r.cmd = redis.NewStringSliceCmd(ctx, r.args...)
	} else {
		r.cmd = redis.NewSliceCmd(ctx, r.args...)
	}
	return r.cmd
}

// finish takes the reply out of the command and checks that it is the answer to this one.
func (r *request) finish(clock *serverTime, sent, received time.Time) {
	if err := r.cmd.Err(); err != nil {
		r.err = classify(err)
		return
	}
	var first string
	switch cmd := r.cmd.(type) {
	case *redis.StringSliceCmd:
		r.strings = cmd.Val()
		if len(r.strings) > 0 {
			first, r.strings = r.strings[0], r.strings[1:]
		}
	case *redis.SliceCmd:
		r.values = cmd.Val()
		if len(r.values) > 0 {
			first, _ = r.values[0].(string)
			r.values = r.values[1:]
		}
	}
	stamp, ours := strings.CutPrefix(first, r.nonce)
	if !ours || !r.script.writes && stamp != "" {
		r.refuseReply()
		return
	}
	if r.script.writes {
		r.finishStamp(clock, stamp, sent, received)
	}
}

func (r *request) refuseReply() {
	r.strings, r.values = nil, nil
	r.err = fmt.Errorf("%w: %w", store.ErrUnavailable, errShifted)
}

func (r *request) finishStamp(clock *serverTime, stamp string, sent, received time.Time) {
	seconds, micros, _ := strings.Cut(stamp, ".")
	sec, err1 := strconv.ParseInt(seconds, 10, 64)
	usec, err2 := strconv.ParseInt(micros, 10, 64)
	if err1 != nil || err2 != nil {
		r.refuseReply()
		return
	}
	clock.observe(sent, received, sec*1_000_000+usec)
	if r.status() == "late" {
		r.err = fmt.Errorf("%w: the call reached the server after its deadline and was refused",
			store.ErrUnavailable)
	}
}

// status is the word after the stamp.
func (r *request) status() string {
	if len(r.strings) > 0 {
		return r.strings[0]
	}
	return r.text(0)
}

// text returns value i of the reply as text; an integer as decimal, nothing as "".
func (r *request) text(i int) string {
	if i >= len(r.values) {
		return ""
	}
	switch v := r.values[i].(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	default:
		return ""
	}
}

// classify says which of the store's faults an error of the client or server is.
func classify(err error) error {
	text := err.Error()
	damaged := strings.HasPrefix(text, "WRONGTYPE") ||
		strings.HasPrefix(text, "ERR") && strings.Contains(text, "user_script")
	if isReply(err) && damaged {
		return fmt.Errorf("%w: %w", store.ErrDamaged, err)
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

// isReply reports whether the server sent the error: then nothing was executed, unless a
// script failed half way.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && !errors.Is(err, redis.Nil)
}

// again returns the requests to send once more, each where the server said.
func (s *Store) again(ctx context.Context, reqs []*request, try int) []*request {
	var rest []*request
	pause := false
	for _, r := range reqs {
		if r.err == nil {
			continue
		}
		var reply redis.Error
		if !errors.As(r.err, &reply) {
			s.noteLost(r)
			continue
		}
		if try >= againMax || ctx.Err() != nil {
			continue
		}
		send, wait := s.redirect(r, reply.Error())
		if send {
			r.err = nil
			rest = append(rest, r)
			pause = pause || wait
		}
	}
	if pause {
		select {
		case <-ctx.Done():
		case <-time.After(againPause):
		}
	}
	return rest
}

// noteLost has the slots asked for again after a fault of the network.
func (s *Store) noteLost(r *request) {
	if s.opt.Cluster && !errors.Is(r.err, errReplicas) {
		s.router.noteLost()
	}
}

// redirect prepares a request that was not executed for its next try, and tells whether
// there is one and whether to pause before.
func (s *Store) redirect(r *request, reply string) (send, pause bool) {
	word, rest, _ := strings.Cut(reply, " ")
	switch word {
	case "NOSCRIPT":
		r.args[0], r.args[1] = "EVAL", r.script.text
		return true, false
	case "MOVED", "ASK":
		_, addr, _ := strings.Cut(rest, " ")
		n, err := s.router.node(fullAddr(addr, s.target(r).addr))
		if !s.opt.Cluster || err != nil {
			return false, false
		}
		if r.asking = word == "ASK"; r.asking {
			r.target = n
			return true, false
		}
		r.target = nil
		s.router.routes[r.place].Store(n)
		s.router.noteLost()
		return true, false
	case "TRYAGAIN":
		return true, true
	case "CLUSTERDOWN", "READONLY", "MASTERDOWN":
		s.noteLost(r)
	}
	return false, false
}
