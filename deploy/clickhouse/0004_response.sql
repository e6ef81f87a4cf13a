-- What a bank answered: both columns are empty where none was asked, in answers without the
-- field, and in records from before the columns. A view keeps the columns that it was made with.
ALTER TABLE records ADD COLUMN IF NOT EXISTS response LowCardinality(String)
    COMMENT 'ISO 8583 field 39 as the bank gave it' AFTER auth;

ALTER TABLE records ADD COLUMN IF NOT EXISTS settlement_date LowCardinality(String)
    COMMENT 'ISO 8583 field 15 as the bank gave it, MMDD' AFTER response;

CREATE OR REPLACE VIEW records_final AS
SELECT *, record_id, request_id, service_at, received_at
FROM records FINAL;
