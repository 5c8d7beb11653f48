# What the tests of the program share. Each runs the program as a user does and looks at what a user sees: output, exit codes, error
# lines. Sourced with the arguments TESSERA MODEL.gguf FOLDER_OF_TOOLS (json_check, on_terminal); ends with `finish`.
set -uo pipefail
tessera=$1
model=$2
tools=$3
json_check=$tools/json_check
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0

fail() { echo "FAIL $1"; failures=$((failures + 1)); }

# check NAME COMMAND...: fails when the command does.
check() { local name=$1; shift; "$@" || fail "$name"; }

# expect NAME EXIT_CODE COMMAND...: leaves stdout and stderr in $work/out and $work/err.
expect() {
  local name=$1 code=$2
  shift 2
  timeout 120 "$@" >"$work/out" 2>"$work/err" </dev/null
  local found=$?
  (( found == code )) || fail "$name: expected exit code $code, found $found: $(head -c 300 "$work/err")"
}

# expect_error EXIT_CODE LINE COMMAND...: the error is exactly this line, and there is no output.
expect_error() {
  local code=$1 line=$2
  shift 2
  expect "$line" "$code" "$@"
  [[ $(<"$work/err") == "$line" ]] || fail "expected: $line"$'\n'"     found:    $(<"$work/err")"
  [[ -s $work/out ]] && fail "$line: expected no output"
}

# json NAME POINTER: the value at the pointer of the JSON text in $work/out; fails when that is no JSON.
json() { "$json_check" "$2" <"$work/out" || fail "$1: expected JSON with $2"; }

finish() {
  (( failures == 0 )) && echo "all checks passed"
  exit $(( failures > 0 ))
}
