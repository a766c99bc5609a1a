#!/bin/sh
# Makes the environment: finds a fitting Python, creates the virtual environment, installs the hash-pinned lock and the project.
# Called by `make setup` as: sh .ci/setup.sh PYTHON VENV. PYTHON may be empty: then the usual names are tried.
# The stamp VENV/.ready is a copy of the lock it was made from, written last: an environment without it is made again.
set -u

wanted=${1-}
venv=${2:-.venv}
lock=requirements.lock
FITS='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))'
VERSION='import sys; print("%d.%d" % sys.version_info[:2])'
unset PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "$*"; }
stop() { printf '%s\n' "$@" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# The command that installs a fitting Python here: the newest fitting version the system's own packages offer.
how_to_get_python() {
    if have apt-get; then
        for minor in 13 12 11; do
            if apt-cache show "python3.$minor-venv" >/dev/null 2>&1; then
                say "sudo apt-get install python3.$minor python3.$minor-venv"
                return
            fi
        done
        say "sudo apt-get update && sudo apt-get install python3 python3-venv   (if that is older than 3.11: https://www.python.org/downloads/)"
    elif have dnf; then
        say "sudo dnf install python3.13"
    elif have brew; then
        say "brew install python@3.13"
    else
        say "install Python 3.13 from https://www.python.org/downloads/"
    fi
}

how_to_get_venv() {
    if have apt-get; then
        say "sudo apt-get install python$1-venv"
    elif have dnf; then
        say "sudo dnf install python3-pip python3-libs"
    elif have brew; then
        say "brew reinstall python@$1"
    else
        say "install a complete Python $1 from https://www.python.org/downloads/"
    fi
}

# Sets `python` to the first candidate that fits and can make environments; stops with the command that mends it when none can.
find_python() {
    python='' incomplete='' unfit=''
    for candidate in ${wanted:-python3 python3.13 python3.12 python3.11}; do
        version=$("$candidate" -c "$VERSION" 2>/dev/null) || continue
        if ! "$candidate" -c "$FITS" 2>/dev/null; then
            unfit="$unfit $candidate (Python $version)"
        elif ! "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
            incomplete=${incomplete:-$version}
        else
            python=$candidate
            return
        fi
    done
    if [ -n "$incomplete" ]; then
        stop "Python $incomplete is here, but without its venv module." "Install it with:" "    $(how_to_get_venv "$incomplete")" \
            "then repeat the command."
    fi
    stop "p4equity needs Python 3.11, 3.12 or 3.13; found:${unfit:- none called ${wanted:-python3}}." "Install one with:" \
        "    $(how_to_get_python)" "then repeat the command, or name another Python: make setup PYTHON=/path/to/python3.12"
}

explain_failure() {
    grep -iE 'error|could not|hash' "$venv/install.log" | tail -n 6 | cut -c 1-200 >&2
    if grep -qiE 'NewConnectionError|ConnectTimeout|ProxyError|name resolution|Network is unreachable|No matching distribution' \
        "$venv/install.log"; then
        stop "" "The packages could not be fetched: is this machine offline, or behind a proxy or a mirror pip does not know?" \
            "pip reads both from its own settings (pip config list; HTTPS_PROXY). Then repeat the command."
    elif grep -qi 'No space left' "$venv/install.log"; then
        stop "" "The disk is full: the environment takes about 2 GB. Make room, then repeat the command."
    elif grep -qi 'hashes' "$venv/install.log"; then
        stop "" "A package is not the one the lock names. Nothing of it was installed. Empty pip's cache and repeat:" "    $python -m pip cache purge"
    fi
    stop "" "The installation failed; the whole log is $venv/install.log. Repeating the command starts again from nothing."
}

quietly() { "$@" >>"$venv/install.log" 2>&1 || explain_failure; }

[ -f "$lock" ] || stop "$lock is not here: run make from the project's folder."
if cmp -s "$lock" "$venv/.ready" && "$venv/bin/python" -c "$FITS" 2>/dev/null; then
    : >"$venv/install.log"
else
    find_python
    say "Setting up $venv with Python $("$python" -c "$VERSION"): $(grep -c '==' "$lock") pinned packages, a few minutes the first time."
    rm -rf "$venv"
    "$python" -m venv "$venv" || stop "The environment could not be made in $venv." "    $(how_to_get_venv "$("$python" -c "$VERSION")")"
    quietly "$venv/bin/python" -m pip install --quiet --progress-bar off --require-hashes -r "$lock"
fi
quietly "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e .
cp "$lock" "$venv/.ready.part" && mv "$venv/.ready.part" "$venv/.ready"
