package report

import (
	"os"
	"strings"
	"testing"
)

func TestMachine(t *testing.T) {
	m := MachineOf(t.TempDir())
	if m.Cores < 1 || !strings.HasPrefix(m.Go, "go") || m.System == "" {
		t.Errorf("%+v", m)
	}
	if _, err := os.Stat("/proc/cpuinfo"); err != nil {
		t.Skip("no /proc here")
	}
	if m.CPU == "" && m.Kernel == "" || m.MemoryGiB <= 0 || m.Filesystem == "" {
		t.Errorf("%+v", m)
	}
	if field("/proc/cpuinfo", "no such field") != "" || field("/nowhere", "x") != "" {
		t.Error("a field that is not there has a value")
	}
}
