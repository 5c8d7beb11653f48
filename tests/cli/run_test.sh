#!/usr/bin/env bash
# `tessera run`: prompts from everywhere, environment twins, JSON, stop strings, Ctrl-C.
source "$(dirname "$0")/lib.sh"

story=(-n 8 --temp 0)
expect "run" 0 "$tessera" run -m "$model" -p "Once upon a time" "${story[@]}"
cp "$work/out" "$work/story"
check "run prints the prompt and more" grep -q "^Once upon a time ." "$work/story"
check "run prints timings" grep -q "tokens/s" "$work/err"
check "no progress bar in a file" bash -c "! grep -q $'\r' '$work/err'"
expect "quiet" 0 "$tessera" run -m "$model" -p "Once upon a time" "${story[@]}" -q
check "quiet prints nothing but the text" test ! -s "$work/err"
expect "the shipped model" 0 "$tessera" run -p "Once upon a time" "${story[@]}"
check "the shipped model is the default" cmp -s "$work/out" "$work/story"

# Environment twins: the command line wins; variables of other verbs' flags do not matter.
expect "environment twins" 0 env TESSERA_MODEL="$model" TESSERA_PREDICT=8 TESSERA_TEMP=0 TESSERA_QUIET=1 \
  "$tessera" run -p "Once upon a time"
check "environment twins give the same" cmp -s "$work/out" "$work/story"
check "a switch has a twin" test ! -s "$work/err"
expect "command line wins" 0 env TESSERA_PREDICT=3 "$tessera" run -m "$model" -p "Once upon a time" "${story[@]}"
check "command line wins over the environment" cmp -s "$work/out" "$work/story"
expect "a text for run, a number for plan" 0 env TESSERA_RUN_PROMPT="Once upon a time" TESSERA_PLAN_PROMPT=512 TESSERA_PROMPT=x \
  "$tessera" run "${story[@]}"
check "TESSERA_RUN_PROMPT is the prompt" cmp -s "$work/out" "$work/story"
expect "other verbs do not read it" 0 env TESSERA_RUN_PROMPT="Once" TESSERA_KERNELS=generic "$tessera" inspect "$model"

# Where prompts come from.
printf 'Once upon a time' | "$tessera" run -m "$model" "${story[@]}" 2>/dev/null >"$work/out"
check "prompt from stdin" cmp -s "$work/out" "$work/story"
printf 'Once upon a time' | "$tessera" run -m "$model" -f - "${story[@]}" 2>/dev/null >"$work/out"
check "prompt from -f -" cmp -s "$work/out" "$work/story"
printf 'Once upon a time' >"$work/prompt"
expect "prompt from a file" 0 "$tessera" run -m "$model" -f "$work/prompt" "${story[@]}"
check "prompt from a file gives the same" cmp -s "$work/out" "$work/story"
"$tessera" run -m "$model" -f <(printf 'Once upon a time') "${story[@]}" 2>/dev/null >"$work/out"
check "prompt from a pipe gives the same" cmp -s "$work/out" "$work/story"

# What is shown may hold sequences that change a terminal: there they are spelled out, elsewhere every byte arrives.
evil=$'red \x1b[31m\ttab'
expect "control characters on a terminal" 0 "$tools/on_terminal" bash -c '"$0" run -p "$1" -n 1 --temp 0 2>/dev/null' "$tessera" "$evil"
check "a terminal is shown escapes as text" grep -qF $'red \\x1b[31m\ttab' "$work/out"
check "a terminal gets no escape from a prompt" bash -c "! grep -qF $'\x1b[31m' '$work/out'"
expect "control characters in a file" 0 "$tessera" run -p "$evil" -n 1 --temp 0
check "a file gets the bytes" grep -qF "$evil" "$work/out"

# The last one wins, llama.cpp's spelling is understood.
expect "repeated flags" 0 "$tessera" run -p "Once upon a time" -n 2 --temp 9 --top-k 3 "${story[@]}" --top-k 40
check "the last one wins" cmp -s "$work/out" "$work/story"
expect "one dash" 0 "$tessera" run -p "Once upon a time" -n 8 -temp 0 -ctk F16 -ngl 99
check "one dash gives the same" cmp -s "$work/out" "$work/story"
check "ignored flags are explained" grep -q "^note: -ngl is ignored: " "$work/err"

expect "json" 0 "$tessera" run -m "$model" -p hi -n 2 --json --logprobs 2
check "json: finish reason" test "$(json "run --json" /finish_reason)" = '"length"'
check "json: tokens" test "$(json "run --json" /timings/generated_tokens)" = 2
check "json: logprobs" test -n "$(json "run --json" /logprobs/1/top/1/token)"

# Stop strings: the text ends before them, wherever token borders are.
expect "stop" 0 "$tessera" run -p "Once upon a time" -n 200 --temp 0 --json --stop "@@" -r "s son"
check "stop is the reason" test "$(json "stop" /finish_reason)" = '"stop"'
check "the stop string is not in the text" bash -c "! '$json_check' /text <'$work/out' | grep -qF 's son'"

# Same seed, same text; another seed, another text.
for seed in 7 7 8; do
  expect "seed $seed" 0 "$tessera" run -p "One day" -n 20 --seed $seed -q
  cp "$work/out" "$work/seed$seed$( [[ -e $work/seed7 && $seed = 7 ]] && echo b )"
done
check "same seed, same text" cmp -s "$work/seed7" "$work/seed7b"
check "another seed, another text" bash -c "! cmp -s '$work/seed7' '$work/seed8'"

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

# Who stops listening ends the run.
expect "a closed pipe" 0 bash -c "'$tessera' run -p Once -n 1000000 --ignore-eos -c 65536 -q | head -c 30"

finish
