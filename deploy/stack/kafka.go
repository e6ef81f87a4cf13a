package stack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	kafkaConfName = "server.properties"
	kafkaLogConf  = "log4j2.properties"
	// kafkaHeap is the broker's heap; it runs at 360 to 470 MB resident with it.
	kafkaHeap = "-Xmx512m"
	// kafkaFormatMax bounds the formatting of a new data folder, a short JVM run.
	kafkaFormatMax = time.Minute
	// kafkaReplyMax bounds the answer to ApiVersions, some hundred bytes.
	kafkaReplyMax = 64 << 10
)

// KafkaOptions says how one broker is run.
type KafkaOptions struct {
	// Dir holds the log segments, the settings and the log; created if missing, kept afterwards.
	Dir string
	// Port is the loopback port for clients, 0 for a free one. The controller's own port is Port+1
	// for a chosen one.
	Port int
	// Settings are broker settings that win over those of the package, such as
	// "log.flush.interval.messages": "1".
	Settings map[string]string

	pidFile string
}

// StartKafka starts one KRaft broker, which is its own controller, and returns once it answers
// ApiVersions and its metadata say that the broker is registered. A new folder is formatted first.
func StartKafka(ctx context.Context, opt KafkaOptions) (*Server, error) {
	server, err := newKafka(ctx, opt)
	if err != nil {
		return nil, err
	}
	if err := server.Start(ctx); err != nil {
		return nil, errors.Join(err, server.Close())
	}
	return server, nil
}

// newKafka prepares a broker without starting it: settings, and a formatted folder.
func newKafka(ctx context.Context, opt KafkaOptions) (*Server, error) {
	if err := Available(Kafka); err != nil {
		return nil, err
	}
	lay, err := newLayout()
	if err != nil {
		return nil, err
	}
	dir, err := dataDir(opt.Dir)
	if err != nil {
		return nil, err
	}
	ports, err := kafkaPorts(opt.Port)
	if err != nil {
		return nil, err
	}
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, fmt.Errorf("stack: find java: %w", err)
	}
	if err := writeKafkaConf(dir, ports, opt.Settings); err != nil {
		return nil, err
	}
	command := []string{java, kafkaHeap, "-XX:+UseSerialGC",
		"-Dlog4j2.configurationFile=" + filepath.Join(dir, kafkaLogConf),
		"-cp", filepath.Join(lay.kafkaJars(), "*")}
	if err := formatKafka(ctx, dir, command); err != nil {
		return nil, err
	}
	addr := loopback(ports[0].number)
	return &Server{
		addr:  addr,
		ports: ports,
		ready: func(ctx context.Context) error { return kafkaReady(ctx, addr) },
		launch: launch{
			kind:     Kafka,
			dir:      dir,
			argv:     append(command, "kafka.Kafka", filepath.Join(dir, kafkaConfName)),
			detached: opt.pidFile != "",
			pidFile:  opt.pidFile,
		},
	}, nil
}

