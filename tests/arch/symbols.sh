#!/usr/bin/env bash
# The shared library exports exactly the functions that the public header declares.
#
#   symbols.sh HEADER LIBRARY
set -euo pipefail

declared=$(tr '\n' ' ' <"$1" | grep -oP 'GPTOSS_API [^;(]*?\bgptoss_[a-z0-9_]+(?=\()' |
    grep -oP 'gptoss_[a-z0-9_]+$' | sort)
# Names with a leading underscore belong to the tool chain (and to the sanitizers).
exported=$(nm -D --defined-only "$2" | awk '$3 !~ /^_/ {print $3}' | sort)

if [[ -z $declared ]]; then
    echo "no declarations found in $1"
    exit 1
fi
if [[ $declared != "$exported" ]]; then
    echo "< declared in $1, > exported by $2"
    diff <(printf '%s\n' "$declared") <(printf '%s\n' "$exported") || true
    exit 1
fi
if grep -qv '^gptoss_' <<<"$exported"; then
    echo "exported names that do not begin with gptoss_:"
    grep -v '^gptoss_' <<<"$exported"
    exit 1
fi
printf '%s functions\n' "$(wc -l <<<"$exported")"
