-- What the terminal of a tap told of the ride: empty, false and zero where it told nothing, and in
-- records from before the columns. A view keeps the columns that it was made with.
ALTER TABLE records ADD COLUMN IF NOT EXISTS mode LowCardinality(String)
    COMMENT 'means of transport that the terminal named; empty: that of the kind' AFTER entry_at_ms;

ALTER TABLE records ADD COLUMN IF NOT EXISTS business Bool
    COMMENT 'business or first class' AFTER mode;

ALTER TABLE records ADD COLUMN IF NOT EXISTS metres Int64
    COMMENT 'length of the ride as the terminal told it; 0: not told' AFTER business;

ALTER TABLE records ADD COLUMN IF NOT EXISTS degraded UInt8
    COMMENT 'modes under which the terminal says that it took the tap: bit 0 train fault, 1 station closed, 2 emergency release, 3 entry and exit waived, 4 time waived' AFTER metres;

CREATE OR REPLACE VIEW records_final AS
SELECT *, record_id, request_id, service_at, received_at
FROM records FINAL;

-- Every transaction as booked, with what the terminal told of the ride at the end.
CREATE OR REPLACE VIEW analyst_records
(
    business_date         Date                          COMMENT 'settlement day',
    record_id             String                        COMMENT 'bucket, epoch and seq: unique and final',
    request_id            String                        COMMENT 'terminal, boot and counter; empty where there was no request',
    terminal              LowCardinality(String)        COMMENT 'terminal that asked',
    kind                  LowCardinality(String)        COMMENT 'metro_entry, metro_exit, bus_boarding, purchase, load, ...',
    outcome               LowCardinality(String)        COMMENT 'approved or declined',
    reason                LowCardinality(String)        COMMENT 'why declined; approved otherwise',
    card                  String                        COMMENT 'card token, 32 hex digits; never a card number',
    rider                 LowCardinality(String)        COMMENT 'rider category',
    operator              LowCardinality(String)        COMMENT 'operator or merchant group that is paid; may be empty',
    line                  LowCardinality(String)        COMMENT 'line',
    station               LowCardinality(String)        COMMENT 'station or stop',
    merchant              LowCardinality(String)        COMMENT 'ISO 8583 field 42',
    mcc                   LowCardinality(String)        COMMENT 'ISO 18245',
    acquirer              LowCardinality(String)        COMMENT 'ISO 8583 field 32',
    issuer                LowCardinality(String)        COMMENT 'issuer of the card',
    stan                  UInt32                        COMMENT 'ISO 8583 field 11',
    rrn                   String                        COMMENT 'ISO 8583 field 37',
    auth                  String                        COMMENT 'ISO 8583 field 38',
    response              LowCardinality(String)        COMMENT 'ISO 8583 field 39 as the bank gave it',
    currency              UInt16                        COMMENT 'ISO 4217 number',
    full_fare             Int64                         COMMENT 'fare before discounts, minor units',
    full_fare_decimal     Decimal(38, 2)                COMMENT 'full_fare divided by 100: yuan where currency is 156',
    charged               Int64                         COMMENT 'what the card paid, minor units; negative: was given',
    charged_decimal       Decimal(38, 2)                COMMENT 'charged divided by 100: yuan where currency is 156',
    balance_after         Int64                         COMMENT 'purse balance after this record, minor units',
    balance_after_decimal Decimal(38, 2)                COMMENT 'balance_after divided by 100: yuan where currency is 156',
    discount_causes       Array(LowCardinality(String)) COMMENT 'causes of discounts',
    discount_amounts      Array(Int64)                  COMMENT 'minor units, parallel to discount_causes',
    accounts              Array(LowCardinality(String)) COMMENT 'double entry, parallel to amounts',
    amounts               Array(Int64)                  COMMENT 'moved into each account, minor units; sum zero',
    offline               Bool                          COMMENT 'the card was debited by the terminal',
    tac                   LowCardinality(String)        COMMENT 'verdict on the TAC of an off-line record',
    list_epoch            UInt64                        COMMENT 'blacklist epoch that the terminal held',
    liability             LowCardinality(String)        COMMENT 'party that bears the transaction',
    original              String                        COMMENT 'request id that a reversal, refund or adjustment points to',
    entry_station         LowCardinality(String)        COMMENT 'where the journey that this record closes began',
    service_at            DateTime64(3, 'UTC')          COMMENT 'when the terminal served the card',
    received_at           DateTime64(3, 'UTC')          COMMENT 'when the switch read the request',
    transport_mode        LowCardinality(String)        COMMENT 'bus, metro, rail, tram or ferry; empty where nothing was ridden',
    business              Bool                          COMMENT 'business or first class',
    ride_metres           UInt32                        COMMENT 'length of the ride as the terminal told it; 0: not told',
    degraded_modes        Array(String)                 COMMENT 'modes under which the terminal says that it took the tap'
)
AS SELECT
    business_date, record_id, request_id, terminal, kind, outcome, reason, card, rider, operator,
    line, station, merchant, mcc, acquirer, issuer, stan, rrn, auth, response, currency,
    full_fare, CAST(toDecimal128(full_fare, 2) / 100 AS Decimal(38, 2)) AS full_fare_decimal,
    charged, CAST(toDecimal128(charged, 2) / 100 AS Decimal(38, 2)) AS charged_decimal,
    balance_after,
    CAST(toDecimal128(balance_after, 2) / 100 AS Decimal(38, 2)) AS balance_after_decimal,
    discount_causes, discount_amounts, accounts, amounts, offline, tac, list_epoch, liability,
    original, entry_station, service_at, received_at,
    multiIf(mode != '', toString(mode), kind = 'bus_boarding', 'bus',
        kind IN ('metro_entry', 'metro_exit', 'journey_lapse'), 'metro', '') AS transport_mode,
    business, toUInt32(least(metres, 4294967295)) AS ride_metres,
    arrayFilter((name, bit) -> bitTest(degraded, bit), ['train_fault', 'station_closed',
        'emergency_release', 'entry_exit_waived', 'time_waived'], [0, 1, 2, 3, 4]) AS degraded_modes
FROM records FINAL
WHERE kind NOT IN ('day_marker', 'epoch_marker');
