package message_test

import (
	"fmt"
	"strings"

	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// A link reads a frame, and answers it.
func Example() {
	spec, err := message.Named("iso87_ascii")
	if err != nil {
		fmt.Println(err)
		return
	}
	stream := strings.NewReader("0034" + "08000020000000800000" + "000042" + "00000001")
	link := message.NewReader(stream, message.Framing{Form: message.ASCII4})
	frame, err := link.Next()
	if err != nil {
		fmt.Println(err)
		return
	}
	request, err := message.Parse(spec, frame)
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, _ := request.Reply()
	if err := answer.Copy(request, 11, 41); err != nil {
		fmt.Println(err)
	}
	if err := answer.SetText(39, "00"); err != nil {
		fmt.Println(err)
	}
	out, err := answer.Append(nil)
	fmt.Println(string(out), err)
	fmt.Print(answer.Describe())
	// Output:
	// 081000200000028000000000420000000001 <nil>
	// iso87_ascii  ISO 8583:1987, ASCII with a hex bitmap
	//   type    0810
	//    11  system trace audit number   000042
	//    39  response code               00  approved
	//    41  terminal                    00000001
}

// A bank's own format says what differs from a known one.
func ExampleLoad() {
	spec, err := message.Load(strings.NewReader(`
name: one_bank
base: iso87_bcd
fields:
  48: {name: terminal data, format: ans..120 LLL, charset: gb18030}
  55: {name: ICC data, format: b..255 LLL, show: none}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	f, _ := spec.Field(55)
	fmt.Println(spec.Name(), f.Name, f.Type, f.Max)
	_, err = message.Load(strings.NewReader("name: other\nfields:\n  4: {name: amount, format: n10}\n"))
	fmt.Println(err)
	// Output:
	// one_bank ICC data b 255
	// spec: line 3: field 4 has to be n12
}
