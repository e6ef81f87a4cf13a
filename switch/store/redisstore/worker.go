package redisstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tapswitch/tapswitch/switch/store"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// crew is the workers of the buckets that one node had at the start, and what waits for
// them. A commit that came alone is taken by whichever worker is free. Commits that came
// with others keep their order within each bucket: they wait for the one worker of their
// bucket. Buckets keep their crew for ever, also when their slots move to another node.
type crew struct {
	store   *Store
	workers []*worker

	// flight is held for reading while a call is under way, and for writing while a job
	// runs, over the network both: commits are to wait for a job.
	flight sync.RWMutex

	mu      sync.Mutex // guards what follows, and the workers' ordered queues
	single  fifo
	calls   int       // workers with single commits on the way
	called  time.Time // when the last of them began
	jobs    []*job
	waiting int // items in all queues
	ended   bool
}

// worker sends commits, one call at a time: what comes in while a call is under way goes
// with the next one.
type worker struct {
	crew    *crew
	store   *Store
	wake    chan struct{} // holds one
	ordered fifo          // guarded by crew.mu

	// Only the worker's goroutine touches these.
	list    []*item // taken
	failing bool    // the last call failed, which was logged
	calling bool    // counted in crew.calls; guarded by crew.mu
}

// Two calls at once are for many commits, or for when one call hangs: few commits do
// better in one list after the call under way, since a list costs the server one fsync
// and both sides one message, whatever is in it.
const (
	spillItems = 32
	spillAfter = 3 * time.Millisecond
)

// openLocked reports whether a free worker takes the single commits now rather than leave
// them to the one who is under way.
func (c *crew) openLocked() bool {
	return c.calls == 0 || c.single.len() >= spillItems || time.Since(c.called) > spillAfter
}

// job is something that must not run beside commits: what changes a bucket's epoch or
// depends on it.
type job struct {
	ctx  context.Context // the caller's, who waits for done
	run  func(context.Context) error
	err  error // valid once done is closed
	done chan struct{}
}

// startWorkers gives each node a crew of Connections workers, who share its buckets.
func (s *Store) startWorkers() {
	crews := map[*node]*crew{}
	count := map[*node]int{}
	for b := range s.owner {
		n := s.router.routes[b].Load()
		if crews[n] == nil {
			crews[n] = s.newCrew()
		}
		team := crews[n].workers
		s.owner[b] = team[count[n]%len(team)]
		count[n]++
	}
}

func (s *Store) newCrew() *crew {
	c := &crew{store: s}
	for range s.opt.Connections {
		w := &worker{crew: c, store: s, wake: make(chan struct{}, 1)}
		c.workers = append(c.workers, w)
		s.background.Go(w.run)
	}
	s.crews = append(s.crews, c)
	return c
}

// enqueue hands the unanswered items of a batch to the workers, in order.
func (s *Store) enqueue(b *batch) {
	if len(b.items) == 1 {
		if it := &b.items[0]; !it.answered.Load() {
			s.owner[it.bucket].crew.add(nil, it)
		}
		return
	}
	shares := map[*worker][]*item{}
	for i := range b.items {
		if it := &b.items[i]; !it.answered.Load() {
			w := s.owner[it.bucket]
			shares[w] = append(shares[w], it)
		}
	}
	for w, share := range shares {
		w.crew.add(w, share...)
	}
}

// add queues items for one worker, or a single one for any; it refuses all of them when
// more than queueMax would wait.
func (c *crew) add(w *worker, items ...*item) {
	c.mu.Lock()
	full, wake := c.waiting+len(items) > queueMax, true
	switch {
	case full:
	case w == nil:
		c.single.push(items...)
		wake = c.openLocked()
	default:
		w.ordered.push(items...)
	}
	if !full {
		c.waiting += len(items)
	}
	c.mu.Unlock()
	if full {
		refuseItems(items)
		return
	}
	if wake {
		c.signal()
	}
}

