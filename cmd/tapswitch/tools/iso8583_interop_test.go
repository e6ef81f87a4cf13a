package tools

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A codec that is not ours agrees with ours field by field, in both directions: pyiso8583,
// in the Python that deploy/interop/install.sh makes.
func TestISOInteropPython(t *testing.T) {
	python := os.Getenv("TAPSWITCH_PYTHON")
	if python == "" {
		t.Skip("TAPSWITCH_PYTHON names no Python with pyiso8583; deploy/interop/install.sh DIR makes one")
	}
	if testing.Short() {
		t.Skip("not run: -short leaves out the tests with real processes")
	}
	binary := filepath.Join(t.TempDir(), "tapswitch")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := exec.CommandContext(t.Context(), python, "../../../deploy/interop/pyiso8583_codec.py",
		binary, "--count", "300", "--seed", "7")
	out, err := c.CombinedOutput()
	if err != nil || strings.Count(string(out), "300 messages") != 5 ||
		strings.Count(string(out), " 0 differences") != 5 {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("\n%s", out)
}
