package link

import "sync/atomic"

// Counters count what happens on a Link or a Server since it was made. Each is exact by
// itself; two read one after the other may be of different instants.
type Counters struct {
	// Connects and ConnectFailures count attempts to connect by how they ended; Accepted
	// counts inbound connections that were taken, Refused those that were not: of unknown
	// addresses, above a cap, and with a failed TLS handshake. TLSBad counts those of a Link
	// too.
	Connects, ConnectFailures                     atomic.Uint64
	Accepted, RefusedUnknown, RefusedFull, TLSBad atomic.Uint64
	// Lost counts connections that ended otherwise than by this side's shutdown.
	Lost atomic.Uint64
	// SignOns, SignOnFailures and SignOffs count what this side sent and what came of it;
	// PeerSignOffs those of the other side. Echoes counts answered ones.
	SignOns, SignOnFailures, SignOffs, PeerSignOffs atomic.Uint64
	Echoes, EchoesUnanswered                        atomic.Uint64

	// Traffic in frames and bytes, length headers not counted on the way in.
	FramesIn, FramesOut, BytesIn, BytesOut atomic.Uint64
	// BadFrames ended their connection, BadMessages were dropped.
	BadFrames, BadMessages atomic.Uint64
	// Why connections were ended by this side.
	WriteTimeouts, FrameTimeouts, IdleTimeouts atomic.Uint64

	// Exchanges is the sum of Answered, NotSent, Unknown and those in flight, link
	// management included. TimedOut is the part of NotSent and Unknown that ran out of time.
	Exchanges, Answered, NotSent, Unknown, TimedOut atomic.Uint64
	// Refusals, all of them NotSent.
	QueueFull, InFlightFull, Duplicates atomic.Uint64
	// Late answers went to the callback, LateDropped could not (its queue was full);
	// LateForgotten counts exchanges of which an answer would no longer be known as late.
	// LateManagement counts those to link management, which go nowhere.
	Late, LateDropped, LateForgotten, LateManagement atomic.Uint64
	// Wrong answers had the class and trace number of an exchange but another terminal,
	// reference or time; Unmatched fitted nothing. Both were dropped.
	Wrong, Unmatched atomic.Uint64

	// Requests of the other side: handed to the Handler, refused, and given up because the
	// Handler neither answered nor dropped them.
	Requests, RequestsRefused, Abandoned atomic.Uint64
	// Answers were queued for the connection; Undelivered were not written to it in full.
	Answers, Undelivered atomic.Uint64
}

// Figures is a snapshot of Counters with the same names.
type Figures struct {
	Connects, ConnectFailures                       uint64
	Accepted, RefusedUnknown, RefusedFull, TLSBad   uint64
	Lost                                            uint64
	SignOns, SignOnFailures, SignOffs, PeerSignOffs uint64
	Echoes, EchoesUnanswered                        uint64
	FramesIn, FramesOut, BytesIn, BytesOut          uint64
	BadFrames, BadMessages                          uint64
	WriteTimeouts, FrameTimeouts, IdleTimeouts      uint64
	Exchanges, Answered, NotSent, Unknown, TimedOut uint64
	QueueFull, InFlightFull, Duplicates             uint64
	Late, LateDropped, LateForgotten                uint64
	LateManagement                                  uint64
	Wrong, Unmatched                                uint64
	Requests, RequestsRefused, Abandoned            uint64
	Answers, Undelivered                            uint64
}

// Snapshot returns the figures of this moment.
func (c *Counters) Snapshot() Figures {
	return Figures{
		Connects: c.Connects.Load(), ConnectFailures: c.ConnectFailures.Load(),
		Accepted: c.Accepted.Load(), RefusedUnknown: c.RefusedUnknown.Load(),
		RefusedFull: c.RefusedFull.Load(), TLSBad: c.TLSBad.Load(), Lost: c.Lost.Load(),
		SignOns: c.SignOns.Load(), SignOnFailures: c.SignOnFailures.Load(),
		SignOffs: c.SignOffs.Load(), PeerSignOffs: c.PeerSignOffs.Load(),
		Echoes: c.Echoes.Load(), EchoesUnanswered: c.EchoesUnanswered.Load(),
		FramesIn: c.FramesIn.Load(), FramesOut: c.FramesOut.Load(),
		BytesIn: c.BytesIn.Load(), BytesOut: c.BytesOut.Load(),
		BadFrames: c.BadFrames.Load(), BadMessages: c.BadMessages.Load(),
		WriteTimeouts: c.WriteTimeouts.Load(), FrameTimeouts: c.FrameTimeouts.Load(),
		IdleTimeouts: c.IdleTimeouts.Load(),
		Exchanges:    c.Exchanges.Load(), Answered: c.Answered.Load(),
		NotSent: c.NotSent.Load(), Unknown: c.Unknown.Load(), TimedOut: c.TimedOut.Load(),
		QueueFull: c.QueueFull.Load(), InFlightFull: c.InFlightFull.Load(),
		Duplicates: c.Duplicates.Load(), Late: c.Late.Load(),
		LateDropped: c.LateDropped.Load(), LateForgotten: c.LateForgotten.Load(),
		LateManagement: c.LateManagement.Load(), Wrong: c.Wrong.Load(), Unmatched: c.Unmatched.Load(),
		Requests: c.Requests.Load(), RequestsRefused: c.RequestsRefused.Load(),
		Abandoned: c.Abandoned.Load(), Answers: c.Answers.Load(),
		Undelivered: c.Undelivered.Load(),
	}
}
