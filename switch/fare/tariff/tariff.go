// Package tariff reads tariff files and keeps the versions of one tariff together.
//
// Read turns YAML into price.File, strictly: a key that is not known, twice or of the wrong
// kind is refused with its file and line. Load compiles files into a Book, whose versions must
// follow each other day by day without a gap and without an overlap. Check holds a Book against
// the one before it: no version may change on a service day that is closed, since what was
// charged then was charged by it.
//
// A Book is read only and safe for concurrent use. The package opens no file and knows no
// clock: which day is closed the caller says.
package tariff

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapswitch/tapswitch/switch/fare/price"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// ErrFile reports tariff files that are refused; the errors with it say where and why.
var ErrFile = errors.New("tariff refused")

// VersionsMax bounds the versions of one tariff.
const VersionsMax = 1000

// Source is a tariff file: its name, for messages, and its text.
type Source struct {
	Name string
	Text []byte
}

// FileError is one thing that is wrong in a file.
type FileError struct {
	File string
	price.Problem
}

// Error returns "shenzhen.yaml:12: fares.metro: what".
func (e *FileError) Error() string {
	s := e.File + ":"
	if e.Line > 0 {
		s += strconv.Itoa(e.Line) + ":"
	}
	if e.Key != "" {
		s += " " + e.Key + ":"
	}
	return s + " " + e.What
}

// Version is one compiled version and the file that it came from.
type Version struct {
	*price.Tariff
	File string
	keys map[string]int // the lines of the keys at the top of the file
}

// Book is a tariff with its versions in the order of time.
type Book struct{ versions []Version }

// Load reads and compiles the versions of one tariff.
func Load(sources ...Source) (*Book, error) {
	b := &Book{}
	var all []error
	if len(sources) == 0 || len(sources) > VersionsMax {
		return nil, fmt.Errorf("%w: %d files, want 1 to %d", ErrFile, len(sources), VersionsMax)
	}
	for _, s := range sources {
		v, err := compile(s)
		if err != nil {
			all = append(all, err)
			continue
		}
		b.versions = append(b.versions, v)
	}
	if len(all) > 0 {
		return nil, errors.Join(all...)
	}
	slices.SortStableFunc(b.versions, func(x, y Version) int {
		return cmp.Compare(x.Tariff.File().Effective.From, y.Tariff.File().Effective.From)
	})
	if err := b.follow(); err != nil {
		return nil, err
	}
	return b, nil
}

// Compile reads and compiles one file.
func Compile(s Source) (*price.Tariff, error) {
	v, err := compile(s)
	return v.Tariff, err
}

func compile(s Source) (Version, error) {
	f, keys, err := read(s)
	if err != nil {
		return Version{}, err
	}
	t, err := price.Compile(f)
	if err != nil {
		return Version{}, located(s.Name, keys, err)
	}
	return Version{t, s.Name, keys}, nil
}

// located gives the problems of a compilation their file, and those of a key at its top the line.
func located(name string, keys map[string]int, err error) error {
	all := []error{ErrFile}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return errors.Join(ErrFile, err)
	}
	for _, e := range joined.Unwrap() {
		var p *price.Problem
		if errors.As(e, &p) {
			at := *p
			if line := keys[p.Key]; line > 0 && p.Line <= 1 {
				at.Line = line
			}
			all = append(all, &FileError{name, at})
		}
	}
	return errors.Join(all...)
}

// follow checks that each version begins on the day after the one before it ends.
func (b *Book) follow() error {
	all := []error{ErrFile}
	fail := func(v Version, format string, args ...any) {
		all = append(all, &FileError{v.File, price.Problem{Line: v.Tariff.File().Effective.Line,
			Key: "effective", What: fmt.Sprintf(format, args...)}})
	}
	for i := 1; i < len(b.versions); i++ {
		a, v := b.versions[i-1], b.versions[i]
		from, until := v.Tariff.File().Effective.From, a.Tariff.File().Effective.Until
		switch {
		case a.Name() != v.Name():
			fail(v, "is of the tariff %q, %s of %q", v.Name(), a.File, a.Name())
		case a.Version() == v.Version():
			fail(v, "version %q is that of %s too", v.Version(), a.File)
		case until == 0:
			fail(v, "contradicts %s, which holds on without an end; give it until: the day before %v",
				a.File, from)
		case until >= from:
			fail(v, "contradicts %s, which holds until %v and this from %v", a.File, until, from)
		case until.Next() != from:
			fail(v, "leaves a gap: %s ends on %v, this begins on %v", a.File, until, from)
		case begins(v) > begins(a):
			fail(v, "leaves a gap of %v: days of %s begin earlier; utc_offset less day_starts must not fall",
				begins(v)-begins(a), a.File)
		}
	}
	if len(all) > 1 {
		return errors.Join(all...)
	}
	return nil
}

