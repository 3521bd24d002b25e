#!/bin/sh
# Every source file is named in the list that builds it; a file nobody builds is either forgotten or dead.
#   sh listed.sh ROOT
set -eu
cd "$1"
failed=0
files=0

# look LIST PREFIX FILES...: each file, without PREFIX, stands in LIST as a word.
look() {
    list=$1
    prefix=$2
    shift 2
    for file in "$@"; do
        [ -e "$file" ] || continue
        files=$((files + 1))
        name=${file#"$prefix"}
        case $prefix in tests/test_) name=${name%.c} ;; esac
        if ! tr -s ' \t()' '\n' <"$list" | grep -q -x -F -e "$name"; then
            echo "$file is not named in $list"
            failed=1
        fi
    done
}

look CMakeLists.txt "" $(find host -name '*.c' | sort)
look kernels/programs.cmake kernels/ kernels/*.cl
look tests/CMakeLists.txt tests/test_ tests/test_*.c
echo "$files files looked at"
[ "$files" -gt 0 ] || failed=1
exit $failed
