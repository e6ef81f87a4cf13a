package topics

import (
	"errors"
	"strings"
	"testing"
)

func records(t *testing.T) Topic {
	t.Helper()
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range all {
		if topic.Name == Records {
			return topic
		}
	}
	t.Fatalf("%s is missing", Records)
	return Topic{}
}

func setting(t *testing.T, topic Topic, name string) string {
	t.Helper()
	for _, s := range topic.Settings {
		if s.Name == name {
			return s.Value
		}
	}
	t.Fatalf("%s has no %s", topic.Name, name)
	return ""
}

func TestRecordsTopicHoldsTheRules(t *testing.T) {
	topic := records(t)
	if topic.Partitions != 64 {
		t.Errorf("%d partitions, want one for each of 64 buckets", topic.Partitions)
	}
	for name, want := range map[string]string{
		"cleanup.policy":                 "delete",
		"unclean.leader.election.enable": "false",
		"min.insync.replicas":            "2",
		"retention.bytes":                "-1",
		"message.timestamp.type":         "CreateTime",
	} {
		if got := setting(t, topic, name); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
}

func TestFewerBrokersMeanFewerCopies(t *testing.T) {
	topic := records(t)
	for brokers, want := range map[int]struct {
		copies int
		insync string
	}{0: {1, "1"}, 1: {1, "1"}, 2: {2, "1"}, 3: {3, "2"}, 9: {3, "2"}} {
		got := topic.ForBrokers(brokers)
		if got.ReplicationFactor != want.copies || setting(t, got, minInsync) != want.insync {
			t.Errorf("%d brokers: %d copies, %s in sync, want %d and %s", brokers,
				got.ReplicationFactor, setting(t, got, minInsync), want.copies, want.insync)
		}
	}
	if setting(t, topic, minInsync) != "2" {
		t.Error("the topic itself was changed")
	}
}

func TestBadDescriptionsAreRefused(t *testing.T) {
	const good = `{"name":"a","purpose":"p","partitions":1,"replicationFactor":1,` +
		`"settings":[{"name":"n","value":"v","why":"w"}]}`
	wrap := func(topic string) string { return `{"topics":[` + topic + `]}` }
	if _, err := parse([]byte(wrap(good))); err != nil {
		t.Fatalf("the good one is refused: %v", err)
	}
	for name, text := range map[string]string{
		"no topics":     `{"topics":[]}`,
		"not json":      `topics`,
		"unknown field": wrap(strings.Replace(good, `"purpose"`, `"porpoise"`, 1)),
		"no name":       wrap(strings.Replace(good, `"a"`, `""`, 1)),
		"no partitions": wrap(strings.Replace(good, `"partitions":1`, `"partitions":0`, 1)),
		"too many":      wrap(strings.Replace(good, `"partitions":1`, `"partitions":1025`, 1)),
		"no copies":     wrap(strings.Replace(good, `"replicationFactor":1`, `"replicationFactor":0`, 1)),
		"no reason":     wrap(strings.Replace(good, `"w"`, `""`, 1)),
	} {
		if _, err := parse([]byte(text)); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
}
