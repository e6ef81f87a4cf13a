-- Views for analysts. They are a contract: a column never changes its name, type or meaning, and
-- a new one comes at the end, in a later file. Grafana, the row policies of operators and
-- whatever a finance team writes rest on them.
--
-- Each record counts once (FINAL), as booked; the markers of the switch are left out. Money is
-- Int64 minor units (fen), with a decimal beside it; a sum that does not fit is an error, not
-- a wrong figure. Filter by business_date: the table is sorted and divided by it.
-- The views read with the rights of whoever asks, so a row policy on records holds in each.

-- Every transaction as booked, freezes and releases with them.
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
    received_at           DateTime64(3, 'UTC')          COMMENT 'when the switch read the request'
)
AS SELECT
    business_date, record_id, request_id, terminal, kind, outcome, reason, card, rider, operator,
    line, station, merchant, mcc, acquirer, issuer, stan, rrn, auth, response, currency,
    full_fare, CAST(toDecimal128(full_fare, 2) / 100 AS Decimal(38, 2)) AS full_fare_decimal,
    charged, CAST(toDecimal128(charged, 2) / 100 AS Decimal(38, 2)) AS charged_decimal,
    balance_after,
    CAST(toDecimal128(balance_after, 2) / 100 AS Decimal(38, 2)) AS balance_after_decimal,
    discount_causes, discount_amounts, accounts, amounts, offline, tac, list_epoch, liability,
    original, entry_station, service_at, received_at
FROM records FINAL
WHERE kind NOT IN ('day_marker', 'epoch_marker');

-- What a day sums to. Only approved rows are money: a declined one says what it would have been.
CREATE OR REPLACE VIEW analyst_daily_totals
(
    business_date     Date                   COMMENT 'settlement day',
    operator          LowCardinality(String) COMMENT 'operator that is paid; may be empty',
    line              LowCardinality(String) COMMENT 'line',
    kind              LowCardinality(String) COMMENT 'kind of record',
    outcome           LowCardinality(String) COMMENT 'approved or declined',
    currency          UInt16                 COMMENT 'ISO 4217 number; 0 where nothing moves',
    records           UInt64                 COMMENT 'how many',
    offline_records   UInt64                 COMMENT 'how many of them the terminal decided',
    full_fare         Int64                  COMMENT 'sum before discounts, minor units',
    full_fare_decimal Decimal(38, 2)         COMMENT 'full_fare divided by 100: yuan where currency is 156',
    discount          Int64                  COMMENT 'sum of all discounts, minor units',
    discount_decimal  Decimal(38, 2)         COMMENT 'discount divided by 100: yuan where currency is 156',
    charged           Int64                  COMMENT 'sum that cards paid, minor units; negative: was given',
    charged_decimal   Decimal(38, 2)         COMMENT 'charged divided by 100: yuan where currency is 156'
)
AS SELECT
    business_date, operator, line, kind, outcome, currency, records, offline_records, full_fare,
    CAST(toDecimal128(full_fare, 2) / 100 AS Decimal(38, 2)) AS full_fare_decimal, discount,
    CAST(toDecimal128(discount, 2) / 100 AS Decimal(38, 2)) AS discount_decimal, charged,
    CAST(toDecimal128(charged, 2) / 100 AS Decimal(38, 2)) AS charged_decimal
FROM
(
    SELECT
        business_date, operator, line, kind, outcome, currency, count() AS records,
        countIf(offline) AS offline_records,
        accurateCast(sum(toInt128(rec.full_fare)), 'Int64') AS full_fare,
        accurateCast(sum(arraySum(arrayMap(x -> toInt128(x), discount_amounts))), 'Int64') AS discount,
        accurateCast(sum(toInt128(rec.charged)), 'Int64') AS charged
    FROM records AS rec FINAL
    WHERE kind NOT IN ('day_marker', 'epoch_marker')
    GROUP BY business_date, operator, line, kind, outcome, currency
);

-- What was declined, and why.
CREATE OR REPLACE VIEW analyst_declines
(
    business_date Date                   COMMENT 'settlement day',
    operator      LowCardinality(String) COMMENT 'operator that would have been paid; may be empty',
    line          LowCardinality(String) COMMENT 'line',
    kind          LowCardinality(String) COMMENT 'kind of record',
    reason        LowCardinality(String) COMMENT 'why declined',
    records       UInt64                 COMMENT 'how many',
    cards         UInt64                 COMMENT 'how many different cards'
)
AS SELECT
    business_date, operator, line, kind, reason, count() AS records,
    uniqExactIf(card, card != '') AS cards
FROM records FINAL
WHERE outcome = 'declined' AND kind NOT IN ('day_marker', 'epoch_marker')
GROUP BY business_date, operator, line, kind, reason;

