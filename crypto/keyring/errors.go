package keyring

import (
	"errors"

	"github.com/tapswitch/tapswitch/crypto/block"
)

// Refusals. Each is told apart with errors.Is. Weak, half-equal and wrong-parity keys and
// wrong lengths are block.ErrWeak, block.ErrHalves, block.ErrParity and block.ErrKeyLength.
// None of them, wrapped or not, shows a byte of a key.
var (
	ErrRef           = errors.New("not the name of a key")
	ErrUnknown       = errors.New("no such key")
	ErrPurpose       = errors.New("the key's purpose does not allow this")
	ErrAlgorithm     = errors.New("the algorithm does not fit the purpose")
	ErrNotActive     = errors.New("the key is not active")
	ErrExpired       = errors.New("the key's overlap has ended")
	ErrDestroyed     = errors.New("the key is destroyed")
	ErrState         = errors.New("the key's state does not allow this")
	ErrDuplicate     = errors.New("this version exists already")
	ErrNotExportable = errors.New("the key was not made exportable")
	ErrActor         = errors.New("a management call needs the name of who does it")
	ErrTwoPersons    = errors.New("this needs two persons of different names")
	ErrComponents    = errors.New("a key comes in at least two different components")
	ErrKCV           = errors.New("check value does not match")
	ErrUsage         = errors.New("the key block is for another use")
	ErrFull          = errors.New("the store is full")
	ErrClosed        = errors.New("the key ring is closed")
	ErrUnsupported   = errors.New("keys of this kind cannot be used on this device")
	// ErrPINBlock reports a PIN block that holds no PIN under this key. Which of the checks
	// failed is not told: it would help to search for a PIN.
	ErrPINBlock = errors.New("not a PIN block under this key")
)

// What can be wrong with files.
var (
	// ErrExists reports that a file to be made is there already.
	ErrExists = errors.New("the file exists already")
	// ErrOpenToOthers reports a file or directory that others can read or write.
	ErrOpenToOthers = errors.New("others have access")
	// ErrMaster reports components that make another master key than the store's.
	ErrMaster = errors.New("another master key")
	// ErrTampered reports a store that is damaged or was changed.
	ErrTampered = errors.New("the key store is damaged or was changed")
	// ErrKind reports a store of another kind: on a token, or not.
	ErrKind = errors.New("the key store is of another kind")
	// ErrRollback reports a store older than one already seen.
	ErrRollback = errors.New("the key store is an old copy")
	// ErrConflict reports that another process changed the store: Reload and try again.
	ErrConflict = errors.New("the key store was changed by another process")
	// ErrComponentFile reports a file that is not a component.
	ErrComponentFile = errors.New("not a component file")
	// ErrAudit reports a sink that did not take an event. Without it nothing is changed.
	ErrAudit = errors.New("cannot write the audit trail")
	// ErrUnaudited reports that a call is done and the sink did not take its last event.
	ErrUnaudited = errors.New("done, but the audit trail does not say so")
	// ErrDurable reports that a call is done and a crash may still undo it.
	ErrDurable = errors.New("done, but it may not outlast a crash")
)

// Fault is what the cipher of a Token panics with when the device fails: cipher.Block has
// no other way out. The ring recovers it and returns its error; it wraps no secret.
type Fault struct{ Err error }

// class is the word that an error has in the audit trail.
type class struct {
	err  error
	word string
}

// classes are in the order in which they are looked for.
var classes = [...]class{
	{ErrRef, "bad_ref"}, {ErrUnknown, "unknown_key"}, {ErrPurpose, "wrong_purpose"},
	{ErrAlgorithm, "wrong_algorithm"}, {ErrNotActive, "not_active"}, {ErrExpired, "expired"},
	{ErrDestroyed, "destroyed"}, {ErrState, "wrong_state"}, {ErrDuplicate, "duplicate"},
	{ErrNotExportable, "not_exportable"}, {ErrActor, "no_actor"}, {ErrTwoPersons, "one_person"},
	{ErrComponents, "components"}, {ErrKCV, "wrong_kcv"}, {ErrUsage, "wrong_usage"},
	{ErrFull, "full"}, {ErrClosed, "closed"}, {ErrUnsupported, "unsupported"},
	{ErrMaster, "wrong_master"}, {ErrTampered, "tampered"}, {ErrKind, "wrong_kind"},
	{ErrRollback, "rollback"}, {ErrConflict, "conflict"}, {ErrOpenToOthers, "open_to_others"},
	{block.ErrWeak, "weak_key"}, {block.ErrHalves, "equal_parts"}, {block.ErrParity, "parity"},
	{block.ErrKeyLength, "wrong_length"}, {ErrDurable, "not_durable"}, {ErrAudit, "audit"},
	{ErrUnaudited, "unaudited"}, {ErrPINBlock, "pin_block"}, {errMismatch, "mismatch"},
}

// errMismatch is the class of a check that came out false, which is no error of the caller.
var errMismatch = errors.New("mismatch")

// reason returns the word for err, "error" for what has none, "" for nil.
func reason(err error) string {
	if err == nil {
		return ""
	}
	return wordOf(classOf(err))
}

// classOf returns the index of err's class, len(classes) for none.
func classOf(err error) int {
	for i := range classes {
		if errors.Is(err, classes[i].err) {
			return i
		}
	}
	return len(classes)
}

func wordOf(i int) string {
	if i < len(classes) {
		return classes[i].word
	}
	return "error"
}
