#!/bin/sh
# The set-up script against package managers that are not here: stand-ins for dpkg-query (nothing is installed) and apt-get
# (which lacks the packages of $LACKS), and an index of PyPI that nobody serves. Nothing is installed by this.
#
#   setup.sh SOURCE
set -eu

source=$1
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir -p "$place/bin" "$place/clone/cmake"
cp "$source/cmake/setup.sh" "$place/clone/cmake/" # a tree of its own: downloads would go below it

stand_in() {
    printf '#!/bin/sh\n%s\n' "$2" >"$place/bin/$1"
    chmod +x "$place/bin/$1"
}
stand_in dpkg-query 'exit 1'
# shellcheck disable=SC2016 # the stand-in expands it
stand_in apt-get 'for word; do case " $LACKS " in *" $word "*) echo "E: Unable to locate package $word" >&2; exit 100 ;; esac; done'
stand_in sudo 'exec "$@"'

# run STATUS LACKS WORD...: the script ends with STATUS where apt-get lacks LACKS.
run() {
    expected=$1
    LACKS=$2
    export LACKS
    shift 2
    status=0
    PATH="$place/bin:$PATH" PIP_INDEX_URL=http://127.0.0.1:9/ PIP_FIND_LINKS='' PIP_RETRIES=0 PIP_CONFIG_FILE=/dev/null \
        sh "$place/clone/cmake/setup.sh" "$@" >"$place/log" 2>&1 || status=$?
    [ "$status" = "$expected" ] || {
        cat "$place/log"
        echo "setup.sh $*: status $status instead of $expected, without $LACKS"
        exit 1
    }
}

says() {
    grep -qF -- "$1" "$place/log" || {
        cat "$place/log"
        echo "setup.sh does not say: $1"
        exit 1
    }
}

optional="libpng-dev libsentencepiece-dev g++ oclgrind clang-19 libclc-19"
run 0 "$optional"
for package in $optional; do
    says "optional $package is not to be had: "
done
says "going on: without Intel's OpenCL runtime"
says "going on: without the sentence encoder"
says "going on: without ptxas"
run 0 libpng-dev bench
says "optional libpng-dev is not to be had: plots are written as SVG only"
run 1 libclblast-dev bench
says "Unable to locate package libclblast-dev"
run 1 check
says "apt-get could not install the packages"
run 2 "" nonsense
