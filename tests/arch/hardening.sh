#!/usr/bin/env bash
# The program and the library as they were built have the protections of cmake/hardening.cmake.
#
#   hardening.sh READELF PROGRAM LIBRARY OBJECT...   prints what is missing, and fails when something is
#   hardening.sh --self-test READELF CC    builds programs that each lack one, and fails unless it is seen
set -euo pipefail
missing=0

lacks()
{
    printf '%s: %s\n' "$1" "$2"
    missing=$((missing + 1))
}

# Headers, segments and what the loader is told.
check_loading()
{
    local file=$1 shown
    shown=$("$readelf" -hldW "$file")
    grep -q 'Type: *DYN' <<<"$shown" || lacks "$file" "lies at a fixed address"
    grep -q 'GNU_RELRO' <<<"$shown" || lacks "$file" "its relocations stay writable"
    grep -qE 'FLAGS\).*BIND_NOW|FLAGS_1\).*NOW' <<<"$shown" ||
        lacks "$file" "functions are bound when they are first called"
    grep -qE 'GNU_STACK.* RW ' <<<"$shown" || lacks "$file" "the stack may be executed"
    if grep -qE 'LOAD.* RWE ' <<<"$shown"; then lacks "$file" "memory is writable and executable"; fi
    if grep -q 'TEXTREL' <<<"$shown"; then lacks "$file" "code is changed when it is loaded"; fi
    # Relative or empty places name the directory that the program happens to be started in.
    if grep -oE '(RUNPATH|RPATH)\).*\[.*\]' <<<"$shown" | sed 's/.*\[//; s/\]$/:/' | tr ':' '\n' |
        sed '$d' | grep -qv '^/'; then
        lacks "$file" "libraries are looked for in the present directory"
    fi
}

# What the compiler put in.
check_code()
{
    local file=$1 names
    names=$("$readelf" --dyn-syms -W "$file")
    grep -q '__stack_chk_fail' <<<"$names" || lacks "$file" "there is no stack protector"
    grep -qE '__(mem|str|v?f?printf|v?s?nprintf|v?asprintf)[a-z]*_chk' <<<"$names" ||
        lacks "$file" "functions of the C library do not check their buffers"
}

# Of our own objects: the C library's that are linked with them may lack it.
check_objects()
{
    local object
    for object in "$@"; do
        "$readelf" -hW "$object" | grep -q 'X86-64' || return 0
        "$readelf" -nW "$object" | grep -q 'IBT, SHSTK' ||
            lacks "$object" "jumps are not protected (-fcf-protection)"
    done
}

self_test()
{
    local directory cc=$2 seen what flags failed=0
    readelf=$1
    directory=$(mktemp -d)
    # shellcheck disable=SC2064 # the directory is known now and local
    trap "rm -rf '$directory'" EXIT
    printf '#include <stdio.h>\n#include <string.h>\n%s' \
        'int main(int n, char **v) { char t[64]; strcpy(t, v[n - 1]); return puts(t) < 0; }' \
        >"$directory/a.c"
    local good='-O2 -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE -pie
        -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-rpath,/usr/lib'
    while IFS='|' read -r what flags; do
        # shellcheck disable=SC2086
        "$cc" $good $flags "$directory/a.c" -o "$directory/a" 2>/dev/null
        missing=0
        seen=$(check_loading "$directory/a"; check_code "$directory/a")
        [[ $seen == *"$what"* && (-n $what || -z $seen) ]] ||
            { echo "with $flags expected \"$what\", found \"$seen\""; failed=1; }
    done <<'LIST'
|
lies at a fixed address|-no-pie -fno-PIE
its relocations stay writable|-Wl,-z,norelro
functions are bound when they are first called|-Wl,-z,lazy
the stack may be executed|-Wl,-z,execstack
libraries are looked for in the present directory|-Wl,-rpath,/a::/b
libraries are looked for in the present directory|-Wl,-rpath,lib
there is no stack protector|-fno-stack-protector
functions of the C library do not check their buffers|-U_FORTIFY_SOURCE
LIST
    return $failed
}

if [[ $1 == --self-test ]]; then
    command -v "$2" >/dev/null || { echo "skipped: there is no readelf"; exit 77; }
    self_test "$2" "$3"
    exit
fi
command -v "$1" >/dev/null || { echo "skipped: there is no readelf"; exit 77; }
readelf=$1 program=$2 library=$3
shift 3
check_loading "$program"
check_code "$program"
check_loading "$library"
check_code "$library"
check_objects "$@"
printf '%d objects, %d protections missing\n' "$#" "$missing"
[[ $missing == 0 && $# -gt 0 ]]
