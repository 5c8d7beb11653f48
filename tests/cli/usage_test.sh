#!/usr/bin/env bash
# Help, version, and what a wrong command line or a broken file says: one line and an exit code.
source "$(dirname "$0")/lib.sh"
verbs=(run inspect eval "eval perplexity" "eval kl" quantize convert plan bench "bench compare" probe synth completion)

expect "no arguments" 0 "$tessera"
check "the help has examples" grep -q "tessera run" "$work/out"
expect "version" 0 "$tessera" --version
check "version and build" grep -qE "^tessera [0-9.]+ \((release|debug) build, " "$work/out"
check "version names the kernels" grep -q "^kernels: generic" "$work/out"
for verb in "${verbs[@]}"; do
  # shellcheck disable=SC2086
  expect "$verb --help" 0 "$tessera" $verb --help
  cp "$work/out" "$work/help"
  check "$verb --help: 100 columns" bash -c "! grep -E '^.{101}' '$work/help'"
  # A line of prose that ends early was cut by hand: the next word would have fitted.
  check "$verb --help: paragraphs are wrapped" awk 'length > 100 || /^[a-z]/ && before ~ /^[A-Za-z]/ && length(before) + 1 + length($1) <= 100 { exit 1 } { before = $0 }' "$work/help"
  check "$verb --help has examples" grep -qE "^Examples?:" "$work/help"
  # shellcheck disable=SC2086
  expect "help $verb" 0 "$tessera" help $verb
  check "help $verb is the same" cmp -s "$work/out" "$work/help"
done
expect "run --help" 0 "$tessera" run --help
for text in "^Sampling:" "^Threads:" "^Context and cache:" "default: 0.8" "\[TESSERA_TOP_K\]" "f32, f16, bf16, q8_0" "KEY=TYPE:VALUE"; do
  check "run --help shows $text" grep -q -- "$text" "$work/out"
done

