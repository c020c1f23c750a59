#!/usr/bin/env bash
# The program and the kernels on an emulated processor that has nothing more than a level: what they
# use without asking for it is an illegal instruction there.
#
#   run.sh LEVEL PROCESSOR GPTOSS KCHECK MODEL
set -euo pipefail
level=$1 processor=$2 gptoss=$3 kcheck=$4 model=$5
qemu=$(command -v qemu-x86_64) ||
    { echo "skipped: there is no qemu-x86_64 (package qemu-user, version 7.2 or newer)"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
unset GPTOSS_CPU

emulated()
{
    "$qemu" -cpu "$processor" "$@"
}

found=$(emulated "$gptoss" --version 2>"$scratch/err" | sed -n 's/^cpu level: //p')
if [[ $found != "$level" ]]; then
    cat "$scratch/err" >&2
    # Before 7.2 it has no AVX2.
    [[ $level == plain || $found != plain ]] || { echo "skipped: this qemu has no AVX2"; exit 77; }
    echo "the program found the level \"$found\" on $processor, not $level"
    exit 1
fi

emulated "$kcheck" --highest

# Texts and likelihoods are those of this machine at the same level. BLAS would have its own levels.
for precision in f32 bf16 q8; do
    arguments=(generate -m "$model" -p 'My dear Jane,' -n 6 --temp 0 -s 1 --logprobs 3 --json
        -t 2 --precision "$precision" --gemm own)
    emulated "$gptoss" "${arguments[@]}" 2>/dev/null | sed 's/"timings":.*//' >"$scratch/emulated"
    "$gptoss" "${arguments[@]}" --cpu "$level" 2>/dev/null | sed 's/"timings":.*//' >"$scratch/native"
    [[ -s $scratch/native ]] || { echo "$precision: nothing was generated"; exit 1; }
    cmp "$scratch/emulated" "$scratch/native" ||
        { echo "$precision: $processor gives other numbers than --cpu $level here"; exit 1; }
done
echo "$processor, $level: the same numbers as here"
