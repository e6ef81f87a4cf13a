package fields

import (
	"github.com/tapswitch/tapswitch/switch/gate/flat"
	"github.com/tapswitch/tapswitch/switch/gate/refusal"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// BatchMax is how many entries a batch may hold.
const BatchMax = 5000

// depthMax is how deep an entry of a batch may nest before it is given up.
const depthMax = 8

// Object is one flat JSON object as read. It is reused from request to request; only the
// fields in seen mean anything. Texts point into the body and die with it.
type Object struct {
	seen    Set
	text    [End][]byte
	numbers [End]int64
	lists   [End][][]byte
	scan    flat.Scanner
}

// Schema says which fields an object may and must have.
type Schema struct {
	allowed  Set
	required Set
}

// SchemaOf returns the schema of objects that must have all of required and may have optional.
func SchemaOf(required, optional Set) Schema {
	return Schema{allowed: required | optional, required: required}
}

// Wipe forgets the texts that were read with escapes; the object can be used again.
func (o *Object) Wipe() { o.scan.Wipe() }

// Allows reports whether the schema allows any field.
func (s Schema) Allows() bool { return s.allowed != 0 }

// Takes reports whether objects of the schema may have f, and whether they must.
func (s Schema) Takes(f Field) (may, must bool) { return s.allowed.Has(f), s.required.Has(f) }

// Has reports whether the object had the field.
func (o *Object) Has(f Field) bool { return o.seen.Has(f) }

// Amount returns a field of form amount, zero when it is absent.
func (o *Object) Amount(f Field) txn.Minor { return txn.Minor(o.Integer(f)) }

// Integer returns a number, zero when it is absent.
func (o *Object) Integer(f Field) int64 {
	if !o.Has(f) {
		return 0
	}
	return o.numbers[f]
}

// Bytes returns a text, nil when it is absent.
func (o *Object) Bytes(f Field) []byte {
	if !o.Has(f) {
		return nil
	}
	return o.text[f]
}

// List returns an array of strings, nil when it is absent.
func (o *Object) List(f Field) [][]byte {
	if !o.Has(f) {
		return nil
	}
	return o.lists[f]
}

// Parse reads body as one object of the schema. What is wrong first is the answer.
func (o *Object) Parse(body []byte, want Schema) refusal.Value {
	o.seen = 0
	s := &o.scan
	s.Reset(body)
	if !s.Eat('{') {
		return noObject(s)
	}
	if !s.Eat('}') {
		if r := o.members(want.allowed); r.IsSet() {
			return r
		}
	}
	if fault := s.End(); fault != flat.OK {
		return refuseFault(fault)
	}
	if missing := want.required &^ o.seen; missing != 0 {
		return refusal.Field(refusal.MissingField, missing.first().String())
	}
	return refusal.Value{}
}

// noObject refuses a body that does not begin as an object.
func noObject(s *flat.Scanner) refusal.Value {
	if s.Peek() == 0 {
		return refusal.For(refusal.MalformedJSON)
	}
	return refuseFault(s.Wrong())
}

// refuseFault names what the scanner found.
func refuseFault(fault flat.Fault) refusal.Value {
	switch fault {
	case flat.OK:
		return refusal.Value{}
	case flat.Trailing:
		return refusal.For(refusal.TrailingBytes)
	case flat.InvalidUTF8:
		return refusal.For(refusal.InvalidUTF8)
	case flat.TooDeep:
		return refusal.For(refusal.NestingTooDeep)
	case flat.WrongType:
		return refusal.For(refusal.WrongType)
	default:
		return refusal.For(refusal.MalformedJSON)
	}
}

// members reads the fields up to the closing brace.
func (o *Object) members(allowed Set) refusal.Value {
	s := &o.scan
	for {
		f, r := o.name(allowed)
		if r.IsSet() {
			return r
		}
		if r := o.value(f); r.IsSet() {
			if r.Param == "" {
				r.Param = f.String()
			}
			return r
		}
		o.seen |= 1 << f
		if s.Eat('}') {
			return refusal.Value{}
		}
		if !s.Eat(',') {
			return refusal.For(refusal.MalformedJSON)
		}
	}
}

// name reads a field's name and the colon.
func (o *Object) name(allowed Set) (Field, refusal.Value) {
	s := &o.scan
	if s.Peek() != '"' {
		return 0, refusal.For(refusal.MalformedJSON)
	}
	name, fault := s.Text()
	if fault != flat.OK {
		return 0, refuseFault(fault)
	}
	f, ok := Named(name)
	if !ok || !allowed.Has(f) {
		return 0, refusal.Field(refusal.UnknownField, printableName(name))
	}
	if o.seen.Has(f) {
		return 0, refusal.Field(refusal.DuplicateField, f.String())
	}
	if !s.Eat(':') {
		return 0, refusal.For(refusal.MalformedJSON)
	}
	return f, refusal.Value{}
}

// printableName returns a field's name if it may be shown: letters and underscores alone
// can hold no card number.
func printableName(name []byte) string {
	if len(name) > WordMax {
		return ""
	}
	for _, c := range name {
		if c != '_' && (c|0x20 < 'a' || c|0x20 > 'z') {
			return ""
		}
	}
	return string(name)
}

// value reads the value of f.
func (o *Object) value(f Field) refusal.Value {
	s, spec := &o.scan, &specs[f]
	c := s.Peek()
	switch {
	case spec.form == formText && c == '"':
		text, fault := s.Text()
		if fault == flat.OK && int64(len(text)) > spec.max {
			return refusal.For(refusal.FieldTooLong)
		}
		o.text[f] = text
		return refuseFault(fault)
	case spec.form == formTexts && c == '[':
		return o.texts(f)
	case (spec.form == formAmount || spec.form == formNumber) && (c == '-' || c >= '0' && c <= '9'):
		n, fault := s.Number()
		if fault != flat.OK {
			return refuseFault(fault)
		}
		o.numbers[f] = n.Value
		return spec.check(n)
	default:
		return refuseFault(s.Wrong())
	}
}

// check refuses a number that the Field does not take.
func (spec *spec) check(n flat.Number) refusal.Value {
	above := n.Overflow || n.Value > spec.max
	switch amount := spec.form == formAmount; {
	case n.Fraction && amount:
		return refusal.For(refusal.AmountInvalid)
	case n.Fraction:
		return refusal.For(refusal.WrongType)
	case n.Negative && amount:
		return refusal.For(refusal.AmountNegative)
	case above && amount:
		return refusal.For(refusal.AmountOverflow)
	case n.Negative || above:
		return refusal.For(refusal.NumberOutOfRange)
	default:
		return refusal.Value{}
	}
}

// texts reads an array of strings; the next byte is its bracket.
func (o *Object) texts(f Field) refusal.Value {
	s := &o.scan
	s.Eat('[')
	o.lists[f] = o.lists[f][:0]
	if s.Eat(']') {
		return refusal.Value{}
	}
	for {
		switch c := s.Peek(); {
		case c == '{' || c == '[':
			return refusal.For(refusal.NestingTooDeep)
		case c != '"':
			return refuseFault(s.Wrong())
		}
		t, fault := s.Text()
		switch {
		case fault != flat.OK:
			return refuseFault(fault)
		case int64(len(t)) > specs[f].max || len(o.lists[f]) == listMax:
			return refusal.For(refusal.FieldTooLong)
		}
		o.lists[f] = append(o.lists[f], t)
		if s.Eat(']') {
			return refusal.Value{}
		}
		if !s.Eat(',') {
			return refusal.For(refusal.MalformedJSON)
		}
	}
}

// Split reads {"NAME":[…]} and returns the text of each entry. Only the frame is
// checked: an entry that is not well-formed concerns itself alone.
func Split(body []byte, name string, entries [][]byte) ([][]byte, refusal.Value) {
	var s flat.Scanner
	s.Reset(body)
	if !s.Eat('{') {
		return nil, noObject(&s)
	}
	if s.Peek() == '}' {
		return nil, refusal.Field(refusal.MissingField, name)
	}
	if r := batchName(&s, name); r.IsSet() {
		return nil, r
	}
	if !s.Eat('[') {
		r := refuseFault(s.Wrong())
		r.Param = name
		return nil, r
	}
	entries, r := batchEntries(&s, entries)
	if r.IsSet() {
		return nil, r
	}
	if s.Eat(',') {
		if r := batchName(&s, name); r.IsSet() {
			return nil, r
		}
		return nil, refusal.Field(refusal.DuplicateField, name)
	}
	if !s.Eat('}') {
		return nil, refusal.For(refusal.MalformedJSON)
	}
	return entries, refuseFault(s.End())
}

// batchName reads the one name that the frame of a batch has.
func batchName(s *flat.Scanner, want string) refusal.Value {
	if s.Peek() != '"' {
		return refusal.For(refusal.MalformedJSON)
	}
	name, fault := s.Text()
	switch {
	case fault != flat.OK:
		return refuseFault(fault)
	case string(name) != want:
		return refusal.Field(refusal.UnknownField, printableName(name))
	case !s.Eat(':'):
		return refusal.For(refusal.MalformedJSON)
	default:
		return refusal.Value{}
	}
}

// batchEntries reads the array of a batch after its bracket.
func batchEntries(s *flat.Scanner, entries [][]byte) ([][]byte, refusal.Value) {
	if s.Eat(']') {
		return nil, refusal.For(refusal.BatchEmpty)
	}
	for {
		entry, fault := s.Value(depthMax)
		if fault != flat.OK {
			return nil, refuseFault(fault)
		}
		if len(entries) == BatchMax {
			return nil, refusal.For(refusal.BatchTooLarge)
		}
		entries = append(entries, entry)
		if s.Eat(']') {
			return entries, refusal.Value{}
		}
		if !s.Eat(',') {
			return nil, refusal.For(refusal.MalformedJSON)
		}
	}
}
