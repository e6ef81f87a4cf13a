package emv_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/tlv"
	"github.com/tapswitch/tapswitch/switch/bank/emv"
)

// The example files are right.
const (
	exampleKeys = "../../../deploy/bank/ca_keys.yaml"
	exampleAIDs = "../../../deploy/bank/aids.yaml"
)

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func raw(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// download gets everything as a terminal does: the list, then each entry by its name.
func download(t *testing.T, s *emv.Set, entrySize int) (full [][]byte) {
	t.Helper()
	var list []byte
	have := 0
	for {
		page, ok := s.List(fmt.Appendf(nil, "1%02d", have))
		if !ok || len(page) > emv.AnswerMax || (len(page)-1)%entrySize != 0 {
			t.Fatalf("page of %d bytes, %v", len(page), ok)
		}
		have += (len(page) - 1) / entrySize
		list = append(list, page[1:]...)
		if page[0] != '2' {
			break
		}
	}
	for ; len(list) > 0; list = list[entrySize:] {
		item, ok := s.Item(list[:entrySize])
		if !ok || item[0] != '1' {
			t.Fatalf("item %x: %x, %v", list[:entrySize], item, ok)
		}
		full = append(full, item[1:])
	}
	return full
}

func TestKeys(t *testing.T) {
	s, err := emv.LoadKeys(exampleKeys)
	if err != nil {
		t.Fatal(err)
	}
	all := download(t, s, len("\x9f\x06\x05ridid\x9f\x22\x01i\xdf\x05\x04date"))
	if len(all) != s.Len() || s.Len() != 3 {
		t.Fatalf("%d of %d", len(all), s.Len())
	}
	e, err := tlv.Parse(nil, all[0])
	if err != nil {
		t.Fatal(err)
	}
	for tag, want := range map[tlv.Tag]string{0x9F06: "D156000001", 0x9F22: "E1", 0xDF05: "20350831",
		0xDF06: "01", 0xDF07: "01", 0xDF04: "010001", 0xDF03: "34118DB31147F772D11817D0B933C34E4A1C299F"} {
		if got, _ := tlv.Find(e, tag); !bytes.Equal(got, raw(t, want)) {
			t.Errorf("%v: %x", tag, got)
		}
	}
	if modulus, _ := tlv.Find(e, 0xDF02); len(modulus) != 128 {
		t.Errorf("modulus of %d bytes", len(modulus))
	}
	if got, ok := s.Item(raw(t, "9F0605D1560000019F220177")); !ok || string(got) != "0" {
		t.Errorf("a key that is not there: %q", got)
	}
}

func TestApplications(t *testing.T) {
	s, err := emv.LoadApplications(exampleAIDs)
	if err != nil {
		t.Fatal(err)
	}
	first, ok := s.Item(raw(t, "9F0608A000000333010101"))
	e, err := tlv.Parse(nil, first[1:])
	if got, _ := tlv.Find(e, 0xDF14); !ok || err != nil || !bytes.Equal(got, raw(t, "9F3704")) {
		t.Errorf("%x, %v", first, err)
	}
	if list, ok := s.List(nil); !ok || list[0] != '1' || len(list) != 1+11+11+9 {
		t.Errorf("%x", list)
	}
}

// A list that does not fit one message goes on where it ended.
func TestPages(t *testing.T) {
	var text strings.Builder
	for i := range emv.ItemsMax {
		fmt.Fprintf(&text, "- aid: \"D1560000010000000000000000%06X\"\n", i)
	}
	s, err := emv.LoadApplications(file(t, text.String()))
	if err != nil {
		t.Fatal(err)
	}
	if all := download(t, s, 19); len(all) != emv.ItemsMax {
		t.Errorf("%d entries", len(all))
	}
	if end, ok := s.List([]byte("199")); !ok || string(end) != "0" {
		t.Errorf("behind the end: %q", end)
	}
	text.WriteString("- aid: \"D15600000100\"\n")
	if _, err := emv.LoadApplications(file(t, text.String())); !errors.Is(err, emv.ErrFile) {
		t.Errorf("more than %d: %v", emv.ItemsMax, err)
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	s, err := emv.LoadKeys(exampleKeys)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"1", "10", "1x0", "1-1"} {
		if got, ok := s.List([]byte(text)); ok {
			t.Errorf("list %q: %q", text, got)
		}
	}
	for _, text := range []string{"", "\x9f", "\x9f\x06", "\x9f\x22\x01\xe1", "\x9f\x06\x05\xd1"} {
		if got, ok := s.Item([]byte(text)); ok {
			t.Errorf("item %q: %q", text, got)
		}
	}
}

// What is wrong in a file is named, and nothing of it is taken.
func TestFilesRefused(t *testing.T) {
	good, err := os.ReadFile(exampleKeys)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string]string{
		"checksum": strings.Replace(string(good), "34118D", "34118E", 1),
		"modulus":  strings.Replace(string(good), "B402DA", "B402DB", 1),
		"rid":      strings.Replace(string(good), "D156000001", "D1560000", 1),
		"twice":    string(good) + string(good[strings.Index(string(good), "- rid"):]),
		"field":    strings.Replace(string(good), "expires", "expiry", 1),
	} {
		if _, err := emv.LoadKeys(file(t, text)); !errors.Is(err, emv.ErrFile) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, text := range map[string]string{
		"aid": "- aid: \"A0\"\n", "tag": "- {aid: \"A000000333\", parameters: {1F: \"00\"}}\n",
		"value": "- {aid: \"A000000333\", parameters: {DF01: \"0\"}}\n",
		"name":  "- {aid: \"A000000333\", parameters: {9F06: \"00\"}}\n",
		"too long": "- {aid: \"A000000333\", parameters: {" + strings.Join([]string{
			"DF21: \"" + strings.Repeat("00", 250) + "\"", "DF22: \"" + strings.Repeat("00", 250) + "\"",
			"DF23: \"" + strings.Repeat("00", 250) + "\"", "DF24: \"" + strings.Repeat("00", 250) + "\"",
		}, ", ") + "}}\n",
	} {
		if _, err := emv.LoadApplications(file(t, text)); !errors.Is(err, emv.ErrFile) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := emv.LoadKeys(filepath.Join(t.TempDir(), "none")); !errors.Is(err, emv.ErrFile) {
		t.Errorf("no file: %v", err)
	}
	if s, err := emv.LoadKeys(file(t, "")); err != nil || s.Len() != 0 {
		t.Errorf("an empty file: %v", err)
	}
}
