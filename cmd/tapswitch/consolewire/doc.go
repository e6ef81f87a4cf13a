// Package consolewire puts behind the console what a switch has: the gate's operators, the card
// desk and the bank edge as their own APIs tell them, the finance journal with its runs and
// certificates, and the journal of breaks.
//
// It adapts and decides nothing. Amounts are minor units as they come. What is on disk is read
// beside whoever writes it and kept until the file changes; a step on a break opens the journal
// for that step only. Safe for concurrent use; it starts no goroutine. It refuses to write
// anything but steps on breaks.
package consolewire