// begins is how long after midnight UTC the service days of a version begin.
func begins(v Version) time.Duration {
	return v.Tariff.File().DayStarts - v.Tariff.File().UTCOffset
}

// Versions returns the versions in the order of time.
func (b *Book) Versions() []Version { return slices.Clone(b.versions) }

// At returns the version that holds at an instant.
func (b *Book) At(at txn.Millis) (*price.Tariff, bool) {
	for i := len(b.versions) - 1; i >= 0; i-- {
		if b.versions[i].Holds(at) {
			return b.versions[i].Tariff, true
		}
	}
	return nil, false
}

// Check refuses a book that changes what was, on a day up to closed: was is the book in force
// until now, nil when there was none.
func (b *Book) Check(was *Book, closed txn.BusinessDate) error {
	all := []error{ErrFile}
	for _, v := range b.versions {
		e := v.Tariff.File().Effective
		if e.From > closed {
			continue
		}
		old := was.named(v.Version())
		line, key, what := e.Line, "effective", ""
		switch {
		case old == nil:
			what = fmt.Sprintf("begins on %v, but %v is closed; let it begin later", e.From, closed)
		case ends(e, closed) != ends(old.Tariff.File().Effective, closed):
			what = fmt.Sprintf("ends on another day than before, and %v is closed", closed)
		default:
			if changed, at := difference(old.Tariff.File(), v.Tariff.File()); changed != "" {
				line, key = cmp.Or(at, v.keys[changed], line), changed
				what = fmt.Sprintf("changes %s of version %s, which held on days that are closed up to %v; "+
					"make a new version from %v", key, v.Version(), closed, closed.Next())
			}
		}
		if what != "" {
			all = append(all, &FileError{v.File, price.Problem{Line: line, Key: key, What: what}})
		}
	}
	if was != nil {
		for _, old := range was.versions {
			if e := old.Tariff.File().Effective; e.From <= closed && b.named(old.Version()) == nil {
				all = append(all, &FileError{old.File, price.Problem{Line: e.Line, Key: "effective",
					What: fmt.Sprintf("version %s held on closed days and is gone; keep it", old.Version())}})
			}
		}
	}
	if len(all) > 1 {
		return errors.Join(all...)
	}
	return nil
}

// ends returns the last closed day of a version.
func ends(e price.Effective, closed txn.BusinessDate) txn.BusinessDate {
	if e.Until == 0 {
		return closed
	}
	return min(e.Until, closed)
}

func (b *Book) named(version string) *Version {
	if b == nil {
		return nil
	}
	for i := range b.versions {
		if b.versions[i].Version() == version {
			return &b.versions[i]
		}
	}
	return nil
}

// difference returns the first key in which two versions differ apart from their end, "" for
// none, and the line of the entry of b that differs, 0 where b has none. Where the lines of a
// file stand does not matter.
func difference(a, b *price.File) (key string, line int) {
	x, y := reflect.ValueOf(plain(*a)), reflect.ValueOf(plain(*b))
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			key, _, _ := strings.Cut(x.Type().Field(i).Tag.Get("yaml"), ",")
			return key, lineOf(x.Field(i), y.Field(i), reflect.ValueOf(*b).Field(i))
		}
	}
	return "", 0
}

// lineOf returns the line of the first entry of a list, or the mapping, in which y differs
// from x. from is y with its lines.
func lineOf(x, y, from reflect.Value) int {
	switch {
	case from.Kind() == reflect.Struct && from.FieldByName("Line").IsValid():
		return int(from.FieldByName("Line").Int())
	case from.Kind() == reflect.Pointer && !from.IsNil():
		return lineOf(x, y, from.Elem())
	case from.Kind() != reflect.Slice:
		return 0
	}
	for i := range from.Len() {
		if i >= x.Len() || !reflect.DeepEqual(x.Index(i).Interface(), y.Index(i).Interface()) {
			return lineOf(x, y, from.Index(i))
		}
	}
	return 0
}

// plain returns a deep copy of f without lines and without the end.
func plain(f price.File) price.File {
	f.Effective.Until = 0
	out := reflect.New(reflect.TypeOf(f)).Elem()
	copyPlain(out, reflect.ValueOf(f))
	return out.Interface().(price.File)
}

func copyPlain(to, from reflect.Value) {
	switch from.Kind() {
	case reflect.Struct:
		for i := range from.NumField() {
			if from.Type().Field(i).Name != "Line" {
				copyPlain(to.Field(i), from.Field(i))
			}
		}
	case reflect.Pointer:
		if !from.IsNil() {
			to.Set(reflect.New(from.Type().Elem()))
			copyPlain(to.Elem(), from.Elem())
		}
	case reflect.Slice:
		if from.Len() > 0 {
			to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
		}
		for i := range from.Len() {
			copyPlain(to.Index(i), from.Index(i))
		}
	default:
		to.Set(from)
	}
}
