package sim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
)

// The headers of a signed terminal call.
const (
	headerTerminal  = "X-Tap-Terminal"
	headerTimestamp = "X-Tap-Timestamp"
	headerCounter   = "X-Tap-Counter"
	headerSignature = "X-Tap-Signature"
)

// Signed is what a terminal signs besides the body.
type Signed struct {
	Method, Path string
	Terminal     string
	TimestampMS  int64
	Counter      uint64
}

// Sign returns the signature of a terminal call: lower-case hex HMAC-SHA256 over method,
// path, body hash, terminal, timestamp and counter, one a line.
func Sign(key []byte, s Signed, body []byte) string {
	sum := sha256.Sum256(body)
	b := make([]byte, 0, 256)
	b = append(append(b, s.Method...), '\n')
	b = append(append(b, s.Path...), '\n')
	b = append(hex.AppendEncode(b, sum[:]), '\n')
	b = append(append(b, s.Terminal...), '\n')
	b = append(strconv.AppendInt(b, s.TimestampMS, 10), '\n')
	b = strconv.AppendUint(b, s.Counter, 10)
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write(b)
	return hex.EncodeToString(mac.Sum(nil))
}
