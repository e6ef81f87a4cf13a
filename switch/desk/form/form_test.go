package form_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/desk/form"
	"github.com/tapswitch/tapswitch/switch/txn"
)

type color uint8

func (c color) String() string {
	names := []string{"none", "red", "green"}
	if int(c) < len(names) {
		return names[c]
	}
	return "unknown(9)"
}

type colors uint32

func (s colors) Values() []color {
	var all []color
	for c := color(1); c < 3; c++ {
		if s&(1<<c) != 0 {
			all = append(all, c)
		}
	}
	return all
}

type inner struct {
	Token pan.Token
	Last4 pan.Last4
	Kind  color
}

type step struct {
	Why       string
	BankTold  bool
	Colors    colors
	Apps      txn.App
	Carrier   inner
	More      []inner
	MadeAt    txn.Millis
	ExpiresOn txn.BusinessDate
	Amount    txn.Minor
	Txn       txn.Position
	Proof     [4]byte
	IDs       []string
	Txns      []txn.Position
	Rider     txn.RiderCategory
	hidden    int
}

const full = `{"why":"x","bank_told":true,"colors":["red","green"],"apps":["transit","purse"],
 "carrier":{"token":"3104800000000001","kind":"green"},
 "more":[{"token":"0401ca00000000000000000000000000","last4":"1234"}],
 "made_at":"2026-11-22T08:00:00Z","expires_on":"2026-11-22","amount":-5,"txn":"b017-3-42",
 "proof":"0102030a","ids":["a"]}`

func resolve(s string) (pan.Token, pan.Last4, error) {
	if s != "3104800000000001" {
		return pan.Token{}, pan.Last4{}, errors.New("no number")
	}
	return pan.Token{7}, pan.Last4{'0', '0', '0', '1'}, nil
}

func TestFillAndTell(t *testing.T) {
	var got step
	if err := form.Fill(&got, []byte(full), resolve); err != nil {
		t.Fatal(err)
	}
	want := step{Why: "x", BankTold: true, Colors: 6, Apps: txn.AppTransit | txn.AppPurse,
		Carrier: inner{Token: pan.Token{7}, Last4: pan.Last4{'0', '0', '0', '1'}, Kind: 2},
		More:    []inner{{Token: pan.Token{4, 1, 0xca}, Last4: pan.Last4{'1', '2', '3', '4'}}},
		MadeAt:  1795334400000, ExpiresOn: 20261122, Amount: -5,
		Txn: txn.Position{Bucket: 17, Epoch: 3, Seq: 42}, Proof: [4]byte{1, 2, 3, 10}, IDs: []string{"a"}}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
	told := form.Tell(&got, "Proof")
	var m map[string]any
	if err := json.Unmarshal(told, &m); err != nil {
		t.Fatalf("%v: %s", err, told)
	}
	if m["made_at"] != "2026-11-22T08:00:00Z" || m["expires_on"] != "2026-11-22" || m["txn"] != "b017-3-42" ||
		m["proof"] != nil || m["carrier"].(map[string]any)["last4"] != "****0001" {
		t.Fatalf("%s", told)
	}
	// What was told fills the same again, but for the masked digits.
	var again step
	back := strings.ReplaceAll(string(form.Tell(&got)), "****", "")
	if err := form.Fill(&again, []byte(back), nil); err != nil || !reflect.DeepEqual(again, got) {
		t.Fatalf("%v: %+v", err, again)
	}
}

func TestFillNamesTheField(t *testing.T) {
	for body, want := range map[string]string{
		`[]`:                                       "body",
		`{"why":1}`:                                "why",
		`{"bank_told":"yes"}`:                      "bank_told",
		`{"colors":["blue"]}`:                      "colors: want a list of red, green",
		`{"apps":["nothing"]}`:                     "apps",
		`{"carrier":{"kind":"blue"}}`:              "carrier.kind: want one of red, green",
		`{"carrier":{"kind":"none"}}`:              "carrier.kind",
		`{"carrier":{"token":"310"}}`:              "carrier.token",
		`{"more":[{"last4":"12"}]}`:                "more[0].last4",
		`{"made_at":"now"}`:                        "made_at",
		`{"expires_on":"2026-02-30"}`:              "expires_on",
		`{"amount":1.5}`:                           "amount",
		`{"txn":"b99-1-1"}`:                        "txn",
		`{"proof":"01"}`:                           "proof",
		`{"hidden":1}`:                             "hidden is not known",
		`{"Why":"x"}`:                              "is not known",
		`{"why":"x","why":"y"}`:                    "twice",
		`{"why":"x"} {}`:                           "nothing after it",
		`{"why":"x"`:                               "object",
		`{"3104800000000001":1}`:                   "(unprintable)",
		`{"ids":"a"}`:                              "ids",
		`{"carrier":{"token":"3104800000000009"}}`: "carrier.token",
	} {
		var s step
		err := form.Fill(&s, []byte(body), resolve)
		if !errors.Is(err, form.ErrForm) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "310480") {
			t.Errorf("%s: the error holds a number", body)
		}
	}
}

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{"Why": "why", "ExpiresOn": "expires_on", "IDs": "ids",
		"BankPAN": "bank_pan", "IDKind": "id_kind", "Last4": "last4", "ID": "id", "ToDo": "to_do"} {
		if got := form.Snake(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestFieldsTellWhatIsWanted(t *testing.T) {
	got := map[string]string{}
	for _, f := range form.Fields(step{}) {
		got[f.Name] = f.Want
	}
	if got["carrier.kind"] != "[red green]" || got["carrier.token"] != "card number or token" ||
		got["more[].last4"] != "four digits" || got["colors"] != "list of [red green]" || got["ids"] != "list of text" ||
		got["txns"] != "list of place of a record, as b017-1-42" || got["rider"] != "[ordinary student senior disabled veteran]" {
		t.Errorf("%v", got)
	}
	_ = step{}.hidden
}

func FuzzFill(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte(`{"more":[{},{}],"carrier":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s step
		if err := form.Fill(&s, data, resolve); err != nil {
			if !errors.Is(err, form.ErrForm) {
				t.Fatalf("%v", err)
			}
			return
		}
		if !json.Valid(form.Tell(&s)) {
			t.Fatal("what is told is no JSON")
		}
	})
}
