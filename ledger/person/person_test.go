package person_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/person"
)

func TestSame(t *testing.T) {
	for _, pair := range [][2]string{{"li.na", "Li.Na"}, {"li.na", " li.na\t"}, {"li.na", "ｌｉ．ｎａ"},
		{"li na", "li  na"}, {"李娜", "李娜 "}, {"STRASSE", "straße"}, {"é", "e\u0301"}} {
		if !person.Same(pair[0], pair[1]) {
			t.Errorf("%q and %q are two persons", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]string{{"li.na", "li.ma"}, {"li.na", "lina"}, {"李娜", "李那"}} {
		if person.Same(pair[0], pair[1]) {
			t.Errorf("%q and %q are one person", pair[0], pair[1])
		}
	}
}

func TestName(t *testing.T) {
	for text, want := range map[string]string{"li.na": "li.na", " Li  Na ": "Li Na", "ｌｉ": "li",
		"李娜": "李娜", strings.Repeat("x", person.NameMax): strings.Repeat("x", person.NameMax)} {
		if got, err := person.Name(text); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", " \t", "li\x00na", "\u200bli", strings.Repeat("x", person.NameMax+1)} {
		if got, err := person.Name(text); !errors.Is(err, person.ErrName) {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}
