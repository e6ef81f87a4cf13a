-- What arrived as a record and could not be read as one. A letter with epoch 0 has no place
-- among the records. A letter is open until a record stands in its place.
CREATE TABLE IF NOT EXISTS dead_letters
(
    source        String COMMENT 'where it was read; unique',
    bucket        UInt8,
    epoch         UInt64 COMMENT '0: the place is not known',
    seq           UInt64,
    business_date Date   COMMENT '1970-01-01: not known',
    reason        String,
    record        String COMMENT 'the bytes as they came',
    at_ms         Int64
)
ENGINE = ReplacingMergeTree
ORDER BY source
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;

-- Positions up to which the records were once proven to have no hole, so that the proof
-- need not begin at the first record each time. The greatest one of a bucket counts.
CREATE TABLE IF NOT EXISTS proven_positions
(
    bucket        UInt8,
    epoch         UInt64,
    seq           UInt64,
    business_date Date
)
ENGINE = ReplacingMergeTree
ORDER BY (bucket, epoch, seq)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1;
