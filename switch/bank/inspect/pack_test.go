package inspect

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// What describe reveals, pack turns into the same bytes, from hex, base64 and raw, with a
// length and without.
func TestRoundTrip(t *testing.T) {
	for _, g := range goldens(t) {
		frame, err := hex.DecodeString(g.Hex)
		if err != nil {
			t.Fatal(err)
		}
		framed := append([]byte{byte(len(frame) >> 8), byte(len(frame))}, frame...)
		ascii := append([]byte(fmt.Sprintf("%04d", len(frame)+4)), frame...)
		binary2 := []Framing{Framings()[1]}
		inclusive := []Framing{Framings()[4]}
		for name, c := range map[string]struct {
			in       Input
			content  string
			framings []Framing
			want     []byte
		}{
			"hex": {Auto, "# a message\n\n0x" + strings.ToLower(g.Hex) + "\n", Framings(),
				frame},
			"base64": {Base64, base64.StdEncoding.EncodeToString(frame) + "\n", Framings(), frame},
			"raw":    {Raw, string(frame), Framings(), frame},
			"length": {Auto, hex.EncodeToString(framed), Framings(), framed},
			"digits": {Auto, hex.EncodeToString(ascii), Framings(), ascii},
			"stream": {Raw, string(framed), binary2, framed},

			"digits stream": {Raw, string(ascii), inclusive, ascii},
		} {
			o := formatOf(t, g.Spec)
			o.Framings = c.framings
			out, unread := describe(t, o, show{in: c.in, reveal: true, json: true}, c.content)
			if unread > 0 {
				t.Fatalf("%s %s: cannot be read", g.ID, name)
			}
			back, err := packedBy(Packer{}, out)
			if err != nil || !strings.EqualFold(strings.TrimSpace(back),
				hex.EncodeToString(c.want)) {
				t.Fatalf("%s %s: %v", g.ID, name, err)
			}
			raw, err := packedBy(Packer{Raw: true, Framing: &Framings()[0]}, out)
			if err != nil || raw != string(frame) {
				t.Errorf("%s %s: raw differs: %v", g.ID, name, err)
			}
		}
	}
}

// A run names only so many specs; each of them is kept.
func TestPackSpecsMax(t *testing.T) {
	p := Packer{specs: map[[2]string]*message.Spec{}}
	for i := range specsMax {
		p.specs[[2]string{fmt.Sprint(i)}] = nil
	}
	if _, err := packedBy(p, echoJSON); err == nil || !strings.Contains(err.Error(), "64 specs") {
		t.Errorf("one spec too many: %v", err)
	}
	delete(p.specs, [2]string{"0"})
	if _, err := packedBy(p, echoJSON+echoJSON); err != nil {
		t.Errorf("the last spec: %v", err)
	}
	if len(p.specs) != specsMax {
		t.Errorf("%d specs are kept", len(p.specs))
	}
}

// A YAML document is read as far as a reader of YAML is given, and not beyond its limit.
func TestPackYAML(t *testing.T) {
	const text = "mti: \"0820\"\nfields: {11: \"000213\", 41: \"00000021\", 42: \"898310041110001\", " +
		"60: \"00000007301\"}\n"
	want, err := packedBy(Packer{}, echoJSON)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := packedBy(Packer{}, text); err != nil || out != want {
		t.Errorf("%v %s", err, out)
	}
	if err := (&Packer{}).Pack(strings.NewReader(text)); err == nil {
		t.Error("without a reader of YAML it is no message")
	}
	long := text + strings.Repeat("#", yamlMax-len(text))
	if out, err := packedBy(Packer{}, long); err != nil || out != want {
		t.Errorf("a document of %d bytes: %v", len(long), err)
	}
	if _, err := packedBy(Packer{}, long+"#"); err == nil {
		t.Error("a document over the limit is read")
	}
}

const echoJSON = `{"mti":"0820","fields":{"11":"000213","41":"00000021",` +
	`"42":"898310041110001","60":"00000007301"}}`

// What is no message is refused without showing it.
func TestPackRefuses(t *testing.T) {
	const canary = "4000000000000002"
	for name, text := range map[string]string{
		"number":         `{"mti":"0800","fields":{"2":` + canary + `}}`,
		"type a number":  `{"mti":800,"fields":{"2":"` + canary + `"}}`,
		"no type":        `{"fields":{"2":"` + canary + `"}}`,
		"wrong type":     `{"mti":"8x00","fields":{"2":"` + canary + `"}}`,
		"unknown member": `{"mti":"0800","card":"` + canary + `"}`,
		"unknown field":  `{"mti":"0800","fields":{"65":"` + canary + `"}}`,
		"no field":       `{"mti":"0800","fields":{"two":"` + canary + `"}}`,
		"too long":       `{"mti":"0800","fields":{"2":"` + canary + canary + `"}}`,
		"letters":        `{"mti":"0800","fields":{"2":"` + canary + `x"}}`,
		"null":           `{"mti":"0800","fields":{"2":null,"41":"` + canary + `"}}`,
		"hex":            `{"mti":"0800","fields":{"2":"hex:` + canary + `x"}}`,
		"masked":         `{"masked":true,"mti":"0800","fields":{"11":"000001"}}`,
		"unread":         `{"error":"short"}`,
		"tpdu":           `{"tpdu":"` + canary + `","mti":"0800","fields":{"11":"000001"}}`,
		"header":         `{"header":"` + canary + `","mti":"0800","fields":{"11":"000001"}}`,
		"framing":        `{"framing":"morse","mti":"0800","fields":{"11":"000001"}}`,
		"spec file":      `{"spec":"../x.yaml","mti":"0800","fields":{"11":"000001"}}`,
		"spec":           `{"spec":"x","mti":"0800","fields":{"11":"000001"}}`,
		"syntax":         `{"mti":"0800","fields":{"2":"` + canary,
		"after it":       echoJSON + "]",
		"open list":      "[" + echoJSON,
		"no mapping":     canary,
		"YAML":           "mti: 0800\nfields: {2: " + canary + "}",
		"not YAML":       "mti: [",
	} {
		out, err := packedBy(Packer{}, text)
		if err == nil || err.Error() == "" || strings.Contains(out+err.Error(), canary) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
