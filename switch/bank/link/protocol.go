package link

import (
	"bufio"
	"time"
)

// Framing cuts a stream of bytes into frames. It must be safe for concurrent use; its
// errors must not hold bytes of the frame.
type Framing interface {
	// ReadFrame reads one frame and returns what stands inside it, in memory of its own.
	// It must refuse a length above limit bytes before it allocates, and must not read
	// beyond the frame. Any error ends the connection.
	ReadFrame(r *bufio.Reader, limit int) ([]byte, error)
	// AppendFrame appends the frame that holds body to dst and returns the longer slice,
	// or an error when body cannot be framed (too long for the length header).
	AppendFrame(dst, body []byte) ([]byte, error)
}

// Kind says what a frame is.
type Kind uint8

// The kinds of frames.
const (
	// KindRequest is a request or advice that the Handler answers.
	KindRequest Kind = iota + 1
	// KindAnswer answers a request that was sent before.
	KindAnswer
	// KindManagement is a request about the link itself that Protocol.Reply answers.
	KindManagement
)

// Management is a message about the link itself.
type Management uint8

// The messages of link management.
const (
	// OtherManagement is answered and changes nothing here.
	OtherManagement Management = iota
	// SignOn opens the link for traffic.
	SignOn
	// Echo asks whether the other side is there.
	Echo
	// SignOff ends the traffic.
	SignOff
)

// String returns the message's name.
func (m Management) String() string {
	switch m {
	case SignOn:
		return "sign-on"
	case Echo:
		return "echo"
	case SignOff:
		return "sign-off"
	}
	return "management"
}

// Protocol is what a link must know about messages. It must be safe for concurrent use and
// must neither panic nor block on any input; its errors must not hold card data.
type Protocol interface {
	// Make returns the frame of a management request with the given trace number and time,
	// and the key that its answer will carry. A nil frame without an error says that the
	// protocol has no such message: the step is left out.
	Make(what Management, stan uint32, at time.Time) (frame []byte, key Key, err error)
	// Accepted judges the answer to a management request: nil when the other side agreed.
	// Keys that come with a sign-on are taken over here.
	Accepted(what Management, answer []byte) error
	// Classify says what an incoming frame is and which key it carries. An error drops the
	// frame; the connection ends when too many in a row are in error.
	Classify(frame []byte) (Kind, Key, error)
	// Reply answers a management request of the other side and says what it meant. A nil
	// answer sends nothing.
	Reply(frame []byte) (answer []byte, what Management, err error)
}

// Peer names the other side of a connection.
type Peer struct {
	// Name is the bank, acquirer or terminal group of the configuration.
	Name string
	// Address is the remote address in host:port form.
	Address string
}

// Handler works on requests of the other side.
type Handler interface {
	// Handle is called on a goroutine of its own for each request. It calls Answer or Drop
	// of the request, then or later, from any goroutine.
	Handle(r *Request)
	// Refuse returns the answer to a request that is not taken, nil for none. why is
	// ErrInFlightFull, ErrDraining or ErrNotSignedOn. It runs on the connection's reader
	// and must not block.
	Refuse(r *Request, why error) []byte
}
