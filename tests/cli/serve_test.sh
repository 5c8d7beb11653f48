#!/usr/bin/env bash
# plan --serve as a user runs it: the line with the address, the page, the end, what is wrong with an address.
source "$(dirname "$0")/lib.sh"
cd "$work" || exit 1

# start ARGUMENTS...: leaves the process in $server and the address in $url.
start() {
  : >line
  "$tessera" plan "$@" >line 2>note &
  server=$!
  for ((i = 0; i < 600; ++i)); do
    url=$(grep -oE -m 1 '^http://[^ ]+' line) && return
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  fail "plan $*: no address: $(cat line note)"
}
# request METHOD PATH: the answer, headers included, by the shell's own sockets.
request() {
  local host=${url#http://}
  host=${host%%/*}
  exec 3<>"/dev/tcp/${host%:*}/${host##*:}" || return
  printf '%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$1" "$2" "$host" >&3
  cat <&3
  exec 3>&-
}

start "$model" --serve 0
check "the address has the page's path" grep -qE "^http://127.0.0.1:[0-9]+/plan" line
check "loopback needs no note" test ! -s note
"$tessera" plan "$model" --html page.html >/dev/null
request GET /plan | sed '1,/^\r$/d' >served.html
check "the page has a form" grep -q '<form class="ask"' served.html
check "without it the page is that of --html" cmp -s page.html <(sed -z 's|<form class="ask".*</form>\n||' served.html)
status() { request "$1" "$2" | head -n 1 | cut -d' ' -f2; }
check "named models" test "$(status GET '/plan.json?model=llama-3-8b&hardware=h100')" = 200
check "wrong values" test "$(status GET '/plan?chips=0')" = 400
check "other methods" test "$(status POST /plan)" = 405
check "the root leads to the page" test "$(status GET /)" = 303
port=${url%/plan}
port=${port##*:}
expect_error 1 "tessera plan: --serve: 127.0.0.1:$port: address already in use" "$tessera" plan --serve "$port"
for signal in INT TERM; do
  kill -"$signal" "$server"
  wait "$server"
  check "SIG$signal ends it, exit code 0" test $? = 0
  [[ $signal == INT ]] && start llama-3-8b --hardware h100 --serve 127.0.0.1:0
done

start llama-3-8b --hardware h100 --serve 0.0.0.0:0
check "an open address is said to be" grep -q "open to every machine" note
kill "$server"
wait "$server"

expect_error 2 "tessera plan: --serve: expected [HOST:]PORT such as 8080, 0.0.0.0:8080 or [::1]:0, found 'x'" "$tessera" plan --serve x
expect_error 2 "tessera plan: --serve: the page takes the place of --json, --list, --html, --check, --calibrate and --gallery" \
  "$tessera" plan --serve 0 --json
expect_error 2 "tessera plan: --serve: the page simulates --rate, not --trace" "$tessera" plan --serve 0 --trace none.csv
expect "no such model" 1 "$tessera" plan none.gguf --serve 0
check "no such model is one line" test "$(wc -l <err)" = 1

finish
