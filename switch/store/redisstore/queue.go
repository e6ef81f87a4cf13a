package redisstore

// fifo is a queue of items in a slice that is reused.
type fifo struct {
	items []*item
	head  int // first item not yet taken
}

func (q *fifo) len() int { return len(q.items) - q.head }

func (q *fifo) push(items ...*item) { q.items = append(q.items, items...) }

// take moves up to max items to dst, first in first out.
func (q *fifo) take(dst []*item, max int) []*item {
	n := min(max, q.len())
	dst = append(dst, q.items[q.head:q.head+n]...)
	clear(q.items[q.head : q.head+n])
	q.head += n
	if q.head > len(q.items)/2 {
		rest := copy(q.items, q.items[q.head:])
		clear(q.items[rest:])
		q.items, q.head = q.items[:rest], 0
	}
	return dst
}
