package link

import "errors"

// What goes wrong. Exchange wraps these with the link's name; Sent says what that means
// for the request.
var (
	// ErrDown says that no connection of the link is up.
	ErrDown = errors.New("no connection is up")
	// ErrDraining says that the link or the connection takes no new requests.
	ErrDraining = errors.New("draining")
	// ErrNotSignedOn says that the peer must sign on before it sends requests.
	ErrNotSignedOn = errors.New("the peer has not signed on")
	// ErrQueueFull says that the queue of every usable connection is full: the other side
	// reads too slowly.
	ErrQueueFull = errors.New("the queue is full")
	// ErrInFlightFull says that as many requests are in flight as the limits allow.
	ErrInFlightFull = errors.New("too many requests are in flight")
	// ErrDuplicate says that a request whose answers could not be told apart is in flight,
	// or ended without an answer a short while ago.
	ErrDuplicate = errors.New("a request with this key is in flight")
	// ErrFrame says that the frame is empty, too long or cannot be framed.
	ErrFrame = errors.New("the frame cannot be sent")
	// ErrTimeout says that no answer came in time.
	ErrTimeout = errors.New("no answer in time")
	// ErrLost says that the connection ended before the answer came.
	ErrLost = errors.New("the connection was lost")
	// ErrEcho says that the other side did not answer an echo.
	ErrEcho = errors.New("the echo was not answered")
	// ErrSignedOff says that the other side signed off.
	ErrSignedOff = errors.New("the peer signed off")
	// ErrGone says that an answer could not be delivered because its connection ended.
	ErrGone = errors.New("the connection of the request is gone")
	// ErrAnswered says that a request was answered or dropped before.
	ErrAnswered = errors.New("the request is answered already")
	// ErrNumbers says that there is no trace number to hand out: all were used within the
	// window, or the Reserver failed.
	ErrNumbers = errors.New("no trace number is free")
	// ErrClosed says that the link or server was shut down.
	ErrClosed = errors.New("closed")
)

// Why connections end.
var (
	errIdle       = errors.New("the peer was silent for too long")
	errSlowFrame  = errors.New("a frame took too long to arrive")
	errSlowReader = errors.New("the peer does not read: write deadline passed")
	errGarbage    = errors.New("too many unreadable messages in a row")
	errFinished   = errors.New("closed by this side")
	errPeerClosed = errors.New("the peer closed the connection")
)
