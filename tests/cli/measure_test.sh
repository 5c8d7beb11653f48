#!/usr/bin/env bash
# plan, bench and synth as a user runs them; what claims to be JSON is JSON. Progress shows on a terminal only.
source "$(dirname "$0")/lib.sh"
cd "$work" || exit 1

expect "plan --json" 0 "$tessera" plan "$model" --json
json "plan" "" >/dev/null
expect "plan --list" 0 "$tessera" plan --list
expect "plan a named model" 0 "$tessera" plan llama-3-8b --hardware h100 -p 1k -n 64
check "plan says something" test "$(wc -l <out)" -gt 5

bench=("$tessera" bench -m "$model" -r 2 -t 1 --no-warmup)
expect "bench" 0 "${bench[@]}" -p 16 -n 4 -o json
check "bench -o json: two tests" test "$(json bench /1/n_gen)" = 4
cp out before.json
expect "bench --json" 0 "${bench[@]}" -p 8 -n 0 --json
check "bench --json is -o json" test "$(json bench /0/n_prompt)" = 8
expect "bench of lists" 0 "${bench[@]}" -p 8,16 -n 0 -o jsonl
check "bench of lists: one line a test" test "$(wc -l <out)" = 2
expect "limits of the moment" 0 "$tessera" probe --limits
for field in read_gb_per_s read_one_gb_per_s i8_gops bf16_gops f32_gops; do
  check "probe --limits: $field" awk -v v="$(json limits /$field)" 'BEGIN { exit !(v > 0) }'
done
check "probe --limits: state" grep -qE 'near|far|unknown' <<<"$(json limits /state)"
expect "bench of weight types" 0 "${bench[@]}" -p 8 -n 0 --weights stored,w8,bf16 -o json
check "bench --weights: as stored" test "$(json bench /0/weights)$(json bench /0/type_weights)" = '"stored""q8_0"'
for field in packed_bytes n_depth samples_ts/0 samples_core_state/0 samples_other_cpus/0; do  # what bench/goals.py reads
  json bench "/0/$field" >/dev/null
done
check "bench --weights w8" test "$(json bench /1/weights)$(json bench /1/type_weights)" = '"w8""w8"'
expect "bench: repeated flags add up" 0 "${bench[@]}" -p 8 -p 16 -n 0 -o csv
check "bench: repeated flags add up" test "$(wc -l <out)" = 3
expect "bench twin" 0 env TESSERA_BENCH_OUTPUT=json TESSERA_OUTPUT=csv TESSERA_SYNTH_OUTPUT=x "${bench[@]}" -p 8 -n 0
json "TESSERA_OUTPUT=json" /0/avg_ts >/dev/null
expect "bench compare" 0 "$tessera" bench compare before.json before.json

# Ctrl-C: the samples that were taken are a whole file, exit code 130; a probe is not written. (env resets the ignored SIGINT of
# a background job.)
env --default-signal=INT "$tessera" bench -m "$model" -t 1 --no-warmup -p 16 -n 0 -r 10000 -o json >out 2>err &
job=$!
sleep 1
kill -INT "$job"
wait "$job"
code=$?
check "Ctrl-C ends bench with 130, found $code" test "$code" = 130
check "Ctrl-C keeps the samples" awk -v v="$(json bench /0/avg_ts)" 'BEGIN { exit !(v > 0) }'
env --default-signal=INT "$tessera" probe -r 1 -o "$work/probed.json" >out 2>err &
job=$!
for _ in $(seq 100); do grep -q memory err && break; sleep 0.05; done
kill -INT "$job"
wait "$job"
code=$?
check "Ctrl-C ends probe with 130, found $code" test "$code" = 130
check "Ctrl-C leaves no description" test ! -e "$work/probed.json"

# What could not be written is no success; a reader that has enough is.
if [ -c /dev/full ]; then
  expect_error 1 "tessera bench: standard output: cannot write" bash -c "'$tessera' bench -m '$model' -p 8 -n 0 -r 1 >/dev/full"
  expect_error 1 "tessera: standard output: cannot write" bash -c "'$tessera' --version >/dev/full"
fi
expect "a reader that leaves" 0 bash -c "set -o pipefail; '$tessera' help run | head -n 1"
: >empty.json
expect_error 1 "tessera bench compare: no test is in both files: 0 in empty.json, 0 in empty.json" "$tessera" bench compare empty.json empty.json
expect "bench of nothing" 1 "$tessera" bench -m none.gguf -p 1 -n 0
check "bench of nothing is one line" test "$(grep -c . err)" = 1
expect_error 2 'tessera bench: -p x: expected numbers or ranges first-last[+step|*factor]' "${bench[@]}" -p x

expect "synth" 0 "$tessera" synth --like smollm2-135m --layers 2 --vocab 1000 --type Q4_0 -o s.gguf
expect "what synth wrote runs" 0 "$tessera" run -m s.gguf -p hi -n 2 --ignore-eos
expect_error 2 'tessera synth: --kv-heads 5: expected a divisor of --heads 9' \
  "$tessera" synth --like smollm2-135m --kv-heads 5 -o t.gguf
check "nothing after an error" test ! -e t.gguf

# A terminal gets a bar, which is gone at the end; a file gets none (quantize in files_test).
"$tessera" synth --like tinyllama-1.1b --layers 1 --vocab 2000 --type f16 -o big.gguf >/dev/null
expect "quantize on a terminal" 0 "$tools/on_terminal" "$tessera" quantize big.gguf b4.gguf q3_k_m
check "a bar on a terminal" grep -qE "writing \[#*\.*\] +[0-9]+ %" out
check "the bar is taken away" grep -q $'\r\033\[K' out
# shellcheck disable=SC2016
expect "errors to a file" 0 "$tools/on_terminal" bash -c '"$0" quantize big.gguf b5.gguf q4_0 2>err.txt' "$tessera"
check "no bar in a file" test ! -s err.txt

finish
