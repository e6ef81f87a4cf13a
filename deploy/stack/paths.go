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
			return "", fmt.Errorf("%w: started at %s; run from inside the checkout", ErrNoRoot, start)
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
	root string // project root: sources of the front, redis.conf, pom.xml
	dir  string // .stack
}

func newLayout() (layout, error) {
	root, err := Root()
	if err != nil {
		return layout{}, err
	}
	dir, err := Dir()
	if err != nil {
		return layout{}, err
	}
	return layout{root: root, dir: dir}, nil
}

func (l layout) redisConf() string   { return filepath.Join(l.root, "deploy/redis/redis.conf") }
func (l layout) kafkaPom() string    { return filepath.Join(l.root, "deploy/stack/kafka/pom.xml") }
func (l layout) frontSource() string { return filepath.Join(l.root, "deploy/stack/chdbfront") }
func (l layout) checksums() string   { return filepath.Join(l.root, "deploy/stack/checksums.txt") }
func (l layout) kafkaJars() string   { return filepath.Join(l.dir, "kafka", "libs") }
func (l layout) npmDir() string      { return filepath.Join(l.dir, "chdb") }
func (l layout) frontBinary() string { return filepath.Join(l.dir, "bin", "chdbfront") }
func (l layout) runDir() string      { return filepath.Join(l.dir, "run") }
func (l layout) verified() string    { return filepath.Join(l.dir, "verified") }

func (l layout) libchdb() string {
	return filepath.Join(l.npmDir(), "node_modules", filepath.FromSlash(ChdbPackage), "libchdb.so")
}

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
