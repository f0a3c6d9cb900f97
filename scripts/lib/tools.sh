# What the tests and measurements need besides Rust, found or installed. Sourced by scripts/test and others.

# command → Debian packages. The packages are in Debian 12 itself; no other source is added.
declare -A PACKAGE_OF=(
    [c++]=g++
    [cc]="gcc libc6-dev" # The headers are only recommended by gcc.
    [python3]=python3
    [npm]=npm
    [node]=nodejs
    [systemd-analyze]=systemd
    [man]=man-db
    [lintian]=lintian
    [shellcheck]=shellcheck
    [dpkg-deb]=dpkg
    [dbus-daemon]=dbus
    [curl]=curl
    [mount]=mount
    [valgrind]=valgrind
    [chromium]=chromium
    [chromedriver]=chromium-driver
)

# Prints the packages of the given commands that are missing, one a line.
missing_packages() {
    local command
    for command in "$@"; do
        command -v "$command" >/dev/null || printf '%s\n' ${PACKAGE_OF[$command]}
    done
    # Debian ships Python without the part that makes environments with pip in them.
    if [[ " $* " == *" python3 "* ]] && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        echo python3-venv
    fi
    if [[ " $* " == *" npm "* && ! -e /etc/ssl/certs/ca-certificates.crt ]]; then
        echo ca-certificates
    fi
}

# Installs what is missing of the given commands, or says what to install.
require_tools() {
    local packages
    mapfile -t packages < <(missing_packages "$@")
    ((${#packages[@]})) || return 0
    if ((EUID == 0)) && command -v apt-get >/dev/null; then
        echo "installing: ${packages[*]}"
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "${packages[@]}" >/dev/null
        return
    fi
    echo "missing: ${packages[*]}" >&2
    echo "As root: apt-get update && apt-get install --no-install-recommends ${packages[*]}" >&2
    echo "(or, for the Rust tests alone: ./scripts/test --rust)" >&2
    return 1
}

# A program of a package that is unpacked, not installed: installed it would start a server.
require_unpacked() {
    local command=$1 package=$2 unpacked="$PWD/target/tools/$2"
    command -v "$command" >/dev/null && return
    if [[ ! -x $unpacked/usr/bin/$command && ! -x $unpacked/usr/sbin/$command ]]; then
        if ! command -v apt-get >/dev/null; then
            echo "missing: $command (Debian: in the package $package)" >&2
            return 1
        fi
        echo "unpacking: $package"
        ((EUID == 0)) && apt-get -qq update
        mkdir -p "$unpacked"
        (cd "$unpacked" && apt-get -qq download "$package" && dpkg-deb --extract "$package"_*.deb . && rm "$package"_*.deb)
    fi
    PATH="$PATH:$unpacked/usr/bin:$unpacked/usr/sbin"
    export PATH
}

# Prometheus' own tool.
require_promtool() {
    require_unpacked promtool prometheus
}

# What scripts/bench compares with.
require_nginx() {
    require_unpacked nginx nginx
}

require_cargo() {
    [[ -f "$HOME/.cargo/env" ]] && . "$HOME/.cargo/env"
    command -v cargo >/dev/null && return
    echo "missing: Rust. Install it from https://rustup.rs, then run this again." >&2
    return 1
}
