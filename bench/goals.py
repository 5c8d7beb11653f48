#!/usr/bin/env python3
"""Measures the first table of "Whole models" in docs/performance.md: every test with its goal, what was reached, and the fraction of the limits.

    bench/goals.py --tessera build/release/apps/tessera --models /tmp/models --rounds 5 --out samples.jsonl

Makes the models (random weights in real shapes, `tessera synth`, 8 GB in all) where they are missing. One process per sample, the tests
take turns; before and after each sample the limits of that moment are read (`tessera probe --limits`), because on a shared machine they
change from second to second. A sample of decoding counts for a state of the cores if both readings were in it and agree within a
tenth; of prompts and of several sequences every pass counts by itself, for the state that the program saw before and after it.
--only NAME measures some tests, --table FILE prints the table of samples taken earlier. Standard library only.

    bench/goals.py ... --want 5 --minutes 40 --out samples.jsonl

takes instead of rounds what the file lacks of 5 samples of each test in each state, as far as 40 minutes go: always the test with the
fewest in the state of that moment. The same samples count as above. The start to the first token and peak memory do not depend on the
state and are measured in rounds only.

Every sample comes after a pause (--pause): a virtual machine may give the memory of a program back to its host some seconds after the
program's end (free page reporting), and what runs meanwhile is slower. The whole runs follow each other at once. With --table, --pause
leaves out samples that came after a shorter one, with --want it does not count them.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

MODELS = {  # file: shape, type
    "tiny-q4_0": ("tinyllama-1.1b", "q4_0"),
    "tiny-q8_0": ("tinyllama-1.1b", "q8_0"),
    "tiny-q4_k_m": ("tinyllama-1.1b", "q4_k_m"),
    "tiny-bf16": ("tinyllama-1.1b", "bf16"),
    "tiny-f16": ("tinyllama-1.1b", "f16"),
    "3b-q4_0": ("llama-3.2-3b", "q4_0"),
}


@dataclass(frozen=True)
class Goal:
    name: str
    model: str
    arguments: str
    rate: float = 0  # tokens per second
    near: float = 0  # fraction of the read bandwidth, in the near state
    far: float = 0
    of_peak: float = 0  # fraction of the multiply-add peak
    peak: str = ""      # which: i8_gops, bf16_gops or f32_gops
    busy: bool = False


GOALS = [
    Goal("prefill 512, Q4_0", "tiny-q4_0", "-p 512 -n 0 -r 2", rate=355, peak="i8_gops"),
    Goal("prefill 512, Q8_0", "tiny-q8_0", "-p 512 -n 0 -r 2", rate=355, peak="i8_gops"),
    Goal("prefill 512, Q4_K_M", "tiny-q4_k_m", "-p 512 -n 0 -r 2", rate=320, peak="i8_gops"),
    Goal("prefill 512, BF16", "tiny-bf16", "-p 512 -n 0 -r 2", rate=200, peak="bf16_gops"),
    Goal("prefill 512, F16", "tiny-f16", "-p 512 -n 0 -r 1", peak="f32_gops"),
    Goal("prefill 512, F16 with --weights bf16", "tiny-f16", "-p 512 -n 0 -r 2 --weights bf16", peak="bf16_gops"),
    Goal("prefill 2048, Q4_0", "tiny-q4_0", "-p 2048 -n 0 -r 1", rate=300, peak="i8_gops"),
    Goal("prefill 512, W8", "tiny-bf16", "-p 512 -n 0 -r 2 --weights w8", of_peak=0.85, peak="i8_gops"),
    Goal("decode, Q4_0", "tiny-q4_0", "-p 0 -n 64 -r 2", near=0.92, far=0.85),
    Goal("decode, Q8_0", "tiny-q8_0", "-p 0 -n 64 -r 2", near=0.92, far=0.85),
    Goal("decode, Q4_K_M", "tiny-q4_k_m", "-p 0 -n 64 -r 2", near=0.92, far=0.85),
    Goal("decode, BF16", "tiny-bf16", "-p 0 -n 48 -r 2", near=0.92, far=0.85),
    Goal("decode, W8", "tiny-bf16", "-p 0 -n 64 -r 2 --weights w8"),
    Goal("decode, 1 thread, Q4_0", "tiny-q4_0", "-t 1 -p 0 -n 48 -r 2", near=0.90, far=0.90),
    Goal("decode at depth 4096, Q4_0, f16 cache", "tiny-q4_0", "-p 0 -n 64 -d 4096 -ctk f16 -ctv f16 -r 2", rate=45),
    Goal("decode at depth 4096, Q4_0, bf16 cache", "tiny-q4_0", "-p 0 -n 64 -d 4096 -r 2"),
    Goal("decode at depth 16384, Q4_0, q8_0 cache", "tiny-q4_0", "-p 0 -n 24 -d 16384 -ctk q8_0 -ctv q8_0 -r 1",
         near=0.667, far=0.667),
    Goal("8 sequences, Q4_0", "tiny-q4_0", "-p 0 -n 32 -npl 8 -r 2", rate=260),
    Goal("16 sequences, Q8_0", "tiny-q8_0", "-p 0 -n 32 -npl 16 -r 2", rate=260),
    Goal("32 sequences, Q4_0", "tiny-q4_0", "-p 0 -n 32 -npl 32 -r 2", rate=300),
    Goal("3B, prefill 512, Q4_0", "3b-q4_0", "-p 512 -n 0 -r 1", rate=120, peak="i8_gops"),
    Goal("3B, decode, Q4_0", "3b-q4_0", "-p 0 -n 32 -r 2", near=0.92, far=0.85),
    Goal("decode beside a busy thread, Q4_0", "tiny-q4_0", "-p 0 -n 64 -r 3", busy=True),
]
BUSY_OF = "decode, Q4_0"  # the same without company
BUSY_GOAL = 0.5

# Whole runs of the program: name, arguments of `tessera run`, what counts, goal.
RUNS = [
    ("start to first token, Q4_0, warm file", "-p x -n 1", "seconds", 0.5),
    ("peak memory, Q4_0, context 4096, 8 tokens", "-p x -n 8 -c 4096", "gigabytes", 0.72),
]
RUN_MODEL = "tiny-q4_0"


def limits(program):
    return json.loads(subprocess.run([*program, "probe", "--limits"], check=True, capture_output=True, text=True).stdout)


def bytes_of_step(goal, record):
    """What one decode step reads: packed weights, and the cache at the middle of the test."""
    layers, kv_elements = 22, 4 * 64 * 2  # TinyLlama-1.1B; the 3B test has no depth
    words = goal.arguments.split()
    if "-d" not in words:
        return record["packed_bytes"]
    element = {"bf16": 2, "f16": 66 / 32, "q8_0": 68 / 64}[words[words.index("-ctk") + 1] if "-ctk" in words else "bf16"]
    tokens = record["n_depth"] + record["n_gen"] / 2
    return record["packed_bytes"] + tokens * layers * kv_elements * element


def settled_limits(program, pause):
    """The limits of the moment, after the memory of the program before has gone back."""
    time.sleep(pause)
    return limits(program)


def take(program, folder, goal, pause, before):
    """One sample, after `before`: the reading that the pause led to."""
    hog = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if goal.busy else None
    try:
        command = [*program, "bench", "-m", os.path.join(folder, goal.model + ".gguf"), *goal.arguments.split(), "-o", "json"]
        record = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)[0]
    finally:
        if hog:
            hog.kill()
            hog.wait()
    return {"test": goal.name, "arguments": goal.arguments, "model": goal.model, "pause": pause,
            "before": before, "after": limits(program),
            "tokens_per_second": statistics.median(record["samples_ts"]), "samples": record["samples_ts"],
            "states": record["samples_core_state"], "others": record["samples_other_cpus"],
            "step_bytes": bytes_of_step(goal, record), "limit_fraction": record.get("limit_fraction"),
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def take_run(program, folder, name, arguments, unit):
    command = [*program, "run", "-m", os.path.join(folder, RUN_MODEL + ".gguf"), *arguments.split()]
    begin = time.monotonic()
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(run.pid, 0)
    seconds = time.monotonic() - begin
    if status != 0:
        sys.exit(f"{' '.join(command)}: failed")
    return {"test": name, "arguments": arguments, "model": RUN_MODEL, "value": seconds if unit == "seconds" else usage.ru_maxrss / 1e6 * 1.024,
            "unit": unit, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def readings(sample):
    """The limits beside a sample. Tests at a depth fill their context first, for up to a minute: only the reading after them."""
    return [sample["after"]] if "-d " in sample["arguments"] else [sample["before"], sample["after"]]


def read_field(arguments):
    return "read_one_gb_per_s" if "-t 1 " in arguments else "read_gb_per_s"


def state_of(sample):
    """near or far when nothing moved, else changing."""
    states = {reading["state"] for reading in readings(sample)} | set(sample["states"])
    reads = [[reading[field] for reading in readings(sample)] for field in ("read_gb_per_s", read_field(sample["arguments"]))]
    steady = len(states) == 1 and all(max(values) < 1.1 * min(values) for values in reads)
    return states.pop() if steady and states <= {"near", "far"} else "changing"


def passes_of(sample):
    """Each pass of a sample on its own, with the label that the program gave it: the limit of products of many tokens does not depend
    on the state, only their speed does, a little."""
    for rate, state in zip(sample["samples"], sample["states"]):
        yield {**sample, "tokens_per_second": rate, "label": state if state in ("near", "far") else "changing"}


def fraction_of_read(sample):
    read = statistics.mean(reading[read_field(sample["arguments"])] for reading in readings(sample))
    return sample["tokens_per_second"] * sample["step_bytes"] / 1e9 / read


def middle(values, digits, factor=1):
    values = [factor * v for v in values]
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f}, {len(values)})"


def flops_per_token(goal):
    """Products of a prompt of 512 or 2048 tokens, logits of the last one only; attention causal."""
    tokens = int(goal.arguments.split()[1])
    layers, dim, ff, kv, heads_dim = (28, 3072, 8192, 1024, 3072) if goal.model.startswith("3b") else (22, 2048, 5632, 256, 2048)
    matrices = 2 * layers * (2 * dim * heads_dim + 2 * dim * kv + 3 * dim * ff)
    return matrices + 2 * layers * 2 * heads_dim * tokens / 2


def labelled(goal, samples):
    """The test's samples, each with its state; of prompts and sequences every pass."""
    mine = [s for s in samples if s["test"] == goal.name]
    if goal.peak or "-npl" in goal.arguments:
        mine = [one for s in mine for one in passes_of(s)]
    return [(s, s.get("label") or state_of(s)) for s in mine]


