package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/tapswitch/tapswitch/ledger/warehouse"
	"github.com/tapswitch/tapswitch/switch/txn"
)

const (
	// TopicDefault is the topic of settled records.
	TopicDefault = "tapswitch.records"
	// RetentionMin is how long the topic must keep records: a week, so that a ledger that
	// was lost over a holiday can be filled again.
	RetentionMin = 7 * 24 * time.Hour
	// adminTimeout bounds one question to the cluster.
	adminTimeout = 15 * time.Second
)

// ErrTopic reports a topic that is not what the feed needs.
var ErrTopic = errors.New("kafka topic does not fit")

// Kafka says where the topic is.
type Kafka struct {
	// Brokers are host:port of some brokers of the cluster.
	Brokers []string
	// Topic is the name of the topic; default TopicDefault.
	Topic string
	// Replication is the number of copies that EnsureTopic asks for; default 1. Below 3 a
	// broken disk may lose what was acknowledged, until the relay sends it again.
	Replication int
}

// topic returns the name of the topic or the default.
func (k *Kafka) topic() string {
	if k.Topic == "" {
		return TopicDefault
	}
	return k.Topic
}

// replication returns the number of copies to ask for, at least one.
func (k *Kafka) replication() int { return max(k.Replication, 1) }

// client returns a client for questions, and what ends its connections.
func (k *Kafka) client() (*kafka.Client, func()) {
	transport := &kafka.Transport{DialTimeout: adminTimeout}
	return &kafka.Client{Addr: kafka.TCP(k.Brokers...), Timeout: adminTimeout,
			Transport: transport},
		transport.CloseIdleConnections
}

// EnsureTopic makes the topic if it is not there, with one partition a bucket, and checks
// that it has exactly that many: with another number buckets would share a partition or
// miss theirs (ErrTopic).
func EnsureTopic(ctx context.Context, k Kafka) error {
	client, end := k.client()
	defer end()
	config := []kafka.ConfigEntry{
		{ConfigName: "retention.ms", ConfigValue: strconv.FormatInt(RetentionMin.Milliseconds(),
			10)},
		{ConfigName: "retention.bytes", ConfigValue: "-1"},
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		{ConfigName: "unclean.leader.election.enable", ConfigValue: "false"},
		{ConfigName: "min.insync.replicas", ConfigValue: strconv.Itoa(insyncMin(k.replication()))},
	}
	res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: k.topic(), NumPartitions: txn.BucketCount, ReplicationFactor: k.replication(),
		ConfigEntries: config,
	}}})
	if err == nil {
		err = res.Errors[k.topic()]
	}
	if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("cannot make topic %s: %w", k.topic(), err)
	}
	for pause := backoffFirst; ; pause = min(2*pause, backoffMax) {
		n, err := partitions(ctx, client, k.topic())
		if err == nil && n == txn.BucketCount {
			return nil
		}
		if err == nil {
			return fmt.Errorf("%w: %s has %d partitions, want %d", ErrTopic, k.topic(), n,
				txn.BucketCount)
		}
		// A new topic is known to all brokers a moment later.
		if !wait(ctx, pause) {
			return fmt.Errorf("cannot check topic %s: %w", k.topic(), err)
		}
	}
}

// insyncMin is the number of copies that must have a record before it is acknowledged.
func insyncMin(replication int) int { return max(1, min(2, replication-1)) }

// partitions returns how many partitions a topic has; an unknown topic is
// kafka.UnknownTopicOrPartition.
func partitions(ctx context.Context, client *kafka.Client, topic string) (int, error) {
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return 0, fmt.Errorf("cannot read the metadata: %w", err)
	}
	for _, t := range meta.Topics {
		if t.Name == topic {
			return len(t.Partitions), t.Error
		}
	}
	return 0, kafka.UnknownTopicOrPartition
}

