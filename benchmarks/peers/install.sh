#!/usr/bin/env bash
# Installs what hostd is compared to, on Debian: `benchmarks/peers/install.sh [FOLDER]`, as root or with sudo.
#
# Debian's own packages go where they always do. FOLDER, which the benchmarks find by HOSTD_PEERS, or
# ~/.cache/hostd-peers, gets the rest: syslog-ng, which Debian does not let be installed beside rsyslog, and what
# comes from PyPI, in environments of its own. What cannot be had is said, and left out.
set -euo pipefail

folder=$(realpath -m "${1:-${HOSTD_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/hostd-peers}}")
python=${PYTHON:-python3}
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
mkdir -p "$folder/bin"

missing=()
left_out() { missing+=("$1") && echo "left out: $1" >&2; }

"${as_root[@]}" apt-get update
for package in rsyslog lnav miller erlang-base strace valgrind; do
  "${as_root[@]}" apt-get install -y --no-install-recommends "$package" || left_out "$package"
done

beside_rsyslog() {
  local packages
  packages=$(mktemp -d)
  "${as_root[@]}" apt-get install -y --no-install-recommends \
    libivykis0 libnet1 libpcre3 libwrap0 libpython3.11 || return
  (cd "$packages" && apt-get download syslog-ng-core syslog-ng-mod-python) || return
  for package in "$packages"/*.deb; do
    dpkg -x "$package" "$folder/syslog-ng" || return
  done
  rm -r "$packages"
  cat >"$folder/bin/syslog-ng" <<'WRAPPER'
#!/bin/sh
root=$(dirname "$(dirname "$(readlink -f "$0")")")/syslog-ng/usr
modules=$(echo "$root"/lib/syslog-ng/[0-9]*)
LD_LIBRARY_PATH=$root/lib/syslog-ng exec "$root/sbin/syslog-ng" --module-path="$modules" "$@"
WRAPPER
  chmod +x "$folder/bin/syslog-ng"
}
beside_rsyslog || left_out syslog-ng

environment() { # NAME PACKAGE...: an environment of this name in the folder
  "$python" -m venv "$folder/$1" &&
    "$folder/$1/bin/pip" --disable-pip-version-check -q install "${@:2}" || left_out "$1 (${*:2})"
}
environment logprep logprep
environment python jurigged watchfiles pluggy stevedore

echo "installed in $folder; run: HOSTD_PEERS=$folder python -m benchmarks peers reload calls"
[ ${#missing[@]} = 0 ] || { printf 'left out: %s\n' "${missing[@]}" >&2 && exit 1; }
