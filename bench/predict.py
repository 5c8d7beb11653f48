#!/usr/bin/env python3
"""How well `tessera plan` predicts this machine: probe, measure, compare, fit. Repeats the tables of docs/planner.md.

    bench/predict.py --tessera build/release/apps/tessera --models /tmp/models --out share/measured/engine.json

For every shape and type it writes a model of random weights (once), and in every round it probes the machine, measures
prompts of 512 and 128 tokens and decode steps at two depths, and probes again: the prediction of a record uses the mean of
the two probes around it, with the memory rates of their samples in the same core state (near, far) as the record's. Samples
that other programs disturbed are dropped. Then the constants of the engine are fitted to all
records; the printed errors are of constants fitted without any record of the same model.

--refit uses the records that the output file already holds. --wrap CMD runs everything timed under a command.
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile

# Shapes from 135 M to 1.5 B parameters, heads of 64 and 128, with and without biases, every probed weight type.
MODELS = [
    ("smollm2-135m", "q4_k_m"), ("smollm2-360m", "q8_0"), ("smollm2-360m", "bf16"), ("qwen2.5-0.5b", "q4_0"),
    ("qwen2.5-0.5b", "q8_0"), ("qwen3-0.6b", "q6_k"), ("qwen3-0.6b", "f16"), ("tinyllama-1.1b", "q4_0"),
    ("llama-3.2-1b", "q4_k_m"), ("qwen2.5-1.5b", "q4_k_m"),
]
TESTS = ["-p", "512,128", "-n", "16", "-d", "128,1984"]
WANTED = {(512, 0), (128, 0), (16, 128), (16, 1984)}  # (tokens, depth) of the table
MOST_OTHER_CPUS = 0.3
KEPT = ["model_filename", "n_prompt", "n_gen", "n_depth", "n_batch", "type_k", "type_v", "n_seqs", "n_ctx", "n_ctx_seqs",
        "n_tokens_read", "peak_resident_bytes", "test", "build_commit", "test_time"]


def run(command, wrap, timeout=280):
    done = subprocess.run(wrap + command, capture_output=True, text=True, timeout=timeout + 260)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def probe(tessera, wrap):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "hardware.json")
        run([tessera, "probe", "-o", path, "-r", "5"], wrap)
        with open(path) as file:
            return json.load(file)


def mean_of(a, b):
    """Rates halfway between two probes; everything else from the first."""
    if isinstance(a, dict):
        return {key: mean_of(value, b.get(key, value)) for key, value in a.items()}
    if isinstance(a, float) or (isinstance(a, int) and not isinstance(a, bool)):
        return (a + b) / 2
    return a


def median_in_state(numbers, state):
    """Of samples with states, pooled over probes; None where there are none in that state."""
    pooled = [v for n in numbers for v, s in zip(n["samples"], n["states"]) if s == state]
    return statistics.median(pooled) if pooled else None


def machine_of(before, after, state):
    """The description between two probes, with memory rates of one core state where the probes saw it."""
    wanted = ["name", "description", "peak_flops", "memory_bytes", "memory_bandwidth", "usable_memory_fraction", "causal_skip",
              "compute_in_int8", "cores", "loaded_program_bytes", "kernels"]
    machine = mean_of({key: before[key] for key in wanted}, after)
    machine["core_state"] = state
    probes = [before["probe"], after["probe"]]
    most = max(r["threads"] for r in probes[0]["memory_read_gb_per_s"])
    for pages in (False, True):
        reads = [r for p in probes for r in p["memory_read_gb_per_s"] if r["threads"] == most and r["huge_pages"] == pages]
        rate = median_in_state(reads, state)
        if rate is not None:
            machine["memory_bandwidth"] = max(rate * 1e9, machine["memory_bandwidth"] if pages else 0)
    for kernel in probes[0]["kernels"]:
        rate = median_in_state([k["decode_gb_per_s"] for p in probes for k in p["kernels"] if k["type"] == kernel["type"]], state)
        if rate is not None:
            machine["kernels"][kernel["type"]]["weight_bandwidth"] = rate * 1e9
    return machine


def record_of(raw, shape):
    """The record with undisturbed samples only, or None."""
    quiet = [i for i, cpus in enumerate(raw["samples_other_cpus"]) if cpus <= MOST_OTHER_CPUS]
    if not quiet:
        return None
    kept, states = [raw["samples_ns"][i] for i in quiet], [raw["samples_core_state"][i] for i in quiet]
    record = {key: raw[key] for key in KEPT if key in raw}
    record["model_filename"] = os.path.basename(raw["model_filename"])
    usual = next((s for s in ("near", "far") if 4 * states.count(s) >= 3 * len(states)), "unknown")
    return record | {"avg_ns": statistics.median(kept), "samples_ns": kept, "core_state": usual, "shape": shape}


def measure(args, path, records, machines, before):
    lines = run([args.tessera, "bench", "-m", path, *TESTS, "-r", "3", "-o", "jsonl"], args.wrap)
    shape = json.loads(run([args.tessera, "plan", path, "--json"], []))["model"]["shape"]
    after = probe(args.tessera, args.wrap)
    by_state = {}
    for line in lines.splitlines():
        raw = json.loads(line)
        if (raw["n_prompt"] + raw["n_gen"], raw["n_depth"]) not in WANTED:
            continue
        record = record_of(raw, shape)
        print(f"  {os.path.basename(path):28} {raw['test']:16} {'disturbed' if record is None else '%9.2f ms' % (record['avg_ns'] / 1e6)}"
              f"  {' '.join(raw['samples_core_state'])}", flush=True)
        if record is None:
            continue
        if record["core_state"] not in by_state:
            by_state[record["core_state"]] = len(machines)
            machines.append(machine_of(before, after, record["core_state"]))
        records.append(record | {"machine": by_state[record["core_state"]]})
    return after


def measure_all(args):
    records, machines = [], []
    for round_number in range(args.rounds):
        before = probe(args.tessera, args.wrap)
        for shape, kind in MODELS:
            if args.only and args.only not in f"{shape}-{kind}":
                continue
            path = os.path.join(args.models, f"{shape}-{kind}.gguf")
            if not os.path.exists(path):
                run([args.tessera, "synth", "--like", shape, "--type", kind, "-o", path], [], 1200)
            print(f"round {round_number + 1}: {shape} {kind}", flush=True)
            before = measure(args, path, records, machines, before)
            with open(args.out + ".part", "w") as file:
                json.dump({"machines": machines, "records": records}, file)
    return {"machines": machines, "records": records}


def fit(args, data):
    """Adds the constants and the errors of the fit."""
    with tempfile.TemporaryDirectory() as folder:
        hardware, results = os.path.join(folder, "hardware.json"), os.path.join(folder, "results.json")
        with open(hardware, "w") as file:
            json.dump(data["machines"][0], file)
        with open(results, "w") as file:
            json.dump({"machines": data["machines"], "records": data["records"]}, file)
        print(run([args.tessera, "plan", "--calibrate", results, "--hardware", hardware], []), end="")
        with open(hardware) as file:
            fitted = json.load(file)
        data["constants"], data["calibration"] = fitted["constants"], fitted["calibration"]
        data["calibration"]["note"] = args.note
        print(run([args.tessera, "plan", "--check", results, "--hardware", hardware], []), end="")
    return data


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tessera", required=True)
    parser.add_argument("--models", default="/tmp", help="folder of the model files")
    parser.add_argument("--out", required=True, help="records and constants (share/measured/engine.json)")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", help="only models whose name contains this")
    parser.add_argument("--wrap", type=shlex.split, default=[], help="command in front of everything timed")
    parser.add_argument("--note", default="kernel rates by probe; the engine's constants fitted to other models than the predicted one")
    parser.add_argument("--refit", action="store_true", help="fit to the records of --out again")
    args = parser.parse_args()
    if args.refit:
        with open(args.out) as file:
            data = json.load(file)
    else:
        os.makedirs(args.models, exist_ok=True)
        data = measure_all(args)
    data = fit(args, data)
    with open(args.out, "w") as file:
        file.write('{"source": "bench/predict.py",\n')
        file.write(f'"constants": {json.dumps(data["constants"])},\n"calibration": {json.dumps(data["calibration"])},\n')
        file.write('"machines": [\n' + ",\n".join(json.dumps(m) for m in data["machines"]) + "],\n")
        file.write('"records": [\n' + ",\n".join(json.dumps(r) for r in data["records"]) + "]}\n")


if __name__ == "__main__":
    main()
