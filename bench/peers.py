#!/usr/bin/env python3
"""Compares tessera with llama-bench binaries on the same GGUF files, fairly: one process per sample, the engines take turns
within every round, and each sample is labelled with what decides whether it can be compared: the core-to-core state before
and after it (virtual processors move between physical cores) and the processor time that other programs took meanwhile.

    bench/peers.py --tessera build/release/apps/tessera --peer L=~/llama.cpp/build/bin/llama-bench \\
        --peer "I=~/ik/build/bin/llama-bench -fa 1 -rtr 1" -m a.gguf -m b.gguf --test pp512 --test tg128 --rounds 5

Tests: pp512, tg128, tg64@4096 (after 4096 tokens of context), tg32x8@32 (8 sequences together, each with 32 tokens before;
peers need llama-batched-bench beside llama-bench). Standard library only. Prints the ratio table; --out keeps every sample.

Every sample comes after a pause (--pause), so that none is taken while a virtual machine gives the memory of the program before back to
its host (see goals.py). With --table, --pause leaves out samples that came after a shorter one.
"""
import argparse
import json
import os
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Test:
    kind: str  # "pp" or "tg"
    tokens: int
    streams: int = 1
    depth: int = 0

    @staticmethod
    def parse(text):
        match = re.fullmatch(r"(pp|tg)(\d+)(?:x(\d+))?(?:@(\d+))?", text)
        if not match:
            raise ValueError(f"{text}: expected pp512, tg128, tg64@4096 or tg32x8@32")
        kind, tokens, streams, depth = match.groups()
        test = Test(kind, int(tokens), int(streams or 1), int(depth or 0))
        if test.tokens < 1 or test.streams < 1 or (kind == "pp" and test.streams > 1):
            raise ValueError(f"{text}: expected positive numbers; only tg takes streams")
        return test

    def __str__(self):
        streams = f"x{self.streams}" if self.streams > 1 else ""
        return f"{self.kind}{self.tokens}{streams}" + (f"@{self.depth}" if self.depth else "")


@dataclass(frozen=True)
class Engine:
    name: str
    command: tuple  # program and fixed options
    dialect: str    # "tessera", "llama" or "ik" (no -d: generation after a prompt is -gp)

    def sample_command(self, model, test, threads):
        if test.streams > 1 and self.dialect != "tessera":
            return self.batched_command(model, test, threads)
        command = [*self.command] + (["bench"] if self.dialect == "tessera" else [])
        command += ["-m", model, "-t", str(threads), "-r", "1", "-o", "json"]
        prompt, generate = (test.tokens, 0) if test.kind == "pp" else (0, test.tokens)
        if self.dialect == "ik" and test.depth:
            if test.kind == "pp":
                return None
            return command + ["-p", "0", "-n", "0", "-gp", f"{test.depth},{test.tokens}"]
        command += ["-p", str(prompt), "-n", str(generate)]
        if test.depth:
            command += ["-d", str(test.depth)]
        if test.streams > 1:
            command += ["-npl", str(test.streams)]
        return command

    def batched_command(self, model, test, threads):
        program, *options = self.command
        program = os.path.join(os.path.dirname(program), "llama-batched-bench")
        if not os.path.exists(program):
            return None
        context = (test.depth + test.tokens) * test.streams + 256
        if self.dialect == "ik":  # flags there are switches
            options = [o for flag, o in (("-rtr", "-rtr"),) if option_on(options, flag)] + ["-fa", "on"]
        return [program, "-m", model, "-t", str(threads), "-tb", str(threads), "-c", str(context), "-npp",
                str(max(test.depth, 1)), "-ntg", str(test.tokens), "-npl", str(test.streams), *options]

    def tokens_per_second(self, output, test):
        if test.streams > 1 and self.dialect != "tessera":
            return parse_batched(output, test.streams)
        return float(parse_json_records(output)[0]["avg_ts"])


def option_on(options, flag):
    return flag in options and options[options.index(flag) + 1 : options.index(flag) + 2] != ["0"]


def parse_json_records(output):
    begin, end = output.index("["), output.rindex("]") + 1
    return json.loads(output[begin:end])


