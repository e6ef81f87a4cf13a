package engine

import (
	"reflect"
	"testing"

	"github.com/tapswitch/tapswitch/switch/card"
)

// A result that was used for one decision shows nothing of it in the next: whatever the fields
// were, all that others read are zero, but for the card.
func TestResultForgetsTheDecisionBefore(t *testing.T) {
	var r Result
	dirty(t, reflect.ValueOf(&r).Elem())
	next := card.State{Status: card.Active, Balance: 7}
	r.reset(&next)
	got, want := reflect.ValueOf(r), reflect.ValueOf(Result{Next: next})
	for i := range got.NumField() {
		f := got.Type().Field(i)
		if f.IsExported() && !reflect.DeepEqual(got.Field(i).Interface(), want.Field(i).Interface()) {
			t.Errorf("%s is still %v", f.Name, got.Field(i).Interface())
		}
	}
}

// dirty sets everything that can be set below v to something else than zero.
func dirty(t *testing.T, v reflect.Value) {
	t.Helper()
	switch {
	case !v.CanSet():
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			dirty(t, v.Field(i))
		}
	case v.Kind() == reflect.Array:
		for i := range v.Len() {
			dirty(t, v.Index(i))
		}
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case v.Kind() == reflect.String:
		v.SetString("x")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(1)
	case v.CanUint():
		v.SetUint(1)
	default:
		t.Fatalf("a %s in a result", v.Type())
	}
}
