#!/usr/bin/env bash
# Every header compiles alone, twice in a row; the public one as strict C11 and as C++ too.
#
#   headers.sh ROOT CC [CXX]
set -euo pipefail
cd "$1"
cc=$2
cxx=${3:-}
failed=0

# compile NAME COMPILER FLAGS...
compile()
{
    local name=$1
    shift
    printf '#include "%s"\n#include "%s"\n' "$name" "$name" |
        "$@" -Wall -Wextra -Werror -fsyntax-only - || {
        echo "$name does not compile alone with: $*"
        failed=1
    }
}

while IFS= read -r header; do
    case $header in
    src/kernel/*body.h) ;; # templates: they say themselves what must stand before them
    src/kernel/x86/*)
        [[ $("$cc" -dumpmachine) != x86_64* ]] ||
            compile "${header#src/}" "$cc" -x c -std=c17 -Isrc -mavx2 -mfma -mf16c -mavx512f \
                -mavx512bw -mavx512dq -mavx512vl -mavx512vnni -mavx512vbmi -mavx512bf16
        ;;
    src/*) compile "${header#src/}" "$cc" -x c -std=c17 -D_GNU_SOURCE -Isrc -Iinclude ;;
    tools/* | tests/*)
        compile "${header##*/}" "$cc" -x c -std=c17 -D_GNU_SOURCE -I"${header%/*}" -Isrc -Iinclude \
            -Itests/unit '-DGPTOSS_SOURCE_DIR="/"' -Wno-unused-function -Wno-unused-variable
        ;;
    esac
done < <(find src tools tests -name '*.h' | sort)

compile gptoss.h "$cc" -x c -std=c11 -pedantic -Iinclude
if [[ -n $cxx ]]; then
    compile gptoss.h "$cxx" -x c++ -std=c++11 -pedantic -Iinclude
fi
exit $failed
