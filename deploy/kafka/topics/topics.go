// Package topics holds the Kafka topics that tapswitch needs, with the reason for every setting, so
// that the switch can create them, doctor can compare them with a running cluster, and a person can
// read them (topics.json is the one source).
//
// Times are in milliseconds and sizes in bytes, as Kafka has them. The package reads an embedded
// file and talks to nobody. It refuses a file with unknown fields, a setting without a reason, and
// a topic whose figures cannot hold.
package topics

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
)

// Records is the topic of the settled records.
const Records = "tapswitch.records"

// PartitionsMax bounds the partitions of one topic; the product has one for each of 64 buckets.
const PartitionsMax = 1024

//go:embed topics.json
var source []byte

// Topic is one topic as it has to be created.
type Topic struct {
	// Name is the topic's name in Kafka.
	Name string `json:"name"`
	// Purpose says in a sentence what goes through it.
	Purpose string `json:"purpose"`
	// Partitions is fixed for good: the partition of a record is its bucket.
	Partitions int `json:"partitions"`
	// ReplicationFactor is for a cluster of at least that many brokers; see ForBrokers.
	ReplicationFactor int `json:"replicationFactor"`
	// Settings are those that differ from Kafka's defaults or must not follow them.
	Settings []Setting `json:"settings"`
}

// Setting is one setting of a topic.
type Setting struct {
	// Name and Value are Kafka's.
	Name  string `json:"name"`
	Value string `json:"value"`
	// Why says what breaks without it.
	Why string `json:"why"`
}

// ErrInvalid says that the description of the topics cannot hold.
var ErrInvalid = errors.New("topics: invalid description")

// All returns every topic. The error is one of the embedded file, so of the build.
func All() ([]Topic, error) { return parse(source) }

func parse(text []byte) ([]Topic, error) {
	var file struct {
		Topics []Topic `json:"topics"`
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(file.Topics) == 0 {
		return nil, fmt.Errorf("%w: no topics", ErrInvalid)
	}
	for _, topic := range file.Topics {
		if err := topic.check(); err != nil {
			return nil, err
		}
	}
	return file.Topics, nil
}

func (t Topic) check() error {
	switch {
	case t.Name == "" || t.Purpose == "":
		return fmt.Errorf("%w: topic %q needs a name and a purpose", ErrInvalid, t.Name)
	case t.Partitions < 1 || t.Partitions > PartitionsMax:
		return fmt.Errorf("%w: topic %s: %d partitions, want 1 to %d", ErrInvalid, t.Name,
			t.Partitions, PartitionsMax)
	case t.ReplicationFactor < 1:
		return fmt.Errorf("%w: topic %s: replication factor %d", ErrInvalid, t.Name,
			t.ReplicationFactor)
	}
	for _, s := range t.Settings {
		if s.Name == "" || s.Value == "" || s.Why == "" {
			return fmt.Errorf("%w: topic %s: setting %q needs name, value and why", ErrInvalid,
				t.Name, s.Name)
		}
	}
	return nil
}

// minInsync is the setting that depends on the number of copies.
const minInsync = "min.insync.replicas"

// ForBrokers returns the topic as a cluster of so many brokers can hold it: no more copies than
// brokers, and one fewer than the copies in sync, at least one. On three and more brokers nothing
// changes; on one, a broker that is lost for good loses what the outbox no longer holds.
func (t Topic) ForBrokers(brokers int) Topic {
	if brokers >= t.ReplicationFactor {
		return t
	}
	t.ReplicationFactor = max(1, brokers)
	settings := make([]Setting, len(t.Settings))
	copy(settings, t.Settings)
	for i := range settings {
		if settings[i].Name == minInsync {
			settings[i].Value = fmt.Sprint(max(1, t.ReplicationFactor-1))
		}
	}
	t.Settings = settings
	return t
}