// kafkaPorts holds the port for clients and that of the controller, in this order.
func kafkaPorts(wanted int) ([]*port, error) {
	controller := 0
	if wanted != 0 {
		controller = wanted + 1
	}
	var ports []*port
	for _, number := range []int{wanted, controller} {
		p, err := holdPort(number)
		if err != nil {
			return nil, err
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// writeKafkaConf writes the broker's settings anew at every start: the ports may differ.
func writeKafkaConf(dir string, ports []*port, extra map[string]string) error {
	client, controller := loopback(ports[0].number), loopback(ports[1].number)
	settings := map[string]string{
		"process.roles":                  "broker,controller",
		"node.id":                        "1",
		"controller.quorum.voters":       "1@" + controller,
		"controller.listener.names":      "CONTROLLER",
		"listeners":                      "CLIENT://" + client + ",CONTROLLER://" + controller,
		"advertised.listeners":           "CLIENT://" + client,
		"listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name":     "CLIENT",
		"log.dirs":                       filepath.Join(dir, "data"),
		// One broker holds every copy there is.
		"default.replication.factor":                       "1",
		"min.insync.replicas":                              "1",
		"offsets.topic.replication.factor":                 "1",
		"offsets.topic.num.partitions":                     "4",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"transaction.state.log.num.partitions":             "4",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"share.coordinator.state.topic.num.partitions":     "4",
		// A topic with the wrong number of partitions would break the order of a bucket.
		"auto.create.topics.enable":        "false",
		"group.initial.rebalance.delay.ms": "0",
		// After a kill the controller, in the same process, waits for the session of the dead
		// broker before it lets the new one in: 15 s with the defaults, 5 s with these.
		"broker.session.timeout.ms":      "2000",
		"broker.heartbeat.interval.ms":   "400",
		"num.network.threads":            "2",
		"num.io.threads":                 "4",
		"log.cleaner.dedupe.buffer.size": "16777216",
	}
	maps.Copy(settings, extra)
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s=%s\n", name, settings[name])
	}
	const logging = "rootLogger.level=warn\nrootLogger.appenderRef.out.ref=out\n" +
		"appender.out.type=Console\nappender.out.name=out\n" +
		"appender.out.layout.type=PatternLayout\n" +
		"appender.out.layout.pattern=%d{ISO8601} %p %c{1}: %m%n\n"
	return errors.Join(
		os.WriteFile(filepath.Join(dir, kafkaConfName), text.Bytes(), 0o644),
		os.WriteFile(filepath.Join(dir, kafkaLogConf), []byte(logging), 0o644))
}

// formatKafka gives a new data folder its cluster id; a formatted one is left alone.
func formatKafka(ctx context.Context, dir string, command []string) error {
	if _, err := os.Stat(filepath.Join(dir, "data", "meta.properties")); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, kafkaFormatMax)
	defer cancel()
	args := append(slices.Clone(command[1:]), "kafka.tools.StorageTool", "format",
		"-t", clusterID(), "-c", filepath.Join(dir, kafkaConfName))
	out, err := exec.CommandContext(ctx, command[0], args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("stack: format kafka's folder %s: %w: %s", dir, err,
			strings.TrimSpace(string(out)))
	}
	return nil
}

// kafkaReady asks for ApiVersions (version 0) and then for the metadata (version 1) of no topic,
// which must name a broker: before it is registered a client finds no leader.
func kafkaReady(ctx context.Context, addr string) error {
	const apiVersions, metadata = 18, 3
	reply, err := kafkaCall(ctx, addr, kafkaRequest{api: apiVersions})
	if err != nil {
		return err
	}
	if len(reply) < 2 || binary.BigEndian.Uint16(reply) != 0 {
		return fmt.Errorf("stack: kafka at %s answered ApiVersions with an error", addr)
	}
	const noTopics = "\x00\x00\x00\x00"
	reply, err = kafkaCall(ctx, addr, kafkaRequest{metadata, 1, []byte(noTopics)})
	if err != nil {
		return err
	}
	if len(reply) < 4 || binary.BigEndian.Uint32(reply) == 0 {
		return fmt.Errorf("stack: kafka at %s knows no broker yet", addr)
	}
	return nil
}

// kafkaRequest is one request in Kafka's old form, by the numbers of its protocol.
type kafkaRequest struct {
	api, version uint16
	body         []byte
}

// frame returns the request as it goes over the wire, with an empty client id.
func (r kafkaRequest) frame(correlation uint32) []byte {
	const headBytes = 2 + 2 + 4 + 2
	frame := binary.BigEndian.AppendUint32(nil, uint32(headBytes+len(r.body)))
	frame = binary.BigEndian.AppendUint16(frame, r.api)
	frame = binary.BigEndian.AppendUint16(frame, r.version)
	frame = binary.BigEndian.AppendUint32(frame, correlation)
	frame = binary.BigEndian.AppendUint16(frame, 0)
	return append(frame, r.body...)
}

// kafkaCall sends one request on a fresh connection and returns the reply's body.
func kafkaCall(ctx context.Context, addr string, request kafkaRequest) ([]byte, error) {
	dialer := net.Dialer{Timeout: probeTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("stack: reach kafka: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(probeTimeout)); err != nil {
		return nil, fmt.Errorf("stack: set a deadline for kafka at %s: %w", addr, err)
	}
	const correlation = 7
	if _, err := conn.Write(request.frame(correlation)); err != nil {
		return nil, fmt.Errorf("stack: send to kafka at %s: %w", addr, err)
	}
	var size [8]byte // length and correlation id
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, fmt.Errorf("stack: read from kafka at %s: %w", addr, err)
	}
	length := binary.BigEndian.Uint32(size[:4])
	if length < 4 || length > kafkaReplyMax || binary.BigEndian.Uint32(size[4:]) != correlation {
		return nil, fmt.Errorf("stack: kafka at %s: reply of %d bytes refused", addr, length)
	}
	reply := make([]byte, length-4)
	if _, err := io.ReadFull(conn, reply); err != nil {
		return nil, fmt.Errorf("stack: read from kafka at %s: %w", addr, err)
	}
	return reply, nil
}

// javaMajor reads the major version of the java in PATH.
func javaMajor(ctx context.Context) (int, error) {
	out, err := exec.CommandContext(ctx, "java", "-version").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("stack: ask java for its version: %w", err)
	}
	_, rest, _ := strings.Cut(string(out), `"`)
	major, err := strconv.Atoi(rest[:max(0, strings.IndexAny(rest, `."-`))])
	if err != nil {
		return 0, fmt.Errorf("stack: no version in %q", strings.TrimSpace(string(out)))
	}
	return major, nil
}

// clusterID returns a new id in Kafka's form. It never begins with a dash, which Kafka's tool
// would take for an option: one id in 64 would.
func clusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: the runtime ends the process instead
	id[0] &= 0x7f
	return base64.RawURLEncoding.EncodeToString(id[:])
}
