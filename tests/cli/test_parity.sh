#!/usr/bin/env bash
# parity: verdicts, exit statuses, the ways of showing them; and what dump selects for it.
# shellcheck source=library.sh
. "${BASH_SOURCE%/*}/library.sh"

make_model model --seed 5
text='hello world, the hello of the world'
same='no departure: every stage is within its tolerance'

# header FILE: the JSON of a safetensors file, as the file `header`; prints where the data starts.
header()
{
    local length
    length=$(head -c 8 "$1" | od -An -tu8 | tr -d ' ')
    head -c $((length + 8)) "$1" | tail -c +9 >header
    echo $((length + 8))
}

# poke FILE TENSOR INDEX BYTES: writes printf's escapes over the 4-byte number at an index.
poke()
{
    local start
    start=$(header "$1")
    start=$((start + $(json header "$2" data_offsets 0) + 4 * $3))
    # shellcheck disable=SC2059
    printf "$4" | dd of="$1" bs=1 seek=$start conv=notrunc status=none
}

# changed TENSOR INDEX BYTES: changed.safetensors is the dump with one number changed.
changed()
{
    cp all.safetensors changed.safetensors
    poke changed.safetensors "$@"
}

# Nothing to compare: exit status 2, nothing on standard output, one sentence that matches.
refused()
{
    local sentence=$1
    shift
    run parity "$@"
    expect_status 2
    expect_out ''
    expect_line err "^gptoss( parity)?: .*$sentence"
    expect "one sentence" test "$(wc -l <err)" == 1
}

# ---- what dump selects -----------------------------------------------------------------------

run dump -m model -p "$text" --stages all -o all.safetensors
expect_status 0
expect_out ''
expect_err
header all.safetensors >start
expect_json header "$text" __metadata__ prompt
count=$(json header ids shape 0)
expect "the prompt has some tokens" test "$count" -gt 8
expect_json header 'array 3' layers.3.gate_up shape
expect_json header I32 layers.0.experts dtype
expect_json header "$count" logits shape 0

run dump -m model --ids 1,2,3,4,5,6,7,8 --stages q,logits --layers 1-2 --positions 0-1,-1,4 \
    -o some.safetensors
expect_status 0
header some.safetensors >start
expect_json header 4 layers.1.q shape 0
expect_json header 4 layers.2.q shape 0
expect_json header 4 logits shape 0
expect_json header 8 ids shape 0
for absent in layers.0.q layers.3.q layers.1.k hidden.0; do
    expect "no $absent" bash -c "! '$json_get' header $absent 2>/dev/null"
done
run parity -m model --reference some.safetensors --json
expect_status 0
expect_json out 'array 3' stages
expect_json out q stages 0 stage
expect_json out 1 stages 0 layer
expect_json out 4 stages 0 rows

for mistake in 8 0-8 -9 3-1 '1,' ,1 1-- x ''; do
    run dump -m model --ids 1,2,3,4,5,6,7,8 -o none "--positions=$mistake"
    expect_status 2
    expect_err "gptoss dump: --positions: expected places and ranges such as 0-31,63,-1 among the 8 tokens, found \"$mistake\""
done
for mistake in 4 0-4 -1 3-1 1,2 x; do
    run dump -m model --ids 1 -o none "--layers=$mistake"
    expect_status 2
    expect_err "gptoss dump: --layers: expected a layer or a range such as 0-3 of the model's layers 0 to 3, found \"$mistake\""
done
for mistake in keys 'q,' all,q; do
    run dump -m model --ids 1 -o none --stages "$mistake"
    expect_status 2
    expect_line err '^gptoss dump: --stages: expected all, or some of embedding, .*, logits, found "'
done
expect "nothing was written" test ! -e none

# ---- the model and its own dump --------------------------------------------------------------

