#!/usr/bin/env python3
"""How well `tessera plan` predicts this machine: probe, measure, compare, fit. Repeats the tables of docs/planner.md.

    bench/predict.py --tessera build/release/apps/tessera --models /tmp/models --out share/measured/engine.json

For every shape and type it writes a model of random weights (once), and in every round it measures prompts of 512 and 128
tokens and decode steps at two depths, with a probe before and after. Of the samples of a test and of both probes it takes the
best: on a shared machine that is the one that nobody disturbed, and times and limits are treated alike. Memory rates are those of
the core state (near, far) that the best sample was taken in; where the cores changed their state between sample and probes, of the
nearest probe in time that saw it. Then the constants of the engine are fitted to all records; the
errors that --calibrate prints are those on a model that was left out of the fit.

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
    ("smollm2-135m", "q4_k_m"), ("smollm2-135m", "q8_0"), ("smollm2-360m", "q8_0"), ("smollm2-360m", "bf16"),
    ("qwen2.5-0.5b", "q4_0"), ("qwen2.5-0.5b", "q8_0"), ("qwen3-0.6b", "q6_k"), ("qwen3-0.6b", "f16"), ("tinyllama-1.1b", "q4_0"),
    ("llama-3.2-1b", "q4_k_m"), ("qwen2.5-1.5b", "q4_k_m"),
]
TESTS = [["-p", "512,128", "-n", "0"], ["-p", "0", "-n", "16", "-d", "128,1984"]]
KEPT = ["model_filename", "n_prompt", "n_gen", "n_depth", "n_batch", "type_k", "type_v", "n_seqs", "n_ctx", "n_ctx_used", "n_ctx_seqs",
        "n_tokens_read", "peak_resident_bytes", "test", "build_commit", "test_time"]
STATES = ["near", "far"]  # of the cores; samples may also be of an unknown one
ATTEMPTS = 4  # of a wrapper that waits for its turn


def run(command, wrap=()):
    for _ in range(ATTEMPTS if wrap else 1):
        done = subprocess.run([*wrap, *command], capture_output=True, text=True, timeout=900)
        if done.returncode == 0:
            return done.stdout
        print(f"{command[0]}: {done.stderr.strip()[-300:]}", file=sys.stderr, flush=True)
    sys.exit(1)


def bench_and_probe(tessera, wrap, path):
    """Results of all tests, one JSON a line, and the description that a probe right after them wrote."""
    with tempfile.TemporaryDirectory() as folder:
        hardware = os.path.join(folder, "hardware.json")
        commands = [[tessera, "bench", "-m", path, *test, "-r", "6", "-o", "jsonl"] for test in TESTS] if path else []
        commands.append([tessera, "probe", "-o", hardware, "-r", "7", "--json"])
        script = " && ".join(shlex.join(c) + (" >&2" if c[1] == "probe" else "") for c in commands)
        lines = run(["sh", "-c", script], wrap)
        with open(hardware) as file:
            return lines.splitlines(), json.load(file)


def best_in_state(numbers, state):
    """Of samples with states, pooled over probes; None where there are none in that state."""
    pooled = [v for n in numbers for v, s in zip(n["samples"], n["states"]) if s == state]
    return max(pooled, default=None)


def machine_of(before, after, state):
    """The description between two probes: the best samples of both, memory rates in one core state. "unseen" lists the rates that
    neither probe has in that state (there: the best in any)."""
    wanted = ["name", "description", "peak_flops", "memory_bytes", "memory_bandwidth", "usable_memory_fraction", "causal_skip",
              "compute_in_int8", "cores", "loaded_program_bytes", "kernels"]
    machine = json.loads(json.dumps({key: before[key] for key in wanted}))
    machine |= {"core_state": state, "description": f"{before['probe']['cpu']}, {state}", "unseen": []}

    def memory_rate(name, numbers):
        rate = best_in_state(numbers, state)
        if rate is None and state in STATES:
            machine["unseen"].append(name)
        return (rate or max(n["max"] for n in numbers)) * 1e9

    probes = [before["probe"], after["probe"]]
    most = max(r["threads"] for r in probes[0]["memory_read_gb_per_s"])
    reads = [r for p in probes for r in p["memory_read_gb_per_s"] if r["threads"] == most]
    machine["memory_bandwidth"] = memory_rate("memory", reads)
    for kind in machine["peak_flops"]:
        rates = [r["max"] for p in probes for r in p["multiply_add_gops"] if r["type"] == kind and r["threads"] == most]
        if rates:
            machine["peak_flops"][kind] = max(rates) * 1e9
    for kernel in probes[0]["kernels"]:
        both = [k for p in probes for k in p["kernels"] if k["type"] == kernel["type"]]
        rates = machine["kernels"][kernel["type"]]
        rates["weight_bandwidth"] = memory_rate(kernel["type"], [k["decode_gb_per_s"] for k in both])
        rates["matmul_flops"] = max(k["prefill_gops"]["max"] for k in both) * 1e9
        rates["batch_half_rows"] = min(k["half_rate_rows"] for k in both)
    return machine


def borrow_rates(machines):
    """Rates of a state that no probe around the sample saw: those of the machine nearest in time that has them."""
    for at, machine in enumerate(machines):
        for name in machine.get("unseen", []):
            seen = [i for i, m in enumerate(machines) if m["core_state"] == machine["core_state"] and name not in m.get("unseen", [])]
            if not seen:
                continue
            other = machines[min(seen, key=lambda i: abs(i - at))]
            if name == "memory":
                machine["memory_bandwidth"] = other["memory_bandwidth"]
            else:
                machine["kernels"][name]["weight_bandwidth"] = other["kernels"][name]["weight_bandwidth"]


def record_of(raw, shape):
    best = min(range(len(raw["samples_ns"])), key=lambda i: raw["samples_ns"][i])
    record = {key: raw[key] for key in KEPT if key in raw}
    record["model_filename"] = os.path.basename(raw["model_filename"])
    return record | {"avg_ns": raw["samples_ns"][best], "core_state": raw["samples_core_state"][best],
                     "other_cpus": round(raw["samples_other_cpus"][best], 2), "shape": shape}


def measure(args, path, records, machines, before):
    lines, after = bench_and_probe(args.tessera, args.wrap, path)
    shape = json.loads(run([args.tessera, "plan", path, "--json"]))["model"]["shape"]
    by_state = {}
    for raw in map(json.loads, lines):
        record = record_of(raw, shape)
        state = record["core_state"]
        print(f"  {os.path.basename(path):28} {raw['test']:16} best {record['avg_ns'] / 1e6:9.2f} ms, {state},"
              f" others {record['other_cpus']:.2f}; all {' '.join(f'{ns / 1e6:.1f}' for ns in raw['samples_ns'])}", flush=True)
        if state not in by_state:
            by_state[state] = len(machines)
            machines.append(machine_of(before, after, state))
        records.append(record | {"machine": by_state[state]})
    return after


def measure_all(args):
    records, machines = [], []
    for round_number in range(args.rounds):
        _, before = bench_and_probe(args.tessera, args.wrap, None)
        for shape, kind in MODELS:
            if args.only and args.only not in f"{shape}-{kind}":
                continue
            path = os.path.join(args.models, f"{shape}-{kind}.gguf")
            if not os.path.exists(path):
                run([args.tessera, "synth", "--like", shape, "--type", kind, "-o", path])
            print(f"round {round_number + 1}: {shape} {kind}", flush=True)
            before = measure(args, path, records, machines, before)
            with open(args.out + ".part", "w") as file:
                json.dump({"machines": machines, "records": records}, file)
    return {"machines": machines, "records": records}


def calibrated(args, folder, data, records):
    """The description with constants fitted to the records."""
    hardware, results = os.path.join(folder, "hardware.json"), os.path.join(folder, "results.json")
    with open(hardware, "w") as file:
        json.dump(data["machines"][0], file)
    with open(results, "w") as file:
        json.dump({"machines": data["machines"], "records": records}, file)
    print(run([args.tessera, "plan", "--calibrate", results, "--hardware", hardware]), end="", file=sys.stderr)
    return hardware


def errors(args, folder, data, hardware, records):
    """(time error, memory error) in percent of each record, as `plan --check` prints them."""
    results = os.path.join(folder, "check.json")
    with open(results, "w") as file:
        json.dump({"machines": data["machines"], "records": records}, file)
    lines = run([args.tessera, "plan", "--check", results, "--hardware", hardware]).splitlines()[1:len(records) + 1]
    return [tuple(float(word[:-1]) for word in line.split() if word.endswith("%")) for line in lines]


def print_table(rows):
    tests = ["pp512", "pp128", "tg16 @ d128", "tg16 @ d1984"]
    print("\n| model | " + " | ".join(tests) + " | peak memory |\n|---|" + "--:|" * 5)
    for model, by_test in rows.items():
        cells = [f"{by_test[t][0]:.4g} ms, {by_test[t][1]:+.0f} %, {by_test[t][3]}" if t in by_test else "-" for t in tests]
        worst = max((cell[2] for cell in by_test.values()), key=abs)
        print(f"| {model} | " + " | ".join(cells) + f" | {worst:+.0f} % |")


def fit(args, data):
    """Adds the constants; prints the errors on each model of constants fitted to the others."""
    with tempfile.TemporaryDirectory() as folder:
        rows, all_errors = {}, []
        for model in dict.fromkeys(r["model_filename"] for r in data["records"]):
            own = [r for r in data["records"] if r["model_filename"] == model]
            others = [r for r in data["records"] if r["model_filename"] != model]
            found = errors(args, folder, data, calibrated(args, folder, data, others), own)
            rows[model.removesuffix(".gguf")] = {r["test"]: (r["avg_ns"] / max(1, r["n_gen"]) / 1e6, *e, r["core_state"])
                                                 for r, e in zip(own, found)}
            all_errors += [abs(e[0]) for e in found]
        print_table(rows)
        print(f"\n{len(all_errors)} points: median {statistics.median(all_errors):.1f} %, worst {max(all_errors):.1f} %\n")
        with open(calibrated(args, folder, data, data["records"])) as file:
            fitted = json.load(file)
        data["constants"], data["calibration"] = fitted["constants"], fitted["calibration"] | {"note": args.note}
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
    borrow_rates(data["machines"])
    data = fit(args, data)
    with open(args.out, "w") as file:
        file.write('{"source": "bench/predict.py",\n')
        file.write(f'"constants": {json.dumps(data["constants"])},\n"calibration": {json.dumps(data["calibration"])},\n')
        file.write('"machines": [\n' + ",\n".join(json.dumps(m) for m in data["machines"]) + "],\n")
        file.write('"records": [\n' + ",\n".join(json.dumps(r) for r in data["records"]) + "]}\n")


if __name__ == "__main__":
    main()
