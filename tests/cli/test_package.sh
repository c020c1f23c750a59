#!/usr/bin/env bash
# What cmake --install leaves behind is complete, and a stranger's program builds with it.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"
build=$5 compiler=$6 flags=${7:-}

# Like run, for any command.
try()
{
    shown=$*
    status=0
    "$@" >out 2>err || status=$?
    expect_status 0
}

try cmake --install "$build" --prefix "$scratch/first"
mv first prefix # what is installed can be moved
prefix=$scratch/prefix
for file in bin/gptoss include/gptoss.h share/man/man1/gptoss.1 \
    share/bash-completion/completions/gptoss share/zsh/site-functions/_gptoss \
    share/fish/vendor_completions.d/gptoss.fish; do
    expect "$file is installed" test -s "prefix/$file"
done
try prefix/bin/gptoss --version
expect "the program needs no library of ours" bash -c "! ldd prefix/bin/gptoss | grep -q gptoss"
"$gptoss" help --man >page
expect "the manual page is the program's" cmp -s page prefix/share/man/man1/gptoss.1

pc=$(find prefix -name gptoss.pc)
libraries=$prefix/${pc#prefix/}
libraries=${libraries%/pkgconfig/gptoss.pc}
expect "gptoss.pc is installed" test -n "$pc"
export PKG_CONFIG_PATH=$libraries/pkgconfig
read -ra shared <<<"$(pkg-config --cflags --libs gptoss)"
read -ra static <<<"$(pkg-config --static --cflags --libs gptoss)"
read -ra flag_list <<<"$flags"
try "$compiler" "${flag_list[@]}" -Wall -Werror "$here/consumer/main.c" -o with-shared "${shared[@]}"
try env LD_LIBRARY_PATH="$libraries" ./with-shared
expect "it runs with the shared library" bash -c 'ldd with-shared | grep -q libgptoss.so.0'
try "$compiler" "${flag_list[@]}" "$here/consumer/main.c" -o with-static \
    "${static[@]/-lgptoss/-l:libgptoss.a}"
try ./with-static
expect "it runs without the shared library" bash -c '! ldd with-static | grep -q libgptoss'

try cmake -S "$here/consumer" -B consumer -DCMAKE_PREFIX_PATH="$prefix" \
    -DCMAKE_C_COMPILER="$compiler" -DCMAKE_C_FLAGS="$flags"
try cmake --build consumer
try consumer/consumer-shared
try consumer/consumer-static
expect "the static one is static" bash -c '! ldd consumer/consumer-static | grep -q libgptoss'

expect "the shared library exports gptoss_ names only" \
    bash -c "! nm -D --defined-only '$libraries/libgptoss.so' | grep -vE ' gptoss_[a-z0-9_]+$'"
expect "the static library shows gptoss_ names only" \
    bash -c "! nm -g --defined-only '$libraries/libgptoss.a' | grep -E ' [A-Z] ' | grep -vE ' gptoss_[a-z0-9_]+$'"
finish
