package api

import (
	"reflect"

	"github.com/tapswitch/tapswitch/switch/account"
)

// maker returns a function that makes empty steps of the type of step, as pointers to fill.
func maker(step account.Step) func() account.Step {
	t := reflect.TypeOf(step)
	return func() account.Step { return reflect.New(t).Interface().(account.Step) }
}

// value returns the step that a pointer of maker points to.
func value(step account.Step) account.Step {
	return reflect.ValueOf(step).Elem().Interface().(account.Step)
}
