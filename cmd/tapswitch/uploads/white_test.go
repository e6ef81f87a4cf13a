package uploads

import (
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// The commands about the white list ask for what they say.
func TestWhiteList(t *testing.T) {
	const psam = "300000000001"
	for _, c := range []struct{ args, answer, asked, prints string }{
		{"white list " + psam, `{"psam":"x","white":[{"terminal":"G1","from_ms":1800000000000}]}`,
			"GET /v1/uploads/modules/" + psam, "G1        2027-01-15T"},
		{"white put " + psam + " --window G1,2027-01-15T08:00:00Z --window ,2027-01-15T08:00:00Z,2027-01-16T08:00:00Z",
			`{"psam":"x"}`, `PUT /v1/uploads/modules/` + psam + ` Bearer secret {"white":[{"terminal":"G1","from_ms":1800000000000},` +
				`{"from_ms":1800000000000,"until_ms":1800086400000}]}`, "psam"},
		{"white put " + psam, `{"psam":"x"}`, `{"white":[]}`, "psam"},
		{"white from", `{"from_ms":1800000000000}`, "GET /v1/uploads/white-from", "2027-01-15T"},
		{"white from", `{"from_ms":0}`, "GET /v1/uploads/white-from", "off"},
		{"white from 2027-01-15T08:00:00Z", `{"from_ms":1800000000000}`,
			`PUT /v1/uploads/white-from Bearer secret {"from_ms":1800000000000}`, "1800000000000"},
		{"white from off", `{"from_ms":0}`, `{"from_ms":0}`, "from_ms"},
	} {
		gate := &said{status: 200, body: c.answer}
		out, err := run(t, gate, strings.Fields(c.args)...)
		if err != nil || !strings.Contains(gate.asked, c.asked) || !strings.Contains(out, c.prints) {
			t.Errorf("%s: asked %q\nprinted %q\n%v", c.args, gate.asked, out, err)
		}
	}
	for _, args := range []string{"white put x --window G1", "white put x --window G1,yesterday",
		"white put x --window G1,2027-01-15T08:00:00Z,2027-01-15T08:00:00Z", "white from yesterday"} {
		gate := &said{status: 200, body: "{}"}
		if _, err := run(t, gate, strings.Fields(args)...); cli.Code(err) != cli.ExitUsage || gate.asked != "" {
			t.Errorf("%s: %v, asked %q", args, err, gate.asked)
		}
	}
}
