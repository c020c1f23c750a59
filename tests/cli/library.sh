# shellcheck shell=bash
# Sourced by the tests of the program. What a person types goes through `run`; the expectations
# after it look at what came back. Arguments: the program, make-checkpoint, json_get, this folder,
# and what some tests take besides, such as script_model.
set -euo pipefail
export LC_ALL=C.UTF-8
gptoss=$1 make_checkpoint=$2 json_get=$3 here=$4
[[ -x $gptoss && -x $make_checkpoint && -x $json_get ]] || { echo "not built: $*" >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
failures=0
checks=0
printf '' >in

# Runs the program with the file `in` as standard input; fills the files out and err and $status.
run()
{
    shown="gptoss $*"
    status=0
    "$gptoss" "$@" <in >out 2>err || status=$?
}

complain()
{
    failures=$((failures + 1))
    printf 'FAILED: %s\n  %s\n' "$shown" "$1" >&2
    printf '  status %s, standard output:\n' "$status" >&2
    head -c 2000 out >&2
    printf '\n  standard error:\n' >&2
    head -c 2000 err >&2
}

expect_status()
{
    checks=$((checks + 1))
    [[ $status == "$1" ]] || complain "expected exit status $1"
}

# Standard output, byte by byte; the argument may hold printf's escapes.
expect_out()
{
    checks=$((checks + 1))
    # shellcheck disable=SC2059
    printf "$1" | cmp -s - out || complain "expected standard output: $1"
}

# Standard error is exactly these lines, or nothing without an argument.
expect_err()
{
    checks=$((checks + 1))
    { [[ $# == 0 ]] || printf '%s\n' "$@"; } | cmp -s - err || complain "expected standard error: $*"
}

# Some line of a file matches an extended regular expression.
expect_line()
{
    checks=$((checks + 1))
    grep -Eq -e "$2" "$1" || complain "expected in $1: $2"
}

# expect_json FILE VALUE PATH...
expect_json()
{
    checks=$((checks + 1))
    local file=$1 value=$2 found
    shift 2
    found=$("$json_get" "$file" "$@" 2>&1) || found="error: $found"
    [[ $found == "$value" ]] || complain "expected $* = $value in the JSON, found $found"
}

# The value at a path of a JSON file, for comparisons.
json()
{
    "$json_get" "$@"
}

# The comma-separated numbers of an array of `out`.
json_list()
{
    sed -E "s/.*\"$1\": \[([^]]*)\].*/\1/; s/ //g" out
}

expect()
{
    checks=$((checks + 1))
    local what=$1
    shift
    "$@" || complain "$what"
}

# A checkpoint with a tokenizer, 300 tokens, that takes a second to make.
make_model()
{
    local name=$1
    shift
    "$make_checkpoint" -o "$name" --preset tiny --vocab 300 --layout hf-mxfp4 "$@" >/dev/null
    cp "$here/data/tokenizer.json" "$name/"
}

finish()
{
    printf '%d checks, %d failed\n' "$checks" "$failures"
    [[ $checks -gt 0 && $failures == 0 ]]
}
