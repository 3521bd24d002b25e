#!/bin/sh
# A test of these scripts, and of bench/learning, that needs Python alone: they parse, and clattn.py agrees with the
# library about the header.
#   sh bench/peers/check.sh LIBRARY          exit status 77: no Python here
here=$(cd "$(dirname "$0")" && pwd)
command -v python3 >/dev/null || exit 77
parse='import ast, sys; [ast.parse(open(f, encoding="utf-8").read(), f) for f in sys.argv[1:]]'
python3 -B -c "$parse" "$here"/*.py "$here"/../learning/*.py || exit 1
exec python3 -B "$here/clattn.py" "$1"
