package tlv_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/tlv"
	"pgregory.net/rapid"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestParse reads a synthetic field 55.
func TestParse(t *testing.T) {
	data := unhex(t, "9f2608"+"0102030405060708"+"9a03"+"261122"+"9c01"+"00"+"5f2a02"+"0156"+
		"9f1000"+"7281"+"03"+"860100"+"82"+"820002"+"7c00")
	want := []tlv.Element{
		{Tag: 0x9f26, Value: unhex(t, "0102030405060708"), Offset: 0},
		{Tag: 0x9a, Value: unhex(t, "261122"), Offset: 11},
		{Tag: 0x9c, Value: []byte{0}, Offset: 16},
		{Tag: 0x5f2a, Value: unhex(t, "0156"), Offset: 19},
		{Tag: 0x9f10, Value: nil, Offset: 24},
		{Tag: 0x72, Value: unhex(t, "860100"), Offset: 27},
		{Tag: 0x82, Value: unhex(t, "7c00"), Offset: 33},
	}
	got, err := tlv.Parse(nil, data)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v %v", got, err)
	}
	for i, w := range want {
		g := got[i]
		if g.Tag != w.Tag || g.Offset != w.Offset || !bytes.Equal(g.Value, w.Value) {
			t.Errorf("element %d: %v, want %v", i, g, w)
		}
		if v, ok := tlv.Find(got, w.Tag); !ok || !bytes.Equal(v, w.Value) {
			t.Errorf("%v: found %x %v", w.Tag, v, ok)
		}
	}
	if _, ok := tlv.Find(got, 0x84); ok {
		t.Error("found a tag that is not there")
	}
	if e, err := tlv.Parse(nil, nil); len(e) != 0 || err != nil {
		t.Errorf("empty: %v %v", e, err)
	}
}

func TestParseErrors(t *testing.T) {
	f := func(data string, want error, offset string) {
		t.Helper()
		before := []tlv.Element{{Tag: 0x9a}}
		got, err := tlv.Parse(before, unhex(t, data))
		if !errors.Is(err, want) || len(got) != 1 {
			t.Errorf("%s: %v, %v, want %v", data, got, err, want)
		} else if !strings.Contains(err.Error(), "offset "+offset+":") {
			t.Errorf("%s: %v, want offset %s", data, err, offset)
		}
	}
	f("9a", tlv.ErrTruncated, "0")
	f("9f", tlv.ErrTruncated, "0")
	f("9f26", tlv.ErrTruncated, "0")
	f("9a032611", tlv.ErrTruncated, "0")
	f("9a03261122"+"9c", tlv.ErrTruncated, "5")
	f("9a03261122"+"9c01", tlv.ErrTruncated, "5")
	f("9a81", tlv.ErrTruncated, "0")
	f("9a8201", tlv.ErrTruncated, "0")
	f("9a820100", tlv.ErrTruncated, "0")
	f("9a80", tlv.ErrLength, "0")
	f("9a80261122"+"0000", tlv.ErrLength, "0")
	f("9a83000001"+"00", tlv.ErrLength, "0")
	f("9aff"+"00", tlv.ErrLength, "0")
	f("00", tlv.ErrTag, "0")
	f("9c0100"+"00", tlv.ErrTag, "3")
	f("9c0100"+"ffff", tlv.ErrTag, "3")
	f("9f810100", tlv.ErrTag, "0")
	f("9c0100"+"9a03261122"+"9c0100", tlv.ErrTwice, "8")
}

// TestElementsMax: a list of as many elements as there may be is read, one more is not.
func TestElementsMax(t *testing.T) {
	var data []byte
	for i := range tlv.ElementsMax {
		data, _ = tlv.Append(data, tlv.Tag(0x9f00+i), nil)
	}
	full, err := tlv.Parse(nil, data)
	if err != nil || len(full) != tlv.ElementsMax {
		t.Fatalf("%d elements: %v", len(full), err)
	}
	data = append(data, 0x9a, 0)
	if _, err := tlv.Parse(nil, data); !errors.Is(err, tlv.ErrElements) {
		t.Errorf("one more: %v", err)
	}
}