-- Which party bears what was approved.
CREATE OR REPLACE VIEW analyst_liability
(
    business_date   Date                   COMMENT 'settlement day',
    operator        LowCardinality(String) COMMENT 'operator that is paid; may be empty',
    liability       LowCardinality(String) COMMENT 'holder, operator, acquirer, issuer, agency, or open: to be judged',
    kind            LowCardinality(String) COMMENT 'kind of record',
    currency        UInt16                 COMMENT 'ISO 4217 number',
    records         UInt64                 COMMENT 'how many approved records',
    offline_records UInt64                 COMMENT 'how many of them the terminal decided',
    charged         Int64                  COMMENT 'sum that cards paid, minor units',
    charged_decimal Decimal(38, 2)         COMMENT 'charged divided by 100: yuan where currency is 156'
)
AS SELECT
    business_date, operator, liability, kind, currency, records, offline_records, charged,
    CAST(toDecimal128(charged, 2) / 100 AS Decimal(38, 2)) AS charged_decimal
FROM
(
    SELECT
        business_date, operator, liability, kind, currency, count() AS records,
        countIf(offline) AS offline_records,
        accurateCast(sum(toInt128(rec.charged)), 'Int64') AS charged
    FROM records AS rec FINAL
    WHERE outcome = 'approved' AND kind NOT IN ('day_marker', 'epoch_marker')
    GROUP BY business_date, operator, liability, kind, currency
);

-- One line a freeze: how long it stood, and what the card still did (service time decides).
-- The clocks of the parties that were told stand in the figures tapswitch_notice_*, not here.
CREATE OR REPLACE VIEW analyst_freezes
(
    business_date            Date                           COMMENT 'settlement day of the freeze',
    record_id                String                         COMMENT 'the freeze',
    card                     String                         COMMENT 'card token',
    reason                   LowCardinality(String)         COMMENT 'why the card was frozen',
    scope                    UInt16                         COMMENT 'applications that are frozen, as bits',
    frozen_at                DateTime64(3, 'UTC')           COMMENT 'when the freeze was received: here its clock starts',
    released_at              Nullable(DateTime64(3, 'UTC')) COMMENT 'when the next release was received; null: frozen yet',
    frozen_seconds           Nullable(Float64)              COMMENT 'from frozen_at to released_at',
    declined_after           UInt64                         COMMENT 'taps that were declined as frozen while the freeze stood',
    first_declined_at        Nullable(DateTime64(3, 'UTC')) COMMENT 'when the first of them was served',
    approved_after           UInt64                         COMMENT 'money moved although served while the freeze stood: records',
    approved_charged         Int64                          COMMENT 'sum that these charged, minor units',
    approved_charged_decimal Decimal(38, 2)                 COMMENT 'approved_charged divided by 100: yuan where currency is 156',
    last_approved_at         Nullable(DateTime64(3, 'UTC')) COMMENT 'when the last of them was served'
)
AS WITH
    f AS
    (
        SELECT business_date, record_id, card, list_reason, list_scope, received_at_ms AS since
        FROM records FINAL
        WHERE kind = 'freeze' AND outcome = 'approved'
    ),
    r AS
    (
        SELECT card, received_at_ms AS until
        FROM records FINAL
        WHERE kind = 'release' AND outcome = 'approved'
    ),
    spans AS
    (
        SELECT
            f.business_date AS business_date, f.record_id AS record_id, f.card AS card,
            any(f.list_reason) AS why, any(f.list_scope) AS bits, any(f.since) AS since,
            minIf(r.until, r.until >= f.since AND r.until > 0) AS ended
        FROM f LEFT JOIN r ON f.card = r.card
        GROUP BY f.business_date, f.record_id, f.card
    ),
    taps AS
    (
        SELECT card, outcome, reason, charged, service_at_ms AS at
        FROM records FINAL
        WHERE card IN (SELECT card FROM f) AND service_at_ms > 0
            AND ((outcome = 'declined' AND reason = 'card_frozen')
                OR (outcome = 'approved' AND charged > 0))
    ),
    pairs AS
    (
        SELECT
            s.business_date AS business_date, s.record_id AS record_id, s.card AS card, s.why AS why,
            s.bits AS bits, s.since AS since, s.ended AS ended, t.at AS at, t.charged AS charged,
            t.at > 0 AND t.at >= s.since AND (s.ended = 0 OR t.at < s.ended) AS during,
            during AND t.outcome = 'declined' AS refused, during AND t.outcome = 'approved' AS moved
        FROM spans AS s LEFT JOIN taps AS t ON s.card = t.card
    ),
    joined AS
    (
        SELECT
            business_date, record_id, card, any(why) AS why, any(bits) AS bits, any(since) AS since,
            any(ended) AS ended, countIf(refused) AS declined, minIf(at, refused) AS declined_at,
            countIf(moved) AS approved, sumIf(toInt128(charged), moved) AS paid,
            maxIf(at, moved) AS approved_at
        FROM pairs
        GROUP BY business_date, record_id, card
    )
