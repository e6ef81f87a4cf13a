package upload

import "github.com/tapswitch/tapswitch/switch/txn"

// WindowsMax is how many times a security module may have been listed: a module that moved more
// often is a case for a person.
const WindowsMax = 16

// Window is a time in which a security module was on the white list: from From, included, until
// Until, not included, 0 for no end. Terminal is where it was built in, empty for anywhere.
type Window struct {
	Terminal string     `json:"terminal,omitempty"`
	From     txn.Millis `json:"from_ms"`
	Until    txn.Millis `json:"until_ms,omitempty"`
}

// White is a security module on the white list. The zero White never was on it.
type White struct {
	Windows []Window   `json:"windows"`
	By      string     `json:"by"`
	At      txn.Millis `json:"at_ms"`
}

// Check reports whether the windows make sense, one by one.
func (w *White) Check() bool {
	for i := range w.Windows {
		v := &w.Windows[i]
		if v.From < 0 || v.Until != 0 && v.Until <= v.From || len(v.Terminal) > txn.TerminalIDMax {
			return false
		}
	}
	return len(w.Windows) <= WindowsMax
}

// Lists reports whether the module was on the list, in that terminal, at an instant.
func (w *White) Lists(terminal string, at txn.Millis) bool {
	for i := range w.Windows {
		v := &w.Windows[i]
		if at >= v.From && (v.Until == 0 || at < v.Until) && (v.Terminal == "" || v.Terminal == terminal) {
			return true
		}
	}
	return false
}
