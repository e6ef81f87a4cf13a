package main

import (
	"strings"
	"testing"
)

func TestSecondStatementsAreSeen(t *testing.T) {
	cases := map[string]bool{
		"SELECT 1":                                false,
		"SELECT 1;":                               false,
		"SELECT 1; ; \n-- the end":                false,
		"SELECT 1; SELECT 2":                      true,
		"SELECT ';'; ":                            false,
		`SELECT 'it''s; \'; x'`:                   false,
		"SELECT `a;b`, \"c;d\"":                   false,
		"SELECT 1 /* ; */ -- ; x\n":               false,
		"SELECT 1 #! ; x\n;DROP TABLE t":          true,
		"CREATE TABLE t (a UInt8) ENGINE=Memory;": false,
		"DROP TABLE a; DROP TABLE b":              true,
		"INSERT INTO t VALUES ('a;b'); x":         false, // data
		"INSERT INTO t FORMAT CSV\n1;2":           false, // data
		"INSERT INTO t SELECT 1; DROP TABLE t":    true,
		"SELECT 'open; SELECT 2":                  false, // the engine refuses it
		"SELECT 1 /* open ; x":                    false,
	}
	for text, want := range cases {
		if got := shapeOf(text).many; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

func TestRowsOfAnInsertAreMovedIntoAFile(t *testing.T) {
	cases := []struct{ text, want string }{
		{"INSERT INTO t (a, b) FORMAT Native\nROWS",
			"INSERT INTO t (a, b) FROM INFILE 'f' FORMAT Native"},
		{"insert into t values ROWS",
			"insert into t FROM INFILE 'f' FORMAT Values"},
		{"INSERT INTO t (format, values) FORMAT CSV\nROWS",
			"INSERT INTO t (format, values) FROM INFILE 'f' FORMAT CSV"},
		{"INSERT INTO t SETTINGS x = 1 FORMAT CSV\nROWS",
			"INSERT INTO t FROM INFILE 'f' SETTINGS x = 1 FORMAT CSV"},
		{"/* x */ INSERT INTO d.t FORMAT TSV \t\r\nROWS",
			"/* x */ INSERT INTO d.t FROM INFILE 'f' FORMAT TSV"},
	}
	for _, c := range cases {
		sh := shapeOf(c.text)
		if !sh.rows {
			t.Errorf("%q: no rows seen", c.text)
			continue
		}
		if rows := rowsBehind([]byte(c.text[sh.dataAt:])); string(rows) != "ROWS" {
			t.Errorf("%q: rows %q", c.text, rows)
		}
		if got := string(sh.fromFile([]byte(c.text), "f")); got != c.want {
			t.Errorf("%q became\n%q, want\n%q", c.text, got, c.want)
		}
	}
	for _, text := range []string{"SELECT 1 FORMAT CSV", "INSERT INTO t SELECT 1 FORMAT CSV",
		"INSERT INTO t WITH 1 AS x SELECT x", "INSERT INTO t FROM INFILE 'x' FORMAT CSV", "INSERT INTO t",
		"INSERT INTO t FORMAT", ""} {
		if shapeOf(text).rows {
			t.Errorf("%q: rows seen where there are none", text)
		}
	}
}

func TestRowsKeepTheirFirstBytes(t *testing.T) {
	for text, want := range map[string]string{
		"\n\n\x00":  "\n\x00", // one line end only: a Native block may begin with 10 columns
		" \t\f\n x": " x",
		"\r\n\r":    "\r",
		"x":         "x",
		"":          "",
	} {
		if got := string(rowsBehind([]byte(text))); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestQuoting(t *testing.T) {
	if got := quoted("a'b\\c\x00"); got != `'a\'b\\c\0'` {
		t.Errorf("quoted: %s", got)
	}
	if got := quotedName("a`b"); got != "`a\\`b`" {
		t.Errorf("quotedName: %s", got)
	}
	for name, want := range map[string]bool{"max_threads": true, "_x9": true, "": false, "9x": false,
		"a b": false, "a=1, b": false, "é": false} {
		if isName(name) != want {
			t.Errorf("isName(%q) is not %v", name, want)
		}
	}
}

func FuzzShapeOf(f *testing.F) {
	for _, seed := range []string{"INSERT INTO t (a) FORMAT Native\n\x00", "SELECT 'a\\", "/*", "a;b",
		"INSERT INTO t VALUES(1)", "insert into `format` settings a=1 format x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sh := shapeOf(text)
		if !sh.rows {
			return
		}
		if sh.fileAt < 0 || sh.fileAt > sh.dataAt || sh.dataAt > len(text) {
			t.Fatalf("%+v does not fit %d bytes", sh, len(text))
		}
		if moved := sh.fromFile([]byte(text), "f"); !strings.Contains(string(moved), "INFILE") {
			t.Fatalf("%q has no file", moved)
		}
	})
}
