package main

import (
	"bytes"
	"strings"
)

// scan walks SQL text outside of quotes and comments.
type scan struct {
	text string
	at   int
}

// next returns the next word or single sign in upper case, and false at the end. Quoted text comes
// back as one sign, its opening quote.
func (s *scan) next() (string, bool) {
	for s.at < len(s.text) {
		rest := s.text[s.at:]
		switch c := rest[0]; {
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#!"),
			strings.HasPrefix(rest, "# "):
			s.skipTo("\n")
		case strings.HasPrefix(rest, "/*"):
			s.skipTo("*/")
		case c == '\'', c == '"', c == '`':
			s.skipQuoted(c)
			return string(c), true
		case isWord(c):
			return s.word(), true
		case c == ' ', c == '\t', c == '\n', c == '\r', c == '\f', c == '\v':
			s.at++
		default:
			s.at++
			return string(c), true
		}
	}
	return "", false
}

// word reads letters, digits and underscores.
func (s *scan) word() string {
	start := s.at
	for s.at < len(s.text) && isWord(s.text[s.at]) {
		s.at++
	}
	return strings.ToUpper(s.text[start:s.at])
}

// skipTo passes a comment; one that does not end takes the rest.
func (s *scan) skipTo(end string) {
	i := strings.Index(s.text[s.at:], end)
	if i < 0 {
		s.at = len(s.text)
		return
	}
	s.at += i + len(end)
}

// skipQuoted passes a quoted text; a backslash hides the next sign, a doubled quote is two texts.
func (s *scan) skipQuoted(quote byte) {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case quote:
			s.at++
			return
		}
	}
}

// isWord counts every byte of a longer UTF-8 sign as a letter.
func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' ||
		c >= 0x80
}

// shape is what the front has to know of a statement.
type shape struct {
	many bool // a second statement follows
	// rows tells that rows in a format follow an insert. They begin behind dataAt; FROM INFILE
	// with the name of a file may be put in at fileAt.
	rows           bool
	fileAt, dataAt int
	format         string // Values for an insert with VALUES, else "": the statement names it
}

// shapeOf looks at a statement. ClickHouse's HTTP interface refuses a second statement, which the
// engine would run. Words in brackets are names or arguments and are passed over.
func shapeOf(text string) shape {
	s := scan{text: text}
	insert, ended := false, false
	depth, fileAt := 0, -1
	for first := true; ; first = false {
		before := s.at
		word, more := s.next()
		if !more {
			return shape{}
		}
		if ended && word != ";" {
			return shape{many: true}
		}
		ended = word == ";"
		depth += bracket(word)
		switch {
		case first:
			insert = word == "INSERT"
		case !insert || depth > 0:
		case word == "SELECT", word == "WITH", word == "INFILE":
			insert = false
		case word == "SETTINGS" && fileAt < 0:
			fileAt = before
		case word == "VALUES":
			return shape{rows: true, fileAt: before, dataAt: s.at, format: "Values"}
		case word == "FORMAT":
			if fileAt < 0 {
				fileAt = before
			}
			_, more = s.next() // the format's name
			return shape{rows: more, fileAt: fileAt, dataAt: s.at}
		}
	}
}

// bracket is the change of depth at a sign.
func bracket(word string) int {
	switch word {
	case "(":
		return 1
	case ")":
		return -1
	}
	return 0
}

// rowsBehind returns the rows of an insert: what follows the format's name and one line end, as
// ClickHouse cuts it.
func rowsBehind(statement []byte) []byte {
	rows := bytes.TrimLeft(statement, " \t\f")
	rows = bytes.TrimPrefix(rows, []byte{'\r'})
	return bytes.TrimPrefix(rows, []byte{'\n'})
}

// fromFile returns the statement of an insert with its rows left out and read from a file.
func (sh shape) fromFile(statement []byte, file string) []byte {
	head, tail := string(statement[:sh.fileAt]), string(statement[sh.fileAt:sh.dataAt])
	if sh.format != "" {
		tail = " FORMAT " + sh.format
	}
	return []byte(head + " FROM INFILE " + quoted(file) + tail)
}

// quoted returns s as a string literal of ClickHouse.
func quoted(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`).Replace(s) + "'"
}

// quotedName returns s as an identifier of ClickHouse.
func quotedName(s string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
}

// isName reports whether s may stand as the name of a setting or parameter without quotes.
func isName(s string) bool {
	for i := range len(s) {
		if !isWord(s[i]) || s[i] >= 0x80 {
			return false
		}
	}
	return s != "" && (s[0] < '0' || s[0] > '9')
}
