// Package console shows a clearing house its day: volume and declines, days and their states,
// what each operator is owed down to one transaction and why it was charged, breaks to work on,
// freezes with their clocks, banks, files to take away, and who did what.
//
// It owns the pages, in Chinese and English, sign-in with sessions, roles and CSRF secrets, and
// the audit trail of what is done and looked at; it owns no fact. Facts come from small
// interfaces (source.go), each of which may be missing: its page then says that this process has
// none, and shows nothing invented. Pages are made on the server, work without script and load
// nothing from elsewhere. No page scans a day: figures come from package figures, searches are
// jobs of package lookup. Amounts are minor units until they are shown; instants are shown in
// the scheme's zone. A look at a holder's records needs a purpose, which is in the trail before
// the first record is shown. What the trail cannot keep is not done.
//
// New returns a handler below /console; it is safe for concurrent use. Close ends what it
// started. It refuses card numbers anywhere, in forms as in addresses, and changes no money:
// runs, certificates and write-offs are made where they are kept.
package console
