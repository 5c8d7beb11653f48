#!/usr/bin/env bash
# Verbs that read and write model files: inspect, quantize, convert, eval, synth. Half files never appear.
source "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
tensor_type() { "$tessera" inspect "$1" --tensors | awk -v name="$2" '$1 == name { print $2 }'; }
count_files() { find "$work" -maxdepth 1 -name "$1*" | wc -l; }

expect "inspect --json" 0 "$tessera" inspect "$model" --json
check "inspect --json: architecture" test "$(json inspect /spec/architecture)" = '"llama"'
check "inspect --json: memory" test "$(json inspect /memory/weights_bytes | cut -d. -f1)" -gt 1000000
check "inspect --json: numbers are numbers" test "$(json inspect /metadata/llama.block_count/value)" = 6
check "inspect --json: strings are strings" test "$(json inspect /metadata/general.architecture/value)" = '"llama"'
check "inspect --json: floats as short as they were" test "$(json inspect /metadata/llama.attention.layer_norm_rms_epsilon/value)" = 1e-05
check "inspect --json: arrays are arrays" test "$(json inspect /metadata/tokenizer.ggml.token_type/value/3)" -ge 1
check "inspect --json: long arrays are cut" test "$(json inspect /metadata/tokenizer.ggml.tokens/cut)" = true
expect "inspect --json --metadata" 0 "$tessera" inspect "$model" --json --metadata
check "inspect --json --metadata: arrays are whole" test -n "$(json inspect /metadata/tokenizer.ggml.tokens/value/4095)"
expect "inspect of an untied model" 0 "$tessera" inspect "$root/tests/golden/llama-gqa/model.gguf" --json
weights=$(json inspect /memory/weights_bytes | cut -d. -f1)
check "its embedding counts as memory" test "$weights" -ge $(( $(stat -c %s "$root/tests/golden/llama-gqa/model.gguf") - 20000 ))
head -c 1000000 "$model" >short.gguf
expect "inspect of a file's beginning" 0 "$tessera" inspect short.gguf
check "it says what is missing" grep -q "^cut short .* of the weights are missing" out
expect "inspect --json of it" 0 "$tessera" inspect short.gguf --json
check "inspect --json: missing bytes" test "$(json inspect /missing_bytes)" = $(( $(stat -c %s "$model") - 1000000 ))
rm short.gguf
expect "inspect --kernels" 0 "$tessera" inspect --kernels

# quantize: llama-quantize's order, flags, types in any case.
expect "quantize IN OUT TYPE" 0 "$tessera" quantize "$model" a.gguf Q4_0
expect "quantize with flags" 0 "$tessera" quantize -m "$model" -o b.gguf --type q4_0
check "both forms write the same" cmp -s a.gguf b.gguf
check "no progress bar in a file" test ! -s err
expect "run what was quantized" 0 "$tessera" run -m a.gguf -p "Once upon a time" -n 8 --temp 0
check "it says something" test "$(wc -c <out)" -gt 20
expect "quantize mixed forms" 0 "$tessera" quantize "$model" --output c.gguf Q4_K_M --tensor-type 'blk\.0\..*ffn_up=f16'
check "--tensor-type" test "$(tensor_type c.gguf blk.0.ffn_up.weight)" = f16
expect "overwrite" 1 "$tessera" quantize "$model" a.gguf q8_0
check "the file is still the old one" cmp -s a.gguf b.gguf
expect "overwrite with --force" 0 "$tessera" quantize "$model" a.gguf q8_0 --force
check "the file is a new one" bash -c '! cmp -s a.gguf b.gguf'
expect_error 2 'tessera quantize: TYPE: expected '"$("$tessera" synth --type zzz 2>&1 | sed 's/.*expected \(.*\), found.*/\1/')"', found "q4_9"; did you mean q4_0?' \
  "$tessera" quantize "$model" d.gguf q4_9
