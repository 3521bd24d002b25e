#!/bin/sh
# No mutable global state in the library: no object in a writable section (read-only after relocation is fine).
#   sh globals.sh STATIC
set -eu
export LC_ALL=C
objdump -t "$1" | awk '
    /file format/ { member = $1; sub(/:$/, "", member); members++ }
    / O / || /\*COM\*/ {
        for (i = 1; i <= NF; i++) {
            if ($i ~ /^\.(data|bss|tdata|tbss|ldata|lbss)/ || $i == "*COM*") {
                if ($i ~ /^\.data\.rel\.ro/) continue
                print member " keeps mutable state: " $NF " in " $i
                failed = 1
            }
        }
    }
    END {
        if (members == 0) { print "no objects"; failed = 1 }
        print members + 0 " objects looked at"
        exit failed
    }'
