package sim

import "testing"

// Copies of an answer are compared but for where the record stands and whether it is a
// replay; everything else counts, to the byte.
func TestCanonical(t *testing.T) {
	first := `{"id":"G-1-1","outcome":"approved","message":"a,\"b}\\","charged":475,` +
		`"record":"b017-3-42","business_date":"2026-11-21"}`
	for copied, same := range map[string]bool{
		first: true,
		`{"id":"G-1-1","outcome":"approved","message":"a,\"b}\\","charged":475,"replay":true}`: true,
		`{"id":"G-1-1","outcome":"approved","message":"a,\"b}\\","charged":475}`:               true,
		`{"id":"G-1-1","outcome":"approved","message":"a,\"b}\\","charged":476}`:               false,
		`{"id":"G-1-1","outcome":"approved","message":"a,\"b\\","charged":475}`:                false,
		`{"id":"G-1-1","outcome":"declined","message":"a,\"b}\\","charged":475}`:               false,
		`{"id":"G-1-1","outcome":"approved","message":"a,\"b}\\"}`:                             false,
		`{"outcome":"approved","id":"G-1-1","message":"a,\"b}\\","charged":475}`:               false,
		``: false, `{}`: false,
	} {
		if got := string(canonical([]byte(copied))) == string(canonical([]byte(first))); got != same {
			t.Errorf("%s: same is %v", copied, got)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add([]byte(`{"a":"b","replay":true}`))
	f.Add([]byte(`{"\"a":"},{"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		once := canonical(body)
		if len(once) > len(body)+1 {
			t.Errorf("%q grew to %q", body, once)
		}
	})
}
