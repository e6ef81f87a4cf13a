package redress_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tapswitch/tapswitch/switch/disruption/redress"
)

// TestCalls goes the whole way over HTTP: shown, proposed, confirmed by another person, done.
func TestCalls(t *testing.T) {
	w := charged(t)
	h := w.service.Handler(func(r *http.Request) (string, []string) {
		return r.Header.Get("Who"), strings.Fields(r.Header.Get("Roles"))
	}, []string{"viewer", "desk"}, []string{"desk"})
	type list struct {
		Run      redress.Run
		Journeys []redress.Journey
		Total    int
		Waits    int
		Sum      int64
		States   map[string]int
		Error    redress.Refusal
	}
	ask := func(status int, who, call, body string) (out list) {
		t.Helper()
		method, path, _ := strings.Cut(call, " ")
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		name, roles, _ := strings.Cut(who, ":")
		r.Header.Set("Who", name)
		r.Header.Set("Roles", roles)
		got := httptest.NewRecorder()
		h.ServeHTTP(got, r)
		if err := json.Unmarshal(got.Body.Bytes(), &out); got.Code != status || err != nil {
			t.Fatalf("%s %s: %d %s %v", who, call, got.Code, got.Body, err)
		}
		return out
	}
	ask(401, ":", "GET /v1/grace/o1", "")
	ask(403, "vera:viewer", "POST /v1/grace/o1/propose", "{}")
	ask(404, "vera:viewer", "GET /v1/grace/", "")
	if e := ask(404, "vera:viewer", "GET /v1/grace/o7", "").Error; e.Code != "order_unknown" || e.Chinese == "" {
		t.Errorf("%+v", e)
	}
	ask(404, "vera:viewer", "GET /v1/grace/o1/run", "")
	if a := ask(200, "vera:viewer", "GET /v1/grace/o1", ""); a.Total != 4 || a.Waits != 4 || a.Sum != 2250 ||
		a.States["waits"] != 4 || len(a.Journeys) != 4 || a.Journeys[0].Last4 != "1234" {
		t.Errorf("%+v", a)
	}
	r := ask(200, "anna:desk", "POST /v1/grace/o1/propose", "{}").Run
	body, err := json.Marshal(redress.Confirmation{Run: r.ID, Journeys: r.Journeys, Sum: r.Sum})
	if err != nil {
		t.Fatal(err)
	}
	if e := ask(409, "anna:desk", "POST /v1/grace/o1/confirm", string(body)).Error; e.Code != "second_person_needed" {
		t.Errorf("%+v", e)
	}
	ask(400, "ben:desk", "POST /v1/grace/o1/confirm", `{"run":1}`)
	ask(200, "ben:desk", "POST /v1/grace/o1/confirm", string(body))
	if err := w.service.Work(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := ask(200, "vera:viewer", "GET /v1/grace/o1/run", ""); a.Run.Phase != redress.Done || a.Run.Given != 4 ||
		a.States["given"] != 4 || a.Waits != 0 {
		t.Errorf("%+v", a)
	}
	ask(409, "ben:desk", "POST /v1/grace/o1/drop", "{}")
}