expect_error 2 'tessera quantize: -o: expected a file, found the type q4_0; the order is IN OUT TYPE' "$tessera" quantize "$model" q4_0
cp "$model" same.gguf
expect_error 1 "tessera quantize: same.gguf: the output is the input" "$tessera" quantize same.gguf same.gguf q4_0 --force
check "the input is as it was" cmp -s "$model" same.gguf
mkfifo pipe
expect_error 1 "tessera quantize: pipe: expected a file to write, found a folder, device or pipe" "$tessera" quantize "$model" pipe q4_0 --force
expect_error 1 "tessera synth: pipe: expected a file to write, found a folder, device or pipe" "$tessera" synth --like tinyllama-1.1b --layers 1 --vocab 300 -o pipe
check "the pipe is one still" test -p pipe
rm same.gguf pipe
expect "a folder that is not there" 1 "$tessera" quantize "$model" none/d.gguf q4_0
check "no file after an error" test "$(count_files d.gguf)" = 0

# Interrupted (q3_k_m takes seconds): nothing under the name, nothing beside it, exit code 130.
expect "synth" 0 "$tessera" synth --like tinyllama-1.1b --layers 2 --vocab 2000 --type f16 -o big.gguf
for signal in INT TERM; do
  env --default-signal=INT "$tessera" quantize big.gguf half.gguf q3_k_m -t 1 >out 2>err &
  job=$!
  for _ in $(seq 100); do (( $(count_files half.gguf) > 0 )) && break; sleep 0.05; done
  check "$signal: writing had begun" test "$(count_files half.gguf)" = 1
  check "$signal: not under the final name" test ! -e half.gguf
  kill -$signal "$job"
  wait "$job"
  code=$?
  check "$signal: exit code 130, found $code" test "$code" = 130
  check "$signal: no half file" test "$(count_files half.gguf)" = 0
done
rm big.gguf

# convert: a Hugging Face folder becomes the file that the fixture holds.
for family in llama-gqa gpt2 qwen3; do
  folder=$root/tests/golden/$family
  mkdir $family && cp "$folder/config.json" "$folder/model.safetensors" $family
  expect "convert $family" 0 "$tessera" convert $family $family.gguf
  check "convert $family: a note about the missing tokenizer" grep -q "^note: the file has no tokenizer: expected tokenizer.json" err
  for name in token_embd.weight blk.0.ffn_down.weight; do
    check "$family: $name as stored" test "$(tensor_type $family.gguf $name)" = "$(tensor_type "$folder/model.gguf" $name)"
  done
done
expect "convert --outtype" 0 "$tessera" convert -m llama-gqa -o half.gguf --outtype BF16
check "convert --outtype" test "$(tensor_type half.gguf blk.0.ffn_down.weight)" = bf16

expect "convert a model with a tokenizer" 0 "$tessera" convert "$model" copy.gguf
check "no note about a tokenizer that is there" test ! -s err
rm copy.gguf

# eval: a model is at no distance from itself, and at some from its quantized form.
printf 'Once upon a time there was a little girl. She had a red ball. She liked to play with her ball in the park.' >text
expect "eval perplexity" 0 "$tessera" eval perplexity -m "$model" -f text -c 64 --json
check "perplexity is small" awk -v p="$(json perplexity /perplexity)" 'BEGIN { exit !(p > 1 && p < 50) }'
check "bits per byte" awk -v b="$(json perplexity /bits_per_byte)" 'BEGIN { exit !(b > 0.1 && b < 4) }'
expect "eval of stdin" 0 bash -c "'$tessera' eval perplexity -m '$model' -f - -c 64 <text"
check "eval of stdin prints" grep -q "^perplexity" out
expect "eval kl of itself" 0 "$tessera" eval kl -m "$model" --reference "$model" -f text -c 64 --json
check "kl of itself is 0" awk -v k="$(json kl /kl_mean)" -v t="$(json kl /top1_agreement)" 'BEGIN { exit !(k < 1e-6 && t == 1) }'
expect "eval kl" 0 "$tessera" eval kl -m b.gguf --reference "$model" -f text -c 64 --json
check "kl of q4_0" awk -v k="$(json kl /kl_mean)" 'BEGIN { exit !(k > 1e-4 && k < 2) }'
check "its loss above the reference" awk -v l="$(json kl /nll_per_token)" -v r="$(json kl /reference_nll_per_token)" \
  -v d="$(json kl /nll_difference)" -v e="$(json kl /nll_difference_standard_error)" \
  'BEGIN { off = l - r - d; exit !(off < 1e-6 && off > -1e-6 && d != 0 && e > 1e-6 && e < 1) }'
