#!/usr/bin/env bash
# Makes this checkout ready to run: Debian packages, the virtual environment, Python packages.
# The Python packages again only when pyproject.toml, constraints.txt, tests/strangers, this file or
# Python changed.
set -euo pipefail
cd "$(dirname "$0")"

PYTHON=${PYTHON:-python3}
DEBIAN_PACKAGES=(mbpoll mosquitto python3-venv softhsm2 valgrind)
# Tokens that tests hold the HSM code against beside SoftHSM2: NSS, a software TPM, p11-kit's remoting.
# Where one of these or the next does not install, its tests are skipped and say so.
TOKEN_PACKAGES=(libnss3 libtpm2-pkcs11-1 libtss2-tcti-swtpm0 p11-kit p11-kit-modules swtpm)
# The explorer's charts, a browser and what drives it, and Node to verify receipts outside of one.
PAGE_PACKAGES=(chromium fonts-dejavu-core libatomic1 libjs-chart.js nodejs)
STAMP=.venv/ready

say() { printf 'setup: %s\n' "$*" >&2; }
stop() { say "$@"; exit 1; }

fingerprint() {
    { cat pyproject.toml constraints.txt setup.sh tests/strangers/*.txt; "$PYTHON" -VV; pwd; } | sha256sum
}

check_python() {
    command -v "$PYTHON" >/dev/null || stop "no $PYTHON here: install Python 3.11 or newer."
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        stop "$("$PYTHON" -V) is too old: Python 3.11 or newer is needed (PYTHON=/path/to/python3)."
}

# The MicroPython wheel exists for x86-64 only: elsewhere say so before anything is installed.
check_micropython() {
    local firmware_host=${MICROPYTHON:-}
    if [[ -n $firmware_host ]]; then
        [[ $("$firmware_host" -c 'print(6 * 7)' 2>&1) == 42 ]] ||
            stop "MICROPYTHON=$firmware_host does not run as MicroPython's unix port."
    elif [[ $(uname -m) != x86_64 ]]; then
        stop "on $(uname -m) no MicroPython comes with the Python packages: build its unix port" \
            "(github.com/micropython/micropython, ports/unix) and give MICROPYTHON=/path/to/micropython."
    fi
}

missing_packages() {
    local name
    for name in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed || echo "$name"
    done
}

install_debian_packages() {
    local missing as_root=()
    command -v dpkg-query >/dev/null || { check_without_dpkg; return; }
    mapfile -t missing < <(missing_packages "${DEBIAN_PACKAGES[@]}")
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        command -v sudo >/dev/null || stop "missing Debian packages: ${missing[*]}. As root:" \
            "apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing Debian packages (as root: apt-get install ${missing[*]})"
    if [[ " ${missing[*]} " == *" mosquitto "* ]]; then
        say "Debian's mosquitto also starts a service of its own on 127.0.0.1:1883 where systemd runs;" \
            "nothing here uses it."
    fi
    quietly "${as_root[@]}" apt-get update
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}"
}

# Tried once for each state of this checkout's requirements; no reason to stop.
install_for_tests() {
    local name missing as_root=()
    command -v dpkg-query >/dev/null || return 0
    mapfile -t missing < <(missing_packages "${TOKEN_PACKAGES[@]}" "${PAGE_PACKAGES[@]}")
    ((${#missing[@]})) || return 0
    ((EUID == 0)) || as_root=(sudo)
    say "installing tokens and a browser for tests (as root: apt-get install ${missing[*]})"
    "${as_root[@]}" apt-get update </dev/null >/dev/null 2>&1 || true
    install_these() {
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y \
            --no-install-recommends "$@" </dev/null >/dev/null 2>&1
    }
    install_these "${missing[@]}" && return
    for name in "${missing[@]}"; do
        install_these "$name" || say "$name does not install here: its tests are skipped."
    done
}

# Runs a command and shows what it said only when it failed.
quietly() {
    local said
    said=$("$@" </dev/null 2>&1) || { printf '%s\n' "$said" | tail -n 30 >&2; stop "failed: $*"; }
}

check_without_dpkg() {
    local PATH=$PATH:/usr/sbin
    { command -v mosquitto && command -v softhsm2-util && command -v mbpoll; } >/dev/null ||
        stop "this is no Debian: install Mosquitto 2, SoftHSM 2 and mbpoll yourself, then run this again."
}

# False as well when the checkout was moved or the system's Python replaced: both break a venv.
venv_is_ours() {
    [[ $(.venv/bin/python -VV 2>/dev/null) == "$("$PYTHON" -VV)" ]] &&
        [[ $(.venv/bin/pip --version 2>/dev/null) == *" $PWD/.venv/"* ]]
}

install_python_packages() {
    venv_is_ours || { say "making .venv"; "$PYTHON" -m venv --clear .venv; }
    say "installing Python packages into .venv, 1 of 3: gateway, validator, provision"
    pip_install pip
    pip_install -e '.[gateway,validator,provision]'
    say "installing Python packages into .venv, 2 of 3: tests and checks"
    pip_install --group dev
    say "installing Python packages into .venv, 3 of 3: SimBench, pandapower, MicroPython (most of 900 MB)"
    pip_install -e '.[sim]'
}

# Other people's programs, which tests hold ours against and which need older packages than ours: each
# file of pins is an environment of its own.
install_strangers() {
    local pins name
    for pins in tests/strangers/*.txt; do
        name=$(basename "$pins" .txt)
        say "installing $name into .venv/strangers/$name, for tests"
        "$PYTHON" -m venv --clear ".venv/strangers/$name"
        ".venv/strangers/$name/bin/python" -m pip install -q --disable-pip-version-check --no-input \
            --no-deps -r "$pins" || stop "pip install failed; see above."
    done
}

pip_install() {
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-input -c constraints.txt "$@" ||
        stop "pip install failed; see above."
}

check_python
check_micropython
install_debian_packages
if [[ ! -f $STAMP || $(<"$STAMP") != "$(fingerprint)" ]]; then
    install_for_tests
    install_python_packages
    install_strangers
    fingerprint >"$STAMP"
    say "ready"
fi
