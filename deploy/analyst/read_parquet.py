"""Reads one day of the local warehouse with DuckDB and with pandas: read_parquet.py FOLDER.

FOLDER is that of a business date, such as warehouse/2026-11-21, with as many parts as there
are. Prints, for each of the two, what it summed and which types it saw, as JSON. Amounts
are minor units throughout: nothing here turns money into a float.
"""

import glob
import json
import os
import sys

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

MARKERS = ("day_marker", "epoch_marker")
COLUMNS = ("business_date", "epoch", "operator", "charged", "service_at_ms", "offline",
           "accounts", "amounts", "discount_causes", "discount_amounts")


def with_duckdb(parts):
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'")
    db.execute("CREATE VIEW day AS SELECT * FROM read_parquet(?::VARCHAR[])".replace(
        "?", "[" + ", ".join("'" + p.replace("'", "''") + "'" for p in parts) + "]"))
    types = {name: str(kind) for name, kind, *_ in db.execute("DESCRIBE day").fetchall()}
    operators = db.execute("""
        SELECT operator, count(*) FILTER (outcome = 'approved'),
               count(*) FILTER (outcome = 'declined'),
               coalesce(sum(full_fare) FILTER (outcome = 'approved'), 0)::BIGINT,
               coalesce(sum(charged) FILTER (outcome = 'approved'), 0)::BIGINT
        FROM day WHERE operator != '' AND kind NOT IN ('day_marker', 'epoch_marker')
        GROUP BY operator ORDER BY operator""").fetchall()
    accounts = db.execute("""
        SELECT account, count(*), sum(amount)::BIGINT
        FROM (SELECT unnest(accounts) AS account, unnest(amounts) AS amount FROM day)
        GROUP BY account ORDER BY account""").fetchall()
    first, last = db.execute("""
        SELECT epoch_ms(min(make_timestamp_ms(service_at_ms))),
               epoch_ms(max(make_timestamp_ms(service_at_ms)))
        FROM day WHERE service_at_ms > 0""").fetchone()
    places = db.execute("SELECT count(DISTINCT (bucket, epoch, seq)) FROM day").fetchone()[0]
    return {
        "rows": db.execute("SELECT count(*) FROM day").fetchone()[0], "places": places,
        "dates": [str(d) for (d,) in db.execute(
            "SELECT DISTINCT business_date FROM day ORDER BY 1").fetchall()],
        "operators": [list(o) for o in operators], "accounts": [list(a) for a in accounts],
        "first_ms": first, "last_ms": last, "types": {c: types[c] for c in COLUMNS},
    }


def with_pandas(parts):
    tables = [pq.read_table(p, read_dictionary=["operator", "kind"]) for p in parts]
    table = pa.concat_tables(tables).unify_dictionaries()
    day = table.to_pandas()
    rides = day[(day.operator != "") & ~day.kind.isin(MARKERS)]
    operators = []
    for name, group in rides.groupby("operator", observed=True):
        approved = group[group.outcome == "approved"]
        operators.append([name, len(approved), int((group.outcome == "declined").sum()),
                          int(approved.full_fare.sum()), int(approved.charged.sum())])
    postings = day[["accounts", "amounts"]].explode(["accounts", "amounts"]).dropna()
    accounts = [[name, len(group), int(group.amounts.astype("int64").sum())]
                for name, group in postings.groupby("accounts")]
    served = pd.to_datetime(day.service_at_ms[day.service_at_ms > 0], unit="ms", utc=True)
    types = {name: str(table.schema.field(name).type) for name in COLUMNS}
    return {
        "rows": len(day), "places": len(day[["bucket", "epoch", "seq"]].drop_duplicates()),
        "dates": sorted({str(d) for d in day.business_date}), "operators": sorted(operators),
        "accounts": sorted(accounts), "first_ms": millis(served.min()),
        "last_ms": millis(served.max()), "types": types,
        "category": isinstance(day.operator.dtype, pd.CategoricalDtype),
        "int64": str(day.charged.dtype),
    }


def millis(t):
    return (t - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(milliseconds=1)


def dictionaries(parts):
    """Tells whether every part keeps the operators as numbers of a dictionary."""
    for p in parts:
        meta = pq.ParquetFile(p).metadata
        at = meta.schema.names.index("operator")
        if "RLE_DICTIONARY" not in meta.row_group(0).column(at).encodings:
            return False
    return True


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: read_parquet.py FOLDER")
    parts = sorted(glob.glob(os.path.join(glob.escape(sys.argv[1]), "part-*.parquet")))
    if not parts:
        sys.exit("no part in this folder")
    json.dump({"parts": len(parts), "dictionaries": dictionaries(parts),
               "duckdb": with_duckdb(parts), "pandas": with_pandas(parts)}, sys.stdout)


if __name__ == "__main__":
    main()
