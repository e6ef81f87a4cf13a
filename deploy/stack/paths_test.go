package stack

import (
	"errors"
	"path/filepath"
	"testing"
)

func TestRootIsFoundFromBelowAndPastNestedModules(t *testing.T) {
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "go.mod"), "// a comment\nmodule "+modulePath+"\n")
	writeFile(t, filepath.Join(root, "a/go.mod"), "module "+modulePath+"/a\n")
	below := filepath.Dir(writeFile(t, filepath.Join(root, "a/b/x"), ""))
	t.Chdir(below)
	got, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := filepath.EvalSymlinks(root); got != want && got != root {
		t.Errorf("root %s, want %s", got, root)
	}
	t.Setenv("TAPSWITCH_STACK_DIR", "")
	if dir, err := Dir(); err != nil || dir != filepath.Join(got, ".stack") {
		t.Errorf("stack folder %s, %v", dir, err)
	}
}

func TestOutsideOfACheckoutThereIsNoRoot(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("TAPSWITCH_STACK_DIR", "")
	if _, err := Root(); !errors.Is(err, ErrNoRoot) {
		t.Errorf("Root: %v, want ErrNoRoot", err)
	}
	if _, err := Dir(); !errors.Is(err, ErrNoRoot) {
		t.Errorf("Dir: %v, want ErrNoRoot", err)
	}
	for _, call := range []func() error{
		func() error { return Available(Kafka) },
		func() error { _, err := Status(t.Context()); return err },
		func() error { _, err := Checksums(); return err },
	} {
		if err := call(); !errors.Is(err, ErrNoRoot) {
			t.Errorf("%v, want ErrNoRoot", err)
		}
	}
}

func TestFolderOfTheEnvironmentWins(t *testing.T) {
	t.Setenv("TAPSWITCH_STACK_DIR", "/somewhere/else")
	if dir, err := Dir(); err != nil || dir != "/somewhere/else" {
		t.Errorf("%s, %v", dir, err)
	}
}
