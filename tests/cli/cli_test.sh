#!/usr/bin/env bash
# Runs the program as a user does and looks at what a user sees: output, exit codes, error lines, Ctrl-C.
#   cli_test.sh TESSERA MODEL.gguf
set -uo pipefail
tessera=$1
model=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

# expect NAME EXIT_CODE COMMAND...: leaves stdout and stderr in $work/out and $work/err.
expect() {
  local name=$1 code=$2
  shift 2
  timeout 120 "$@" >"$work/out" 2>"$work/err" </dev/null
  local found=$?
  (( found == code )) || fail "$name: expected exit code $code, found $found: $(head -c 300 "$work/err")"
}
fail() { echo "FAIL $1"; failures=$((failures + 1)); }
check() { local name=$1; shift; "$@" || fail "$name"; }

expect "no arguments" 0 "$tessera"
check "short help has examples" grep -q "tessera run" "$work/out"
expect "version" 0 "$tessera" --version
for verb in run inspect eval quantize convert plan bench probe synth; do
  expect "$verb --help" 0 "$tessera" "$verb" --help
  check "$verb --help goes to stdout" test -s "$work/out"
done
expect "unknown verb" 2 "$tessera" rnu
check "unknown verb is suggested" grep -q "did you mean run?" "$work/err"
expect "unknown flag" 2 "$tessera" run --tepm 1
check "unknown flag is suggested" grep -q "^tessera run: unknown flag --tepm; did you mean --temp?" "$work/err"

story=(-n 8 --temp 0)
expect "run" 0 "$tessera" run -m "$model" -p "Once upon a time" "${story[@]}"
cp "$work/out" "$work/story"
check "run prints the prompt and more" grep -q "^Once upon a time ." "$work/story"
check "run prints timings" grep -q "tokens/s" "$work/err"
check "no progress bar in a file" bash -c "! grep -q $'\r' '$work/err'"
expect "environment twins" 0 env TESSERA_MODEL="$model" TESSERA_PREDICT=8 TESSERA_TEMP=0 \
  "$tessera" run -p "Once upon a time"
check "environment twins give the same" cmp -s "$work/out" "$work/story"
expect "command line wins" 0 env TESSERA_PREDICT=3 "$tessera" run -m "$model" -p "Once upon a time" "${story[@]}"
check "command line wins over the environment" cmp -s "$work/out" "$work/story"
printf 'Once upon a time' | "$tessera" run -m "$model" "${story[@]}" 2>/dev/null >"$work/out"
check "prompt from stdin" cmp -s "$work/out" "$work/story"
printf 'Once upon a time' >"$work/prompt"
expect "prompt from a file" 0 "$tessera" run -m "$model" -f "$work/prompt" "${story[@]}"
check "prompt from a file gives the same" cmp -s "$work/out" "$work/story"
expect "json" 0 "$tessera" run -m "$model" -p hi -n 2 --json
check "json has a finish reason" grep -q '"finish_reason"' "$work/out"
expect "ignored flags" 0 "$tessera" run -m "$model" -p hi -n 2 -ngl 99
check "ignored flags are explained" grep -q "^note: -ngl" "$work/err"

expect "missing file" 1 "$tessera" run -m "$work/none.gguf" -p x
check "missing file is one line" test "$(wc -l <"$work/err")" = 1
head -c 3000 "$model" >"$work/cut.gguf"
for verb in "run -p x" inspect; do
  # shellcheck disable=SC2086
  expect "$verb of a cut file" 1 "$tessera" $verb -m "$work/cut.gguf"
  check "$verb of a cut file is one line" test "$(wc -l <"$work/err")" = 1
done

expect "quantize" 0 "$tessera" quantize -m "$model" -o "$work/small.gguf" --type q4_0
expect "run what was quantized" 0 "$tessera" run -m "$work/small.gguf" -p "Once upon a time" "${story[@]}"
check "it says something" test "$(wc -c <"$work/out")" -gt 20
expect "inspect" 0 "$tessera" inspect -m "$work/small.gguf"

# Ctrl-C: what was printed stays, the timings come, exit code 130. (env resets the ignored SIGINT of a background job.)
env --default-signal=INT "$tessera" run -m "$model" -p "Once" -n 1000000 --ignore-eos -c 65536 >"$work/out" 2>"$work/err" &
job=$!
for _ in $(seq 100); do [[ $(wc -c <"$work/out") -gt 50 ]] && break; sleep 0.1; done
kill -INT "$job"
wait "$job"
code=$?
check "Ctrl-C exits with 130, found $code" test "$code" = 130
check "Ctrl-C keeps the output" grep -q "^Once" "$work/out"
check "Ctrl-C prints timings" grep -q "interrupted" "$work/err"

(( failures == 0 )) && echo "cli: all checks passed"
exit $(( failures > 0 ))
