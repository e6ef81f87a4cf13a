package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestComposeFitsTheStack keeps deploy/compose.yaml on the ports and versions of this package.
func TestComposeFitsTheStack(t *testing.T) {
	lay, err := newLayout()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(lay.root, "deploy/compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{
		"image: apache/kafka:" + KafkaVersion,
		fmt.Sprintf("image: redis:%d.", RedisMajorMin),
		fmt.Sprintf(`"127.0.0.1:%d:6379"`, RedisPort),
		fmt.Sprintf(`"127.0.0.1:%d:%d"`, KafkaPort, KafkaPort),
		fmt.Sprintf("HOST://127.0.0.1:%d", KafkaPort),
		fmt.Sprintf(`"127.0.0.1:%d:8123"`, ClickHousePort),
		"redis/redis.conf:/etc/tapswitch/redis.conf:ro",
	}
	for i := range RedisClusterNodes {
		wanted = append(wanted, fmt.Sprintf(`--port, "%d"`, RedisClusterPort+i))
	}
	for _, want := range wanted {
		if !strings.Contains(string(text), want) {
			t.Errorf("compose.yaml does not hold %s", want)
		}
	}
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "ports:") && strings.Contains(line, "[") &&
			!strings.Contains(line, "127.0.0.1:") {
			t.Errorf("a port is open beyond loopback: %s", strings.TrimSpace(line))
		}
	}
}

// TestRedisConfHoldsTheRules reads the file that the stack, compose and users share.
func TestRedisConfHoldsTheRules(t *testing.T) {
	lay, err := newLayout()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(lay.redisConf())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"appendonly yes", "appendfsync always", `save ""`,
		"maxmemory-policy noeviction", "no-appendfsync-on-rewrite no", "bind 127.0.0.1"} {
		if !strings.Contains(string(text), "\n"+want+"\n") {
			t.Errorf("redis.conf does not say %q", want)
		}
	}
}
