package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/config"
)

// The doctor looks into the bank file before the switch has to.
func TestDoctorReadsTheBankFile(t *testing.T) {
	for file, good := range map[string]bool{"../../deploy/bank/bank.yaml": true,
		"../../deploy/bank/missing.yaml": false, "../../deploy/bank/terminals.csv": false} {
		c := config.Default()
		c.Bank.File = file
		if f := examineBank(&c); f.OK != good || f.Name != "bank.file" {
			t.Errorf("%s: %+v", file, f)
		}
	}
}

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