def rows_of(goal, samples, quiet):
    """One line of the table per state."""
    mine = labelled(goal, samples)
    decode = not goal.peak and "-npl" not in goal.arguments and not goal.busy
    for state in ("near", "far", "changing"):
        chosen = [s for s, label in mine if label == state]
        if not chosen or (state == "changing" and len(chosen) < len(mine)):
            continue
        rates = [s["tokens_per_second"] for s in chosen]
        of_limit, reached, goal_text = "", "", ""
        if goal.rate:
            goal_text, reached = f"{goal.rate:.0f}", statistics.median(rates) >= goal.rate
        if decode:
            fractions = [fraction_of_read(s) for s in chosen]
            of_limit = middle(fractions, 0, 100) + " % of reading"
            least = goal.near if state == "near" else goal.far
            if least:
                goal_text, reached = f"{100 * least:.0f} % of reading", statistics.median(fractions) >= least
        elif goal.peak:
            fractions = [s["tokens_per_second"] * flops_per_token(goal) / 1e9 / max(s["before"][goal.peak], s["after"][goal.peak])
                         for s in chosen]
            of_limit = middle(fractions, 0, 100) + " % of the peak"
            if goal.of_peak:
                goal_text, reached = f"{100 * goal.of_peak:.0f} % of the peak", statistics.median(fractions) >= goal.of_peak
        elif goal.busy and quiet.get(state):
            share = statistics.median(rates) / quiet[state]
            of_limit, goal_text = f"{100 * share:.0f} % of the quiet rate", f"{100 * BUSY_GOAL:.0f} %"
            reached = share >= BUSY_GOAL
        if state == "changing" and not goal.rate:
            goal_text, reached = "", ""
        mark = {True: "yes", False: "no", "": ""}[reached]
        yield f"| {goal.name} | {state} | {goal_text} | {middle(rates, 1)} | {of_limit} | {mark} |"


