-- For dashboards only. Reports that pay out use tapswitch ledger totals.
CREATE VIEW IF NOT EXISTS records_final AS
SELECT *, record_id, request_id, service_at, received_at
FROM records FINAL;

CREATE VIEW IF NOT EXISTS operator_days AS
SELECT
    business_date,
    operator,
    currency,
    countIf(outcome = 'approved') AS approved,
    countIf(outcome = 'declined') AS declined,
    sumIf(full_fare, outcome = 'approved') AS full_fare,
    sumIf(charged, outcome = 'approved') AS charged
FROM records FINAL
WHERE operator != ''
GROUP BY business_date, operator, currency;

CREATE VIEW IF NOT EXISTS account_days AS
SELECT
    business_date,
    account,
    currency,
    count() AS postings,
    sum(amount) AS amount
FROM records FINAL
ARRAY JOIN accounts AS account, amounts AS amount
GROUP BY business_date, account, currency;
