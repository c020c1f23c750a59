#!/usr/bin/env bash
# The walls between the layers: who may include whom, and what may be written where.
#
#   walls.sh ROOT          checks a source tree; prints every breach and fails when there is one
#   walls.sh --self-test   makes one tree per wall with a breach in it, and fails unless each is seen
set -euo pipefail

# Which other layers a layer may include. A line names lower layers only, so arrows point down.
# text and checkpoint lie side by side: text knows nothing of tensors.
declare -A may_include=(
    [base]=""
    [text]="base"
    [checkpoint]="base"
    [kernel]="base"
    [op]="kernel base"
    [model]="op kernel checkpoint base"
    [parity]="checkpoint base"
    [engine]="model op checkpoint text base"
)

# One file per dependency, so that replacing it is a one-file diff: pattern and home.
homes=(
    'cjson/cJSON\.h:src/base/json.c'
    'openssl/.*:src/base/sha256.c'
    'zlib\.h:src/base/gzip.c'
    'pcre2\.h:src/text/pretokenize.c'
    'omp\.h:src/op/parallel.c'
    'cblas\.h:src/op/blas.c'
    'immintrin\.h:src/kernel/x86/'
)

# Words of one room: pattern and the only place under src/ where it may stand ("" for none).
rooms=(
    '\b_mm(256|512)?_[a-z0-9_]+\(:src/kernel/x86/'
    '^[[:space:]]*#[[:space:]]*pragma omp:src/op/parallel.c'
    '\b(printf|vprintf|puts|putchar|exit|abort)\(:'
    '\bstdout\b:'
)

breaches=0

breach()
{
    printf '%s\n' "$*"
    breaches=$((breaches + 1))
}

# file:line:layer for every include of another file of the project
check_layers()
{
    local file line target layer
    while IFS=: read -r file line target; do
        layer=${file#src/}
        layer=${layer%%/*}
        if [[ -z ${may_include[$layer]+known} ]]; then
            breach "$file:$line: src/$layer is no layer that docs/ARCHITECTURE.md knows"
        elif [[ $target != "$layer" && " ${may_include[$layer]} " != *" $target "* ]]; then
            breach "$file:$line: $layer includes $target"
        fi
    done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include "[a-z0-9_]+/' src --include='*.[ch]' |
        sed -E 's|^([^:]*:[0-9]+):.*"([a-z0-9_]+)/.*|\1:\2|')
}

check_homes()
{
    local entry pattern home hit
    for entry in "${homes[@]}"; do
        pattern=${entry%%:*}
        home=${entry#*:}
        while IFS= read -r hit; do
            [[ $hit == "$home"* ]] || breach "$hit: only $home may include this"
        done < <(grep -rnE "#[[:space:]]*include <$pattern>" src tools --include='*.[ch]' |
            sed -E 's|^([^:]*:[0-9]+):.*|\1|')
    done
}

check_rooms()
{
    local entry pattern home hit
    for entry in "${rooms[@]}"; do
        pattern=${entry%:*}
        home=${entry##*:}
        while IFS= read -r hit; do
            [[ -n $home && $hit == "$home"* ]] || breach "$hit: only ${home:-tools/} may do this"
        done < <(grep -rnE "$pattern" src --include='*.[ch]')
    done
}

# Kernels are pure: they take no memory, do not fail, and know no layer's errors.
check_kernels()
{
    local hit
    while IFS= read -r hit; do
        breach "$hit: a kernel neither allocates nor fails"
    done < <(grep -rnE '\b(malloc|calloc|realloc|free|fail|memory_[a-z]+|errno)\(|base/status\.h' \
        src/kernel --include='*.[ch]')
}

# The program sees the public header and its own files.
check_program()
{
    local file name
    while IFS=: read -r file name; do
        [[ $name == gptoss.h || -e tools/gptoss/$name ]] || breach "$file: the program includes $name"
    done < <(grep -rE '#[[:space:]]*include "' tools/gptoss --include='*.[ch]' |
        sed -E 's|^([^:]*):.*"([^"]*)".*|\1:\2|')
}

check_tree()
{
    cd "$1"
    check_layers
    check_homes
    check_rooms
    check_kernels
    check_program
    [[ $breaches == 0 ]]
}

# file and line of a breach
self_tests=(
    'src/base/a.c:#include "model/weights.h"'
    'src/text/a.h:#include "checkpoint/config.h"'
    'src/checkpoint/a.c:  #  include "text/bpe.h"'
    'src/model/a.c:#include "engine/sequence.h"'
    'src/newlayer/a.c:#include "base/status.h"'
    'src/base/a.c:#include <cjson/cJSON.h>'
    'tools/gptoss/a.c:#include <cjson/cJSON.h>'
    'src/op/blas.c:#include <omp.h>'
    'src/op/a.c:    x = _mm512_add_ps(x, y);'
    'src/model/a.c:#pragma omp parallel for'
    'src/engine/a.c:    printf("hello");'
    'src/engine/a.c:    fputs("hello", stdout);'
    'src/kernel/a.c:    float *x = malloc(4);'
    'src/kernel/a.c:#include "base/status.h"'
    'tools/gptoss/a.c:#include "base/status.h"'
)

self_test()
{
    local entry tree file failed=0
    tree=$(mktemp -d)
    # shellcheck disable=SC2064 # the directory is known now and local
    trap "rm -rf '$tree'" EXIT
    for entry in "${self_tests[@]}" 'src/kernel/x86/a.c:x = _mm_add_ps(x, y); // good'; do
        file=${entry%%:*}
        rm -rf "${tree:?}"/*
        mkdir -p "$tree/src/kernel" "$tree/tools/gptoss" "$tree/${file%/*}"
        printf '%s\n' "${entry#*:}" >"$tree/$file"
        local seen=good
        (check_tree "$tree") >/dev/null || seen=bad
        if [[ $entry == *'// good' ]]; then
            [[ $seen == good ]] || { echo "refused: $entry"; failed=1; }
        elif [[ $seen == good ]]; then
            echo "not seen: $entry"
            failed=1
        fi
    done
    return $failed
}

if [[ ${1:-} == --self-test ]]; then
    self_test
else
    check_tree "$1"
fi
