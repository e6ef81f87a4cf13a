package stack

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRepliesAreRead(t *testing.T) {
	cases := map[string]string{
		"+OK\r\n":                         "OK",
		":42\r\n":                         "42",
		"$5\r\na\r\nbc\r\n":               "a\r\nbc",
		"$-1\r\n":                         "",
		"*2\r\n$4\r\nsave\r\n$0\r\n\r\n":  "save\n",
		"*-1\r\n":                         "",
		"*2\r\n*1\r\n:1\r\n+x\r\n":        "1\nx",
		"*1\r\n*1\r\n*1\r\n*1\r\n:9\r\n":  "9",
		"$11\r\nhello world\r\n+ignored:": "hello world",
	}
	for wire, want := range cases {
		got, err := readReply(bufio.NewReader(strings.NewReader(wire)))
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", wire, got, err, want)
		}
	}
}

func TestBadRepliesAreRefused(t *testing.T) {
	cases := []string{"", "\r\n", "?x\r\n", "$x\r\n", "*x\r\n", "$5\r\nab\r\n", "*2\r\n:1\r\n",
		fmt.Sprintf("$%d\r\n", respBytesMax+1), fmt.Sprintf("*%d\r\n", respItemsMax+1),
		strings.Repeat("*1\r\n", respDepthMax+2) + ":1\r\n"}
	for _, wire := range cases {
		if got, err := readReply(bufio.NewReader(strings.NewReader(wire))); err == nil {
			t.Errorf("%.40q was read as %q", wire, got)
		}
	}
	_, err := readReply(bufio.NewReader(strings.NewReader("-LOADING wait\r\n")))
	if !errors.Is(err, errRedisReply) {
		t.Errorf("%v, want errRedisReply", err)
	}
}

func TestInfoFieldIsFound(t *testing.T) {
	const info = "# x\r\ncluster_state:ok\r\ncluster_slots_assigned:16384\r\n"
	if got := infoField(info, "cluster_slots_assigned"); got != "16384" {
		t.Errorf("got %q", got)
	}
	if got := infoField(info, "cluster"); got != "" {
		t.Errorf("a part of a name gave %q", got)
	}
}
