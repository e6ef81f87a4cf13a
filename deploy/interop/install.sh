#!/usr/bin/env bash
# Makes a Python environment with the ISO 8583 library that the interoperation tests use:
# install.sh DIR. The tests take DIR/bin/python as TAPSWITCH_PYTHON.
here=$(cd "$(dirname "$0")" && pwd)
exec bash "$here/../python.sh" "$here" "iso8583, iso8583.specs" TAPSWITCH_PYTHON "$@"