func refuseItems(items []*item) {
	err := fmt.Errorf("redisstore: commit: %w: %d commits wait already; not begun",
		store.ErrUnavailable, queueMax)
	for _, it := range items {
		it.fail(err)
	}
}

// do has a worker run a job while no commit is under way, and waits for it.
func (c *crew) do(ctx context.Context, run func(context.Context) error) error {
	j := &job{ctx: ctx, run: run, done: make(chan struct{})}
	c.mu.Lock()
	c.jobs = append(c.jobs, j)
	c.mu.Unlock()
	c.signal()
	select {
	case <-j.done:
		return j.err
	case <-ctx.Done():
		return fmt.Errorf("redisstore: %w: no answer in time: %w", store.ErrUnavailable,
			context.Cause(ctx))
	}
}

// execute runs a job whose caller still waits.
func (c *crew) execute(j *job) {
	c.flight.Lock()
	defer c.flight.Unlock()
	defer close(j.done)
	if j.err = j.ctx.Err(); j.err == nil {
		j.err = j.run(j.ctx)
	}
}

// signal wakes the workers that have nothing to do.
func (c *crew) signal() {
	for _, w := range c.workers {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (c *crew) end() {
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
	c.signal()
}

func (w *worker) run() {
	for range w.wake {
		for {
			// Whoever was just answered may bring its next commit before the list is cut:
			// fuller lists, and half the tail (HOTPATH.md).
			runtime.Gosched()
			jobs, ended := w.cut()
			for _, j := range jobs {
				w.crew.execute(j)
			}
			if len(w.list) > 0 {
				w.crew.flight.RLock()
				w.call(w.groups(), w.store.scripts.commit)
				w.crew.flight.RUnlock()
			} else if len(jobs) == 0 {
				if ended {
					return
				}
				break
			}
		}
	}
}

// cut takes the jobs and the next list and reports whether the worker is to end. While
// single commits wait, a long batch gets half of each list.
func (w *worker) cut() (jobs []*job, ended bool) {
	c := w.crew
	c.mu.Lock()
	defer c.mu.Unlock()
	jobs, c.jobs = c.jobs, nil
	if w.calling {
		w.calling = false
		c.calls--
	}
	room := w.store.opt.ListMax
	mine := room - min(c.single.len(), room/2)
	w.list = w.ordered.take(w.list[:0], mine)
	if own := len(w.list); own > 0 || c.openLocked() {
		w.list = c.single.take(w.list, room-own)
		w.calling = len(w.list) > own
	}
	if w.calling {
		c.calls++
		c.called = time.Now()
	}
	c.waiting -= len(w.list)
	return jobs, c.ended
}

// groups sorts the list by bucket, in order within each, and drops what nobody waits for.
func (w *worker) groups() [][]*item {
	var byBucket [txn.BucketCount][]*item
	var order []txn.Bucket
	for _, it := range w.list {
		if it.owner.abandoned.Load() {
			it.fail(fmt.Errorf("redisstore: commit: %w: given up before it began",
				store.ErrUnavailable))
			continue
		}
		if byBucket[it.bucket] == nil {
			order = append(order, it.bucket)
		}
		byBucket[it.bucket] = append(byBucket[it.bucket], it)
	}
	groups := make([][]*item, 0, len(order))
	for _, b := range order {
		groups = append(groups, byBucket[b])
	}
	return groups
}

// call sends the groups with one script: one request on a single node, one a bucket in a
// cluster, all in one call.
func (w *worker) call(groups [][]*item, sc *script) {
	if len(groups) == 0 {
		return
	}
	s := w.store
	var reqs []*request
	var parts [][][]*item
	if s.opt.Cluster {
		for i := range groups {
			reqs = append(reqs, s.commitRequest(sc, groups[i:i+1]))
			parts = append(parts, groups[i:i+1])
		}
	} else {
		reqs = append(reqs, s.commitRequest(sc, groups))
		parts = append(parts, groups)
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.ReadTimeout)
	s.exchange(ctx, commitLane, reqs)
	cancel()
	var full [][]*item
	for i, r := range reqs {
		if sc == s.scripts.commit && isOOM(r.err) {
			full = append(full, parts[i]...)
			continue
		}
		w.answer(r, parts[i])
	}
	if len(full) > 0 {
		w.callReserve(full)
	}
}

// isOOM reports that the server refused a script before its start, for want of memory.
func isOOM(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), "OOM")
}

