package local

import (
	"encoding/binary"
	"hash/crc32"
)

// A segment is a head block, then batches. A batch is what one write and one sync
// made durable: a head and entries, padded with zeros to whole blocks, so that the
// next write never touches a block that an earlier sync made durable, and so that a
// reader finds a later batch behind a damaged one.
//
//	 0 magic u32     4 CRC-32C u32 of everything after it, padding too
//	 8 store id u64  16 segment number u64  24 batch number (LSN) u64
//	32 size u32 without padding  36 entries u32
const (
	blockBytes = 4096
	batchHead  = 40
	batchMax   = 8 << 20 // bytes of one batch: a list of 5,000 taps needs 3 MB

	batchMagic   = 0x424a5354 // "TSJB"
	segmentMagic = 0x534a5354 // "TSJS"
)

// batchInfo is the head of a batch.
type batchInfo struct {
	store   uint64
	segment uint64
	lsn     uint64
	size    int
	entries int
}

// padded returns n rounded up to whole blocks.
func padded(n int) int { return (n + blockBytes - 1) / blockBytes * blockBytes }

func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// sealBatch writes the head of the batch that b is, after padding it, and returns it.
func sealBatch(b []byte, is batchInfo) []byte {
	le := binary.LittleEndian
	is.size = len(b)
	var zeros [blockBytes]byte
	b = append(b, zeros[:padded(is.size)-is.size]...)
	le.PutUint32(b, batchMagic)
	le.PutUint64(b[8:], is.store)
	le.PutUint64(b[16:], is.segment)
	le.PutUint64(b[24:], is.lsn)
	le.PutUint32(b[32:], uint32(is.size))
	le.PutUint32(b[36:], uint32(is.entries))
	le.PutUint32(b[4:], castagnoli(b[8:]))
	return b
}

// openBatch reads the head of the batch at the start of b and proves that it belongs
// to segment of store and that the whole of it is as written; ok is false otherwise.
func openBatch(b []byte, store, segment uint64) (is batchInfo, ok bool) {
	is = peekBatch(b)
	if is.store != store || is.segment != segment ||
		is.size < batchHead || padded(is.size) > len(b) {
		return batchInfo{}, false
	}
	return is, castagnoli(b[8:padded(is.size)]) == binary.LittleEndian.Uint32(b[4:])
}

// peekBatch reads the head of a batch without proof; it is zero when there is none.
func peekBatch(b []byte) batchInfo {
	le := binary.LittleEndian
	if len(b) < batchHead || le.Uint32(b) != batchMagic {
		return batchInfo{}
	}
	return batchInfo{
		store: le.Uint64(b[8:]), segment: le.Uint64(b[16:]), lsn: le.Uint64(b[24:]),
		size: int(le.Uint32(b[32:])), entries: int(le.Uint32(b[36:])),
	}
}

// The head block of a segment: magic, CRC-32C of the rest of the block, store id,
// segment number, format version.
func segmentHead(store, number uint64) []byte {
	le := binary.LittleEndian
	b := make([]byte, blockBytes)
	le.PutUint32(b, segmentMagic)
	le.PutUint64(b[8:], store)
	le.PutUint64(b[16:], number)
	le.PutUint64(b[24:], formatVersion)
	le.PutUint32(b[4:], castagnoli(b[8:]))
	return b
}
