package setup

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/tapswitch/tapswitch/switch/txn"
)

// A listener tells of the lease of a loaded purse only where its file says so.
func TestLeaseText(t *testing.T) {
	d := txn.Decision{LeaseUntil: txn.LeaseNone}
	for file, want := range map[string]string{"name: a": "", "{name: a, tell_lease: true}": "LEASENONE"} {
		var l Listener
		if err := yaml.NewDecoder(strings.NewReader(file)).Decode(&l); err != nil {
			t.Fatal(err)
		}
		if got := string(l.LeaseText(&d)); got != want {
			t.Errorf("%s: field 62 is %q, want %q", file, got, want)
		}
	}
	if got := (&Listener{TellLease: true}).LeaseText(&txn.Decision{}); len(got) != 0 {
		t.Errorf("a scheme without a lease: %q", got)
	}
}
