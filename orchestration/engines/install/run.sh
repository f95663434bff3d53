#!/bin/sh
# Finds a Python that can run the set-up, and hands over to it. Needs nothing but a POSIX shell.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../../.." && pwd)
cd "$root"

suits='import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else 1)'
for python in python3 python3.13 python3.12 python3.11 python; do
    if command -v "$python" >/dev/null 2>&1 && "$python" -c "$suits" >/dev/null 2>&1; then
        # -B: root leaves no compiled files in a user's checkout.
        exec "$python" -B -m orchestration.engines.install "$@"
    fi
done

echo "capstone needs Python 3.11, 3.12 or 3.13 on PATH; found: $(python3 --version 2>&1 || echo none)." >&2
echo "On Debian 12 and 13: apt-get install python3. Elsewhere: https://www.python.org/downloads/" >&2
exit 1
