#!/usr/bin/env python3
"""Are the defaults good? Sweeps threads and batch size (the prefill chunk) of `tessera bench` around their defaults, one process
per sample, all settings taking turns within every round, and prints for each test how far the default is from the best.

    bench/sweep_defaults.py --tessera build/release/apps/tessera -m model.gguf --rounds 5

Standard library only. The medians of the settings of one test are compared; the state of the cores is printed beside them,
because a sweep in which it changed says nothing.
"""
import argparse
import json
import os
import statistics
import subprocess


def sweeps(cpus, quick):
    """(test, option, values, default value, further bench arguments)"""
    threads = sorted({1, max(1, cpus // 2), cpus, cpus + 1, 2 * cpus})
    prompt, batches = ("256", [64, 128, 256, 512]) if quick else ("2048", [128, 256, 512, 1024, 2048])
    return [
        ("tg32", "-t", threads, cpus, ["-p", "0", "-n", "32"]),
        ("pp256", "-t", threads, cpus, ["-p", "256", "-n", "0"]),
        (f"pp{prompt}", "-b", batches, 512, ["-p", prompt, "-n", "0"]),
    ]


def sample(program, model, option, value, arguments):
    command = [program, "bench", "-m", model, *arguments, option, str(value), "-r", "1", "-o", "json"]
    record = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)[0]
    return record["samples_ts"][0], record.get("samples_core_state", ["unknown"])[0]


def table(test, option, values, default, samples):
    medians = {v: statistics.median(rate for rate, _ in samples[v]) for v in values}
    best = max(medians, key=medians.get)
    lines = [f"\n{test}, {option}: default {default} is at {100 * medians[default] / medians[best]:.0f} % of the best ({best})\n",
             f"| {option} | tokens/s | lowest | highest | of the best | states |", "|--:|--:|--:|--:|--:|---|"]
    for v in values:
        rates = [rate for rate, _ in samples[v]]
        states = " ".join(sorted({state for _, state in samples[v]}))
        lines.append(f"| {v}{' (default)' if v == default else ''} | {medians[v]:.1f} | {min(rates):.1f} | {max(rates):.1f} "
                     f"| {100 * medians[v] / medians[best]:.0f} % | {states} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tessera", default="build/release/apps/tessera")
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="shorter prompts")
    options = parser.parse_args()
    for test, option, values, default, arguments in sweeps(len(os.sched_getaffinity(0)), options.quick):
        samples = {v: [] for v in values}
        for _ in range(options.rounds):
            for v in values:
                samples[v].append(sample(options.tessera, options.model, option, v, arguments))
        print(table(test, option, values, default, samples), flush=True)


if __name__ == "__main__":
    main()