# A wrong command line: exit code 2.
t=$tessera
expect_error 2 'tessera: no verb "rnu"; did you mean run? (tessera --help)' "$t" rnu
expect_error 2 'tessera: no verb "xyzzy" (tessera --help)' "$t" xyzzy -m x
expect_error 2 'tessera: no verb "rnu"; did you mean run? (tessera --help)' "$t" help rnu
expect_error 2 'tessera eval: no verb "lk"; did you mean kl? (tessera eval --help)' "$t" eval lk --help
expect_error 2 'tessera: unknown flag --verison; did you mean --version? (tessera --help)' "$t" --verison
expect_error 2 'tessera run: unknown flag --tpo-k; did you mean --top-k? (tessera run --help)' "$t" run --tpo-k 3
expect_error 2 'tessera run: unknown flag --tempera; did you mean --temperature? (tessera run --help)' "$t" run --tempera=1
expect_error 2 'tessera run: unexpected argument "model.gguf" (tessera run --help)' "$t" run model.gguf
expect_error 2 'tessera run: --temp: expected a number from 0 to 100, found "abc"' "$t" run --temp abc
expect_error 2 'tessera run: --temp: expected a number from 0 to 100, found "abc"' "$t" run --temp 1 --temp=abc
expect_error 2 'tessera run: -t: expected a whole number from 1 to 1024, found "0"' "$t" run -t 0
expect_error 2 'tessera run: -t: expected a whole number from 1 to 1024, found "x"' "$t" run -tx
expect_error 2 'tessera run: -n: expected a whole number from -1 to 1000000000 such as 512 or 32k, found "5z"' "$t" run -n 5z
expect_error 2 'tessera run: --top-p: expected a number from 0 to 1, found nothing' "$t" run --top-p
expect_error 2 'tessera run: --top-p: expected a number from 0 to 1, found "2"' "$t" run -m none --top-p 2
expect_error 2 'tessera run: --temp: expected a number from 0 to 100, found "nan"' "$t" run -m none --temp nan
expect_error 2 'tessera run: --top-k: expected a whole number from 0 to 1000000000, found "-1"' "$t" run -m none --top-k -1
expect_error 2 'tessera run: --logit-bias: expected TOKEN_ID+BIAS or TOKEN_ID-BIAS, found '"'5+inf'" "$t" run -m none -p x -l 5+inf
expect_error 2 'tessera run: -t: expected a whole number from 1 to 1024, found "0x10"' "$t" run -t 0x10
expect_error 2 'tessera run: -t: expected a whole number from 1 to 1024, found "02000"' "$t" run -t 02000
expect_error 2 'tessera run: --json: expected true or false, found "maybe"' "$t" run --json=maybe
expect_error 2 'tessera run: --ctk: expected f32, f16, bf16 or q8_0, found "q9_0"; did you mean q8_0?' "$t" run -ctk q9_0
expect_error 2 'tessera run: -hf: nothing is downloaded here; fetch the file and name it with -m' "$t" run -hf a/b
expect_error 2 'tessera run: --logit-bias: expected TOKEN_ID+BIAS or TOKEN_ID-BIAS, found '"'x'" "$t" run -l x
expect_error 2 'tessera run: TESSERA_TEMP: expected a number from 0 to 100, found "hot"' env TESSERA_TEMP=hot "$t" run
expect_error 2 'tessera eval: expected one of perplexity, kl (tessera eval --help)' "$t" eval
expect_error 2 'tessera eval: no verb "lk"; did you mean kl? (tessera eval --help)' "$t" eval lk
expect_error 2 'tessera eval kl: --file is required: Text to score' "$t" eval kl -m x
expect_error 2 'tessera eval kl: unknown flag --fiel; did you mean --file? (tessera eval kl --help)' "$t" eval kl --fiel x
expect_error 2 'tessera bench compare: A is required: Results of the first run (json or jsonl)' "$t" bench compare
expect_error 2 'tessera convert: --outtype: expected auto, f32, f16, bf16 or q8_0, found "q4"' "$t" convert a b --outtype q4
expect_error 2 'tessera completion: SHELL: expected bash, zsh or fish, found "fsh"; did you mean zsh?' "$t" completion fsh
expect_error 2 'tessera inspect: unexpected argument "b" (tessera inspect --help)' "$t" inspect a b

# What fails while running: exit code 1.
expect_error 1 "tessera run: $work/none.gguf: no such file or folder" "$t" run -m "$work/none.gguf" -p x
mkfifo "$work/pipe"
expect_error 1 "tessera inspect: $work/pipe: expected a regular file, found a pipe" timeout 10 "$t" inspect "$work/pipe"
expect_error 1 'tessera run: TESSERA_KERNELS: expected one of generic, avx2, avx512, avx512_vnni, avx512_bf16, found "sse9"' \
  env TESSERA_KERNELS=sse9 "$t" run -p x
head -c 3000 "$model" >"$work/cut.gguf"
: >"$work/empty.gguf"
for file in cut empty; do
  for verb in "run -p x" inspect "quantize -o $work/q.gguf"; do
    # shellcheck disable=SC2086
    expect "$verb of a $file file" 1 "$t" $verb -m "$work/$file.gguf"
    check "$verb of a $file file is one line" test "$(wc -l <"$work/err")" = 1
    check "$verb of a $file file names it" grep -q "$file.gguf" "$work/err"
  done
done

# Numbers out of range are the command line's fault, and no crash.
expect "too large a context" 2 "$tessera" run -p hi -n 1 -c 200000000000
expect "no batch" 2 "$tessera" run -p hi -n 1 -b 0
expect "a token id that does not fit" 2 "$tessera" run -p hi -n 1 -l 99999999999+100
expect "a bias without bounds" 2 "$tessera" run -p hi -n 1 -l 5+inf
expect "a value that looks like a flag" 0 "$tessera" run -p "--color" -n 2
check "is a value" grep -q "^--color" "$work/out"
expect "no tokens" 0 "$tessera" run -p "Once" -n 0
check "are no tokens" test "$(<"$work/out")" = "Once"

finish
