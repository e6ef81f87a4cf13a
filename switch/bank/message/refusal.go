package message

// PeekType reads the type of a frame that may be broken behind it. It is false when the type
// cannot be read either.
func PeekType(s *Spec, frame []byte) (MTI, bool) {
	if checkEnvelope(s.envelope, frame) != "" {
		return 0, false
	}
	w := scan{body: s.envelope.Size()}
	_, b := s.walkHead(&w, frame)
	return w.mti, w.mti.valid() && (b.reason == "" || b.field != mtiField)
}

// refusalFields are what a refusal repeats, as far as the frame can be read: what the sender
// needs to know its request again.
var refusalFields = [...]int{3, 4, 7, 11, 12, 13, 25, 32, 33, 37, 41, 42, 49, 60, 70}

const responseField = 39

// Refusal returns the answer to a frame that Peek refuses, with response code code: type,
// envelope turned round, and those fields in front of the fault that a sender matches by. It
// is false when the frame is not one to be answered.
func Refusal(s *Spec, frame []byte, code string) ([]byte, bool) {
	mti, ok := PeekType(s, frame)
	answer, expects := mti.Answer()
	if !ok || !expects {
		return nil, false
	}
	v := View{spec: s, frame: hide()}
	v.scan.spots = &v.spots
	(*v.frame).bytes = frame
	fault := s.walk(&v.scan, frame)
	passed := func(n int) bool {
		return v.Has(n) && v.spots[n].content > 0 && (fault.field < bitmapField || n < fault.field)
	}
	var w Writer
	switch s.envelope {
	case TPDUOnly, TPDUHeader:
		copy(w.TPDU[:], frame)
		w.TPDU = w.TPDU.Reply()
		copy(w.Header[:], frame[tpduSize:])
	case CUPSHead:
		copy(w.CUPS[:], frame)
		w.CUPS = w.CUPS.Reply()
	}
	w.Begin(nil, s, answer)
	coded := false
	for _, n := range refusalFields {
		if n > responseField && !coded {
			w.Put(responseField, []byte(code))
			coded = true
		}
		if passed(n) && s.fields[n] != nil {
			w.Copy(&v, n)
		}
	}
	out, err := w.Finish()
	return out, err == nil
}