func TestTag(t *testing.T) {
	for tag, want := range map[tlv.Tag]struct {
		text               string
		valid, constructed bool
	}{
		0x9f26: {"9F26", true, false}, 0x82: {"82", true, false}, 0x70: {"70", true, true},
		0xbf0c: {"BF0C", true, true}, 0x00: {"00", false, false}, 0x9f: {"9F", false, false},
		0xff: {"FF", false, true}, 0x9f81: {"9F81", false, false}, 0x8201: {"8201", false, false},
		0x5f2a: {"5F2A", true, false},
	} {
		if tag.String() != want.text || tag.Valid() != want.valid ||
			tag.Constructed() != want.constructed {
			t.Errorf("%v: %v %v", tag, tag.Valid(), tag.Constructed())
		}
	}
}

func TestAppend(t *testing.T) {
	for n, head := range map[int]string{
		0: "9f2600", 127: "9f267f", 128: "9f268180", 255: "9f2681ff", 256: "9f26820100",
		tlv.ValueMax: "9f2682ffff",
	} {
		got, err := tlv.Append([]byte("x"), 0x9f26, make([]byte, n))
		if err != nil || hex.EncodeToString(got[1:1+len(head)/2]) != head || len(got) != 1+len(head)/2+n {
			t.Errorf("%d bytes: %x %v", n, got[:min(len(got), 8)], err)
		}
		back, err := tlv.Parse(nil, got[1:])
		if err != nil || len(back) != 1 || len(back[0].Value) != n {
			t.Errorf("%d bytes do not come back: %v", n, err)
		}
	}
	if got, err := tlv.Append([]byte("x"), 0x9f26, make([]byte, tlv.ValueMax+1)); !errors.Is(err,
		tlv.ErrLength) || len(got) != 1 {
		t.Errorf("too long: %v", err)
	}
	if got, err := tlv.Append(nil, 0x9f, nil); !errors.Is(err, tlv.ErrTag) || got != nil {
		t.Errorf("no tag: %v", err)
	}
}

// TestRoundTrip: what is written is read.
func TestRoundTrip(t *testing.T) {
	tags := []tlv.Tag{0x82, 0x95, 0x9a, 0x9f10, 0x9f26, 0x5f2a, 0x84, 0xbf0c}
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		n := rapid.IntRange(0, len(tags)).Draw(t, "n")
		values := make([][]byte, n)
		for i := range n {
			values[i] = rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "value")
			data, _ = tlv.Append(data, tags[i], values[i])
		}
		got, err := tlv.Parse(nil, data)
		if err != nil || len(got) != n {
			t.Fatal(err)
		}
		for i, e := range got {
			if e.Tag != tags[i] || !bytes.Equal(e.Value, values[i]) {
				t.Fatalf("element %d differs", i)
			}
		}
	})
}

// TestCanary: error texts show no data.
func TestCanary(t *testing.T) {
	secret := unhex(t, "c0ffeec0ffeec0ffee")
	for n := range secret {
		for _, head := range []string{"9f26", "9f2610", "9f2683", "9a03261122"} {
			data := append(unhex(t, head), secret[:n]...)
			_, err := tlv.Parse(nil, data)
			if err != nil && strings.Contains(strings.ToLower(err.Error()), "c0ffee") {
				t.Errorf("%v", err)
			}
		}
	}
}

// FuzzParse: any bytes give elements that lie in the data, in order and without gaps, or an
// error.
func FuzzParse(f *testing.F) {
	f.Add([]byte{0x9f, 0x26, 1, 7, 0x9a, 0})
	f.Add([]byte{0x9a, 0x82, 0, 1, 5})
	f.Add([]byte{0x9f, 0x81, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := tlv.Parse(nil, data)
		if err != nil && len(got) != 0 {
			t.Fatal("elements with an error")
		}
		end := 0
		for _, e := range got {
			if e.Offset != end {
				t.Fatalf("element at %d, want %d", e.Offset, end)
			}
			end = e.Offset + header(e, data) + len(e.Value)
		}
		if err == nil && end != len(data) {
			t.Fatalf("read to %d of %d", end, len(data))
		}
	})
}

// header returns the bytes before the value.
func header(e tlv.Element, data []byte) int {
	n := 1
	if e.Tag > 0xff {
		n = 2
	}
	return n + 1 + int(max(data[e.Offset+n], 0x80)-0x80)
}
