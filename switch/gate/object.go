package gate

import (
	"github.com/tapswitch/tapswitch/switch/gate/flat"
	"github.com/tapswitch/tapswitch/switch/txn"
)

// object is one flat JSON object as read. It is reused from request to request; only the
// fields in seen mean anything. Texts point into the body and die with it.
type object struct {
	seen    fieldSet
	text    [fieldEnd][]byte
	numbers [fieldEnd]int64
	lists   [fieldEnd][][]byte
	scan    flat.Scanner
}

// schema says which fields an object may and must have.
type schema struct {
	allowed  fieldSet
	required fieldSet
}

func schemaOf(required fieldSet, optional fieldSet) schema {
	return schema{allowed: required | optional, required: required}
}

func (o *object) has(f field) bool { return o.seen.has(f) }

// amount returns a field of form amount, zero when it is absent.
func (o *object) amount(f field) txn.Minor { return txn.Minor(o.integer(f)) }

// integer returns a number, zero when it is absent.
func (o *object) integer(f field) int64 {
	if !o.has(f) {
		return 0
	}
	return o.numbers[f]
}

// bytes returns a text, nil when it is absent.
func (o *object) bytes(f field) []byte {
	if !o.has(f) {
		return nil
	}
	return o.text[f]
}

// list returns an array of strings, nil when it is absent.
func (o *object) list(f field) [][]byte {
	if !o.has(f) {
		return nil
	}
	return o.lists[f]
}

// parse reads body as one object of the schema. What is wrong first is the answer.
func (o *object) parse(body []byte, want schema) refusal {
	o.seen = 0
	s := &o.scan
	s.Reset(body)
	if !s.Eat('{') {
		return noObject(s)
	}
	if !s.Eat('}') {
		if r := o.members(want.allowed); r.isSet() {
			return r
		}
	}
	if fault := s.End(); fault != flat.OK {
		return refuseFault(fault)
	}
	if missing := want.required &^ o.seen; missing != 0 {
		return refuseField(MissingField, missing.first().String())
	}
	return refusal{}
}

// noObject refuses a body that does not begin as an object.
func noObject(s *flat.Scanner) refusal {
	if s.Peek() == 0 {
		return refuse(MalformedJSON)
	}
	return refuseFault(s.Wrong())
}

// refuseFault names what the scanner found.
func refuseFault(fault flat.Fault) refusal {
	switch fault {
	case flat.OK:
		return refusal{}
	case flat.Trailing:
		return refuse(TrailingBytes)
	case flat.InvalidUTF8:
		return refuse(InvalidUTF8)
	case flat.TooDeep:
		return refuse(NestingTooDeep)
	case flat.WrongType:
		return refuse(WrongType)
	default:
		return refuse(MalformedJSON)
	}
}

// members reads the fields up to the closing brace.
func (o *object) members(allowed fieldSet) refusal {
	s := &o.scan
	for {
		f, r := o.name(allowed)
		if r.isSet() {
			return r
		}
		if r := o.value(f); r.isSet() {
			if r.param == "" {
				r.param = f.String()
			}
			return r
		}
		o.seen |= 1 << f
		if s.Eat('}') {
			return refusal{}
		}
		if !s.Eat(',') {
			return refuse(MalformedJSON)
		}
	}
}

// name reads a field's name and the colon.
func (o *object) name(allowed fieldSet) (field, refusal) {
	s := &o.scan
	if s.Peek() != '"' {
		return 0, refuse(MalformedJSON)
	}
	name, fault := s.Text()
	if fault != flat.OK {
		return 0, refuseFault(fault)
	}
	f, ok := fieldOf(name)
	if !ok || !allowed.has(f) {
		return 0, refuseField(UnknownField, printableName(name))
	}
	if o.seen.has(f) {
		return 0, refuseField(DuplicateField, f.String())
	}
	if !s.Eat(':') {
		return 0, refuse(MalformedJSON)
	}
	return f, refusal{}
}