def parse_batched(output, streams):
    """S_TG of the table row with this many streams: PP | TG | B | N_KV | T_PP | S_PP | T_TG | S_TG | ..."""
    for line in output.splitlines():
        cells = [c.strip() for c in line.strip().strip("|").split("|")]
        if len(cells) >= 8 and cells[2] == str(streams):
            return float(cells[7])
    raise ValueError("no row for this number of streams in the output of llama-batched-bench")


def detect_dialect(program):
    text = subprocess.run([program, "--help"], capture_output=True, text=True, check=False)
    return "llama" if "--n-depth" in text.stdout + text.stderr else "ik"


def busy_seconds():
    """Processor seconds that all programs used since boot."""
    with open("/proc/stat", encoding="ascii") as stat:
        fields = [int(f) for f in stat.readline().split()[1:]]
    user, nice, system, _, _, irq, soft = fields[:7]
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def core_state(tessera):
    run = subprocess.run([*tessera, "probe", "--state"], capture_output=True, text=True, check=False)
    return json.loads(run.stdout)["state"] if run.returncode == 0 else "unknown"


def inner(request):
    """Runs in its own process, around one sample (so that --wrap covers the probes too); prints one JSON line."""
    spec = json.loads(request)
    before = core_state(spec["tessera"])
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(spec["busy"])]
    try:
        busy, used, begin = busy_seconds(), resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        run = subprocess.run(spec["command"], capture_output=True, text=True, check=False)
        seconds = time.monotonic() - begin
        after_use = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = after_use.ru_utime + after_use.ru_stime - used.ru_utime - used.ru_stime
        others = max(0.0, (busy_seconds() - busy - own) / seconds)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    after = core_state(spec["tessera"])
    print(json.dumps({
        "returncode": run.returncode, "stdout": run.stdout, "stderr": run.stderr[-2000:],
        "state": before if before == after else "unknown", "other_cpus": round(others, 3), "wall_seconds": round(seconds, 3),
        "peak_resident_bytes": after_use.ru_maxrss * 1024}))


def take_sample(engine, model, test, args):
    command = engine.sample_command(model, test, args.threads)
    if command is None:
        return None
    time.sleep(args.pause)
    request = {"tessera": args.tessera, "command": command, "busy": args.busy}
    run = subprocess.run(args.wrap + [sys.executable, os.path.abspath(__file__), "--inner", json.dumps(request)],
                         capture_output=True, text=True, check=False)
    try:
        result = json.loads(run.stdout)
        # llama-batched-bench prints its table to either.
        text = result["stdout"] if test.streams == 1 else result["stdout"] + "\n" + result["stderr"]
        rate = engine.tokens_per_second(text, test)
    except (ValueError, KeyError, IndexError) as error:
        detail = (run.stdout + run.stderr)[-400:]
        print(f"{engine.name} {os.path.basename(model)} {test}: no result ({error}): {detail}", file=sys.stderr)
        return None
    del result["stdout"], result["stderr"], result["returncode"]
    return {"engine": engine.name, "model": os.path.basename(model), "test": str(test), "threads": args.threads,
            "busy": args.busy, "label": args.label, "pause": args.pause, "tokens_per_second": rate,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **result}


def is_quiet(sample):
    return sample["other_cpus"] - sample["busy"] < 0.2


def cell(samples):
    if not samples:
        return "-"
    rates = [s["tokens_per_second"] for s in samples]
    return f"{statistics.median(rates):.1f} ({min(rates):.1f}-{max(rates):.1f}, {len(rates)})"


def row_name(sample, most_threads):
    """What is compared: model, test and what was asked for besides."""
    words = [sample["test"]]
    if sample.get("label"):
        words.append(sample["label"])
    if sample["threads"] != most_threads:
        words.append(f"{sample['threads']} thread" + ("s" if sample["threads"] > 1 else ""))
    if sample["busy"]:
        words.append("beside a busy thread" if sample["busy"] == 1 else f"beside {sample['busy']} busy threads")
    return sample["model"], ", ".join(words)


