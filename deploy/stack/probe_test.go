package stack

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// peer answers every connection with the same bytes, whatever is asked, and closes it.
func peer(t *testing.T, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, answer)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return listener.Addr().String()
}

// kafkaFrame is a reply with a length, a correlation id and a body.
func kafkaFrame(length, correlation uint32, body string) string {
	frame := binary.BigEndian.AppendUint32(nil, length)
	return string(binary.BigEndian.AppendUint32(frame, correlation)) + body
}

func TestKafkaProbeRefusesWhatIsNoBroker(t *testing.T) {
	answers := map[string]string{
		"nothing":             "",
		"half a head":         "\x00\x00\x00",
		"no room for an id":   kafkaFrame(3, 7, ""),
		"too long":            kafkaFrame(kafkaReplyMax+1, 7, ""),
		"another correlation": kafkaFrame(6, 8, "\x00\x00"),
		"cut short":           kafkaFrame(10, 7, "\x00"),
		"an error code":       kafkaFrame(6, 7, "\x00\x23"),
		"another protocol":    "HTTP/1.1 400 Bad Request\r\n\r\n",
	}
	for name, answer := range answers {
		if err := kafkaReady(t.Context(), peer(t, answer)); err == nil {
			t.Errorf("%s counts as a broker", name)
		}
	}
	// Four zero bytes are no error for ApiVersions and no broker for the metadata.
	err := kafkaReady(t.Context(), peer(t, kafkaFrame(8, 7, "\x00\x00\x00\x00")))
	if err == nil || !strings.Contains(err.Error(), "knows no broker yet") {
		t.Errorf("a broker that is not registered: %v", err)
	}
}

func TestRedisProbeRefusesWhatIsNotReady(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing": "", "loading": "-LOADING Redis is loading the dataset in memory\r\n",
		"a password": "-NOAUTH Authentication required.\r\n", "something else": "+HELLO\r\n",
	} {
		if err := redisReady(t.Context(), peer(t, answer)); err == nil {
			t.Errorf("%s counts as ready", name)
		}
	}
	if err := redisReady(t.Context(), peer(t, "+PONG\r\n")); err != nil {
		t.Errorf("PONG: %v", err)
	}
}

func TestClickHouseProbeRefusesWhatIsNotReady(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"an exception": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
		},
		"another server": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<html>")
		},
	}
	for name, answer := range answers {
		server := httptest.NewServer(answer)
		defer server.Close()
		addr := strings.TrimPrefix(server.URL, "http://")
		if err := clickHouseReady(t.Context(), addr); err == nil {
			t.Errorf("%s counts as ready", name)
		}
	}
}

func TestProbesOfAClosedPortFail(t *testing.T) {
	addr := loopback(freePort(t))
	if redisReady(t.Context(), addr) == nil || kafkaReady(t.Context(), addr) == nil ||
		clickHouseReady(t.Context(), addr) == nil {
		t.Error("a port where nothing listens counts as ready")
	}
}

func TestKafkaRequestsHaveTheOldForm(t *testing.T) {
	got := string(kafkaRequest{api: 3, version: 1, body: []byte("ab")}.frame(7))
	const want = "\x00\x00\x00\x0c\x00\x03\x00\x01\x00\x00\x00\x07\x00\x00ab"
	if got != want {
		t.Errorf("frame %q, want %q", got, want)
	}
}
