package main

import (
	"os"
	"os/exec"
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
	c := exec.CommandContext(t.Context(), python, "../../deploy/interop/pyiso8583_codec.py",
		e2eBinary(t), "--count", "300", "--seed", "7")
	out, err := c.CombinedOutput()
	if err != nil || strings.Count(string(out), "300 messages") != 5 ||
		strings.Count(string(out), " 0 differences") != 5 {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("\n%s", out)
}