// printableName returns a field's name if it may be shown: letters and underscores alone
// can hold no card number.
func printableName(name []byte) string {
	if len(name) > wordMax {
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
func (o *object) value(f field) refusal {
	s, spec := &o.scan, &fieldSpecs[f]
	c := s.Peek()
	switch {
	case spec.form == formText && c == '"':
		text, fault := s.Text()
		if fault == flat.OK && int64(len(text)) > spec.max {
			return refuse(FieldTooLong)
		}
		o.text[f] = text
		return refuseFault(fault)
	case spec.form == formTexts && c == '[':
		return o.texts(f)
	case (spec.form == formAmount || spec.form == formNumber) && (c == '-' || isDigit(c)):
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

// check refuses a number that the field does not take.
func (spec *fieldSpec) check(n flat.Number) refusal {
	above := n.Overflow || n.Value > spec.max
	switch amount := spec.form == formAmount; {
	case n.Fraction && amount:
		return refuse(AmountInvalid)
	case n.Fraction:
		return refuse(WrongType)
	case n.Negative && amount:
		return refuse(AmountNegative)
	case above && amount:
		return refuse(AmountOverflow)
	case n.Negative || above:
		return refuse(NumberOutOfRange)
	default:
		return refusal{}
	}
}

// texts reads an array of strings; the next byte is its bracket.
func (o *object) texts(f field) refusal {
	s := &o.scan
	s.Eat('[')
	o.lists[f] = o.lists[f][:0]
	if s.Eat(']') {
		return refusal{}
	}
	for {
		switch c := s.Peek(); {
		case c == '{' || c == '[':
			return refuse(NestingTooDeep)
		case c != '"':
			return refuseFault(s.Wrong())
		}
		t, fault := s.Text()
		switch {
		case fault != flat.OK:
			return refuseFault(fault)
		case int64(len(t)) > fieldSpecs[f].max || len(o.lists[f]) == listMax:
			return refuse(FieldTooLong)
		}
		o.lists[f] = append(o.lists[f], t)
		if s.Eat(']') {
			return refusal{}
		}
		if !s.Eat(',') {
			return refuse(MalformedJSON)
		}
	}
}

// splitBatch reads {"NAME":[…]} and returns the text of each entry. Only the frame is
// checked: an entry that is not well-formed concerns itself alone.
func splitBatch(body []byte, name string, entries [][]byte) ([][]byte, refusal) {
	var s flat.Scanner
	s.Reset(body)
	if !s.Eat('{') {
		return nil, noObject(&s)
	}
	if s.Peek() == '}' {
		return nil, refuseField(MissingField, name)
	}
	if r := batchName(&s, name); r.isSet() {
		return nil, r
	}
	if !s.Eat('[') {
		r := refuseFault(s.Wrong())
		r.param = name
		return nil, r
	}
	entries, r := batchEntries(&s, entries)
	if r.isSet() {
		return nil, r
	}
	if s.Eat(',') {
		if r := batchName(&s, name); r.isSet() {
			return nil, r
		}
		return nil, refuseField(DuplicateField, name)
	}
	if !s.Eat('}') {
		return nil, refuse(MalformedJSON)
	}
	return entries, refuseFault(s.End())
}

// batchName reads the one name that the frame of a batch has.
func batchName(s *flat.Scanner, want string) refusal {
	if s.Peek() != '"' {
		return refuse(MalformedJSON)
	}
	name, fault := s.Text()
	switch {
	case fault != flat.OK:
		return refuseFault(fault)
	case string(name) != want:
		return refuseField(UnknownField, printableName(name))
	case !s.Eat(':'):
		return refuse(MalformedJSON)
	default:
		return refusal{}
	}
}

// batchEntries reads the array of a batch after its bracket.
func batchEntries(s *flat.Scanner, entries [][]byte) ([][]byte, refusal) {
	if s.Eat(']') {
		return nil, refuse(BatchEmpty)
	}
	for {
		entry, fault := s.Value(batchDepthMax)
		if fault != flat.OK {
			return nil, refuseFault(fault)
		}
		if len(entries) == BatchMax {
			return nil, refuse(BatchTooLarge)
		}
		entries = append(entries, entry)
		if s.Eat(']') {
			return entries, refusal{}
		}
		if !s.Eat(',') {
			return nil, refuse(MalformedJSON)
		}
	}
}
