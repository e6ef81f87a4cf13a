package list

import "io"

// PastThrough puts a writer between the history of the publisher and its file.
func (p *Publisher) PastThrough(f func(io.Writer) io.Writer) { p.past.through = f }

// PastFile is the name of the history's file.
const PastFile = pastName
