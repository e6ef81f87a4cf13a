package tools

import (
	"strings"
	"testing"
)

// Half of the flags, and files that are not there, are refused before anything listens.
func TestBankSimTLSFlags(t *testing.T) {
	for _, c := range []struct {
		flags tlsFlags
		want  string
	}{{tlsFlags{key: "x"}, "--tls-cert"}, {tlsFlags{ca: "x"}, "--tls-cert"},
		{tlsFlags{cert: "missing", key: "missing"}, "--tls-cert"}} {
		if _, err := c.flags.config(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.flags, err)
		}
	}
	if got, err := (&tlsFlags{}).config(); got != nil || err != nil {
		t.Errorf("no flags: %v %v", got, err)
	}
}
