package report

import (
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// MachineOf describes this machine without naming it.
func MachineOf(dir string) Machine {
	if dir == "" {
		dir = os.TempDir()
	}
	return Machine{
		CPU:        field("/proc/cpuinfo", "model name"),
		Cores:      runtime.NumCPU(),
		MemoryGiB:  memoryGiB(),
		System:     runtime.GOOS + "/" + runtime.GOARCH,
		Kernel:     firstWord("/proc/sys/kernel/osrelease"),
		Filesystem: filesystem(dir),
		Go:         runtime.Version(),
	}
}

// field returns the value of the first line "key : value" of a file of /proc.
func field(path, key string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(name) == key {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func firstWord(path string) string {
	text, err := os.ReadFile(path)
	words := strings.Fields(string(text))
	if err != nil || len(words) == 0 {
		return ""
	}
	return words[0]
}

func memoryGiB() float64 {
	kb, _ := strconv.ParseFloat(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 64)
	return math.Round(kb/(1<<20)*10) / 10
}

// filesystem returns the type of the file system that dir is on.
func filesystem(dir string) string {
	abs, err := filepath.Abs(dir)
	text, err2 := os.ReadFile("/proc/self/mounts")
	if err != nil || err2 != nil {
		return ""
	}
	best, kind := "", ""
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 || len(f[1]) < len(best) {
			continue
		}
		if f[1] == "/" || abs == f[1] || strings.HasPrefix(abs, f[1]+"/") {
			best, kind = f[1], f[2]
		}
	}
	return kind
}

// LoadAverage returns the load of the last minute.
func LoadAverage() float64 {
	load, _ := strconv.ParseFloat(firstWord("/proc/loadavg"), 64)
	return load
}
