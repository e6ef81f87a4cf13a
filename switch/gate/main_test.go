package gate

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when a gate leaves goroutines behind. fasthttp's clock of the Date header
// runs for ever, and its idle workers end by themselves after ten seconds.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		goleak.IgnoreTopFunction("time.Sleep"))
}
