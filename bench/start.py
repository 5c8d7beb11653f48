#!/usr/bin/env python3
"""Times whole runs of programs, from their start to their end, in turns: after a pause, in which a hypervisor may take free memory
back, and straight after another run of the same program, with its memory still there.

    bench/start.py --rounds 7 --pause 4 --out start.jsonl \\
        --run "tessera=build/release/apps/tessera run -m a.gguf -c 4096 -p x -n 1" \\
        --run "I=~/ik/build/bin/llama-cli -m a.gguf -c 4096 -t 2 -fa on -rtr -p x -n 1"

Prints medians of seconds and of peak resident memory; --out keeps every sample. Standard library only.
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time


def sample(name, command, after):
    begin = time.monotonic()
    quiet = subprocess.DEVNULL
    run = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)
    _, status, usage = os.wait4(run.pid, 0)
    seconds = time.monotonic() - begin
    if status != 0:
        sys.exit(f"{shlex.join(command)}: failed")
    return {"name": name, "after": after, "seconds": round(seconds, 4), "peak_resident_bytes": usage.ru_maxrss * 1024,
            "user_seconds": usage.ru_utime, "system_seconds": usage.ru_stime,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def table(samples):
    lines = ["| program | after | seconds: median (lowest-highest, samples) | system time, seconds | peak memory, GB |", "|---|---|--:|--:|--:|"]
    for name, after in dict.fromkeys((s["name"], s["after"]) for s in samples):
        group = [s for s in samples if (s["name"], s["after"]) == (name, after)]
        seconds = [s["seconds"] for s in group]
        lines.append(f"| {name} | {after} | {statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f}, {len(group)}) | "
                     f"{statistics.median(s['system_seconds'] for s in group):.2f} | "
                     f"{statistics.median(s['peak_resident_bytes'] for s in group) / 1e9:.2f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pause", type=float, default=4, help="seconds before the first of two runs")
    parser.add_argument("--out", help="append every sample to this file, one JSON object a line")
    parser.add_argument("--table", metavar="FILE", help="only print the table of these samples")
    args = parser.parse_args()
    if args.table:
        with open(args.table, encoding="utf-8") as lines:
            print(table([json.loads(line) for line in lines]))
        return
    runs = []
    for text in args.run:
        name, _, command = text.partition("=")
        runs.append((name, shlex.split(os.path.expanduser(command))))
    if not runs or not all(name and command for name, command in runs):
        parser.error("--run: expected NAME=COMMAND")
    samples = []
    for number in range(args.rounds):
        first = number % len(runs)
        for name, command in runs[first:] + runs[:first]:
            time.sleep(args.pause)
            for after in (f"{args.pause:g} s of pause", "a run of its own"):
                samples.append(sample(name, command, after))
                print(f"{number + 1}/{args.rounds} {name} after {after}: {samples[-1]['seconds']:.2f} s", file=sys.stderr)
                if args.out:
                    with open(args.out, "a", encoding="utf-8") as out:
                        out.write(json.dumps(samples[-1]) + "\n")
    print(table(samples))


if __name__ == "__main__":
    main()
