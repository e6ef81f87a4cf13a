package cli

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/spf13/cobra"
)

var errDisk = errors.New("disk full")

// The outermost code counts, and the error stays what it was.
func TestCode(t *testing.T) {
	coded := WithCode(ExitConflict, errDisk)
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0}, {errDisk, ExitFailed}, {WithCode(ExitUsage, nil), 0}, {coded, ExitConflict},
		{fmt.Errorf("key: %w", coded), ExitConflict},
		{errors.Join(errDisk, coded), ExitConflict},
		{WithCode(ExitNotFound, coded), ExitNotFound},
	} {
		if got := Code(c.err); got != c.want {
			t.Errorf("%v: code %d, want %d", c.err, got, c.want)
		}
	}
	if !errors.Is(coded, errDisk) || coded.Error() != "disk full" {
		t.Errorf("%v", coded)
	}
	if got := WithCode(ExitUsage, nil); got != nil {
		t.Errorf("no error became %v", got)
	}
}

// Scripts rely on the numbers.
func TestExitCodesStay(t *testing.T) {
	got := []int{ExitFailed, ExitUsage, ExitUnavailable, ExitNotFound, ExitConflict, ExitBreaks,
		ExitInterrupted}
	if want := "[1 2 3 4 5 6 130]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestOutput(t *testing.T) {
	var form Output
	c := &cobra.Command{Use: "c"}
	form.Add(c)
	if form != Table {
		t.Errorf("unasked it is %q", form)
	}
	for _, want := range []Output{Table, JSON, CSV} {
		if err := c.ParseFlags([]string{"-o", string(want)}); err != nil || form != want {
			t.Errorf("%q: %v, is %q", want, err, form)
		}
	}
	for _, other := range []string{"", "JSON", "yaml"} {
		if err := c.ParseFlags([]string{"--output=" + other}); err == nil || form != CSV {
			t.Errorf("%q is a form: %v", other, err)
		}
	}
	if form.String() != "csv" || form.Type() != "form" {
		t.Errorf("%s of type %s", form.String(), form.Type())
	}
}

// Texts are printed as they are, not as for a page.
func TestPrintJSON(t *testing.T) {
	var b bytes.Buffer
	if err := PrintJSON(&b, map[string]string{"a": "<&>"}); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"a\": \"<&>\"\n}\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	if err := PrintJSON(&b, make(chan int)); err == nil {
		t.Error("a channel has no JSON")
	}
}

func TestWarn(t *testing.T) {
	var b bytes.Buffer
	Warn(&b, "mend a", "mend b")
	if b.String() != "warning: mend a\nwarning: mend b\n" {
		t.Errorf("%q", b.String())
	}
}
