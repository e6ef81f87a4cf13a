package upload_test

import (
	"encoding/hex"
	"reflect"
	"testing"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/upload"
)

// The stored forms of TestStoredFormsStay: two lines, and the used part of a page.
const (
	goldenLines = "0101020000000000000000000000000000313233340000000000000000000300000000000000000000000000" +
		"00003031393503019a0180d8fdb18b6804fb02280280d8fdb18b680a0c80d8fdb18b68070700000000129801" +
		"a006fc0280d8fdb18b68c601"
	goldenPage = "010000000000000000000000000000000000630406"
)

// What a store holds of cards and modules is read for ever, and written as it was.
func TestStoredFormsStay(t *testing.T) {
	const at = 1_788_235_200_000
	lines := []upload.Line{{Card: pan.Token{1, 2}, Last4: pan.Last4{'1', '2', '3', '4'}},
		{Card: pan.Token{3}, Last4: pan.Last4{'0', '1', '9', '5'}, Delta: -190, Broken: 20, Breaks: 1, At: at,
			Seq: upload.Sequence{Known: true, High: 77, HighAt: at, Lost: 2,
				Gaps: []upload.Gap{{From: 5, To: 6, At: at}}},
			Grey: &upload.Grey{PSAM: [6]byte{7, 7}, Seq: 9, Digest: 99,
				Fact: upload.Fact{Counter: 76, Before: 400, Amount: 190, At: at}}}}
	var page upload.Page
	page.Set(upload.PageSize+1, upload.Entry{Digest: 99,
		Fate: upload.Fate{State: upload.Rejected, Reason: upload.NotDebited}})
	wrote := page.Append(nil)
	if got := hex.EncodeToString(upload.AppendLines(nil, lines)); got != goldenLines {
		t.Errorf("wrote\n%s\nstored is\n%s", got, goldenLines)
	}
	if got := hex.EncodeToString(wrote[:21]); got != goldenPage || len(wrote) != 1+upload.PageSize*10 {
		t.Errorf("wrote\n%s of %d bytes\nstored is\n%s", got, len(wrote), goldenPage)
	}
	stored, err := hex.DecodeString(goldenLines)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := upload.ReadLines(stored); err != nil || !reflect.DeepEqual(got, lines) {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, lines)
	}
	var back upload.Page
	if err := back.Read(wrote, 1); err != nil || back.Append(nil) == nil || string(back.Append(nil)) != string(wrote) {
		t.Errorf("page: %v", err)
	}
}
