#!/bin/sh
# Runs a program on oclgrind's simulated device, which sees each access outside a buffer and each race in a work-group.
#   sh oclgrind.sh COMMAND...
set -eu
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Without optimisation: the simulator loses kernels whose optimised form has instructions that it does not know.
oclgrind --data-races --build-options -cl-opt-disable --log "$log" "$@"
if [ -s "$log" ]; then
    head -n 60 "$log"
    exit 1
fi
echo "oclgrind saw nothing wrong"