def table(samples):
    quiet = {}
    for state in ("near", "far"):
        rates = [s["tokens_per_second"] for s in samples if s["test"] == BUSY_OF and state_of(s) == state]
        if rates:
            quiet[state] = statistics.median(rates)
    lines = ["| test | cores | goal | tokens/s: median (lowest-highest, samples) | of the limits of the same seconds | reached |",
             "|---|---|--:|--:|--:|---|"]
    for goal in GOALS:
        lines += rows_of(goal, samples, quiet)
    for name, _, unit, most in RUNS:
        values = [s["value"] for s in samples if s["test"] == name]
        if values:
            reached = "yes" if statistics.median(values) <= most else "no"
            lines.append(f"| {name} | | at most {most} {unit} | {middle(values, 2)} {unit} | | {reached} |")
    return "\n".join(lines)


def samples_in(goal, samples, state):
    """How many samples (of prompts and sequences: passes) count for the state."""
    return sum(label == state for _, label in labelled(goal, samples))


def next_goal(goals, samples, state, want):
    """The test with the fewest samples in this state and, among these, the fewest tries; None if none lacks any."""
    lacking = [g for g in goals if samples_in(g, samples, state) < want]
    tries = {g.name: sum(s["test"] == g.name for s in samples) for g in lacking}
    return min(lacking, key=lambda g: (samples_in(g, samples, state), tries[g.name]), default=None)


