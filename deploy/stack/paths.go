package stack

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const modulePath = "github.com/tapswitch/tapswitch"

// ErrNoRoot says that the working directory is not inside a checkout of tapswitch.
var ErrNoRoot = errors.New("stack: no go.mod of " + modulePath + " in this folder or above")

// Root returns the project root: the nearest folder at or above the working directory whose go.mod
// names the product's module. Nested modules are passed over.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("stack: find the working directory: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if moduleOf(filepath.Join(dir, "go.mod")) == modulePath {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%w: started at %s; run from inside the checkout", ErrNoRoot,
				start)
		}
	}
}

// Dir returns the stack's own folder: TAPSWITCH_STACK_DIR if set, else .stack in the project root.
// The folder need not exist.
func Dir() (string, error) {
	if dir := os.Getenv("TAPSWITCH_STACK_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	root, err := Root()
	if err != nil {
		return "", err
	}
	return filepath.Join(root, ".stack"), nil
}

// layout is where everything lies; it is worked out once a call, so that a test can change the
// environment.
type layout struct {
	root  string // project root: sources of the front, redis.conf, pom.xml
	dir   string // .stack
	ports fixedPorts
}

// fixedPorts are the ports of Up; only a test of Up has others than the constants.
type fixedPorts struct{ redis, cluster, kafka, clickHouse int }

// newLayout works out where everything lies from the working directory and the environment.
func newLayout() (layout, error) {
	root, err := Root()
	if err != nil {
		return layout{}, err
	}
	dir, err := Dir()
	if err != nil {
		return layout{}, err
	}
	return layout{root: root, dir: dir, ports: fixedPorts{redis: RedisPort,
		cluster: RedisClusterPort, kafka: KafkaPort, clickHouse: ClickHousePort}}, nil
}

func (l layout) redisConf() string   { return filepath.Join(l.root, "deploy/redis/redis.conf") }
func (l layout) kafkaPom() string    { return filepath.Join(l.root, "deploy/stack/kafka/pom.xml") }
func (l layout) frontSource() string { return filepath.Join(l.root, "deploy/stack/chdbfront") }
func (l layout) checksums() string   { return filepath.Join(l.root, "deploy/stack/checksums.txt") }
func (l layout) kafkaJars() string   { return filepath.Join(l.dir, "kafka", "libs") }
func (l layout) npmDir() string      { return filepath.Join(l.dir, "chdb") }
func (l layout) frontBinary() string { return filepath.Join(l.dir, "bin", "chdbfront") }

// verified is there once the fetched files of a kind had the pinned checksums.
func (l layout) verified(kind Kind) string {
	return filepath.Join(l.dir, "verified."+string(kind))
}

// libchdb is the engine's library where npm unpacks it.
func (l layout) libchdb() string {
	return filepath.Join(l.npmDir(), "node_modules", filepath.FromSlash(ChdbPackage), "libchdb.so")
}

// errNoDir says that a server was asked for without a folder for its data.
var errNoDir = errors.New("stack: Dir is empty: name the folder for the server's data")

// dataDir checks and makes the folder of a server.
func dataDir(dir string) (string, error) {
	if dir == "" {
		return "", errNoDir
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("stack: folder %q: %w", dir, err)
	}
	if err := os.MkdirAll(absolute, 0o755); err != nil {
		return "", fmt.Errorf("stack: make a server's folder: %w", err)
	}
	return absolute, nil
}

// moduleOf reads the module line of a go.mod; a file that is not there has none.
func moduleOf(goMod string) string {
	file, err := os.Open(goMod)
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, found := strings.CutPrefix(strings.TrimSpace(lines.Text()), "module "); found {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