expect "eval kl of the arithmetic" 0 "$tessera" eval kl -m "$model" -f text -c 64 --json
check "int8 activations differ a little from f32" awk -v k="$(json kl /kl_mean)" 'BEGIN { exit !(k > 1e-6 && k < 1e-2) }'
expect "eval kl --weights" 0 "$tessera" eval kl -m "$model" --weights W8 --reference "$model" -f text -c 64 --json
check "w8 differs a little from q8_0" awk -v k="$(json kl /kl_mean)" 'BEGIN { exit !(k > 1e-6 && k < 1e-2) }'
expect "eval kl of two models" 2 "$tessera" eval kl -m "$model" --reference "$root/tests/golden/gpt2" -f text
expect_error 1 "tessera eval perplexity: none: no such file" "$tessera" eval perplexity -m "$model" -f none

# Names in files are foreign: nothing of them controls the terminal.
sed 's/blk\.0\.ffn_down\.weight/blk.0.\x1b[31mxyz.weight/; s/general\.name/general.\x1b[2J/' "$root/tests/golden/llama-gqa/model.gguf" >$'esc\x1b[31m.gguf'
cp "$model" $'no-utf8-\xff.gguf'
no_escape() { ! grep -q $'\x1b' out err; }
expect "inspect of hostile names" 0 "$tessera" inspect $'esc\x1b[31m.gguf' --tensors --metadata
check "inspect escapes them" no_escape
expect "run of a hostile tensor name" 1 "$tessera" run -m $'esc\x1b[31m.gguf' -p x
check "run escapes them" no_escape
check "the error says which" grep -qF 'blk.0.ffn_down.weight' err
for verb in "bench -n 0 -p 1 -r 1" plan "eval perplexity -f text" "quantize -o x.gguf --type q8_0" "convert -o y.gguf"; do
  # shellcheck disable=SC2086
  "$tessera" $verb -m $'esc\x1b[31m.gguf' >out 2>err
  check "${verb%% *} escapes them" no_escape
  # shellcheck disable=SC2086
  "$tessera" $verb -m $'none\x1b[31m.gguf' >out 2>err
  check "${verb%% *} escapes a path" no_escape
done
expect "a wrong command line" 2 "$tessera" run $'--x\x1b[31m'
check "is escaped" no_escape
for format in json jsonl; do
  expect "bench -o $format of a path that is no UTF-8" 0 "$tessera" bench -m $'no-utf8-\xff.gguf' -p 1 -n 0 -r 1 -o $format
  check "is valid JSON" grep -q model_filename out
done
rm -f x.gguf y.gguf

# Files of every family, as file and as folder.
for golden in "$root"/tests/golden/*/; do
  expect "inspect $golden" 0 "$tessera" inspect "$golden"
  expect "inspect $golden/model.gguf" 0 "$tessera" inspect "$golden/model.gguf" --tensors
done

# convert keeps each tensor as it is stored, also where types are mixed.
expect "a mixed file" 0 "$tessera" synth --like tinyllama-1.1b --layers 2 --type q4_k_m -o "$work/mixed.gguf"
expect "convert a mixed file" 0 "$tessera" convert "$work/mixed.gguf" "$work/copy.gguf"
check "every tensor kept its type" cmp -s <("$tessera" inspect "$work/mixed.gguf" --tensors | grep -E "^  (blk|token|output)") \
  <("$tessera" inspect "$work/copy.gguf" --tensors | grep -E "^  (blk|token|output)")

finish
