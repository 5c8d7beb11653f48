#!/usr/bin/env bash
# Conversations: turns that read only what is new, forgetting, errors, Ctrl-C.
#   chat_test.sh TESSERA MODEL.gguf TOOLS_FOLDER
source "$(dirname "$0")/lib.sh"

chat=("$tessera" run -m "$model" --chat --chat-template zephyr --temp 0 -n 12)

# converse NAME INPUT FLAG...: leaves stdout and stderr in $work/out and $work/err.
converse() {
  local name=$1 input=$2
  shift 2
  printf "$input" | timeout 120 "${chat[@]}" "$@" >"$work/out" 2>"$work/err" || fail "$name: $(head -c 300 "$work/err")"
}
known() { grep -oE '[0-9]+ known' "$work/err" | grep -oE '[0-9]+'; }

converse "one turn" 'Tell me of a cat\n'
cp "$work/out" "$work/first"
check "nothing is known before the first turn" test "$(known)" = 0
check "an answer" test -s "$work/first"
expect "the same with -p" 0 "${chat[@]}" -p "Tell me of a cat"
check "a conversation answers as one request does" cmp -s <(head -n 1 "$work/out") <(head -n 1 "$work/first")

converse "two turns" 'Tell me of a cat\nAnd a dog\n'
check "the second turn knows the first" test "$(known)" -gt 20
check "the first answer is the same" cmp -s <(head -c "$(wc -c <"$work/first")" "$work/out") "$work/first"
cp "$work/out" "$work/two"

converse "reset" 'Tell me of a dog\n/reset\nTell me of a cat\n'
check "after /reset the answer is that of a first turn" cmp -s <(tail -c "$(wc -c <"$work/first")" "$work/out") "$work/first"
converse "exit" 'Tell me of a cat\n/exit\nAnd a dog\n'
check "/exit ends it" cmp -s "$work/out" "$work/first"
converse "two lines" 'Tell me\\\n of a cat\n'
check "a message of two lines is one turn" grep -q "^\[1 answer |" "$work/err"

converse "forgetting" 'Tell me of a cat\nAnd a dog\nAnd a horse\nAnd a cow\n' -c 100
check "the oldest messages are forgotten, with a note" grep -q "^note: the context of 100 tokens is full" "$work/err"
check "all turns are answered" grep -q "^\[4 answers" "$work/err"
long=$(printf 'word %.0s' $(seq 200))
converse "a message that is too long" "$long\nTell me of a cat\n" -c 100
check "it is refused" grep -q "do not fit into the context" "$work/err"
check "and the conversation goes on" cmp -s <(tail -c "$(wc -c <"$work/first")" "$work/out") "$work/first"

expect "an unknown template" 2 "$tessera" run -m "$model" --chat --chat-template nonsense -p hi
check "names the templates" grep -q "chatml" "$work/err"
expect "no template" 1 "$tessera" run -m "$model" --chat -p hi
check "says so in one line" test "$(wc -l <"$work/err")" = 1

"${chat[@]}" -n -1 -c 100000 --ignore-eos < <(printf 'Tell me of a cat\n'; sleep 30) >"$work/out" 2>"$work/err" &
pid=$!
for _ in $(seq 100); do [[ -s "$work/out" ]] && break; sleep 0.1; done
kill -INT $pid
wait $pid
check "Ctrl-C ends it with 130" test $? = 130
check "what was said is kept" test -s "$work/out"

finish