var errMemory = fmt.Errorf("%w: the server's memory is full (maxmemory); nothing was executed",
	store.ErrUnavailable)

// callReserve answers what memory has no room for, and sends what must not be refused for
// that: the server executed nothing of the list.
func (w *worker) callReserve(groups [][]*item) {
	var reserved [][]*item
	for _, group := range groups {
		var keep []*item
		for _, it := range group {
			if it.head[1] == 1 {
				keep = append(keep, it)
			} else {
				it.fail(fmt.Errorf("redisstore: commit in %s: %w", it.bucket, errMemory))
			}
		}
		if len(keep) > 0 {
			reserved = append(reserved, keep)
		}
	}
	w.call(reserved, w.store.scripts.commitReserve)
}

// commitRequest lays out the arguments of commit.lua.
func (s *Store) commitRequest(sc *script, groups [][]*item) *request {
	count := 0
	for _, g := range groups {
		count += len(g)
	}
	p := place(groups[0][0].bucket)
	r := &request{place: p, script: sc, nonce: s.nonce(), flat: true}
	r.args = make([]any, 0, 10+7*len(groups)+9*count)
	r.args = append(r.args, "EVALSHA", sc.sha, 5*len(groups)+count)
	for _, g := range groups {
		k := &s.keys.bucket[g[0].bucket]
		r.args = append(r.args, &k.meta, &k.out, &k.frozen, &k.freezes, &k.due)
		for _, it := range g {
			r.args = append(r.args, &it.card)
		}
	}
	r.args = append(r.args, r.nonce, s.clocks[p].deadline(s.opt.ReadTimeout), s.opt.OutboxMax,
		s.opt.ChangesKept, s.terminal, int(boolByte(s.opt.Replicas > 0)), len(groups))
	for _, g := range groups {
		epoch := s.epochs[g[0].bucket].Load()
		r.args = append(r.args, epoch, len(g))
		for _, it := range g {
			it.epoch = epoch
			r.args = append(r.args, &it.head, &it.version, &it.mark, &it.deadline, &it.token,
				&it.state, &it.record)
			if it.head[2] != listNone {
				r.args = append(r.args, &it.entry)
			}
			for i := range it.due {
				r.args = append(r.args, &it.due[i])
			}
		}
	}
	return r
}

// answer gives every item of the groups its part of the reply, or the fault of the call.
func (w *worker) answer(r *request, groups [][]*item) {
	count := 0
	for _, g := range groups {
		count += len(g)
	}
	err := r.err
	if err == nil && len(r.strings) != count {
		err = fmt.Errorf("%w: %w: %d answers to %d commits", store.ErrUnavailable, errReply,
			len(r.strings), count)
	}
	w.note(err)
	i := 0
	for _, g := range groups {
		for _, it := range g {
			if err != nil {
				it.fail(fmt.Errorf("redisstore: commit in %s: %w", it.bucket, err))
			} else {
				it.take(r.strings[i])
			}
			i++
		}
		w.store.nudges[g[0].bucket].wake()
	}
}

// note logs when calls begin to fail and when they work again, not each that fails.
func (w *worker) note(err error) {
	switch {
	case err != nil && !w.failing:
		w.store.opt.Logger.Warn("commits fail", "err", err)
	case err == nil && w.failing:
		w.store.opt.Logger.Info("commits work again")
	}
	w.failing = err != nil
}
