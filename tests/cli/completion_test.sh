#!/usr/bin/env bash
# Shell completion: the scripts parse, and bash's proposes verbs, flags, values and files.
source "$(dirname "$0")/lib.sh"
cd "$work" || exit 1
touch model.gguf
"$tessera" completion bash >bash.sh || fail "completion bash"
check "the bash script parses" bash -n bash.sh
# shellcheck disable=SC1091
source ./bash.sh

# propose WORD...: what bash would propose for the last word.
propose() {
  COMP_WORDS=(tessera "$@")
  COMP_CWORD=$#
  COMPREPLY=()
  _tessera
  printf '%s\n' "${COMPREPLY[@]}"
}
# has NAME PROPOSAL WORD..., has_not: the proposals contain the line, or do not.
has() {
  local wanted=$1 found
  shift
  found=$(propose "$@")
  grep -qxF -e "$wanted" <<<"$found" || fail "tessera $*: expected $wanted, found $(head -c 200 <<<"$found")"
}
has_not() {
  local unwanted=$1 found
  shift
  found=$(propose "$@")
  grep -qxF -e "$unwanted" <<<"$found" && fail "tessera $*: $unwanted does not belong there"
}

for verb in run inspect eval quantize convert plan bench probe synth completion; do has $verb ""; done
has quantize qu
has_not run qu
has --top-k run --to
has_not --type run --
has --type quantize --
has -m run -
has kl eval ""
has --reference eval kl --
has compare bench ""
has run help ""
has_not --top-k run -p --to
for type in f32 f16 bf16 q8_0; do has $type run --cache-type-k ""; done
has q8_0 run --cache-type-v = q
has_not q4_0 run --cache-type-k ""
has q4_k_m quantize -m model.gguf --type q4
has auto convert --outtype ""
has tinyllama-1.1b synth --like ""
has fish completion ""
has jsonl bench -o ""
has_not model.gguf bench -o ""
has model.gguf run -m ""
has model.gguf inspect ""
has model.gguf quantize mod
has_not model.gguf run -n ""
has_not model.gguf run ""

# Every flag that the help shows is proposed.
for verb in run inspect quantize convert plan bench probe synth; do
  for flag in $("$tessera" $verb --help | grep -oE '^  (-[a-z], )?--[a-z-]+' | grep -oE -- '--[a-z-]+'); do has "$flag" $verb "$flag"; done
done

for shell in zsh fish; do
  "$tessera" completion $shell >$shell.sh || fail "completion $shell"
  check "$shell: flags" grep -q "top-k" $shell.sh
  check "$shell: values" grep -q "f32 f16 bf16 q8_0" $shell.sh
  if command -v $shell >/dev/null; then check "the $shell script parses" $shell -n $shell.sh; fi
done
if command -v fish >/dev/null; then
  fish_has() { fish --no-config -c "source fish.sh; complete -C '$2'" | cut -f1 | grep -qxF -e "$1" || fail "fish: $2: expected $1"; }
  fish_has quantize "tessera q"
  fish_has --top-k "tessera run --top"
  fish_has kl "tessera eval "
  fish_has q8_0 "tessera run --ctk q"
fi

finish
