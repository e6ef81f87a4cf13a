#!/usr/bin/env bash
# Makes a Python environment by which the tests read the Parquet files (DuckDB, pandas) and the
# daily pack (openpyxl, pyiso20022): install.sh DIR. The tests take DIR/bin/python as
# TAPSWITCH_ANALYST_PYTHON.
here=$(cd "$(dirname "$0")" && pwd)
exec bash "$here/../python.sh" "$here" \
  "duckdb, pandas, pyarrow.parquet, openpyxl, pyiso20022" TAPSWITCH_ANALYST_PYTHON "$@"
