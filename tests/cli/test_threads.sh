#!/usr/bin/env bash
# Several threads compute the same as one, whatever the forms of the weights. Under the thread
# sanitizer this is what shows that they do not get in each other's way.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

make_model model --context 4096
prompt=$(seq -s , 1 60)

# same FLAGS...: prompt and continuation by 1, 2 and 4 threads, pinned or not.
same()
{
    run generate -m model --ids "$prompt" -n 6 --ignore-eos --temp 0 --no-display-prompt -t 1 "$@"
    expect_status 0
    cp out alone
    for threads in '2 --pin on' '4 --pin off'; do
        # shellcheck disable=SC2086
        run generate -m model --ids "$prompt" -n 6 --ignore-eos --temp 0 --no-display-prompt \
            -t $threads "$@"
        expect_status 0
        expect "the same text" cmp -s out alone
        expect "no race" bash -c '! grep -q ThreadSanitizer err'
    done
}

same --precision bf16
same --precision f32 --chunk 7
same --precision q8 --pack on --sketch on
expect "something was said" test -s alone

head -c 200 "$here/library.sh" >text
run perplexity -m model -t 1 -c 16 --stride 8 -f text
expect_status 0
cp out alone
run perplexity -m model -t 4 -c 16 --stride 8 -f text
expect_status 0
expect "the same perplexity" cmp -s out alone

finish
