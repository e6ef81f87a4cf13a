package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// EnvPrefix begins the environment's names: store.redis.addrs is
// TAPSWITCH_STORE__REDIS__ADDRS, with two underscores for a dot.
const EnvPrefix = "TAPSWITCH_"

// ErrKey reports a key that is no part of the configuration.
var ErrKey = errors.New("unknown configuration key")

// Value is one setting as it is in force.
type Value struct {
	Key    string `json:"key"`
	Value  string `json:"value"`
	Origin string `json:"origin"` // "default", "file PATH", "env NAME" or "flag"
}

// Loaded is a configuration with the origin of every value.
type Loaded struct {
	Config
	values *koanf.Koanf
	origin map[string]string
}

// Load reads defaults, the file (none when path is ""), the environment and the flags
// (key to value), later ones first. It returns every unknown key and every bad value.
func Load(path string, flags map[string]string) (*Loaded, error) {
	l := &Loaded{values: koanf.New("."), origin: map[string]string{}}
	known := keysOf(reflect.TypeFor[Config](), "")
	for key, value := range defaults() {
		if err := l.set(known, key, value, "default"); err != nil {
			return nil, err
		}
	}
	layers := []func(map[string]reflect.Type) error{
		func(known map[string]reflect.Type) error { return l.loadFile(known, path) },
		l.loadEnv,
		func(known map[string]reflect.Type) error { return l.loadFlags(known, flags) },
	}
	for _, layer := range layers {
		if err := layer(known); err != nil {
			return nil, err
		}
	}
	if err := l.values.Unmarshal("", &l.Config); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if err := l.check(l.origin); err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	return l, nil
}

func (l *Loaded) loadFile(known map[string]reflect.Type, path string) error {
	if path == "" {
		return nil
	}
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		return fmt.Errorf("configuration file %s: %w", path, err)
	}
	return l.merge(known, k, "file "+path)
}

func (l *Loaded) loadEnv(known map[string]reflect.Type) error {
	k := koanf.New(".")
	err := k.Load(env.Provider(".", env.Opt{
		Prefix: EnvPrefix,
		TransformFunc: func(name, value string) (string, any) {
			key := strings.ToLower(strings.TrimPrefix(name, EnvPrefix))
			key = strings.ReplaceAll(key, "__", ".")
			if _, ok := known[key]; !ok {
				return "", nil // other programs' variables; doctor lists look-alikes
			}
			return key, value
		},
	}), nil)
	if err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	for _, key := range k.Keys() {
		name := EnvPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
		if err := l.set(known, key, k.Get(key), "env "+name); err != nil {
			return err
		}
	}
	return nil
}

func (l *Loaded) loadFlags(known map[string]reflect.Type, flags map[string]string) error {
	var errs []error
	for key, value := range flags {
		errs = append(errs, l.set(known, key, value, "flag"))
	}
	return errors.Join(errs...)
}

func (l *Loaded) merge(known map[string]reflect.Type, k *koanf.Koanf, origin string) error {
	var errs []error
	for _, key := range k.Keys() {
		errs = append(errs, l.set(known, key, k.Get(key), origin))
	}
	return errors.Join(errs...)
}

// set puts one value in force. A list given as text is split at commas.
func (l *Loaded) set(known map[string]reflect.Type, key string, value any, origin string) error {
	t, ok := known[key]
	if !ok {
		return fmt.Errorf("%w %q (%s); did you mean %q?", ErrKey, key, origin, nearest(key, known))
	}
	text, isText := value.(string)
	switch {
	case isText && t.Kind() == reflect.Slice:
		value = splitList(text)
	case isText && !reads(t, text):
		return fmt.Errorf("%s: %q (%s) is no %s", key, text, origin, kindOf(t))
	case !isText && !fits(t, value):
		return fmt.Errorf("%s: %v (%s) is no %s", key, value, origin, kindOf(t))
	}
	l.origin[key] = origin
	return l.values.Set(key, value)
}

// splitList reads "a, b" as two entries.
func splitList(text string) []string {
	var list []string
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			list = append(list, entry)
		}
	}
	return list
}

