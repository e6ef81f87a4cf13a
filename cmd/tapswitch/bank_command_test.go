package main

import (
	"bytes"
	"strings"
	"testing"
)

// The example file is what a newcomer starts from: it must be read, and route.
func TestExampleBankFile(t *testing.T) {
	const file = "../../deploy/bank/bank.yaml"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"bank", "check", file}, "2 listeners, 2 links, 2 routes"},
		{[]string{"bank", "route", "--file", file, "6222600000000000", "--amount", "1000"}, "city-bank"},
		{[]string{"bank", "route", "--file", file, "4000001234567899"}, "everybody else"},
	} {
		var out bytes.Buffer
		root := rootCommand()
		root.SetArgs(c.args)
		root.SetOut(&out)
		if err := root.Execute(); err != nil || !strings.Contains(out.String(), c.want) {
			t.Errorf("%v: %v\n%s", c.args, err, out.String())
		}
		if strings.Contains(out.String(), "6222600000000000") {
			t.Error("a card number was printed")
		}
	}
}
