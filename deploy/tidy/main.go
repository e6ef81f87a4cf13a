// Tidy checks the habits of this tree that no common linter knows: what pure packages
// may call, the form of panics, limits on size, comments where they belong, and nothing
// that tells about one machine.
//
// Usage: go run ./deploy/tidy [DIR]
//
// It prints one line "file:line: rule: what" for every finding and exits 1 when there is
// one. Lines that begin with "warn:" are targets that may be missed with a reason; they
// change no exit code. Generated files are not judged. It reads files and nothing else: it
// runs no command and writes nothing.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	dir := "."
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	os.Exit(run(dir, os.Stdout, os.Stderr))
}

// run checks the tree below dir and returns the exit code: 0, 1 with findings, 2 when the
// tree cannot be read.
func run(dir string, out, problems io.Writer) int {
	t, err := readTree(os.DirFS(dir))
	if err != nil {
		fmt.Fprintln(problems, "tidy:", err)
		return 2
	}
	t.check()
	failed := 0
	for _, f := range t.sorted() {
		if !f.warning {
			failed++
		}
		fmt.Fprintln(out, f)
	}
	fmt.Fprintf(out, "tidy: %d Go files, %d findings\n", len(t.sources), failed)
	if failed > 0 {
		return 1
	}
	return 0
}
