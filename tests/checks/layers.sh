#!/bin/sh
# Includes point down only. Layers from top to bottom:
#   cli > layers > operations > runtime > engines > tuning, opencl, cpu > problem > base
# cli and layers see the public headers alone; nothing above engines sees cpu or opencl; device headers (CL/, clblast)
# stay in engines and opencl, and in the files that LAYER_EXCEPTIONS names.
#   sh layers.sh ROOT EXCEPTIONS        EXCEPTIONS: lines "path include reason"
set -eu
root=$1
exceptions=$2
cd "$root/host"
find . -type f \( -name '*.c' -o -name '*.h' \) -print | sed 's|^\./||' | sort | xargs awk -v exceptions="$exceptions" '
    BEGIN {
        level["base"] = 1; level["problem"] = 2; level["tuning"] = 3; level["opencl"] = 3; level["cpu"] = 3
        level["engines"] = 4; level["runtime"] = 5; level["operations"] = 6; level["layers"] = 7; level["cli"] = 8
        while ((getline line < exceptions) > 0) {
            if (line ~ /^[ \t]*(#|$)/) continue
            count = split(line, word, /[ \t]+/)
            if (count < 3) problem(exceptions ": no reason given: " line)
            allowed[word[1] " " word[2]] = 1
        }
    }
    function problem(text) { print text; failed = 1 }
    function refuse(why) {
        if ((FILENAME " " target) in allowed) { used[FILENAME " " target] = 1; return }
        problem("host/" FILENAME ":" FNR ": includes " target ": " why)
    }
    function check(from, to) {
        if (to == "CL" || to == "clblast") {
            if (from != "engines" && from != "opencl" && from != "include") refuse("a device header outside engines and opencl")
        } else if (to == "clattn") {
            return
        } else if (!(to in level)) {
            return
        } else if (!(from in level)) {
            refuse("a public header shows internal ones")
        } else if (to == from) {
            return
        } else if (from == "cli" || from == "layers") {
            refuse(from " sees the public headers alone")
        } else if (level[to] >= level[from]) {
            refuse(from " stands below or beside " to)
        } else if (level[from] > 4 && level[to] == 3) {
            refuse("nothing above engines knows " to)
        }
    }
    FNR == 1 { files++ }
    /^[ \t]*#[ \t]*include[ \t]*[<"]/ {
        includes++
        target = $0
        sub(/^[^<"]*[<"]/, "", target)
        sub(/[>"].*/, "", target)
        from = FILENAME
        sub(/\/.*/, "", from)
        if (FILENAME !~ /\//) problem("host/" FILENAME ": lies in no layer")
        if (from != "include" && !(from in level)) problem("host/" FILENAME ": unknown layer " from)
        to = target
        if (target ~ /\.\./) { refuse("no .. in includes"); next }
        if (target ~ /^clblast/) to = "clblast"
        else if (target ~ /\//) sub(/\/.*/, "", to)
        else to = from
        check(from, to)
    }
    END {
        for (what in allowed) if (!(what in used)) problem("exception for " what ", which is not needed")
        if (includes == 0) problem("no includes found")
        print files + 0 " files, " includes + 0 " includes looked at"
        exit failed
    }'
