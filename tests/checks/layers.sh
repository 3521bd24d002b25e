#!/bin/sh
# Includes point down only. Layers from top to bottom:
#   cli > layers > operations > runtime > engines > tuning, opencl, cpu > problem > base
# cli and layers see the public headers alone; nothing above engines sees cpu or opencl; device headers (CL/, clblast)
# stay in engines and opencl, and in the files that LAYER_EXCEPTIONS names.
# Inside cli and engines the folders have an order too: `inner` below, where a folder includes itself and lower numbers.
# Engines know nothing of one another, except that an operation's engines may use what the cpu and opencl engines share.
#   sh layers.sh ROOT EXCEPTIONS        EXCEPTIONS: lines "path include reason"
set -eu
root=$1
exceptions=$2
cd "$root/host"
find . -type f \( -name '*.c' -o -name '*.h' \) -print | sed 's|^\./||' | sort | xargs awk -v exceptions="$exceptions" '
    BEGIN {
        level["base"] = 1; level["problem"] = 2; level["tuning"] = 3; level["opencl"] = 3; level["cpu"] = 3
        level["engines"] = 4; level["runtime"] = 5; level["operations"] = 6; level["layers"] = 7; level["cli"] = 8
        inner["cli/base"] = 1; inner["cli/picture"] = 2; inner["cli/case"] = 3; inner["cli/gate"] = 4
        inner["cli/bench"] = 5; inner["cli/tune"] = 5; inner["cli/verify"] = 5; inner["cli/words"] = 5; inner["cli"] = 5
        inner["engines"] = 1
        inner["engines/reference"] = 2
        inner["engines/cpu"] = 2; inner["engines/cpu/shared"] = 3; inner["engines/cpu/decode"] = 4; inner["engines/cpu/fp64"] = 4
        inner["engines/cpu/dropout"] = 4
        inner["engines/cpu/matrix"] = 4; inner["engines/cpu/prefill"] = 4; inner["engines/cpu/weights"] = 5
        inner["engines/cpu/pairs"] = 5; inner["engines/cpu/backward"] = 5; inner["engines/cpu/isa"] = 6
        inner["engines/opencl"] = 2; inner["engines/opencl/decode"] = 3; inner["engines/opencl/fused"] = 3
        inner["engines/opencl/unfused"] = 3
        inner["engines/additive"] = 4; inner["engines/linear"] = 4
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
    function folder_of(path) { return path ~ /\// ? substr(path, 1, match(path, /\/[^\/]*$/) - 1) : "" }
    function exists(path,    line, found) {
        found = (getline line < path) >= 0
        close(path)
        return found
    }
    # The program includes its own folders without "cli/"; its "base" is not the library\047s.
    function is_of_program(target,    first) {
        first = target
        sub(/\/.*/, "", first)
        return target ~ /\// && (("cli/" first) in inner) && (!(first in level) || exists("cli/" target))
    }
    function family(folder,    part) {
        return split(folder, part, "/") > 1 && part[1] == "engines" ? part[2] : ""
    }
    function check_inner(from, to) {
        if (!(from in inner)) {
            problem("host/" FILENAME ": lies in no folder of the order inside " layer)
        } else if (!(to in inner)) {
            refuse("is in no folder of the order inside " layer)
        } else if (from != to && inner[to] >= inner[from]) {
            refuse("host/" from " stands below or beside host/" to)
        } else if (family(from) != family(to) && family(to) != "" && family(from) !~ /^(additive|linear)$/) {
            refuse("engines know nothing of one another")
        }
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
        layer = from
        if (target ~ /^kernels\//) {
            if (folder_of(FILENAME) !~ /^engines\/(opencl|additive|linear)/ || target !~ /^kernels\/include\//) {
                refuse("headers of kernels are for the OpenCL engines")
            }
            next
        }
        if (from == "cli" && is_of_program(target)) { check_inner(folder_of(FILENAME), "cli/" folder_of(target)); next }
        if (from == "cli" && target !~ /\//) { check_inner(folder_of(FILENAME), folder_of(FILENAME)); next }
        if (from == "engines" && target ~ /^engines\//) { check_inner(folder_of(FILENAME), folder_of(target)); next }
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
