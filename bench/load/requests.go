package load

// Requests is a row of requests as they go on the wire, in one piece of memory.
type Requests struct {
	bytes []byte
	ends  []int
}

// NewRequests returns an empty row with room for n requests of about size bytes.
func NewRequests(n, size int) *Requests {
	return &Requests{bytes: make([]byte, 0, n*size), ends: make([]int, 0, n)}
}

// Add appends one request, which is copied.
func (r *Requests) Add(request []byte) {
	r.bytes = append(r.bytes, request...)
	r.ends = append(r.ends, len(r.bytes))
}

// Len returns the number of requests.
func (r *Requests) Len() int { return len(r.ends) }

// At returns request i. It may not be changed.
func (r *Requests) At(i int) []byte {
	first := 0
	if i > 0 {
		first = r.ends[i-1]
	}
	return r.bytes[first:r.ends[i]]
}

// Size returns the mean size of a request in bytes.
func (r *Requests) Size() int {
	if len(r.ends) == 0 {
		return 0
	}
	return len(r.bytes) / len(r.ends)
}
