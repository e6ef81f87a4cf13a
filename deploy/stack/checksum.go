package stack

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrChecksum says that a fetched file is not the one that was pinned. The install stops and the
// files stay for inspection.
var ErrChecksum = errors.New("stack: checksum mismatch")

// mismatchesMax is how many wrong files one error names.
const mismatchesMax = 5

// pinned maps the name of a fetched file, such as kafka/kafka_2.13-4.1.1.jar, to its SHA-256.
type pinned map[string]string

// readPinned reads checksums.txt: sha256sum's form, # starts a comment.
func readPinned(path string) (pinned, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("stack: read the pinned checksums: %w", err)
	}
	defer func() { _ = file.Close() }()
	sums := pinned{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		sum, name, found := strings.Cut(line, "  ")
		if !found || len(sum) != 2*sha256.Size {
			return nil, fmt.Errorf("stack: %s: line %q is not \"sha256  name\"", path, line)
		}
		sums[name] = sum
	}
	return sums, nil
}

// check compares the fetched files of one kind with the pinned ones: each must be known and right,
// and none may be missing.
func (p pinned) check(kind Kind, files map[string]string) error {
	var wrong []string
	for name, path := range files {
		sum, err := sumFile(path)
		switch want, known := p[name]; {
		case err != nil:
			return err
		case !known:
			wrong = append(wrong, name+" is not in the list (sha256 "+sum+")")
		case want != sum:
			wrong = append(wrong, name+" is "+sum+", pinned "+want)
		}
	}
	for name := range p {
		if _, fetched := files[name]; !fetched && strings.HasPrefix(name, string(kind)+"/") {
			wrong = append(wrong, name+" was not fetched")
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	if more := len(wrong) - mismatchesMax; more > 0 {
		wrong = append(wrong[:mismatchesMax], fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%w: %s: %s; delete the folder and fetch again; if the version was changed "+
		"on purpose, replace the lines in checksums.txt with those of stackctl checksums",
		ErrChecksum, kind, strings.Join(wrong, "; "))
}

// sumFile streams the file: the library does not fit twice into a small machine's memory.
func sumFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("stack: read a fetched file: %w", err)
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", fmt.Errorf("stack: read %s: %w", path, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// fetched lists the files of a kind that the registries gave, by their names in checksums.txt.
func (l layout) fetched(kind Kind) (map[string]string, error) {
	files := map[string]string{}
	switch kind {
	case ClickHouse:
		if _, err := os.Stat(l.libchdb()); err == nil {
			files[string(kind)+"/libchdb.so"] = l.libchdb()
		}
	case Kafka:
		jars, err := os.ReadDir(l.kafkaJars())
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("stack: list the kafka jars: %w", err)
		}
		for _, jar := range jars {
			files[string(kind)+"/"+jar.Name()] = filepath.Join(l.kafkaJars(), jar.Name())
		}
	case Redis: // from the system's packages, which carry their own signatures
	}
	return files, nil
}

// Checksums returns the lines of checksums.txt for what is installed now, sorted by name.
func Checksums() ([]string, error) {
	lay, err := newLayout()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, kind := range Kinds() {
		files, err := lay.fetched(kind)
		if err != nil {
			return nil, err
		}
		for name, path := range files {
			sum, err := sumFile(path)
			if err != nil {
				return nil, err
			}
			lines = append(lines, sum+"  "+name)
		}
	}
	slices.SortFunc(lines, func(a, b string) int {
		return strings.Compare(a[2*sha256.Size:], b[2*sha256.Size:])
	})
	return lines, nil
}
