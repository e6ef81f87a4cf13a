package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Fixed is one server of the stack on its fixed port.
type Fixed struct {
	// Name is unique in the stack: redis, redis-cluster-1, kafka, clickhouse.
	Name string
	Kind Kind
	// Addr is host:port for clients.
	Addr string
	// PID is 0 while the server is down.
	PID int
	// Answers tells whether it answered its own protocol just now.
	Answers bool

	dir, pidFile string
	port         int
	cluster      bool
}

// ErrPortHeld says that a fixed port is taken by a program that the stack did not start.
var ErrPortHeld = errors.New("stack: a fixed port is held by another program")

// fixed lists the servers of Up in starting order.
func (l layout) fixed() []Fixed {
	servers := []Fixed{{Name: "redis", Kind: Redis, port: l.ports.redis}}
	for i := range RedisClusterNodes {
		servers = append(servers, Fixed{Name: "redis-cluster-" + strconv.Itoa(i+1), Kind: Redis,
			port: l.ports.cluster + i, cluster: true})
	}
	servers = append(servers,
		Fixed{Name: "kafka", Kind: Kafka, port: l.ports.kafka},
		Fixed{Name: "clickhouse", Kind: ClickHouse, port: l.ports.clickHouse})
	for i := range servers {
		s := &servers[i]
		s.Addr = loopback(s.port)
		s.dir = filepath.Join(l.dir, "data", s.Name)
		s.pidFile = filepath.Join(l.dir, "run", s.Name+".pid")
	}
	return servers
}

// Status looks at the servers on the fixed ports. Only a server that Up started counts as running.
func Status(ctx context.Context) ([]Fixed, error) {
	lay, err := newLayout()
	if err != nil {
		return nil, err
	}
	return lay.status(ctx), nil
}

// status asks one server after the other; a paused one costs a probe's time limit.
func (l layout) status(ctx context.Context) []Fixed {
	servers := l.fixed()
	for i := range servers {
		s := &servers[i]
		if running := readPidFile(s.pidFile); running != nil {
			s.PID = running.Pid
			s.Answers = s.ask(ctx) == nil
		}
	}
	return servers
}

// ask puts the question that a start waits for.
func (s Fixed) ask(ctx context.Context) error {
	switch s.Kind {
	case Kafka:
		return kafkaReady(ctx, s.Addr)
	case ClickHouse:
		return clickHouseReady(ctx, s.Addr)
	default:
		return redisReady(ctx, s.Addr)
	}
}

// Up starts the servers of the kinds on the fixed ports, leaving alone those that run. They outlive
// this process. Progress gets a line for each. A port that another program holds is an error.
func Up(ctx context.Context, progress io.Writer, kinds ...Kind) error {
	lay, err := newLayout()
	if err != nil {
		return err
	}
	return lay.up(ctx, progress, kinds)
}

// up is Up on any layout. The lock keeps two from starting the same server.
func (l layout) up(ctx context.Context, progress io.Writer, kinds []Kind) error {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("stack: make the stack's folder: %w", err)
	}
	lock, err := lockFile(filepath.Join(l.dir, "up.lock"), 0)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	for _, s := range l.status(ctx) {
		if !slices.Contains(kinds, s.Kind) {
			continue
		}
		if s.PID != 0 && s.Answers {
			say(progress, "%s runs already at %s (pid %d)", s.Name, s.Addr, s.PID)
			continue
		}
		if err := s.start(ctx, progress); err != nil {
			return err
		}
	}
	if !slices.Contains(kinds, Redis) {
		return nil
	}
	return l.joinCluster(ctx, progress)
}

// say reports a step; a progress line that cannot be written is no reason to stop.
func say(progress io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(progress, "stack: "+format+"\n", args...)
}

// start refuses a port that is taken: the answer of a stranger would look like ours.
func (s Fixed) start(ctx context.Context, progress io.Writer) error {
	if s.PID != 0 {
		return fmt.Errorf("stack: %s (pid %d) runs but does not answer at %s: run stackctl down, "+
			"then look at %s", s.Name, s.PID, s.Addr, filepath.Join(s.dir, logName))
	}
	if !portIsFree(s.port) {
		return fmt.Errorf("%w: port %d: stop the program that has it, %s needs the port",
			ErrPortHeld, s.port, s.Name)
	}
	began := time.Now()
	if s.Kind == Kafka {
		say(progress, "starting %s, about five seconds", s.Name)
	}
	server, err := s.launch(ctx)
	if err != nil {
		return errors.Join(fmt.Errorf("stack: start %s: %w", s.Name, err), removeFile(s.pidFile))
	}
	say(progress, "%s started at %s (pid %d, %.1f s)", s.Name, s.Addr, server.PID(),
		time.Since(began).Seconds())
	return nil
}

