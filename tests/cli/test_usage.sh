#!/usr/bin/env bash
# Mistakes on the command line: one sentence that names the flag, exit status 2.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

# usage SENTENCE ARGUMENTS...
usage()
{
    local sentence=$1
    shift
    run "$@"
    expect_status 2
    expect_out ''
    expect_err "$sentence"
}

usage 'gptoss: expected a command, found nothing; gptoss --help lists them'
usage 'gptoss: there is no command "genrate"; did you mean generate?' genrate
usage 'gptoss: there is no command "frobnicate"; gptoss --help lists them' frobnicate
usage 'gptoss: there is no command "nope"; gptoss --help lists them' help nope
usage 'gptoss: expected a command, found the flag -m; gptoss chat talks with a model, gptoss --help lists the rest' \
    -m model -p hello

usage 'gptoss generate: unknown flag --tmp; did you mean --temp?' generate --tmp 0
usage 'gptoss generate: unknown flag --ctx_size; did you mean --ctx-size?' generate --ctx_size 3
usage 'gptoss generate: unknown flag --frobnicate; gptoss generate --help lists the flags' \
    generate --frobnicate=3
usage 'gptoss generate: unknown flag -ngl; gptoss generate --help lists the flags' generate -ngl 99
usage 'gptoss generate: unknown flag -n5; gptoss generate --help lists the flags' generate -n5
usage 'gptoss generate: --tensors is a flag of gptoss inspect, not of gptoss generate' \
    generate --tensors
usage 'gptoss inspect: expected only flags, found "model" (a text with spaces needs quotes)' \
    inspect model
usage 'gptoss inspect: expected only flags, found "--json" (a text with spaces needs quotes)' \
    inspect -- --json

usage 'gptoss generate: --temp: expected a number from 0 to 100, found "warm"' generate --temp warm
usage 'gptoss generate: --temp: expected a number from 0 to 100, found "nan"' generate --temp nan
usage 'gptoss generate: --temp: expected a number from 0 to 100, found "-1"' generate --temp=-1
usage 'gptoss generate: --temp: expected a number from 0 to 100, found "1.0x"' generate --temp 1.0x
usage 'gptoss generate: --temp: expected a number from 0 to 100, found ""' generate --temp ''
usage 'gptoss generate: --temp: expected a number from 0 to 100, found nothing' generate --temp
usage 'gptoss generate: --top-p: expected a number from 0 to 1, found "1.5"' generate --top-p 1.5
usage 'gptoss generate: -n, --predict: expected a whole number from -1 to 2147483647, found "1.5"' \
    generate -n 1.5
usage 'gptoss generate: -n, --predict: expected a whole number from -1 to 2147483647, found "9999999999999999999"' \
    generate -n 9999999999999999999
usage 'gptoss generate: -t, --threads: expected a whole number from 0 to 4096, found "-1"' \
    generate -t -1
usage 'gptoss generate: -s, --seed: expected a whole number from 0 to 18446744073709551615, or -1 for a new one, found "-2"' \
    generate -s -2
usage 'gptoss generate: -s, --seed: expected a whole number from 0 to 18446744073709551615, or -1 for a new one, found "18446744073709551616"' \
    generate -s 18446744073709551616
usage 'gptoss generate: -m, --model: expected a value, PATH, found ""' generate -m ''
usage 'gptoss generate: -m, --model: expected a value, PATH, found the flag -p (--model=-p if that is meant)' \
    generate -m -p hello
usage 'gptoss generate: -r, --stop: expected a value, TEXT, found ""' generate --stop ''
usage 'gptoss generate: --json: expected no value, found "yes"' generate --json=yes

usage 'gptoss generate: expected one prompt, -p TEXT, -f FILE or --ids IDS, found none' \
    generate -m model
usage 'gptoss generate: expected one prompt, -p TEXT, -f FILE or --ids IDS, found more' \
    generate -m model -p a -f b
usage 'gptoss generate: expected a checkpoint, -m PATH, found none' generate -p hello
usage 'gptoss inspect: expected a checkpoint, -m PATH, found none' inspect
usage 'gptoss dump: expected one prompt, --ids IDS, -p TEXT or -f FILE, found none' dump -m model
usage 'gptoss dump: expected a file to write, -o FILE, found none' dump -m model --ids 1
usage 'gptoss dump: --numerics: expected f32 or torch-bf16, found "f16"' \
    dump -m model --ids 1 -o file --numerics f16
usage 'gptoss parity: expected a dump to compare with, --reference FILE, found none' \
    parity -m model
usage 'gptoss parity: expected one of -m PATH and --candidate FILE, found neither' \
    parity --reference dump
usage 'gptoss parity: expected one of -m PATH and --candidate FILE, found both' \
    parity --reference dump -m model --candidate other
usage 'gptoss parity: --isolated: expected a model with it, -m PATH, found --candidate' \
    parity --reference dump --candidate other --isolated
usage 'gptoss parity: --numerics: expected a model with it, -m PATH, found --candidate' \
    parity --reference dump --candidate other --numerics f32
usage 'gptoss parity: --precision: expected a model with it, -m PATH, found --candidate' \
    parity --reference dump --candidate other --precision f32
usage 'gptoss parity: --cpu: expected a model with it, -m PATH, found --candidate' \
    parity --reference dump --candidate other --cpu plain
usage 'gptoss generate: --precision: expected f32, bf16 or q8, found "f16"' generate --precision f16
usage 'gptoss generate: --precision: expected f32, bf16 or q8, found ""' generate --precision=
usage 'gptoss generate: --gemm: expected auto, own or blas, found "mkl"' generate --gemm mkl
usage 'gptoss parity: --gemm: expected a model with it, -m PATH, found --candidate' \
    parity --reference dump --candidate other --gemm own
usage 'gptoss perplexity: --precision: expected f32, bf16 or q8, found "f32|bf16"' \
    perplexity --precision 'f32|bf16'
usage 'gptoss dump: --cpu: expected plain, avx2, avx512, avx512-vnni, avx512-bf16 or amx, found "avx3"' \
    dump --cpu avx3
usage 'gptoss parity: --worst: expected a whole number from 0 to 2147483647, found "all"' \
    parity --worst all
usage 'gptoss parity: --positions is a flag of gptoss dump, not of gptoss parity' \
    parity --positions 1
usage 'gptoss perplexity: expected a text, -f FILE, found none' perplexity -m model
usage 'gptoss perplexity: --stride: expected at most the window of 8 tokens, found 9' \
    perplexity -m model -f text -c 8 --stride 9
usage 'gptoss tokenize: expected -m PATH or --tokenizer FILE, found neither' tokenize -p hello
usage 'gptoss tokenize: --decode: expected neither --json nor --null with it' \
    tokenize --decode --json
usage 'gptoss completion: expected bash, zsh or fish, found "tcsh"' completion tcsh

finish