def read_samples(path):
    try:
        with open(path, encoding="utf-8") as lines:
            return [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        sys.exit(f"{path}: {error}")


def paused(sample, pause):
    """Whether it came after such a pause. Whole runs have none."""
    return "value" in sample or sample.get("pause", 0) >= pause


def make_models(program, folder, names):
    os.makedirs(folder, exist_ok=True)
    for name in names:
        path = os.path.join(folder, name + ".gguf")
        shape, kind = MODELS[name]
        if not os.path.exists(path):
            subprocess.run([*program, "synth", "--like", shape, "--type", kind, "-o", path], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tessera", default="build/release/apps/tessera")
    parser.add_argument("--models", help="folder of the models; they are made where they are missing")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--want", type=int, default=0, metavar="N", help="instead of rounds: N samples of each test in each state")
    parser.add_argument("--minutes", type=float, default=30, help="with --want: how long to go on")
    parser.add_argument("--pause", type=float, metavar="SECONDS", help="before every sample (default 5, see above)")
    parser.add_argument("--only", action="append", default=[], metavar="TEXT", help="tests whose names contain it")
    parser.add_argument("--out", help="append every sample to this file, one JSON object a line")
    parser.add_argument("--table", metavar="FILE", help="only print the table of these samples")
    args = parser.parse_args()
    if args.table:
        try:
            print(table([s for s in read_samples(args.table) if args.pause is None or paused(s, args.pause)]))
        except KeyError as error:
            sys.exit(f"{args.table}: a sample without {error}")
        return
    if not args.models:
        parser.error("--models: expected a folder")
    pause = 5 if args.pause is None else args.pause
    if pause < 0:
        parser.error(f"--pause: expected at least 0, found {pause:g}")
    goals = [g for g in GOALS if not args.only or any(text in g.name for text in args.only)]
    runs = [r for r in RUNS if not args.only or any(text in r[0] for text in args.only)]
    program = [args.tessera]
    make_models(program, args.models, dict.fromkeys([g.model for g in goals] + [RUN_MODEL for _ in runs]))
    samples = []
    if args.want and args.out and os.path.exists(args.out):
        samples = [s for s in read_samples(args.out) if paused(s, pause)]

    def keep(sample):
        samples.append(sample)
        if args.out:
            with open(args.out, "a", encoding="utf-8") as out:
                out.write(json.dumps(sample) + "\n")

    deadline = time.monotonic() + 60 * args.minutes
    while args.want and time.monotonic() < deadline:
        reading = settled_limits(program, pause)
        goal = next_goal(goals, samples, reading["state"], args.want)
        if goal is None:
            if all(next_goal(goals, samples, state, args.want) is None for state in ("near", "far")):
                break
            time.sleep(max(0, 2 - pause))  # until the cores are in the other state
            continue
        keep(take(program, args.models, goal, pause, reading))
        print(f"{goal.name}: {samples[-1]['tokens_per_second']:.1f} tokens/s, {state_of(samples[-1])}, now "
              f"{samples_in(goal, samples, 'near')} near, {samples_in(goal, samples, 'far')} far", file=sys.stderr)
    for number in range(0 if args.want else args.rounds):
        for goal in goals:
            sample = take(program, args.models, goal, pause, settled_limits(program, pause))
            keep(sample)
            print(f"{number + 1}/{args.rounds} {goal.name}: {sample['tokens_per_second']:.1f} tokens/s, {state_of(sample)}",
                  file=sys.stderr)
        for name, arguments, unit, _ in runs:
            keep(take_run(program, args.models, name, arguments, unit))
            print(f"{number + 1}/{args.rounds} {name}: {samples[-1]['value']:.2f} {unit}", file=sys.stderr)
    print(table(samples))


if __name__ == "__main__":
    main()