// launch starts the server with a pid file, which also lets it outlive this process.
func (s Fixed) launch(ctx context.Context) (*Server, error) {
	switch s.Kind {
	case Kafka:
		return StartKafka(ctx, KafkaOptions{Dir: s.dir, Port: s.port, pidFile: s.pidFile})
	case ClickHouse:
		return StartClickHouse(ctx, ClickHouseOptions{Dir: s.dir, Port: s.port, pidFile: s.pidFile})
	default:
		return StartRedis(ctx, RedisOptions{Dir: s.dir, Port: s.port, pidFile: s.pidFile,
			cluster: s.cluster})
	}
}

// joinCluster makes one cluster of the fixed nodes; done before, it does nothing.
func (l layout) joinCluster(ctx context.Context, progress io.Writer) error {
	cluster := &RedisCluster{}
	for _, s := range l.fixed() {
		if s.cluster {
			cluster.Nodes = append(cluster.Nodes, &Server{addr: s.Addr,
				ports: []*port{{number: s.port}, {number: s.port + redisBusOffset}}})
		}
	}
	if cluster.stateOK(ctx) == nil {
		return nil
	}
	say(progress, "joining the redis cluster, about two seconds")
	if err := cluster.join(ctx); err != nil {
		return err
	}
	if err := cluster.WaitOK(ctx); err != nil {
		return err
	}
	say(progress, "redis cluster of %d nodes is ok", len(cluster.Nodes))
	return nil
}

// Down stops the servers that Up started, the last one first, and nothing else: the pid file must
// name a live process with the start time it was written with. The data stay.
func Down(ctx context.Context, progress io.Writer) error {
	lay, err := newLayout()
	if err != nil {
		return err
	}
	return lay.down(ctx, progress)
}

// down is Down on any layout.
func (l layout) down(ctx context.Context, progress io.Writer) error {
	stopped := 0
	var failed error // one server that does not stop must not keep the others up
	for _, s := range slices.Backward(l.fixed()) {
		running := readPidFile(s.pidFile)
		if running != nil {
			if err := s.stop(ctx, running); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			say(progress, "%s stopped (pid %d)", s.Name, running.Pid)
			stopped++
		}
		failed = errors.Join(failed, removeFile(s.pidFile))
	}
	if stopped == 0 && failed == nil {
		say(progress, "nothing was running")
	}
	return failed
}

// stop ends a process that is no child of ours: it is looked at until it is gone. If ctx ends
// first, the process has its SIGTERM and keeps its pid file.
func (s Fixed) stop(ctx context.Context, running *os.Process) error {
	err := errors.Join(running.Signal(syscall.SIGTERM), running.Signal(syscall.SIGCONT))
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stack: stop %s (pid %d): %w", s.Name, running.Pid, err)
	}
	if s.gone(ctx, stopMax) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stack: %s (pid %d) was told to end but not waited for: %w", s.Name,
			running.Pid, err)
	}
	if err := running.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stack: kill %s (pid %d): %w", s.Name, running.Pid, err)
	}
	if !s.gone(ctx, killMax) {
		return fmt.Errorf("stack: %s (pid %d) survived SIGKILL for %v", s.Name, running.Pid,
			killMax)
	}
	return nil
}

// gone reports whether the process ended within the limit.
func (s Fixed) gone(ctx context.Context, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for readPidFile(s.pidFile) != nil {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

// removeFile is content with a file that is not there.
func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("stack: remove a pid file: %w", err)
	}
	return nil
}

// Environment returns NAME=value lines with which the product and its tests find the servers of Up.
func Environment() []string {
	cluster := ""
	for i := range RedisClusterNodes {
		if i > 0 {
			cluster += ","
		}
		cluster += loopback(RedisClusterPort + i)
	}
	return []string{
		"TAPSWITCH_REDIS_ADDR=" + loopback(RedisPort),
		"TAPSWITCH_REDIS_CLUSTER_ADDRS=" + cluster,
		"TAPSWITCH_KAFKA_BROKERS=" + loopback(KafkaPort),
		"TAPSWITCH_CLICKHOUSE_ADDR=" + loopback(ClickHousePort),
		"TAPSWITCH_CLICKHOUSE_PROTOCOL=http",
	}
}