run parity -m model --reference all.safetensors
expect_status 0
expect_err
expect "the first line says so" test "$(head -n 1 out)" == "$same"
expect_line out "^compared +chained.*, $count tokens, which the tokenizer gives too\$"
expect_line out '^gate_up +[0-3] .* ok$'
expect_line out '^    3 +0 '
expect_line out '^router: the same experts everywhere$'
expect_line out '^  top-1 agrees on 100 % of'
expect "no line is wider than 100 columns" bash -c "! grep -Eq '.{101}' out"
for flags in --isolated '-t 1 --chunk 3' '--numerics f32'; do
    # shellcheck disable=SC2086
    run parity -m model --reference all.safetensors $flags --json
    expect_status 0
    expect_json out true pass
    expect_json out null first_departure
    expect_json out 'array 79' stages
    expect "every value is bit-equal" bash -c "! grep -Eq '\"bit_equal\": 0' out"
done
expect_json out "$count" logits rows
expect_json out 1 logits top1
expect_json out 5 logits k
expect_json out chained mode
expect_json out f32 numerics
expect_json out true tokenizer checked
expect_json out true tokenizer pass
expect_json out all.safetensors reference path
expect_json out "$count" reference tokens
expect_json out float32 reference dtype
expect_json out null stages 0 layer
expect_json out embedding stages 0 stage
expect_json out 0 stages 1 layer
expect_json out attention_norm stages 1 stage
for key in max_error max_difference max_ulp nmse cosine bit_equal peak_reference not_finite; do
    expect "stages have $key" grep -q "\"$key\": [0-9]" out
done
run parity -m model --reference all.safetensors --stages q,logits --json
expect_status 0
expect_json out 'array 5' stages
run parity -m model --reference all.safetensors --stages q --json
expect_json out null logits
run parity -m model --reference all.safetensors --worst 3
expect_status 0
expect "three rows of stages" test "$(grep -Ec '(ok|experts)$' out)" == 3

# The same dump, compressed.
gzip -k all.safetensors
run parity -m model --reference all.safetensors.gz --json
expect_status 0
expect_json out all.safetensors.gz reference path

# ---- dump against dump ------------------------------------------------------------------------

run parity --candidate all.safetensors.gz --reference all.safetensors
expect_status 0
expect_err
expect "the first line says so" test "$(head -n 1 out)" == "$same"
expect_line out "^compared +dump against dump, $count tokens$"

changed layers.2.q 200 '\x00\x00\x80\x40' # 4 at token 3, column 8 of 64
run parity --candidate changed.safetensors --reference all.safetensors
expect_status 1
expect_err
columns=$(json header layers.2.q shape 1)
place="token $((200 / columns)): reference .*, candidate 4\\.?0* \\(column $((200 % columns))\\), error .* where .* is allowed"
expect "the first line names the place" grep -Eq "^first departure: layer 2, stage q, $place\$" \
    <(head -n 1 out)
expect_line out '^q +2 .* OUT$'
run parity --candidate changed.safetensors --reference all.safetensors --json --worst 1
expect_status 1
expect_json out false pass
expect_json out dumps mode
expect_json out 2 first_departure layer
expect_json out q first_departure stage
expect_json out $((200 / columns)) first_departure token
run parity --candidate changed.safetensors --reference all.safetensors --stages k,v
expect_status 0
# The model departs from it as well, and isolated only there.
run parity -m model --reference changed.safetensors --isolated --json
expect_status 1
expect_json out 2 first_departure layer
expect_json out q first_departure stage

# ---- official implementations, and a mistake planted -------------------------------------------

golden=$here/../golden
run parity -m "$golden/uneven/hf" --reference "$golden/uneven/transformers-stages.safetensors.gz"
expect_status 0
expect_err
expect_line out '^reference +transformers [0-9.]+, float32, '
for flags in '' --isolated; do
    # shellcheck disable=SC2086
    run parity -m "$golden/published/hf" \
        --reference "$golden/published/transformers-bf16.safetensors.gz" --json $flags
    expect_status 0
    expect_json out torch-bf16 numerics
