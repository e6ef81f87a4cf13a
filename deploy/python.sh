#!/usr/bin/env bash
# Makes a Python environment of pinned packages for tests: python.sh FOLDER MODULES VARIABLE DIR.
# FOLDER holds requirements.txt, with hashes; MODULES are what must be importable then; the
# tests take DIR/bin/python as VARIABLE. A second run does nothing unless the requirements have
# changed. install.sh in the folders of deploy call it.
set -eu -o pipefail
usage="usage: python.sh FOLDER MODULES VARIABLE DIR"
requirements=${1:?$usage}/requirements.txt
modules=${2:?$usage}
variable=${3:?$usage}
dir=${4:?usage: install.sh DIR}
want=$(sha256sum <"$requirements")

works() { "$dir/bin/python" -c "import $modules" 2>/dev/null; }

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
"$dir/bin/python" -m pip install --quiet --no-compile --disable-pip-version-check --retries 2 \
  --timeout 60 --only-binary :all: --require-hashes -r "$requirements"
works
echo "$want" >"$dir/installed"
echo "python: installed; $variable=$dir/bin/python"
