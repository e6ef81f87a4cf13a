#!/usr/bin/env bash
# Makes a Python environment with DuckDB and pandas, by which the tests read the Parquet files:
# install.sh DIR. The tests take DIR/bin/python as TAPSWITCH_ANALYST_PYTHON. A second run does
# nothing unless requirements.txt has changed.
set -eu -o pipefail
dir=${1:?usage: install.sh DIR}
here=$(cd "$(dirname "$0")" && pwd)
want=$(sha256sum <"$here/requirements.txt")

works() { "$dir/bin/python" -c 'import duckdb, pandas, pyarrow.parquet' 2>/dev/null; }

# environment makes an empty one; Debian keeps what that needs in a package of its own.
environment() {
  rm -rf "$dir"
  python3 -m venv "$dir" >/dev/null 2>&1 && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "python: python3 -m venv does not work: install python3 and python3-venv" >&2
    exit 1
  fi
  echo "python: installing python3-venv with apt-get"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 \
    python3-venv >/dev/null
  rm -rf "$dir"
  python3 -m venv "$dir"
}

if [ "$(cat "$dir/installed" 2>/dev/null)" = "$want" ] && works; then
  echo "python: installed already"
  exit 0
fi
environment
"$dir/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check --retries 2 --timeout 60 \
  --only-binary :all: --require-hashes -r "$here/requirements.txt"
works
echo "$want" >"$dir/installed"
echo "python: installed; TAPSWITCH_ANALYST_PYTHON=$dir/bin/python"
