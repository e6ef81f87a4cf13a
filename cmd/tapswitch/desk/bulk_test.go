package desk

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/cmd/tapswitch/cli"
)

// listAnswer is what a command prints of a list of people.
type listAnswer struct {
	Accepted, Refused int
	Batch, Made       string
	Dry               bool `json:"dry_run"`
	Results           []result
}

// A unit enrols its people: nothing in a dry run, one result a person, exit code 1 when any is
// refused.
func TestBulkCSV(t *testing.T) {
	o := newOffice(t, "handan")
	file := o.file("people.csv", "\xef\xbb\xbfholder,card,rider,rider_source,serial\n"+
		holderA+","+cardA+",student,school,S-1\n\n"+holderB+",3104 8000 0000 0002,,,\n")
	bad := o.file("bad.csv", "holder,card\n"+holderA+","+cardA+"\n"+
		holderA+","+cardB+"\n,"+cardC+"\nx\n")
	line := "bulk " + file + " --unit U-7 --checked"
	o.refused(cli.ExitUsage, "unit", "bulk "+file)
	o.refused(cli.ExitFailed, "not_checked", "bulk --unit U-7 "+file)
	o.does("unit U-7: 0 refused, 2 would be enrolled", line+" --dry-run")
	o.refused(cli.ExitNotFound, "account_unknown", "find --holder -", holderA)
	out := o.refused(cli.ExitFailed, "3 of 4 people were refused",
		"bulk "+bad+" --unit U-7 --checked --dry-run")
	for _, want := range []string{"holder: stands in line 2 already", "holder or card is missing",
		"1 columns, want 2", "****0001"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
	var done listAnswer
	o.asks(&done, line)
	if done.Accepted != 2 || done.Refused != 0 || done.Results[1].Line != 4 ||
		done.Results[1].Card != "****0002" {
		t.Errorf("%+v", done)
	}
	o.does("student school", "find --number serial=S-1")
	o.does("U-7", "find --card -", cardB)
	o.refused(cli.ExitFailed, "account_exists", line)
	o.silent()
}

// A dry run says what the real run would say: of a printed number that stands twice in the file,
// of a card of another's account, of a day that has passed; and a broken line is that line's.
func TestBulkDryRunSaysTheSame(t *testing.T) {
	o := newOffice(t, "handan")
	o.does("1 would be enrolled", "bulk - --unit U-7 --checked --dry-run",
		"holder,card,serial\n"+holderC+","+cardC+",S-9\n")
	o.does("1 enrolled", "bulk - --unit U-7 --checked", "holder,card,serial\n"+holderC+","+cardC+",S-9\n")
	text := "serial,card,holder,rider,rider_source,rider_until\n" +
		"S-1," + cardA + "," + holderA + ",,,\n" +
		"S-1," + cardB + "," + holderB + ",,,\n" +
		"S-2," + cardC + ",11010119900102998X,,,\n" +
		"S-3,31048000000000090,110101199001029998,student,school,2020-01-01\n" +
		"S-4,\"3104,x,,,\n"
	for _, run := range []string{" --dry-run", ""} {
		out := o.refused(cli.ExitFailed, "4 of 5 people were refused",
			"bulk - --unit U-7 --checked"+run, text)
		for _, want := range []string{"serial: stands in line 2 already", "carrier_exists",
			"rider_until_past", "quotation mark"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q: want %q in\n%s", run, want, out)
			}
		}
	}
}

// Objects a line, flat or as the gate's call has them.
func TestBulkLines(t *testing.T) {
	o := newOffice(t, "handan")
	whole := fmt.Sprintf(`{"holder":%q,"with":{"who":{"actor":"employer","channel":"bulk","id":"passport"},`+
		`"checked":true,"carrier":{"token":%q,"kind":"chip","family":"t_union"}}}`, holderB, cardB)
	flat := fmt.Sprintf(`{"holder":%q,"card":%q,"checked":true,"channel":"agency",`+
		`"apps":"library campus"}`, holderA, cardA)
	text := flat + "\n\n" + whole + "\n"
	var all listAnswer
	o.asks(&all, "bulk - --unit U-7", text)
	if all.Accepted != 2 || all.Results[1].Line != 3 || all.Results[1].Card != "****0002" {
		t.Errorf("%+v", all)
	}
	o.does("library,campus", "find --card -", cardA)
	for text, want := range map[string]string{
		`{"holder":1,"card":"` + cardC + `"}`:                             "want a text",
		`{"holder":"` + holderC + `","card":"` + cardC + `","x":"y"}`:     "not known",
		`{"holder":"` + holderC + `","card":"` + cardC + `","ready":"?"}`: "want true or false",
		"{broken": "not a JSON object",
	} {
		o.refused(cli.ExitFailed, want, "bulk - --unit U-7", text)
	}
	o.silent()
}

// What is no list is refused before anybody is enrolled.
func TestBulkFiles(t *testing.T) {
	o := newOffice(t, "handan")
	for text, want := range map[string]string{
		"":                                       "CSV with a head",
		"holder,card\n":                          "nobody",
		"holder,age\n":                           "column 2 is not known",
		"\"holder,card\n":                        "line 1",
		"{" + strings.Repeat(" ", lineMax) + "}": "FILE",
	} {
		o.refused(cli.ExitUsage, want, "bulk - --unit U-7", text)
	}
	o.refused(cli.ExitUsage, "FILE", "bulk nothing.csv --unit U-7")
	o.refused(cli.ExitUsage, "--batch and --made", "bulk - --unit U-7 --batch 17",
		"holder,card\nx,y")
	o.refused(cli.ExitUsage, "more than", "bulk - --unit U-7",
		"holder,card\n"+strings.Repeat("x,y\n", BulkMax+1))
}

// A list that breaks off goes on: who was enrolled is not enrolled twice.
func TestBulkGoesOn(t *testing.T) {
	o := newOffice(t, "handan")
	var text strings.Builder
	text.WriteString("holder,card\n")
	for i := range bulkPart + 5 {
		fmt.Fprintf(&text, "%s,31048000000010%02d%02d\n", resident(i), i/100, i%100)
	}
	file := o.file("people.csv", text.String())
	line := "bulk " + file + " --unit U-7 --checked"
	o.break502 = true // the first part is carried out, its answer lost
	out := o.refused(cli.ExitFailed, "answered 502", line)
	_, again, ok := strings.Cut(out, "safe with ")
	if !ok || strings.Contains(out, "11010119900102") {
		t.Fatal(out)
	}
	var all listAnswer
	o.asks(&all, line+" "+again)
	replayed := 0
	for _, r := range all.Results {
		if r.Replay {
			replayed++
		}
	}
	if all.Accepted != bulkPart+5 || replayed != bulkPart {
		t.Errorf("%d accepted, %d of them before", all.Accepted, replayed)
	}
}

// resident returns the n-th identity number of a day, with its check digit by GB 11643.
func resident(n int) string {
	body, sum := fmt.Sprintf("11010119900102%03d", n), 0
	for _, c := range body {
		sum = (sum + int(c-'0')) * 2 % 11
	}
	return body + "10X98765432"[sum%11:sum%11+1]
}
