-- The settled records. Row = one record; its id is its position (bucket, epoch, seq).
-- Amounts are Int64 minor units of the currency (ISO 4217 number), instants Unix
-- milliseconds UTC. The same columns stand in the Parquet files of the local warehouse.
--
-- A repeated insert is absorbed by ReplacingMergeTree: figures that pay out read FINAL.
-- The switch deletes a record from its outbox when this table has confirmed it, so an
-- insert must be on disk when it is confirmed: the fsync settings below are not for tuning.
CREATE TABLE IF NOT EXISTS records
(
    business_date    Date                   COMMENT 'settlement day; 1970-01-01 for markers before the first day',
    bucket           UInt8                  COMMENT '0 to 63, first bits of the card token',
    epoch            UInt64                 COMMENT 'writer epoch of the bucket, from 1',
    seq              UInt64                 COMMENT 'number within bucket and epoch, without holes',
    version          UInt32                 COMMENT 'version of the record',
    terminal         LowCardinality(String) COMMENT 'terminal, boot and counter are the request id',
    boot             UInt32,
    counter          UInt32,
    kind             LowCardinality(String) COMMENT 'metro_entry, metro_exit, bus_boarding, purchase, load, ...',
    outcome          LowCardinality(String) COMMENT 'approved or declined',
    reason           LowCardinality(String) COMMENT 'why declined; approved otherwise',
    card             String                 COMMENT 'card token, 32 hex digits; never a card number',
    last4            LowCardinality(String) COMMENT 'last four digits, where known',
    card_version     UInt64                 COMMENT 'version of the card state after this record',
    application      UInt16                 COMMENT 'applications as bits',
    rider            LowCardinality(String) COMMENT 'rider category',
    operator         LowCardinality(String) COMMENT 'operator or merchant group that is paid',
    line             LowCardinality(String),
    station          LowCardinality(String),
    merchant         LowCardinality(String) COMMENT 'ISO 8583 field 42',
    mcc              LowCardinality(String) COMMENT 'ISO 18245',
    acquirer         LowCardinality(String) COMMENT 'ISO 8583 field 32',
    issuer           LowCardinality(String),
    stan             UInt32                 COMMENT 'ISO 8583 field 11',
    rrn              String                 COMMENT 'ISO 8583 field 37',
    auth             String                 COMMENT 'ISO 8583 field 38',
    full_fare        Int64                  COMMENT 'fare before discounts, minor units',
    discount_causes  Array(LowCardinality(String)),
    discount_amounts Array(Int64)           COMMENT 'minor units, parallel to discount_causes',
    charged          Int64                  COMMENT 'what the card paid, minor units; negative: was given',
    currency         UInt16                 COMMENT 'ISO 4217 number',
    balance_after    Int64                  COMMENT 'purse balance after this record, minor units',
    offline_counter  UInt32                 COMMENT 'the card''s offline transaction counter',
    offline          Bool                   COMMENT 'the card was debited by the terminal',
    tac              LowCardinality(String) COMMENT 'verdict on the TAC',
    list_epoch       UInt64                 COMMENT 'blacklist epoch that the terminal held',
    service_at_ms    Int64                  COMMENT 'when the terminal served the card',
    received_at_ms   Int64                  COMMENT 'when the switch read the request',
    liability        LowCardinality(String) COMMENT 'party that bears the transaction',
    accounts         Array(LowCardinality(String)) COMMENT 'double entry, parallel to amounts',
    amounts          Array(Int64)           COMMENT 'moved into each account, minor units; sum zero',
    original         String                 COMMENT 'request id that a reversal, refund or adjustment points to',
    entry_station    LowCardinality(String) COMMENT 'where the journey that this record closes began',
    entry_at_ms      Int64,
    list_reason      LowCardinality(String) COMMENT 'freeze and release',
    list_scope       UInt16,
    list_actor       LowCardinality(String),
    list_note        String,
    previous_epoch   UInt64                 COMMENT 'epoch marker: where the epoch before ended',
    previous_seq     UInt64,
    closed_date      Date                   COMMENT 'day marker: the day that ended; 1970-01-01 otherwise',
    record_id        String ALIAS concat('b', leftPad(toString(bucket), 3, '0'), '-', toString(epoch), '-', toString(seq)),
    request_id       String ALIAS if(terminal = '', '', concat(terminal, '-', toString(boot), '-', toString(counter))),
    service_at       DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(service_at_ms, 'UTC'),
    received_at      DateTime64(3, 'UTC') ALIAS fromUnixTimestamp64Milli(received_at_ms, 'UTC')
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(business_date)
ORDER BY (business_date, bucket, epoch, seq)
SETTINGS fsync_after_insert = 1,
         fsync_part_directory = 1,
         min_rows_to_fsync_after_merge = 1,
         non_replicated_deduplication_window = 1000;
