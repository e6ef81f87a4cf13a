package frame

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// vector is one frame in both forms; other implementations are held against the same file.
type vector struct {
	Name  string `json:"name"`
	Frame string `json:"frame"`
	JSON  Upload `json:"json"`
}

const vectorFile = "testdata/vectors.json"

var update = flag.Bool("update", false, "write the hex of the vectors anew from their JSON form")

func vectors(t testing.TB) []vector {
	t.Helper()
	text, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var all []vector
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// Both forms of every vector say the same, byte for byte.
func TestVectorsAgreeInBothForms(t *testing.T) {
	all := vectors(t)
	for i := range all {
		v := &all[i]
		made, err := v.JSON.Frame()
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if *update {
			v.Frame = hex.EncodeToString(made)
		}
		if hex.EncodeToString(made) != v.Frame {
			t.Errorf("%s: JSON makes\n%x, want\n%s", v.Name, made, v.Frame)
		}
		want, err := hex.DecodeString(v.Frame)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(want)
		if err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if got := f.Upload(); !reflect.DeepEqual(got, v.JSON) {
			t.Errorf("%s: frame reads as %+v", v.Name, got)
		}
		text, err := json.Marshal(v.JSON)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseJSON(text); err != nil || !bytes.Equal(again, want) {
			t.Errorf("%s: through JSON text: %v", v.Name, err)
		}
	}
	if *update {
		text, err := json.MarshalIndent(all, "", " ")
		if err == nil {
			err = os.WriteFile(vectorFile, append(text, '\n'), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func sample(t testing.TB) []byte {
	t.Helper()
	b, err := hex.DecodeString(vectors(t)[0].Frame)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every field of the layout stands where the table says, and reads what was written.
func TestFieldsStandWhereTheTableSays(t *testing.T) {
	f, err := Parse(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	r := f.Record(0)
	tap := r.Tap()
	if f.Terminal != "GATE07" || r.TermSeq() != tap.TermSeq || r.Counter() != tap.Counter ||
		r.Amount() != tap.Amount || string(r.Line()) != tap.Line || r.ListEpoch() != tap.ListEpoch {
		t.Errorf("fields of %+v", tap)
	}
	number, err := r.Number()
	if err != nil || number.Digits() != string(tap.Card) {
		t.Errorf("card: %v", err)
	}
	if shown := fmt.Sprintf("%v %+v %d", tap.Card, tap, tap.Card); strings.Contains(shown, string(tap.Card)) {
		t.Error("a printed tap shows its card number")
	}
}

// base is a tap with nothing in it that need not be.
func base() Tap {
	return Tap{Kind: "metro_exit", Card: "3104580000000000017", PSAM: "000000000001", Fare: 500,
		At: "20261122101112", Issuer: "0000000000000000", City: "0000", Industry: "0000"}
}

// Every field of the JSON form has its place in the binary form and comes back from it, and every
// field of the header does, whatever field is added.
func TestEveryFieldInBothForms(t *testing.T) {
	plain := base()
	empty, err := plain.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	offset := int32(-7)
	for field, value := range map[string]any{"Kind": "bus_boarding", "TTI": uint8(9), "Class": uint8(2),
		"Card": Digits("31045800"), "Issuer": "01015840ffffffff", "City": "5840", "Industry": "0001",
		"PSAM": "010203040506", "TermSeq": uint32(7), "Counter": uint16(8), "Amount": uint32(400),
		"Fare": uint32(900), "Before": uint32(1000), "At": "20270101235959", "TAC": "0a0b0c0d",
		"KeyVersion": uint8(1), "KeyIndex": uint8(2), "Algorithm": uint8(3), "Verdict": uint8(4),
		"Flags": []string{"proved", "train_fault", "station_closed", "emergency_release", "order_waived",
			"time_waived"},
		"ClockOffset": &offset, "ListEpoch": uint64(1 << 40), "Line": "L1", "Station": "Futian",
		"EntryStation": "Luohu", "EntryAt": uint32(1 << 31), "Mode": "ferry", "Travel": "business",
		"Metres": uint32(MetresMax)} {
		tap := base()
		reflect.ValueOf(&tap).Elem().FieldByName(field).Set(reflect.ValueOf(value))
		r, err := tap.Append(nil)
		if err != nil || bytes.Equal(r, empty) {
			t.Errorf("%s has no place: %v", field, err)
			continue
		}
		if back := Record(r).Tap(); !reflect.DeepEqual(back, tap) {
			t.Errorf("%s: %+v comes back as %+v", field, tap, back)
		}
		text, err := json.Marshal(Upload{Header: Header{Terminal: "G", First: 1, TotalRecords: 1,
			BatchRecords: 1}, Taps: []Tap{tap}})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := ParseJSON(text); err != nil || !bytes.Equal(b[HeaderSize:], r) {
			t.Errorf("%s through JSON: %v", field, err)
		}
	}
	if n := reflect.TypeFor[Tap]().NumField(); n != 29 {
		t.Errorf("a tap has %d fields, 29 are proven", n)
	}
}

// No byte of the binary form is lost on the way through the JSON form: another byte is another tap,
// or a record that is refused.
func TestEveryByteIsTold(t *testing.T) {
	told := base()
	told.Mode, told.Travel, told.Metres = "tram", "business", 1200
	for _, tap := range []Tap{base(), told} {
		r, err := tap.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		for at := range r {
			for bit := range 8 {
				other := Record(bytes.Clone(r))
				other[at] ^= 1 << bit
				if other.Check() != nil {
					continue
				}
				back := other.Tap()
				if reflect.DeepEqual(back, tap) {
					t.Fatalf("bit %d of byte %d is not told", bit, at)
				}
				if again, err := back.Append(nil); err != nil || !bytes.Equal(again, other) {
					t.Fatalf("bit %d of byte %d does not survive: %v", bit, at, err)
				}
			}
		}
	}
}

// What a record tells of its ride: each mode, and the degraded modes as the orders number them.
func TestRideIsTold(t *testing.T) {
	for i, mode := range []string{"", "bus", "metro", "rail", "tram", "ferry"} {
		tap := base()
		tap.Mode, tap.Flags = mode, []string{"station_closed", "time_waived"}
		b, err := tap.Append(nil)
		r := Record(b)
		if err != nil || int(r.Mode()) != i || r.Business() || r.Degraded() != 1<<1|1<<4 ||
			r.Flags()&Told != 0 != (i > 0) {
			t.Errorf("%s: %v %d %b", mode, err, r.Mode(), r.Degraded())
		}
	}
	for name, spoil := range map[string]func(r Record){
		"told without the flag": func(r Record) { r[65] = 1 },
		"length without it":     func(r Record) { r[125] = 1 },
		"the flag alone":        func(r Record) { r[63] |= Told },
		"a mode that is none":   func(r Record) { r[63], r[65] = r[63]|Told, modeEnd },
		"a class that is none":  func(r Record) { r[63], r[65] = r[63]|Told, 0x20 },
		"a flag that is none":   func(r Record) { r[62] = 1 },
	} {
		tap := base()
		b, err := tap.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if spoil(b); Record(b).Check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for name, change := range map[string]func(*Tap){
		"plane": func(t *Tap) { t.Mode = "plane" }, "third": func(t *Tap) { t.Travel = "third" },
		"far": func(t *Tap) { t.Metres = MetresMax + 1 }} {
		tap := base()
		change(&tap)
		if _, err := tap.Append(nil); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A frame of another length, sum, version or with a reserved field set is refused, by name.
func TestParseRefuses(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"magic":    func(b []byte) []byte { b[0] = 'X'; return b },
		"version":  func(b []byte) []byte { b[4] = 2; return b },
		"reserved": func(b []byte) []byte { b[80] = 1; return End(b) },
		"CRC":      func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"records":  func(b []byte) []byte { return b[:len(b)-1] },
		"bytes":    func(b []byte) []byte { return b[:HeaderSize-1] },
		"terminal": func(b []byte) []byte { b[12] = 7; return End(b) },
		"offset":   func(b []byte) []byte { b[39] = 200; return End(b) },
		"first":    func(b []byte) []byte { b[51] = 0; b[50] = 0; return End(b) },
		"total":    func(b []byte) []byte { b[60] = 0xff; return End(b) },
	} {
		_, err := Parse(spoil(sample(t)))
		if !errors.Is(err, ErrFrame) || !strings.Contains(fmt.Sprint(err), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := make([]byte, SizeMax+RecordSize)
	copy(long, sample(t)[:HeaderSize])
	if _, err := Parse(End(long)); !errors.Is(err, ErrFrame) {
		t.Errorf("more than RecordsMax: %v", err)
	}
}

func TestCheckRefusesRecords(t *testing.T) {
	for name, spoil := range map[string]func(r Record){
		"kind":     func(r Record) { r[0] = 9 },
		"reserved": func(r Record) { r[127] = 1 },
		"number":   func(r Record) { r[24] = 0xfa },
		"date":     func(r Record) { r[50] = 0x13 },
		"grey":     func(r Record) { r[63] |= Grey },
		"amount":   func(r Record) { r[36] = 0xff },
		"ASCII":    func(r Record) { r[78] = 0x80 },
	} {
		f, err := Parse(sample(t))
		if err != nil {
			t.Fatal(err)
		}
		r := f.Record(0)
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		spoil(r)
		if err := r.Check(); !errors.Is(err, ErrFrame) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Digits beyond the number's length would make two cards of one.
func TestCardHasNoDigitsBeyondItsLength(t *testing.T) {
	f, err := Parse(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	r := f.Record(0)
	r[12]--
	if r.Check() == nil {
		t.Error("a digit beyond the length is taken")
	}
}

func TestJSONRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"JSON":     `{"terminal":7}`,
		"flag":     `{"terminal":"G","taps":[{"kind":"bus_boarding","card":"3104000000000001","psam":"000000000001","at":"20261122101112","flags":["x"]}]}`,
		"psam":     `{"terminal":"G","taps":[{"kind":"bus_boarding","card":"3104000000000001","psam":"01","at":"20261122101112"}]}`,
		"kind":     `{"terminal":"G","taps":[{"kind":"tram","card":"3104000000000001","psam":"000000000001","at":"20261122101112"}]}`,
		"terminal": `{"terminal":"GATE-WITH-A-LONG-NAME"}`,
		"station":  `{"terminal":"G","taps":[{"kind":"bus_boarding","card":"3104000000000001","psam":"000000000001","at":"20261122101112","station":"12345678901234567"}]}`,
	} {
		if _, err := ParseJSON([]byte(text)); !errors.Is(err, ErrFrame) ||
			!strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "3104000000000001") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Reading a frame allocates its terminal's name and nothing a record.
func TestReadingAllocatesNothingARecord(t *testing.T) {
	b := sample(t)
	record := b[HeaderSize : HeaderSize+RecordSize]
	big := append([]byte{}, b[:HeaderSize]...)
	for range 1000 {
		big = append(big, record...)
	}
	big[34], big[35] = 0xff, 0xff // records of the batch
	big[50], big[51] = 0, 1       // first
	big[57] = 1                   // total
	End(big)
	total := 0
	allocs := testing.AllocsPerRun(20, func() {
		f, err := Parse(big)
		if err != nil {
			t.Fatal(err)
		}
		for i := range f.Len() {
			r := f.Record(i)
			if r.Check() != nil {
				t.Fatal("record")
			}
			if _, err := r.Number(); err != nil {
				t.Fatal(err)
			}
			total += int(r.Amount()) + len(r.Station())
		}
	})
	if allocs > 1 {
		t.Errorf("%v allocations a frame", allocs)
	}
}

// allocMax is what no input may make a reader allocate, beside what it sent itself.
const allocMax = 64 << 10

func FuzzParse(f *testing.F) {
	for _, v := range vectors(f) {
		b, err := hex.DecodeString(v.Frame)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:HeaderSize])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= HeaderSize {
			End(b) // so that the sum is no obstacle; count is what the length says
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		frame, err := Parse(b)
		runtime.ReadMemStats(&after)
		if after.TotalAlloc-before.TotalAlloc > allocMax {
			t.Errorf("%d bytes allocated for %d", after.TotalAlloc-before.TotalAlloc, len(b))
		}
		if err != nil {
			return
		}
		for i := range frame.Len() {
			if r := frame.Record(i); r.Check() == nil {
				_, _ = r.Number()
				tap := r.Tap()
				again, err := tap.Append(nil)
				if err != nil || !bytes.Equal(again, r) {
					t.Fatalf("record %d does not survive its JSON form: %v", i, err)
				}
			}
		}
	})
}

func FuzzParseJSON(f *testing.F) {
	for _, v := range vectors(f) {
		text, err := json.Marshal(v.JSON)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if b, err := ParseJSON(text); err == nil {
			_, _ = Parse(b)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	frame := sample(b)
	b.ReportAllocs()
	for b.Loop() {
		f, err := Parse(frame)
		if err != nil || f.Record(0).Check() != nil {
			b.Fatal(err)
		}
	}
}
