#!/usr/bin/env python3
"""What each weight type costs in quality, on one model and one text, as a table:

    bench/type_loss.py --tessera build/release/apps/tessera -m models/tessera-stories-5m-q8_0.gguf -f book.txt

loss: nats per token. KL of the weights: from the model with f32 weights. KL of the arithmetic: from the model with the same weights
unpacked to f32 (`eval kl` without --reference), that is what int8 or bf16 activations and the arithmetic on them (rounded sums, integer scales) change. Both in nats per token, with the share of
tokens at which the likeliest next token is the same. Standard library only.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

# --pure: the type alone, also for the names of mixes.
# w8 has no file: the f32 model is loaded as w8.
TYPES = "f16 bf16 q8_0 w8 q6_k q5_k_m q5_1 q5_0 q4_k_m q4_1 q4_0 iq4_nl iq4_xs mxfp4 q3_k_m q2_k".split()
LOADED = ["w8"]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def evaluate(tessera: str, what: str, *flags: str) -> dict:
    return json.loads(run(tessera, "eval", what, "--json", *flags))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tessera", required=True)
    p.add_argument("-m", "--model", required=True, help="matrices whose rows are no multiple of a type's block get the nearest type that fits")
    p.add_argument("-f", "--file", required=True)
    p.add_argument("-c", "--context", default="512")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = lambda name: str(pathlib.Path(folder) / f"{name}.gguf")
        run(a.tessera, "quantize", a.model, path("f32"), "f32", "--pure")
        text = ("-f", a.file, "-c", a.context)
        base = evaluate(a.tessera, "perplexity", "-m", path("f32"), *text)["nll_per_token"]
        print(f"f32: {base:.5f} nats per token")
        print("| type | loss | above f32 | KL of the weights | same first | KL of the arithmetic | same first |")
        print("|---|--:|--:|--:|--:|--:|--:|")
        for name in TYPES:
            if name in LOADED:
                model = ("-m", path("f32"), "--weights", name)
            else:
                run(a.tessera, "quantize", path("f32"), path(name), name, "--pure")
                model = ("-m", path(name))
            loss = evaluate(a.tessera, "perplexity", *model, *text)["nll_per_token"]
            weights = evaluate(a.tessera, "kl", *model, "--reference", path("f32"), *text)
            arithmetic = evaluate(a.tessera, "kl", *model, *text)
            print(f"| {name.removesuffix('_m')} | {loss:.5f} | {loss - base:+.5f} | {weights['kl_mean']:.6f} | {100 * weights['top1_agreement']:.1f} % "
                  f"| {arithmetic['kl_mean']:.6f} | {100 * arithmetic['top1_agreement']:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