def ratio_table(samples, engines, ours):
    """Rows: test x state. Cells: median (min-max, n). Ratio: ours to the best peer's median in the same row."""
    lines = ["| model | test | cores | " + " | ".join(engines) + " | ratio | disturbed |",
             "|---|---|---|" + "---|" * (len(engines) + 2)]
    most_threads = max((s["threads"] for s in samples), default=0)
    for model, test in dict.fromkeys(row_name(s, most_threads) for s in samples):
        group = [s for s in samples if row_name(s, most_threads) == (model, test)]
        quiet = [s for s in group if is_quiet(s)]
        for state in ("all", "near", "far"):
            chosen = [s for s in quiet if state in ("all", s["state"])]
            by_engine = {e: [s for s in chosen if s["engine"] == e] for e in engines}
            if state != "all" and not any(by_engine.values()):
                continue
            medians = {e: statistics.median(s["tokens_per_second"] for s in v) for e, v in by_engine.items() if v}
            peers = [v for e, v in medians.items() if e != ours]
            ratio = f"{medians[ours] / max(peers):.2f}" if ours in medians and peers else "-"
            dropped = str(len(group) - len(quiet)) if state == "all" else ""
            lines.append(f"| {model} | {test} | {state} | " + " | ".join(cell(by_engine[e]) for e in engines) +
                         f" | {ratio} | {dropped} |")
    return "\n".join(lines)


def stored_table(paths, pause):
    samples = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as lines:
                samples += [json.loads(line) for line in lines if line.strip()]
        except (OSError, ValueError) as error:
            sys.exit(f"--table {path}: {error}")
    samples = [s for s in samples if pause is None or s.get("pause", 0) >= pause]
    engines = list(dict.fromkeys(s["engine"] for s in samples))
    return ratio_table(samples, engines, "tessera")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tessera", default="build/release/apps/tessera", help="our program, with options if any")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND", help="a llama-bench binary and options")
    parser.add_argument("-m", "--model", action="append", default=[])
    parser.add_argument("--test", action="append", default=[], help="default: pp512 and tg128")
    parser.add_argument("-t", "--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pause", type=float, metavar="SECONDS", help="before every sample (default 5, see above)")
    parser.add_argument("--busy", type=int, default=0, help="busy-loop processes competing for the processors")
    parser.add_argument("--label", default="", help="what is special about these samples, for the table (q8_0 cache)")
    parser.add_argument("--wrap", default="", help="command to run every sample under")
    parser.add_argument("--out", help="append every sample to this file, one JSON object a line")
    parser.add_argument("--table", action="append", default=[], metavar="FILE", help="only print the table of these samples")
    args = parser.parse_args()
    if args.table:
        return args
    if not args.model:
        parser.error("-m: expected a model")
    args.pause = 5 if args.pause is None else args.pause
    if args.pause < 0:
        parser.error(f"--pause: expected at least 0, found {args.pause:g}")
    args.tessera, args.wrap = shlex.split(args.tessera), shlex.split(args.wrap)
    try:
        args.tests = [Test.parse(t) for t in args.test or ["pp512", "tg128"]]
    except ValueError as error:
        parser.error(f"--test {error}")
    if shutil.which(args.tessera[0]) is None:
        parser.error(f"--tessera {args.tessera[0]}: no such program")
    return args


def make_engines(args):
    engines = [Engine("tessera", tuple(args.tessera), "tessera")]
    for peer in args.peer:
        name, _, command = peer.partition("=")
        words = shlex.split(os.path.expanduser(command))
        if not name or not words:
            sys.exit(f"--peer {peer}: expected NAME=COMMAND")
        engines.append(Engine(name, tuple(words), detect_dialect(words[0])))
    return engines


def main():
    if sys.argv[1:2] == ["--inner"]:
        inner(sys.argv[2])
        return
    args = parse_arguments()
    if args.table:
        print(stored_table(args.table, args.pause))
        return
    engines = make_engines(args)
    samples = []
    for number in range(args.rounds):
        for model in args.model:
            for test in args.tests:
                # The order turns with the rounds: nobody always runs first after a pause.
                for engine in engines[number % len(engines):] + engines[: number % len(engines)]:
                    sample = take_sample(engine, model, test, args)
                    if sample is None:
                        continue
                    samples.append(sample)
                    print(f"{number + 1}/{args.rounds} {sample['model']} {test} {engine.name}: "
                          f"{sample['tokens_per_second']:.2f} t/s, {sample['state']}, others {sample['other_cpus']}",
                          file=sys.stderr)
                    if args.out:
                        with open(args.out, "a", encoding="utf-8") as out:
                            out.write(json.dumps(sample) + "\n")
    if not samples:
        sys.exit("no sample succeeded")
    print(ratio_table(samples, [e.name for e in engines], engines[0].name))


if __name__ == "__main__":
    main()
