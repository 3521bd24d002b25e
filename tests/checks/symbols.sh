#!/bin/sh
# The shared library shows clattn_ names only; internal ones are attn_; and the library calls nothing that prints,
# ends the process, reads its environment, changes what belongs to the process, or answers otherwise under another locale
# (numbers and letters as text). The static library that is installed shows clattn_ names only, where it could be joined into
# one object.
#   sh symbols.sh SHARED OBJECTS [STATIC]        OBJECTS: an archive of the library's objects as they were compiled
set -eu
shared=$1
static=$2
joined=${3:-}
failed=0
export LC_ALL=C

exported=$(nm -D --defined-only "$shared" | awk '{ print $NF }' | sed 's/@.*//')
strange=$(printf '%s\n' "$exported" | grep -v -E '^(clattn_[a-z0-9_]+|_init|_fini|__bss_start|_edata|_end)$' || true)
if [ -n "$strange" ]; then
    printf 'exported, but not clattn_: %s\n' $strange
    failed=1
fi
count=$(printf '%s\n' "$exported" | grep -c '^clattn_' || true)
if [ "$count" = 0 ]; then
    printf 'no clattn_ name is exported\n'
    failed=1
fi

internal=$(nm --extern-only --defined-only "$static" 2>/dev/null | awk 'NF == 3 { print $3 }')
strange=$(printf '%s\n' "$internal" | grep -v -E '^(clattn|attn)_[a-z0-9_]+$' || true)
if [ -n "$strange" ]; then
    printf 'visible between files, but neither attn_ nor clattn_: %s\n' $strange
    failed=1
fi

if [ -n "$joined" ]; then
    shown=$(nm --extern-only --defined-only "$joined" 2>/dev/null | awk 'NF == 3 { print $3 }')
    strange=$(printf '%s\n' "$shown" | grep -v -E '^clattn_[a-z0-9_]+$' || true)
    if [ -n "$strange" ]; then
        printf 'shown by the static library, but not clattn_: %s\n' $strange
        failed=1
    fi
    for name in $(printf '%s\n' "$exported" | grep '^clattn_' || true); do
        printf '%s\n' "$shown" | grep -q -x "$name" || { echo "not in the static library: $name"; failed=1; }
    done
fi

# exit and friends; stdio that reaches a stream; the environment; the locale. __assert_fail aborts, so asserts count.
forbidden='printf|fprintf|vprintf|vfprintf|__printf_chk|__fprintf_chk|__vfprintf_chk|__vprintf_chk|dprintf|puts|fputs|
putchar|putc|fputc|fwrite|perror|stdout|stderr|exit|_exit|_Exit|quick_exit|abort|__assert_fail|atexit|raise|kill|signal|
sigaction|getenv|secure_getenv|setenv|unsetenv|putenv|environ|system|setlocale|
strtod|strtof|strtold|atof|localeconv|tolower|toupper|__ctype_b_loc|__ctype_tolower_loc|__ctype_toupper_loc|
uselocale|umask|chdir|fchdir|sigprocmask|sigaltstack|alarm|setitimer|setrlimit|setpriority|nice|prctl|srand|srandom|
fork|vfork|popen|pthread_atfork|feenableexcept|fesetround|mallopt|tzset'
forbidden=$(printf '%s' "$forbidden" | tr -d '\n')
called=$(nm -A --undefined-only "$static" 2>/dev/null | awk '{ print $NF, $1 }' | grep -E "^($forbidden) " || true)
if [ -n "$called" ]; then
    printf '%s\n' "$called" | while read -r name where; do
        printf '%s calls %s: a library must not\n' "$where" "$name"
    done
    failed=1
fi
printf '%s names exported\n' "$count"
exit $failed
