package sm

import "fmt"

// derMax is the longest signature in DER: SEQUENCE of two INTEGERs of 33 bytes.
const derMax = 2 + 2*(2+ScalarSize+1)

// ASN.1 tags of a signature.
const (
	tagInteger  = 0x02
	tagSequence = 0x30
)

// AppendDER appends the DER form of a raw signature to dst. It returns ErrSignature for
// another length than SignatureSize and for a half that is zero.
func AppendDER(dst, raw []byte) ([]byte, error) {
	if len(raw) != SignatureSize {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrSignature, len(raw), SignatureSize)
	}
	r, s := trim(raw[:ScalarSize]), trim(raw[ScalarSize:])
	if len(r) == 0 || len(s) == 0 {
		return nil, fmt.Errorf("%w: r or s is zero", ErrSignature)
	}
	dst = append(dst, tagSequence, byte(4+len(r)+int(r[0]>>7)+len(s)+int(s[0]>>7)))
	return appendInteger(appendInteger(dst, r), s), nil
}

// trim drops leading zeros.
func trim(b []byte) []byte {
	for len(b) > 0 && b[0] == 0 {
		b = b[1:]
	}
	return b
}

func appendInteger(dst, v []byte) []byte {
	sign := v[0] >> 7 // 1: a zero byte keeps the number positive
	dst = append(dst, tagInteger, byte(len(v))+sign)
	if sign == 1 {
		dst = append(dst, 0)
	}
	return append(dst, v...)
}

// ParseDER returns the raw form of a signature in DER. It is strict: one SEQUENCE of two
// positive INTEGERs of at most 32 bytes in their shortest form and nothing after them.
// Whether r and s are below the order of the curve is left to the verification.
func ParseDER(der []byte) (raw [SignatureSize]byte, err error) {
	if len(der) < 2 || len(der) > derMax || der[0] != tagSequence ||
		int(der[1]) != len(der)-2 {
		return raw, fmt.Errorf("%w: no DER sequence of %d bytes", ErrSignature, len(der))
	}
	rest, err := takeInteger(raw[:ScalarSize], der[2:])
	if err == nil {
		rest, err = takeInteger(raw[ScalarSize:], rest)
	}
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes after s", ErrSignature, len(rest))
	}
	if err != nil {
		return [SignatureSize]byte{}, err
	}
	return raw, nil
}

// takeInteger reads one positive INTEGER to the end of dst and returns what follows.
func takeInteger(dst, b []byte) ([]byte, error) {
	if len(b) < 3 || b[0] != tagInteger || int(b[1]) > len(b)-2 || b[1] == 0 {
		return nil, fmt.Errorf("%w: no DER integer", ErrSignature)
	}
	v, rest := b[2:2+int(b[1])], b[2+int(b[1]):]
	switch {
	case v[0]&0x80 != 0:
		return nil, fmt.Errorf("%w: negative integer", ErrSignature)
	case v[0] == 0 && (len(v) == 1 || v[1]&0x80 == 0):
		return nil, fmt.Errorf("%w: zero, or not the shortest form", ErrSignature)
	case v[0] == 0:
		v = v[1:]
	}
	if len(v) > len(dst) {
		return nil, fmt.Errorf("%w: integer of %d bytes", ErrSignature, len(v))
	}
	copy(dst[len(dst)-len(v):], v)
	return rest, nil
}