SELECT
    business_date, record_id, card, why AS reason, bits AS scope,
    fromUnixTimestamp64Milli(since, 'UTC') AS frozen_at,
    if(ended = 0, NULL, fromUnixTimestamp64Milli(ended, 'UTC')) AS released_at,
    if(ended = 0, NULL, (ended - since) / 1000) AS frozen_seconds,
    declined AS declined_after,
    if(declined = 0, NULL, fromUnixTimestamp64Milli(declined_at, 'UTC')) AS first_declined_at,
    approved AS approved_after, accurateCast(paid, 'Int64') AS approved_charged,
    CAST(toDecimal128(approved_charged, 2) / 100 AS Decimal(38, 2)) AS approved_charged_decimal,
    if(approved = 0, NULL, fromUnixTimestamp64Milli(approved_at, 'UTC')) AS last_approved_at
FROM joined;

-- How far the records are behind the switch, a bucket. What waits to be sent is the figure
-- tapswitch_outbox_pending_records of the switch.
CREATE OR REPLACE VIEW analyst_feed_lag
(
    bucket            UInt8                COMMENT '0 to 63',
    epoch             UInt64               COMMENT 'writer epoch of the last record',
    seq               UInt64               COMMENT 'its number in the epoch',
    last_received_at  DateTime64(3, 'UTC') COMMENT 'when the switch read the newest request that is here',
    lag_seconds       Float64              COMMENT 'from then to now; grows by night too, when nobody taps',
    open_dead_letters UInt64               COMMENT 'records that arrived and could not be read'
)
AS SELECT
    b.bucket AS bucket, b.place.1 AS epoch, b.place.2 AS seq,
    fromUnixTimestamp64Milli(b.newest, 'UTC') AS last_received_at,
    (toUnixTimestamp64Milli(now64(3, 'UTC')) - b.newest) / 1000 AS lag_seconds,
    d.letters AS open_dead_letters
FROM
(
    SELECT bucket, max((epoch, seq)) AS place, max(received_at_ms) AS newest
    FROM records
    WHERE business_date >= (SELECT max(business_date) FROM records) - 7
    GROUP BY bucket
) AS b
LEFT JOIN
(
    SELECT bucket, count() AS letters
    FROM dead_letters FINAL
    WHERE (bucket, epoch, seq) NOT IN (SELECT bucket, epoch, seq FROM records
        WHERE (bucket, epoch, seq) IN (SELECT bucket, epoch, seq FROM dead_letters))
    GROUP BY bucket
) AS d ON b.bucket = d.bucket;

-- From service at the terminal to receipt by the switch.
CREATE OR REPLACE VIEW analyst_upload_delays
(
    business_date Date                   COMMENT 'settlement day',
    operator      LowCardinality(String) COMMENT 'operator that is paid; may be empty',
    offline       Bool                   COMMENT 'decided by the terminal and uploaded later',
    records       UInt64                 COMMENT 'how many',
    p50_seconds   Float64                COMMENT 'half came within',
    p95_seconds   Float64                COMMENT '95 in 100 came within',
    max_seconds   Float64                COMMENT 'the latest'
)
AS SELECT
    business_date, operator, offline, count() AS records,
    quantile(0.5)(received_at_ms - service_at_ms) / 1000 AS p50_seconds,
    quantile(0.95)(received_at_ms - service_at_ms) / 1000 AS p95_seconds,
    max(received_at_ms - service_at_ms) / 1000 AS max_seconds
FROM records FINAL
WHERE service_at_ms > 0 AND received_at_ms > 0 AND kind NOT IN ('day_marker', 'epoch_marker')
GROUP BY business_date, operator, offline;

-- Double entry by account. The sum over all accounts of a day is zero.
CREATE OR REPLACE VIEW analyst_accounts
(
    business_date  Date           COMMENT 'settlement day',
    account        String         COMMENT 'account of the chart',
    currency       UInt16         COMMENT 'ISO 4217 number',
    postings       UInt64         COMMENT 'how many',
    amount         Int64          COMMENT 'sum moved into the account, minor units',
    amount_decimal Decimal(38, 2) COMMENT 'amount divided by 100: yuan where currency is 156'
)
AS SELECT
    business_date, account, currency, postings, amount,
    CAST(toDecimal128(amount, 2) / 100 AS Decimal(38, 2)) AS amount_decimal
FROM
(
    SELECT
        business_date, toString(account) AS account, currency, count() AS postings,
        accurateCast(sum(toInt128(moved)), 'Int64') AS amount
    FROM records FINAL
    ARRAY JOIN accounts AS account, amounts AS moved
    GROUP BY business_date, account, currency
);
