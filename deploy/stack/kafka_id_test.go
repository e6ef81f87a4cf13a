package stack

import "testing"

// An id that begins with a dash is an option to Kafka's tool.
func TestClusterIDBeginsWithNoDash(t *testing.T) {
	for range 2000 {
		if id := clusterID(); id[0] == '-' || len(id) != 22 {
			t.Fatalf("%q", id)
		}
	}
}
