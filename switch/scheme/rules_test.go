package scheme

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapswitch/tapswitch/switch/account"
)

// elsewhere are the values that no account is decided by: other packages read them from the
// policy, or they say that something which is always so is also the text's wish.
var elsewhere = []string{
	// The clocks of the parties and the liability of transactions.
	"Freeze.", "Parties.", "Report.AtOnce", "Release.AtOnce", "Release.Window", "Liability.Before",
	"Liability.After", "Liability.Otherwise",
	// Always so: a lost card is replaced from the reported-lost state, affairs are settled or
	// waived, a refusal states its reasons, a suspension is for gain and has its decision.
	"Replacement.OnlyAfterLossReport", "Cancellation.Settled", "Deadlines.RefusalStates",
	"Suspension.Terms.ForGain", "Suspension.Terms.DecisionNumber", "Complaints.",
	// The desk's queries and what it publishes.
	"Query.Credentials", "Query.Consent", "Query.Agreement", "Query.PickUpBasis",
	"Applications.Verify", "Suspension.Allowed",
}

// Every other value changes the rules when it changes: none is left behind, and none is taken
// for another.
func TestRulesFollowEveryValue(t *testing.T) {
	for _, city := range Cities() {
		p := load(t, city)
		before := rulesText(t, p)
		eachValue(reflect.ValueOf(p).Elem(), "", func(v reflect.Value, key string) {
			old := reflect.ValueOf(v.Interface())
			if !alter(v) {
				return
			}
			changed := rulesText(t, p) != before
			v.Set(old)
			exempt := slices.ContainsFunc(elsewhere, func(s string) bool { return strings.HasPrefix(key, s) })
			if changed == exempt {
				t.Errorf("%s: changing %s changes the rules: %v", city, key, changed)
			}
		})
	}
}

// rulesText prints the rules without checking them, so that any change shows.
func rulesText(t *testing.T, p *Policy) string {
	t.Helper()
	var r account.Rules
	p.reportRules(&r)
	p.cardRules(&r)
	p.caseRules(&r)
	p.listRules(&r, today)
	return fmt.Sprintf("%+v", r)
}

// eachValue visits the V of every Value below v; the key has no indices.
func eachValue(v reflect.Value, key string, visit func(v reflect.Value, key string)) {
	if _, ok := v.Addr().Interface().(sourced); ok {
		visit(v.Field(0), key)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			eachValue(v.Elem(), key, visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachValue(v.Index(i), key, visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			path := join(key, f.Name)
			if f.Anonymous {
				path = key
			}
			eachValue(v.Field(i), path, visit)
		}
	}
}

// alter changes a value; false for one that cannot be another.
func alter(v reflect.Value) bool {
	switch x := v.Addr().Interface().(type) {
	case *bool:
		*x = !*x
	case *time.Duration:
		*x++
	case *Term:
		x.N++
	case *string:
		*x += "x"
	default:
		return alterKind(v)
	}
	return true
}

func alterKind(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Slice:
		if v.Len() == 0 {
			return false
		}
		v.Set(v.Slice(1, v.Len()))
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 1)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(v.Uint() + 1)
	case reflect.String:
		v.SetString(v.String() + "x")
	default:
		return false
	}
	return true
}

// The rules of the five cities as accounts get them.
func TestRulesGolden(t *testing.T) {
	var b bytes.Buffer
	for _, city := range Cities() {
		r, err := load(t, city).Rules(calendar(t), today)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", city)
		v := reflect.ValueOf(r)
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Calendar" && name != "Version" {
				fmt.Fprintf(&b, "  %s: %+v\n", name, wordsOf(v.Field(i)))
			}
		}
	}
	golden(t, "rules.txt", b.Bytes())
}

// wordsOf prints a field with the words of its sets instead of their numbers.
func wordsOf(v reflect.Value) string {
	if m := v.MethodByName("Values"); m.IsValid() {
		return fmt.Sprint(m.Call(nil)[0])
	}
	switch v.Kind() {
	case reflect.Struct:
		var parts []string
		for i := range v.NumField() {
			parts = append(parts, v.Type().Field(i).Name+" "+wordsOf(v.Field(i)))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case reflect.Slice:
		var parts []string
		for i := range v.Len() {
			parts = append(parts, "\n    "+wordsOf(v.Index(i)))
		}
		return strings.Join(parts, "")
	default:
		return fmt.Sprint(v.Interface())
	}
}
