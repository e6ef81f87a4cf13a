package page

import (
	"fmt"
	"time"
)

// bar is a party's clock from its receipt to its deadline: how far it ran, with a mark for
// every alarm. Places are percentages of the width; words say the same beside it.
type bar struct {
	Class    string // done, runs or late: the colour
	Label    string // for who does not see it
	Filled   string
	Deadline string
	Marks    []mark
	// End is what the deadline is called.
	End string
}

// mark is an alarm.
type mark struct{ At, Text string }

// Bar returns the clock of a party; nil where no clock runs or none has a length.
func (p *noticePart) Bar(c *clock) *bar {
	if c.Start == nil || c.Deadline == nil {
		return nil
	}
	window := c.Deadline.Sub(*c.Start)
	ran := p.ran(c)
	if window <= 0 {
		return nil
	}
	whole := max(window, ran)
	place := func(d time.Duration) string {
		return fmt.Sprintf("%.2f%%", 100*float64(max(0, min(d, whole)))/float64(whole))
	}
	b := &bar{Class: p.Class(c), Label: p.Party(c.Party) + ": " + p.Say(c), Filled: place(ran),
		Deadline: place(window), End: p.Long(window)}
	for _, ms := range p.N.AlarmsMS {
		if d := time.Duration(ms) * time.Millisecond; d < window {
			b.Marks = append(b.Marks, mark{place(d), p.Short(d)})
		}
	}
	return b
}

// Short is a length of time for a mark: 30 for minutes, 5s for seconds.
func (f *frame) Short(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%ds", int(d.Seconds()))
	}
	return fmt.Sprintf("%d", int(d.Minutes()))
}

// ran is how long a clock ran: until the effect, or until now.
func (p *noticePart) ran(c *clock) time.Duration {
	if c.Effective != nil {
		return c.Effective.Sub(*c.Start)
	}
	if c.State == "superseded" {
		return 0
	}
	return p.now.Sub(*c.Start)
}

// Class is the colour of a party's row.
func (p *noticePart) Class(c *clock) string {
	switch {
	case c.isLate():
		return "late"
	case c.Effective != nil:
		return "done"
	case c.State == "superseded":
		return "void"
	case c.State == "dead", c.Failure != "" && c.Sent == nil:
		return "fault"
	default:
		return "runs"
	}
}

// Say says in words where a party stands. Nothing is said by colour alone.
func (p *noticePart) Say(c *clock) string {
	switch {
	case c.Effective != nil && c.isLate():
		return p.F("say.done_late", p.Long(c.Effective.Sub(*c.Deadline)))
	case c.Effective != nil && c.Start != nil:
		return p.F("say.done", p.Long(c.Effective.Sub(*c.Start)))
	case c.Effective != nil:
		return p.T("state.effective")
	case c.State == "superseded":
		return p.T("say.void")
	case c.isLate() && c.Deadline != nil:
		return p.F("say.late", p.Long(p.now.Sub(*c.Deadline)))
	case c.State == "dead":
		return p.T("say.dead")
	case c.Sent == nil && c.Received == nil && c.Failure != "":
		return p.T("say.not_told")
	case c.Sent == nil && c.Received == nil:
		return p.T("say.queued")
	case c.Deadline != nil:
		return p.F("say.left", p.Long(c.Deadline.Sub(p.now)))
	default:
		return p.Word("state", c.State)
	}
}

// Facts are what else there is to say of a party.
func (p *noticePart) Facts(c *clock) (facts []string) {
	add := func(key string, rest string) { facts = append(facts, p.T(key)+" "+rest) }
	switch {
	case c.Received != nil:
		add("received", p.When(c.Received))
	case c.Sent != nil:
		add("sent", p.When(c.Sent))
	}
	switch {
	case c.Effective != nil:
		add("effective_at", p.When(c.Effective))
	case c.Deadline != nil:
		add("deadline", p.When(c.Deadline))
	}
	if c.Basis == "sending" && c.Effective == nil {
		facts = append(facts, p.T("basis.sending"))
	}
	if c.Alarms > 0 {
		facts = append(facts, p.F("alarmed", c.Alarms))
	}
	if c.Failure != "" && c.Sent == nil {
		add("last_failure", c.Failure)
	}
	return facts
}
