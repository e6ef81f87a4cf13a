package stack

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// respBytesMax bounds one string of a reply; INFO and CLUSTER NODES stay far below.
	respBytesMax = 1 << 20
	// respItemsMax bounds an array of a reply; the probes ask for small ones.
	respItemsMax = 4096
	// respDepthMax bounds arrays within arrays.
	respDepthMax = 8
	// respTimeout bounds one probe, so that a stopped server is seen as not ready.
	respTimeout = 2 * time.Second
)

// errRedisReply carries an error that Redis itself answered, such as LOADING.
var errRedisReply = errors.New("redis answered an error")

// redisCall sends one command on a fresh connection and returns the reply as text: a string as it
// is, an integer in decimal, a nil as "", an array with one element a line. It exists so that this
// package needs no client library; the product uses its own.
func redisCall(ctx context.Context, addr string, args ...string) (string, error) {
	dialer := net.Dialer{Timeout: respTimeout}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", fmt.Errorf("stack: reach redis: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(respTimeout)); err != nil {
		return "", fmt.Errorf("stack: set a deadline for redis at %s: %w", addr, err)
	}
	if _, err := io.WriteString(conn, respCommand(args)); err != nil {
		return "", fmt.Errorf("stack: send %s to redis at %s: %w", args[0], addr, err)
	}
	reply, err := readReply(bufio.NewReader(conn))
	if err != nil {
		return "", fmt.Errorf("stack: %s at %s: %w", args[0], addr, err)
	}
	return reply, nil
}

// respCommand writes a command as an array of strings, the form that holds any bytes.
func respCommand(args []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, arg := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(arg), arg)
	}
	return b.String()
}

// readReply reads one reply of RESP 2.
func readReply(r *bufio.Reader) (string, error) { return readNested(r, 0) }

func readNested(r *bufio.Reader, depth int) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("read a reply: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("empty reply line")
	}
	switch rest := line[1:]; line[0] {
	case '+', ':':
		return rest, nil
	case '-':
		return "", fmt.Errorf("%w: %s", errRedisReply, rest)
	case '$':
		return readBulk(r, rest)
	case '*':
		return readArray(r, rest, depth+1)
	default:
		return "", fmt.Errorf("unknown reply type %q", line[0])
	}
}

// readBulk reads a string of known length; the length is checked before memory is taken for it.
func readBulk(r *bufio.Reader, length string) (string, error) {
	n, err := strconv.Atoi(length)
	if err != nil || n > respBytesMax {
		return "", fmt.Errorf("reply length %q refused, at most %d", length, respBytesMax)
	}
	if n < 0 {
		return "", nil
	}
	body := make([]byte, n+2)
	if _, err := io.ReadFull(r, body); err != nil {
		return "", fmt.Errorf("read %d bytes of a reply: %w", n, err)
	}
	return string(body[:n]), nil
}

// readArray joins the elements by line ends: enough for CONFIG GET.
func readArray(r *bufio.Reader, count string, depth int) (string, error) {
	n, err := strconv.Atoi(count)
	if err != nil || n > respItemsMax || depth > respDepthMax {
		return "", fmt.Errorf("reply count %q at depth %d refused, at most %d and %d", count, depth,
			respItemsMax, respDepthMax)
	}
	items := make([]string, 0, max(n, 0))
	for range n {
		item, err := readNested(r, depth)
		if err != nil {
			return "", err
		}
		items = append(items, item)
	}
	return strings.Join(items, "\n"), nil
}

// infoField finds "name:value" in the text of INFO or CLUSTER INFO.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+":"); found {
			return value
		}
	}
	return ""
}
