package citydemo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/tapswitch/tapswitch/crypto/pan"
	"github.com/tapswitch/tapswitch/switch/bank/message"
)

// tillMax is how long a shop's terminal waits for an answer.
const tillMax = 8 * time.Second

// till is a shop's terminal for bank cards. It belongs to one goroutine.
type till struct {
	t    *town
	id   string
	stan uint32
}

// sell asks for a purchase and returns the response code.
func (l *till) sell(ctx context.Context, account pan.Number, fen int64) (string, error) {
	spec, err := message.Named("cup_pos")
	if err != nil {
		return "", err
	}
	l.stan++
	m := message.New(spec, 0x0200)
	m.TPDU = message.NewTPDU(3, 0)
	copy(m.Header[:], "\x60\x31\x00\x31\x10\x03")
	digits, err := message.Private{Type: "22", Network: "000", Batch: "000001"}.Digits()
	err = errors.Join(err, m.SetSTAN(l.stan), m.SetText(41, l.id), m.SetText(42, "898310041110001"),
		m.SetDigits(60, digits), m.SetPAN(account), m.SetDigits(3, "000000"), m.SetDigits(22,
			"072"),
		m.SetDigits(14, "3012"), m.SetDigits(25, "00"), m.SetText(49, "156"), m.SetAmount(fen))
	if err != nil {
		return "", err
	}
	frame, err := m.Append(nil)
	if err != nil {
		return "", err
	}
	out, err := message.Framing{}.Append(nil, frame)
	if err != nil {
		return "", err
	}
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "tcp", l.t.node.Bank["pos"])
	if err != nil {
		return "", err
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(tillMax)); err != nil {
		return "", err
	}
	if _, err := nc.Write(out); err != nil {
		return "", err
	}
	answer, err := message.NewReader(nc, message.Framing{}).Next()
	if err != nil {
		return "", fmt.Errorf("the till had no answer: %w", err)
	}
	a, err := message.Parse(spec, answer)
	if err != nil {
		return "", err
	}
	return a.ResponseCode(), nil
}
