package load

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// Verdict says what an answer is worth.
type Verdict uint8

// The verdicts.
const (
	// Good: the answer is the one that was hoped for.
	Good Verdict = iota
	// Refused: the server understood and said no.
	Refused
	// Failed: an error, or no answer at all.
	Failed
)

// Wire says how answers of a protocol are found in a stream and judged. Its functions are
// called from one goroutine at a time and must not keep their argument.
type Wire struct {
	// Frame returns the size of the answer that buf begins with, 0 while it is not
	// complete.
	Frame func(buf []byte) (int, error)
	// Judge judges one answer.
	Judge func(answer []byte) Verdict
}

var errFrame = errors.New("load: the answer cannot be read")

// answerMax bounds one answer: the results of 5,000 taps, with room.
const answerMax = 8 << 20

// HTTP returns the wire of HTTP/1.1 with Content-Length. An answer is good when it has
// status 200 and its body contains good, refused when it has status 200 alone.
func HTTP(good string) Wire {
	want := []byte(good)
	return Wire{Frame: frameHTTP, Judge: func(answer []byte) Verdict {
		switch {
		case Status(answer) != 200:
			return Failed
		case bytes.Contains(Body(answer), want):
			return Good
		default:
			return Refused
		}
	}}
}

var (
	headEnd       = []byte("\r\n\r\n")
	contentLength = []byte("Content-Length: ")
)

func frameHTTP(buf []byte) (int, error) {
	head := bytes.Index(buf, headEnd)
	if head < 0 {
		return 0, nil
	}
	at := bytes.Index(buf[:head], contentLength)
	if at < 0 || Status(buf) == 0 {
		return 0, fmt.Errorf("%w: no status or no Content-Length", errFrame)
	}
	size := 0
	for _, c := range buf[at+len(contentLength) : head+2] {
		if c < '0' || c > '9' {
			break
		}
		if size = size*10 + int(c-'0'); size > answerMax {
			return 0, fmt.Errorf("%w: larger than %d bytes", errFrame, answerMax)
		}
	}
	if whole := head + len(headEnd) + size; whole <= len(buf) {
		return whole, nil
	}
	return 0, nil
}

// Status returns the status code of an HTTP answer, 0 when it has none.
func Status(answer []byte) int {
	const before = len("HTTP/1.1 ")
	if len(answer) < before+3 || !bytes.HasPrefix(answer, []byte("HTTP/1.")) {
		return 0
	}
	code, err := strconv.Atoi(string(answer[before : before+3]))
	if err != nil {
		return 0
	}
	return code
}

// Body returns the body of a complete HTTP answer.
func Body(answer []byte) []byte {
	_, body, _ := bytes.Cut(answer, headEnd)
	return body
}

// RESP returns the wire of Redis. Everything but an error is good.
func RESP() Wire {
	return Wire{Frame: frameRESP, Judge: func(answer []byte) Verdict {
		if answer[0] == '-' {
			return Failed
		}
		return Good
	}}
}

func frameRESP(buf []byte) (int, error) {
	end := bytes.Index(buf, headEnd[:2])
	if end < 0 {
		return 0, nil
	}
	size := end + 2
	switch buf[0] {
	case '+', '-', ':', '_', '#', ',':
		return size, nil
	case '$', '*':
	default:
		return 0, fmt.Errorf("%w: unknown RESP type %q", errFrame, buf[0])
	}
	n, err := strconv.Atoi(string(buf[1:end]))
	switch {
	case err != nil || n > answerMax:
		return 0, fmt.Errorf("%w: RESP length %q", errFrame, buf[1:end])
	case n < 0:
		return size, nil
	case buf[0] == '$':
		if size += n + 2; size > len(buf) {
			return 0, nil
		}
		return size, nil
	}
	for range n {
		if size >= len(buf) {
			return 0, nil
		}
		part, err := frameRESP(buf[size:])
		if part == 0 {
			return 0, err
		}
		size += part
	}
	return size, nil
}

// Command returns a Redis command as it goes on the wire.
func Command(words ...string) []byte {
	b := append(strconv.AppendInt([]byte{'*'}, int64(len(words)), 10), "\r\n"...)
	for _, w := range words {
		b = strconv.AppendInt(append(b, '$'), int64(len(w)), 10)
		b = append(append(append(b, "\r\n"...), w...), "\r\n"...)
	}
	return b
}
