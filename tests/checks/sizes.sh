#!/bin/sh
# Files and functions stay small: .c and internal .h 400 lines, .cl and .cl.h 300, a function 60. Public headers are
# manuals and may be long.
#   sh sizes.sh ROOT EXCEPTIONS
# EXCEPTIONS: lines "path[:function] limit reason"; a limit that is no longer needed is an error too.
# A function starts on an unindented line with its name and ends with the next unindented "}".
set -eu
root=$1
exceptions=$2
cd "$root"
find . \( -path ./build -o -path ./.git -o -path ./tests/checks/bad \) -prune -o -type f \( -name '*.c' -o -name '*.cl' -o -name '*.h' \) -print |
    sed 's|^\./||' | sort >"${TMPDIR:-/tmp}/sizes.$$"
trap 'rm -f "${TMPDIR:-/tmp}/sizes.$$"' EXIT
xargs awk -v exceptions="$exceptions" '
    BEGIN {
        while ((getline line < exceptions) > 0) {
            if (line ~ /^[ \t]*(#|$)/) continue
            count = split(line, word, /[ \t]+/)
            if (count < 3) problem(exceptions ": no reason given: " line)
            limit[word[1]] = word[2]
        }
    }
    function problem(text) { print text; failed = 1 }
    function check(what, length_, cap) {
        if (what in limit) {
            used[what] = 1
            if (length_ <= cap) problem(what ": has " length_ " lines, no exception is needed any more")
            cap = limit[what]
        }
        if (length_ > cap) problem(what ": " length_ " lines, at most " cap)
    }
    function end_file() {
        if (file == "") return
        files++
        if (file ~ /\.c$/) check(file, lines, 400)
        if (file ~ /\.cl(\.h)?$/) check(file, lines, 300)
        else if (file ~ /\.h$/ && file !~ /^host\/include\//) check(file, lines, 400)
    }
    FNR == 1 { end_file(); file = FILENAME; start = 0; inside = 0 }
    { lines = FNR }
    inside && /^}/ { functions++; check(file ":" name, FNR - start + 1, 60); inside = 0; start = 0; next }
    inside { next }
    /^[A-Za-z_]/ && !/;[ \t]*$/ { start = FNR; head = "" }
    start { head = head $0 }
    start && /{[ \t]*$/ {
        if (head ~ /\)[ \t]*{[ \t]*$/ && head !~ /=/) {
            name = head
            sub(/__attribute__[ \t]*\(\([^)]*(\([^)]*\))?[^)]*\)\)/, "", name)
            sub(/[ \t]*\(.*/, "", name)
            sub(/.*[^A-Za-z0-9_]/, "", name)
            inside = 1
        } else {
            start = 0
        }
    }
    start && !inside && /(;|^})[ \t]*$/ { start = 0 }
    END {
        end_file()
        for (what in limit) if (!(what in used)) problem("exception for " what ", which is not there")
        if (files == 0) problem("no files")
        print files + 0 " files, " functions + 0 " functions looked at"
        exit failed
    }' <"${TMPDIR:-/tmp}/sizes.$$"
