#!/usr/bin/env bash
# Makes a Python environment with the ISO 8583 library that the interoperation tests use:
# install.sh DIR. The tests take DIR/bin/python as TAPSWITCH_PYTHON.
set -eu
dir=${1:?usage: install.sh DIR}
version=4.0.1
python3 -m venv "$dir"
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check "pyiso8583==$version"
"$dir/bin/python" -c 'import iso8583, iso8583.specs'
echo "TAPSWITCH_PYTHON=$dir/bin/python"
