package plant_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/tapswitch/tapswitch/ledger/recon"
	"github.com/tapswitch/tapswitch/ledger/recon/layout"
	"github.com/tapswitch/tapswitch/ledger/recon/plant"
)

func all(t *testing.T, s recon.Source) (rows []recon.Row) {
	t.Helper()
	if err := s.Rows(context.Background(), func(r *recon.Row) error {
		rows = append(rows, *r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return rows
}

// What is planted is what the sides differ by, no more.
func TestSidesDifferByWhatIsPlanted(t *testing.T) {
	c, err := plant.New(40_000, 400)
	if err != nil {
		t.Fatal(err)
	}
	theirs := map[string]recon.Row{}
	files := c.Theirs()
	for _, r := range all(t, files[0]) {
		theirs[r.Text[recon.RRN]] = r
	}
	differ := len(all(t, files[1]))
	for _, r := range all(t, c.Ours()) {
		o, there := theirs[r.Text[recon.RRN]]
		if !there || o.Amount != r.Amount || o.Date != r.Date || o.At != r.At ||
			o.Text[recon.Status] != r.Text[recon.Status] {
			differ++
		}
	}
	sum := 0
	for cause, n := range c.Planted() {
		if sum += n; n != 50 {
			t.Errorf("%s: %d", cause, n)
		}
	}
	if differ != 400 || sum != 400 {
		t.Errorf("%d rows differ, %d planted", differ, sum)
	}
}

// The file says the same as the side that it was written from.
func TestFile(t *testing.T) {
	c, err := plant.New(4000, 40)
	if err != nil {
		t.Fatal(err)
	}
	l, err := layout.Read("planted.yaml", []byte(plant.Layout))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	side := c.Theirs()[0]
	if err := plant.WriteFile(context.Background(), &text, side); err != nil {
		t.Fatal(err)
	}
	rows := all(t, &layout.File{Layout: l, Day: plant.Day, Path: "p.txt",
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text.Bytes())), nil }})
	want := all(t, side)
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i := range rows {
		got, want := rows[i], want[i]
		want.Text[recon.ID], want.Received, want.Marks, want.Place = "", 0, 0, got.Place
		got.Received, got.Marks = 0, 0
		if got != want {
			t.Fatalf("row %d:\n%+v\n%+v", i, got, want)
		}
	}
}

func TestLimits(t *testing.T) {
	for _, c := range [][2]int{{0, 0}, {plant.RowsMax + 1, 0}, {1000, 1000}} {
		if _, err := plant.New(c[0], c[1]); err == nil {
			t.Errorf("%v: no error", c)
		}
	}
	c, err := plant.New(10_000, 0)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := c.Ours().Rows(ctx, func(*recon.Row) error { return nil }); err == nil {
		t.Error("read on after the end")
	}
}
