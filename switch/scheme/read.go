package scheme

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/tapswitch/tapswitch/deploy"
)

// ErrUnknownCity reports a city for which the binary carries no policy file.
var ErrUnknownCity = errors.New("no policy file for the city")

const (
	calendarFile = "calendar.yaml"
	suffix       = ".yaml"
)

// Read reads a policy from the text of a file; file is its name in errors. It returns the
// policy, or every error of the file (at most errorsMax) as *FileError, joined.
func Read(file string, text []byte) (*Policy, error) {
	var p Policy
	d := decode(file, text, &p)
	if len(d.errors) == 0 {
		d.check(&p)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	p.Version = hex.EncodeToString(sum[:8])
	return &p, nil
}

// Cities returns the cities whose policy files the binary carries, sorted.
func Cities() []string {
	names, err := fs.Glob(deploy.Schemes(), "*"+suffix)
	if err != nil {
		panic("scheme: internal error: " + err.Error())
	}
	var cities []string
	for _, name := range names {
		if name != calendarFile {
			cities = append(cities, strings.TrimSuffix(name, suffix))
		}
	}
	slices.Sort(cities)
	return cities
}

// Load returns the policy of a city that the binary carries, or ErrUnknownCity.
func Load(city string) (*Policy, error) {
	if !slices.Contains(Cities(), city) {
		return nil, fmt.Errorf("%w %q: choose one of %s, or name a file", ErrUnknownCity, city,
			strings.Join(Cities(), ", "))
	}
	text, err := fs.ReadFile(deploy.Schemes(), city+suffix)
	if err != nil {
		return nil, fmt.Errorf("policy of %s: %w", city, err)
	}
	return Read(city+suffix, text)
}
