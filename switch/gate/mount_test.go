package gate

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// plainly sends a request and returns status and body, whatever the contract says of the path.
func (r *rig) plainly(method, path, body string, header map[string]string) (int, string) {
	r.t.Helper()
	request, err := http.NewRequest(method, "http://"+r.address+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

// A mounted handler learns who asks from the gate alone, and gets the body unchanged.
func TestMountedHandlerKnowsWhoAsks(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Mounts = []Mount{{Prefix: "/v1/desk/", Handler: http.HandlerFunc(
			func(w http.ResponseWriter, q *http.Request) {
				body, _ := io.ReadAll(q.Body)
				id, _ := TerminalOf(q)
				w.WriteHeader(http.StatusTeapot)
				fmt.Fprintf(w, "%s %s|%s|%v|%s|%s", q.Method, q.URL.RequestURI(),
					q.Header.Get(HeaderActor), q.Header.Values(HeaderRoles), id, body)
			})}}
	})
	forged := map[string]string{HeaderActor: "chief", HeaderRoles: "admin", HeaderDevice: "GATE99"}
	status, got := r.plainly("POST", "/v1/desk/x?a=1", `{"a":1}`, forged)
	if want := `POST /v1/desk/x?a=1||[]||{"a":1}`; status != http.StatusTeapot || got != want {
		t.Errorf("anybody: %d %q, want %q", status, got, want)
	}
	// Nor in another spelling of the names, which HTTP takes for the same.
	q, err := http.NewRequest("GET", "http://"+r.address+"/v1/desk/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header["tapswitch-actor"], q.Header["TAPSWITCH-ROLES"] = []string{"chief", "boss"}, []string{"admin"}
	q.Header["tapswitch-Device"] = []string{"GATE99"}
	answer, err := r.client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.Body.Close() != nil || string(body) != "GET /v1/desk/x||[]||" {
		t.Errorf("other spellings: %q, %v", body, err)
	}
	asOperator := map[string]string{HeaderActor: "chief",
		"Authorization": "Bearer " + r.person("li.lei", RoleDesk, RoleAuthority)}
	if _, got := r.plainly("POST", "/v1/desk/y", `{}`, asOperator); got !=
		`POST /v1/desk/y|li.lei|[desk authority]||{}` {
		t.Errorf("operator: %q", got)
	}
	gate := r.terminal("GATE01")
	signed := r.signedHeaders(gate, "GET", "/v1/desk/z", "")
	if _, got := r.plainly("GET", "/v1/desk/z", "", signed); got != `GET /v1/desk/z||[]|GATE01|` {
		t.Errorf("terminal: %q", got)
	}
	for name, header := range map[string]map[string]string{
		"another path":  r.signedHeaders(gate, "GET", "/v1/desk/w", ""),
		"replay":        signed,
		"unknown token": {"Authorization": "Bearer tapswitch_none"},
	} {
		if status, got := r.plainly("GET", "/v1/desk/z", "", header); status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, status, got)
		}
	}
	if status, _ := r.plainly("POST", "/v1/desk/x", strings.Repeat("x", batchBodyMax+1), nil); status !=
		http.StatusRequestEntityTooLarge {
		t.Errorf("a body beyond the limit: %d", status)
	}
	if status, _ := r.plainly("GET", "/v1/desks", "", nil); status != http.StatusNotFound {
		t.Errorf("a path of nobody: %d", status)
	}
}

// A mount takes the one other type of body that it names, and no third.
func TestMountTakesItsOwnMedia(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Mounts = []Mount{{Prefix: "/v1/uploads", Media: "application/vnd.test", Handler: http.HandlerFunc(
			func(w http.ResponseWriter, q *http.Request) { _, _ = io.Copy(w, q.Body) })}}
	})
	for media, want := range map[string]int{"application/vnd.test": http.StatusOK,
		"application/json": http.StatusOK, "text/plain": http.StatusUnsupportedMediaType} {
		status, body := r.plainly("POST", "/v1/uploads", "\x00\x01", map[string]string{"Content-Type": media})
		if status != want || want == http.StatusOK && body != "\x00\x01" {
			t.Errorf("%s: %d %q", media, status, body)
		}
	}
}