// reads reports whether text can be read as t. The decoder would find the same, and not
// know which file the text is from; and it would take no text at all for zero.
func reads(t reflect.Type, text string) bool {
	var err error
	switch {
	case t == reflect.TypeFor[time.Duration]():
		_, err = time.ParseDuration(text)
	case t.Kind() == reflect.Bool:
		_, err = strconv.ParseBool(text)
	case t.Kind() == reflect.Float64:
		_, err = strconv.ParseFloat(text, t.Bits())
	case reflect.Zero(t).CanInt():
		_, err = strconv.ParseInt(text, 0, t.Bits())
	}
	return err == nil
}

// fits reports whether a value that is no text may stand where t is wanted. The decoder
// would cut a fraction, and take a number without a unit for nanoseconds.
func fits(t reflect.Type, value any) bool {
	v := reflect.ValueOf(value)
	if !v.IsValid() {
		return false
	}
	switch {
	case v.Type() == t:
		return true
	case t == reflect.TypeFor[time.Duration]():
		return false
	case t.Kind() == reflect.Slice:
		return v.Kind() == reflect.Slice && fitsEach(t.Elem(), v)
	case t.Kind() == reflect.String:
		return v.CanInt() || v.CanFloat()
	case t.Kind() == reflect.Float64:
		return v.CanInt() || v.CanFloat()
	default:
		return v.CanInt() && reflect.Zero(t).CanInt()
	}
}

// fitsEach reports whether every entry of a list is text or may stand for it.
func fitsEach(t reflect.Type, list reflect.Value) bool {
	for i := range list.Len() {
		if !fits(t, list.Index(i).Interface()) {
			return false
		}
	}
	return true
}

// kindOf names what a setting of type t must be.
func kindOf(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "amount of time with a unit, such as 5m or 250ms"
	case t.Kind() == reflect.Slice:
		return "list"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Float64:
		return "number"
	default:
		return "whole number"
	}
}

// Values returns every setting in order of its key, with its origin.
func (l *Loaded) Values() []Value {
	keys := l.values.Keys()
	slices.Sort(keys)
	all := make([]Value, 0, len(keys))
	for _, key := range keys {
		all = append(all, Value{Key: key, Value: fmt.Sprint(l.values.Get(key)),
			Origin: l.origin[key]})
	}
	return all
}

// EnvLookAlikes returns variables of the environment that begin like ours and are no
// setting, with the nearest one.
func EnvLookAlikes() []string {
	known := keysOf(reflect.TypeFor[Config](), "")
	var found []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, EnvPrefix) || strings.HasPrefix(name, EnvPrefix+"STACK_") ||
			strings.HasPrefix(name, EnvPrefix+"REQUIRE_") {
			continue
		}
		key := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, EnvPrefix)), "__", ".")
		if _, ok := known[key]; !ok {
			found = append(found, fmt.Sprintf("%s is no setting; did you mean %q?", name,
				EnvPrefix+strings.ToUpper(strings.ReplaceAll(nearest(key, known), ".", "__"))))
		}
	}
	return found
}

func defaults() map[string]any {
	all := map[string]any{}
	flatten(reflect.ValueOf(Default()), "", all)
	return all
}

func flatten(v reflect.Value, prefix string, into map[string]any) {
	for i := range v.NumField() {
		key := prefix + v.Type().Field(i).Tag.Get("koanf")
		if v.Field(i).Kind() == reflect.Struct {
			flatten(v.Field(i), key+".", into)
			continue
		}
		into[key] = v.Field(i).Interface()
	}
}

func keysOf(t reflect.Type, prefix string) map[string]reflect.Type {
	keys := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("koanf")
		if f.Type.Kind() == reflect.Struct {
			for k, v := range keysOf(f.Type, key+".") {
				keys[k] = v
			}
			continue
		}
		keys[key] = f.Type
	}
	return keys
}

// nearest returns the known key with the fewest edits from key.
func nearest(key string, known map[string]reflect.Type) string {
	best, bestAt := "", 1<<30
	for k := range known {
		d := edits(key, k)
		if strings.HasPrefix(k, key+".") {
			d = 0 // a section where a setting was meant
		}
		if d < bestAt || d == bestAt && k < best {
			best, bestAt = k, d
		}
	}
	return best
}

// edits is the Levenshtein distance.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
