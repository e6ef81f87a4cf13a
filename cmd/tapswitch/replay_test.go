package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// replayRealFile is the published data, which is no part of the project.
const replayRealFile = "../../../shared/data/shenzhen-taps.csv.gz"

const replayHeader = "card_no,deal_date,deal_type,deal_money,deal_value,equ_no,company_name," +
	"station,car_no,conn_mark,close_date\n"

// replaySample is two days with a ride, buses, a row that stands twice, one that is
// malformed and one that charges too much.
const replaySample = replayHeader +
	"CBEHFCFCG,2018-08-31 23:50:00,地铁入站,0,0,263032105,地铁五号线,布吉,IGT-105,0,x\n" +
	"CBEHFCFCG,2018-09-01 00:10:00,地铁出站,475,500,263031101,地铁五号线,长龙,OGT-101,0,x\n" +
	"BIJCHFBC,2018-09-01 08:00:00,巴士,160,200,250001,巴士集团,M313,粤B1,0,x\n" +
	"BIJCHFBC,2018-09-01 08:00:00,巴士,160,200,250001,巴士集团,M313,粤B1,0,x\n" +
	"BIJCHFBC,2018-09-01 07:00:00,巴士,200,200,250002,华程交通,,,0,x\n" +
	"BIJCHFBC,2018-09-01 09:00:00,巴士,-1,200,250002,华程交通,,,0,x\n" +
	"ABC,2018-09-01 09:00:00,地铁出站,700,600,263031101,地铁五号线,长龙,OGT-101,0,x\n"

func replayFileOf(t *testing.T, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "taps.csv")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// replayJSON runs a replay and returns its one JSON object.
func replayJSON(t *testing.T, args ...string) (map[string]any, error) {
	t.Helper()
	var out bytes.Buffer
	root := rootCommand()
	root.SetOut(&out)
	root.SetArgs(append([]string{"replay", "--format", "szt", "-o", "json"}, args...))
	err := root.ExecuteContext(t.Context())
	var object map[string]any
	dec := json.NewDecoder(&out)
	if decodeErr := dec.Decode(&object); decodeErr != nil {
		t.Fatalf("%v, %v", decodeErr, err)
	}
	if dec.More() {
		t.Error("more than one object")
	}
	return object, err
}

// The file goes through a real node: journal, direct feed, Parquet.
func TestReplaySample(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write([]byte("\ufeff" + strings.ReplaceAll(replaySample, "\n", "\r\n")))
	_ = z.Close()
	dir := filepath.Join(t.TempDir(), "data")
	var first string
	for _, file := range [][]byte{[]byte(replaySample), zipped.Bytes()} {
		r, err := replayJSON(t, "--data", dir, replayFileOf(t, file))
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(r["rows"], r["taps"], r["approved"], r["declined"], r["journeys"],
			r["full_fare"], r["charged"], r["file_full_fare"], r["file_charged"], r["unexplained"],
			r["duplicates"], r["rejected_rows"])
		if want := "7 5 4 map[fare_mismatch:1] 1 900 835 1900 1694 0 1 1"; got != want {
			t.Errorf("got %s, want %s\n%v", got, want, r["differences"])
		}
		days := fmt.Sprint(r["days"])
		if !strings.Contains(days, "2018-08-31") || !strings.Contains(days, "2018-09-01") {
			t.Errorf("days %s", days)
		}
		text, _ := json.Marshal(r)
		if first == "" {
			first = string(text)
		} else if first != string(text) {
			t.Errorf("the second replay reports\n%s\nafter\n%s", text, first)
		}
	}
}

func TestReplayTable(t *testing.T) {
	var out bytes.Buffer
	root := rootCommand()
	root.SetOut(&out)
	root.SetArgs([]string{"replay", replayFileOf(t, []byte(replaySample))})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"journeys closed  1", "华程交通", "declined fare_mismatch  1",
		"same as line 4", "deal_money: amount is negative", "differences: 3, unexplained: 0"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// A file of which nothing could be replayed proves nothing, whatever the causes are.
func TestReplayOfNothing(t *testing.T) {
	var out bytes.Buffer
	root := rootCommand()
	root.SetOut(&out)
	root.SetArgs([]string{"replay", "-o", "json", replayFileOf(t, []byte(replayHeader+
		"BIJCHFBC,2018-09-01 08:00:00,\xb0\xcd\xca\xbf,160,200,250001,x,M313,y,0,x\n"))})
	err := root.ExecuteContext(t.Context())
	var coded *cli.ExitError
	if !errors.As(err, &coded) || coded.Code != cli.ExitFailed || !strings.Contains(out.String(), `"rejected_rows": 1`) {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// With --reprice the charges are held against the tariff of Shenzhen; no switch is driven.
func TestReplayReprice(t *testing.T) {
	r, err := replayJSON(t, "--reprice", replayFileOf(t, []byte(replaySample)))
	var coded *cli.ExitError
	if !errors.As(err, &coded) || coded.Code != cli.ExitBreaks {
		t.Errorf("%v", err)
	}
	got := fmt.Sprint(r["charges"], r["explained"], r["share"], r["duplicates"])
	if want := "5 2 0.4 1"; got != want {
		t.Errorf("got %s, want %s: %v", got, want, r["differences"])
	}
}

func TestReplayUsage(t *testing.T) {
	sample := replayFileOf(t, []byte(replaySample))
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"replay"}, cli.ExitUsage},
		{[]string{"replay", "a", "b"}, cli.ExitUsage},
		{[]string{"replay", "--format", "gtfs", sample}, cli.ExitUsage},
		{[]string{"replay", "--speed", "0", sample}, cli.ExitUsage},
		{[]string{"replay", "--speed", "NaN", sample}, cli.ExitUsage},
		{[]string{"replay", "--speed", "fast", sample}, cli.ExitUsage},
		{[]string{"replay", "-o", "csv", sample}, cli.ExitUsage},
		{[]string{"replay", "--reprice", "-o", "csv", sample}, cli.ExitUsage},
		{[]string{"replay", "--reprice=nowhere", sample}, cli.ExitNotFound},
		{[]string{"replay", filepath.Join(t.TempDir(), "none.csv")}, cli.ExitNotFound},
		{[]string{"replay", replayFileOf(t, []byte("a,b,c\n"))}, 0},
	} {
		root := rootCommand()
		root.SetOut(&bytes.Buffer{})
		root.SetArgs(c.args)
		err := root.ExecuteContext(t.Context())
		var coded *cli.ExitError
		code := 0
		if errors.As(err, &coded) {
			code = coded.Code
		}
		if err == nil || code != c.code {
			t.Errorf("%v: %v, code %d, want %d", c.args, err, code, c.code)
		}
	}
}

// The published file comes out to the fen.
func TestReplayRealFile(t *testing.T) {
	if testing.Short() {
		t.Skip("not run: -short leaves out the replay of 28,500 real taps")
	}
	if _, err := os.Stat(replayRealFile); err != nil {
		t.Skipf("not run: the Shenzhen file is not at %s", replayRealFile)
	}
	r, err := replayJSON(t, replayRealFile)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(r["taps"], r["approved"], r["declined"], r["journeys"], r["unexplained"],
		r["full_fare"] == r["file_full_fare"], r["charged"] == r["file_charged"])
	if want := "28500 28500 map[] 454 0 true true"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
