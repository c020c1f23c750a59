#!/usr/bin/env bash
# One binary for all processors: only the overlays of src/kernel/x86 may hold instructions that not
# every processor of this architecture has, and each no more than its name says.
#
#   instructions.sh OBJDUMP OBJECT...
set -euo pipefail
command -v "$1" >/dev/null || { echo "skipped: there is no objdump"; exit 77; }
objdump=$1
shift
[[ $# -gt 0 ]] || { echo "no objects were given"; exit 1; }

wide='%[yz]mm|%k[0-7]|[[:space:]]v[a-z0-9]+[[:space:]].*%xmm' # AVX in any width, by its registers
widest='%zmm|%k[0-7]|%[xy]mm(1[6-9]|2[0-9]|3[01])'             # AVX-512
breaches=0
overlays=0

# Prints the first instructions of an object that match a pattern; fails when there are some.
refuse()
{
    local found
    found=$("$objdump" -d --no-show-raw-insn "$1" | grep -E "$2" | head -n 3) || true
    [[ -z $found ]] || {
        printf '%s:\n%s\n' "$1" "$found"
        breaches=$((breaches + 1))
    }
}

for object in "$@"; do
    case $object in
    */kernel/x86/*avx2.c.o)
        refuse "$object" "$widest"
        overlays=$((overlays + 1))
        # What is looked for must be seen where it is.
        seen=$("$objdump" -d --no-show-raw-insn "$object" | grep -Ec "$wide") ||
            { echo "$object: no AVX was found in ${seen:-no} lines"; breaches=$((breaches + 1)); }
        ;;
    */kernel/x86/*) ;;
    *) refuse "$object" "$wide" ;;
    esac
done
printf '%d objects, %d of them with AVX2, %d breaches\n' "$#" "$overlays" "$breaches"
[[ $breaches == 0 && $overlays -gt 0 ]]
