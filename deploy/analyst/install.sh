#!/usr/bin/env bash
# Makes a Python environment with DuckDB and pandas, by which the tests read the Parquet files:
# install.sh DIR. The tests take DIR/bin/python as TAPSWITCH_ANALYST_PYTHON.
here=$(cd "$(dirname "$0")" && pwd)
exec bash "$here/../python.sh" "$here" "duckdb, pandas, pyarrow.parquet" TAPSWITCH_ANALYST_PYTHON "$@"