// CheckSettings looks at the settings of topic and brokers that the feed's guarantees rest
// on and returns a line for each. It changes nothing. An error means that the cluster could
// not be asked.
func CheckSettings(ctx context.Context, k Kafka) ([]warehouse.Finding, error) {
	client, end := k.client()
	defer end()
	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{k.topic()}})
	if err != nil {
		return nil, fmt.Errorf("cannot ask kafka for topic %s: %w", k.topic(), err)
	}
	got, copies := 0, 0
	for _, t := range meta.Topics {
		if t.Name != k.topic() || t.Error != nil {
			continue
		}
		got, copies = len(t.Partitions), len(t.Partitions[0].Replicas)
		for _, p := range t.Partitions {
			copies = min(copies, len(p.Replicas))
		}
	}
	findings := []warehouse.Finding{{Name: "kafka.partitions", OK: got == txn.BucketCount,
		Got: strconv.Itoa(got), Want: strconv.Itoa(txn.BucketCount),
		Fix: "make the topic anew with the right number; records come again from the outbox"}}
	if got == 0 {
		return findings, nil
	}
	config, err := topicConfig(ctx, client, k.topic())
	if err != nil {
		return nil, err
	}
	findings = append(findings, checkCopies(copies, len(meta.Brokers), config),
		checkElection(config), checkRetention(config), checkCleanup(config))
	for i := range findings {
		if findings[i].OK {
			findings[i].Fix = ""
		}
	}
	return findings, nil
}

// topicConfig returns the settings in force for the topic, those inherited from the brokers
// included.
func topicConfig(
	ctx context.Context, client *kafka.Client, topic string,
) (map[string]string, error) {
	res, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{
			{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}}})
	if err != nil {
		return nil, fmt.Errorf("cannot ask kafka for the settings of %s: %w", topic, err)
	}
	config := make(map[string]string)
	for _, r := range res.Resources {
		if r.Error != nil {
			return nil, fmt.Errorf("cannot ask kafka for the settings of %s: %w", topic, r.Error)
		}
		for _, e := range r.ConfigEntries {
			config[e.ConfigName] = e.ConfigValue
		}
	}
	return config, nil
}

// checkCopies wants every record on a second disk before it is acknowledged, where the
// cluster has one.
func checkCopies(copies, brokers int, config map[string]string) warehouse.Finding {
	insync, _ := strconv.Atoi(config["min.insync.replicas"])
	want := insyncMin(copies)
	return warehouse.Finding{Name: "kafka.min_insync_replicas",
		OK: insync >= want && (insync < copies || copies == 1) && (copies >= 3 ||
			copies == brokers),
		Got: fmt.Sprintf("min.insync.replicas %d of %d copies, %d brokers", insync, copies,
			brokers),
		Want: fmt.Sprintf("at least %d, fewer than the copies; 3 copies or as many as brokers",
			want),
		Fix: "set min.insync.replicas and the replication factor of the topic"}
}

// checkElection: a replica that lagged behind must not lead, since what it lacks is cut off the
// others too.
func checkElection(config map[string]string) warehouse.Finding {
	got := config["unclean.leader.election.enable"]
	return warehouse.Finding{Name: "kafka.unclean_leader_election", OK: got == "false", Got: got,
		Want: "false",
		Fix:  "set unclean.leader.election.enable=false: a stale leader loses records"}
}

// checkRetention: the topic must outlive the longest repair of a ledger, by time and not by size.
func checkRetention(config map[string]string) warehouse.Finding {
	ms, err := strconv.ParseInt(config["retention.ms"], 10, 64)
	bytes := config["retention.bytes"]
	return warehouse.Finding{Name: "kafka.retention",
		OK:  err == nil && (ms < 0 || ms >= RetentionMin.Milliseconds()) && bytes == "-1",
		Got: "retention.ms " + config["retention.ms"] + ", retention.bytes " + bytes,
		Want: fmt.Sprintf("retention.ms at least %d, retention.bytes -1",
			RetentionMin.Milliseconds()),
		Fix: "set retention.ms and retention.bytes of the topic"}
}

// checkCleanup: a compacted topic keeps one record a key and loses the rest.
func checkCleanup(config map[string]string) warehouse.Finding {
	got := config["cleanup.policy"]
	return warehouse.Finding{Name: "kafka.cleanup_policy", OK: got == "delete", Got: got,
		Want: "delete",
		Fix:  "set cleanup.policy=delete: compaction drops records"}
}

// brokerHost is used in messages: the first broker without its port.
func brokerHost(k *Kafka) string {
	if len(k.Brokers) == 0 {
		return "no broker"
	}
	host, _, err := net.SplitHostPort(k.Brokers[0])
	if err != nil {
		return k.Brokers[0]
	}
	return host
}