done
mkdir wrong
cp "$golden"/uneven/hf/* wrong/
sed -i 's/"sliding_window": 33/"sliding_window": 34/' wrong/config.json
for flags in '' --isolated; do
    # shellcheck disable=SC2086
    run parity -m wrong --reference "$golden/uneven/transformers-stages.safetensors.gz" $flags
    expect_status 1
    expect "the first line names the window's first mistake" grep -q \
        '^first departure: layer 0, stage sink_mass, token 33: ' <(head -n 1 out)
done

# Limits of one's own, on single values and on whole stages.
outside()
{
    echo "{\"stages\": {\"*\": {\"max_error\": null}, \"q\": {$1}}}" >own.json
    run parity -m "$golden/uneven/hf" --tolerances own.json \
        --reference "$golden/uneven/transformers-stages.safetensors.gz"
    expect_status 1
    expect "the first line names the limit" grep -Eq "^first departure: layer 0, stage q, token [0-9]+: reference .*, candidate .* \(column [0-9]+\), $2\$" \
        <(head -n 1 out)
}
outside '"max_error": 1e-9' 'error .* where 1e-9 is allowed'
outside '"max_difference": 1e-9' 'difference .* where 1e-9 is allowed'
outside '"max_ulp": 2' 'more than the 2 ulp that are allowed'
outside '"nmse": 1e-20' "the stage's NMSE .* where 1e-20 is allowed"
outside '"bit_equal": 1' '[0-9.]+ % of the stage bit-equal where 100 % is required'

# NaN of the model is a departure.
cp -r model broken
poke broken/model*.safetensors model.layers.1.input_layernorm.weight 0 '\xff\x7f\xff\x7f'
for flags in '' --isolated; do
    # shellcheck disable=SC2086
    run parity -m broken --reference all.safetensors --html nan.html $flags
    expect_status 1
    expect "the first line names the place" grep -Eq \
        '^first departure: layer 1, stage attention_norm, token 0: reference [-0-9.]+, candidate -?nan \(column 0\), NaN or infinity in [0-9]+ of the stage' \
        <(head -n 1 out)
    run parity -m broken --reference all.safetensors --json $flags
    expect_status 1
    expect_json out attention_norm first_departure stage
done

# ---- tokenizer -------------------------------------------------------------------------------

changed ids 2 '\x07\x00\x00\x00'
run parity -m model --reference changed.safetensors
expect_status 1
expect "the first line names the token" grep -Eq \
    '^first departure: tokenizer, token 2: the dump has 7, its prompt encodes to [0-9]+ here$' \
    <(head -n 1 out)
run parity -m model --reference changed.safetensors --json
expect_json out false pass
expect_json out null first_departure layer
expect_json out tokenizer first_departure stage
expect_json out 2 first_departure token
expect_json out true tokenizer checked
expect_json out false tokenizer pass
expect_json out 2 tokenizer token
run dump -m model -p '<|start|>hello' --parse-special -o specials.safetensors
run parity -m model --reference specials.safetensors --json
expect_status 0
expect_json out true tokenizer pass
mkdir bare
cp model/*.safetensors model/config.json bare/
run parity -m bare --reference all.safetensors --json
expect_status 0
expect_line err "^gptoss: the dump's prompt was not checked: there is no tokenizer beside or above "
expect_json out false tokenizer checked
run parity -m bare --reference all.safetensors --tokenizer model/tokenizer.json --json
expect_status 0
expect_err
expect_json out true tokenizer checked

# ---- dumps that are not what they should be ----------------------------------------------------

refused 'absent\.safetensors' -m model --reference absent.safetensors
refused 'absent' -m absent --reference all.safetensors
head -c $(($(stat -c %s all.safetensors) - 100)) all.safetensors >short.safetensors
refused 'short\.safetensors' -m model --reference short.safetensors
head -c 100 all.safetensors >short.safetensors
refused 'short\.safetensors' -m model --reference short.safetensors
printf '' >short.safetensors
refused 'short\.safetensors' -m model --reference short.safetensors
head -c 2000 all.safetensors.gz >short.gz
refused 'short\.gz' -m model --reference short.gz
cp all.safetensors.gz damaged.gz
printf 'damage' | dd of=damaged.gz bs=1 seek=20000 conv=notrunc status=none
refused 'damaged\.gz' -m model --reference damaged.gz
refused 'model/model.*\.safetensors|config\.json' -m model --reference model/config.json
cp model/*.safetensors weights.safetensors
refused 'weights\.safetensors' -m model --reference weights.safetensors

changed layers.1.v 3 '\xff\xff\xff\x7f'
refused 'layers\.1\.v.*NaN' -m model --reference changed.safetensors
refused 'layers\.1\.v.*NaN' --candidate all.safetensors --reference changed.safetensors
refused 'layers\.1\.v.*NaN' --reference all.safetensors --candidate changed.safetensors
changed logits 3 '\x00\x00\x80\x7f'
refused 'logits.*(inf|NaN)' -m model --reference changed.safetensors
changed ids 2 '\x2d\x01\x00\x00' # 301 of a vocabulary of 300
refused '301' -m model --reference changed.safetensors
changed ids 2 '\xff\xff\xff\xff'
refused 'ids' -m model --reference changed.safetensors
changed layers.0.experts 0 '\x7f\x00\x00\x00'
refused 'experts' -m model --reference changed.safetensors

make_checkpoint_with()
{
    "$make_checkpoint" -o "$1" --preset tiny --layout hf-mxfp4 "${@:2}" >/dev/null
}
make_checkpoint_with wider --vocab 400
refused 'logits' -m wider --reference all.safetensors
run dump -m model --ids 9,8,7 -o other.safetensors
refused 'ids|token' --candidate other.safetensors --reference all.safetensors
run dump -m model -p "$text" --stages k -o keys.safetensors
run dump -m model -p "$text" --stages v -o values.safetensors
refused 'stage' --candidate keys.safetensors --reference values.safetensors
refused 'stage' -m model --reference keys.safetensors --stages v
refused 'absent\.json' -m model --reference all.safetensors --tolerances absent.json
printf '{' >bad.json
refused 'bad\.json' -m model --reference all.safetensors --tolerances bad.json
refused '--stages' -m model --reference all.safetensors --stages nothing

# ---- the page ----------------------------------------------------------------------------------

run dump -m model -p 'hello </script><b>&' --stages all -o markup.safetensors
run parity -m model --reference markup.safetensors --html page.html
expect_status 0
expect "the first line says so" test "$(head -n 1 out)" == "$same"
expect "the page has the sentence" grep -q "<h1 class=\"pass\">$same</h1>" page.html
expect "the page needs no network" bash -c "! grep -Eq '(https?:|src=|href=|@import)' page.html"
expect "the page ends" test "$(tail -n 1 page.html)" == '</html>'
for tag in html head body script style pre h1 div; do
    expect "<$tag> is balanced" test "$(grep -Eo "<${tag}[ >]" page.html | wc -l)" == \
        "$(grep -o "</$tag>" page.html | wc -l)"
done
sed -n '/<script id="data"/ { s/^<script[^>]*>//; s/<.script>$//; p; }' page.html >data.json
expect_json data.json 'array 79' strips
expect_json data.json attention_norm strips 1 stage
expect "no temporary file stays" bash -c '! ls page.html.* 2>/dev/null'
run parity -m model --reference markup.safetensors --html absent/page.html
expect_status 2
expect_line err '^gptoss: absent/page\.html.* could not be written: No such file or directory$'
cp all.safetensors '<i>&.safetensors'
run parity --candidate all.safetensors --reference '<i>&.safetensors' --stages q --html page.html
expect "names are escaped" bash -c "! grep -q '<i>' page.html && grep -q '&lt;i>&amp;' page.html"

finish
