# shellcheck shell=bash
# Sourced by tools/demo and tools/test: finds out what is missing and installs it.

say()
{
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# Runs a command quietly; its output is shown when it fails.
quietly()
{
    local log
    log=$(mktemp)
    "$@" >"$log" 2>&1 || { local status=$?; cat "$log" >&2; rm -f "$log"; return $status; }
    rm -f "$log"
}

# The Debian and Ubuntu packages of what building needs and is not there.
missing_packages()
{
    command -v cc >/dev/null && command -v make >/dev/null || echo build-essential
    command -v cmake >/dev/null || echo cmake
    command -v pkg-config >/dev/null || echo pkg-config
    local pair
    for pair in libcjson:libcjson-dev zlib:zlib1g-dev libpcre2-8:libpcre2-dev libcrypto:libssl-dev \
        openblas:libopenblas-openmp-dev libedit:libedit-dev; do
        pkg-config --exists "${pair%:*}" 2>/dev/null || echo "${pair#*:}"
    done
}

# Installs packages, as root or through sudo; where that cannot be, names them and stops.
install_packages()
{
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    if ! command -v apt-get >/dev/null; then
        say "missing; in the names of Debian and Ubuntu: $*. Install them and run this again."
        return 1
    fi
    if [[ $(id -u) != 0 ]]; then
        if ! command -v sudo >/dev/null || ! { [[ -t 0 ]] || sudo -n true 2>/dev/null; }; then
            say "missing, and neither root nor sudo is to be had. As root: apt-get install $*"
            return 1
        fi
        apt=(sudo "${apt[@]}")
    fi
    say "installing $*"
    quietly "${apt[@]}" update || say "the package lists could not be renewed; going on"
    quietly "${apt[@]}" install -y --no-install-recommends "$@"
}

# Everything that building needs, installed unless it is there already.
need_build_packages()
{
    local missing
    mapfile -t missing < <(missing_packages)
    [[ ${#missing[@]} == 0 ]] || install_packages "${missing[@]}"
}

# Configures and builds a preset into build/PRESET; further arguments go to the configuration.
build_preset()
{
    local preset=$1
    shift
    say "building build/$preset"
    quietly cmake --preset "$preset" "$@"
    quietly cmake --build --preset "$preset" --parallel "$(nproc)"
}
