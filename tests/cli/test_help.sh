#!/usr/bin/env bash
# Help, version, manual page and completions, all from one table.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

run --help
expect_status 0
expect_err
expect_line out '^Usage: gptoss COMMAND \[flags\]$'
commands=(chat generate perplexity tokenize render parse inspect dump parity bench help)
for command in "${commands[@]}"; do
    expect_line out "^  $command +[a-z]"
done
cp out help
run -h
expect "-h prints what --help prints" cmp -s out help
run help
expect "help prints what --help prints" cmp -s out help

run help --man
cp out page
for shell in bash zsh fish; do
    run completion $shell
    expect_status 0
    expect_err
    cp out "completion.$shell"
done

for command in "${commands[@]}"; do
    run "$command" --help
    expect_status 0
    expect_err
    expect_line out "^Usage: gptoss $command "
    expect "no line of the flags is wider than 80 columns" \
        bash -c "! sed -n '/^Input:/,\$p' out | grep -Eq '.{81}'"
    cp out "help.$command"
    run help "$command"
    expect "help COMMAND prints what COMMAND --help prints" cmp -s out "help.$command"
    for flag in $(grep -Eo '^ {2,6}(-., )?--[a-z0-9-]+' "help.$command" | grep -Eo -e '--.*'); do
        expect "$flag of $command is completed in bash" grep -q -e " $flag\\b" completion.bash
        expect "$flag of $command is completed in zsh" grep -q -e "${flag}[=[]" completion.zsh
        expect "$flag of $command is completed in fish" grep -q -e "-l ${flag#--}\\b" completion.fish
        [[ $flag == --help || $flag == --man ]] ||
            expect "$flag of $command is in the manual" \
                grep -qF -e "\\-\\-$(sed 's/^--//; s/-/\\-/g' <<<"$flag")\\fR" page
    done
done

run generate -n 5 --help
expect_status 0
expect_err

run --version
expect_status 0
expect_err
expect_line out '^gptoss [0-9]+\.[0-9]+\.[0-9]+$'
expect_line out '^cpu level: (plain|avx2|avx512(-vnni|-bf16)?|amx)$'
expect_line out '^built with: '
GPTOSS_CPU=plain run --version
expect_line out '^cpu level: plain$'

expect "the bash completion is a script" bash -n completion.bash
completed()
{
    bash -c '. ./completion.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gptoss
        echo "${COMPREPLY[*]}"' - "$@" 2>/dev/null
}
expect "gen is completed" test "$(completed gptoss gen)" == generate
expect "--to is completed" test "$(completed gptoss generate --to)" == '--tokenizer --top-k --top-p'
expect "a file is completed" test "$(completed gptoss generate -m pag)" == page
expect "a number is not completed" test "$(completed gptoss generate --temp '')" == ''
expect "a choice is completed" \
    test "$(completed gptoss generate --precision b)" == bf16
if command -v zsh >/dev/null; then
    expect "the zsh completion is a script" zsh -n completion.zsh
fi
if command -v fish >/dev/null; then
    expect "the fish completion is a script" fish -n completion.fish
fi
if command -v man >/dev/null && command -v groff >/dev/null; then
    man -l --warnings -E UTF-8 -P cat page >text 2>warnings || true
    expect "the manual page has no warnings" test ! -s warnings
fi

finish
