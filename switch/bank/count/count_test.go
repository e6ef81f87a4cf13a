package count_test

import (
	"reflect"
	"testing"

	"github.com/tapswitch/tapswitch/switch/bank/count"
)

// Every counter is told, once and under a name of its own.
func TestEachTellsEveryCounter(t *testing.T) {
	var s count.Stats
	v := reflect.ValueOf(&s).Elem()
	for i := range v.NumField() {
		v.Field(i).Addr().MethodByName("Store").Call([]reflect.Value{reflect.ValueOf(int64(i + 1))})
	}
	names, values := map[string]bool{}, map[int64]bool{}
	s.Each(func(name string, value int64) { names[name], values[value] = true, true })
	if len(names) != v.NumField() || len(values) != v.NumField() || values[0] {
		t.Errorf("%d names and %d values of %d counters", len(names), len(values), v.NumField())
	}
}
