#!/usr/bin/env python3
import unittest

import predict


def probe(near, far, prefill):
    samples, states = near + far, ["near"] * len(near) + ["far"] * len(far)
    return {
        "name": "this", "description": "", "peak_flops": {"int8": 1.0}, "memory_bytes": 1, "memory_bandwidth": 1,
        "usable_memory_fraction": 0.9, "causal_skip": True, "compute_in_int8": True, "cores": 2, "loaded_program_bytes": 1,
        "kernels": {"q4_0": {"matmul_flops": 1, "weight_bandwidth": 1, "batch_half_rows": 3}},
        "probe": {
            "cpu": "test",
            "memory_read_gb_per_s": [{"threads": 1, "samples": [9], "states": ["near"], "max": 9},
                                     {"threads": 2, "samples": samples, "states": states, "max": max(samples)}],
            "multiply_add_gops": [{"type": "int8", "threads": 2, "max": prefill}],
            "kernels": [{"type": "q4_0", "decode_gb_per_s": {"samples": samples, "states": states, "max": max(samples)},
                         "prefill_gops": {"max": prefill}, "half_rate_rows": 2}],
        },
    }


class Machine(unittest.TestCase):
    def test_best_of_both_probes_in_the_state_of_the_sample(self):
        machine = predict.machine_of(probe([30, 34], [50], 600), probe([36], [52, 20], 500), "near")
        self.assertEqual(machine["memory_bandwidth"], 36e9)
        self.assertEqual(machine["kernels"]["q4_0"], {"matmul_flops": 600e9, "weight_bandwidth": 36e9, "batch_half_rows": 2})
        self.assertEqual(machine["peak_flops"]["int8"], 600e9)

    def test_a_state_that_no_probe_saw_falls_back_to_all_samples(self):
        machine = predict.machine_of(probe([30], [], 600), probe([31], [], 600), "far")
        self.assertEqual(machine["memory_bandwidth"], 31e9)


class Record(unittest.TestCase):
    def test_takes_the_best_sample_with_its_state(self):
        raw = {"model_filename": "/x/m.gguf", "n_gen": 16, "samples_ns": [20, 10, 30], "samples_core_state": ["near", "far", "near"],
               "samples_other_cpus": [0, 0.123, 0]}
        record = predict.record_of(raw, {"layers": 1})
        self.assertEqual((record["avg_ns"], record["core_state"], record["other_cpus"]), (10, "far", 0.12))
        self.assertEqual(record["model_filename"], "m.gguf")
        self.assertNotIn("samples_ns", record)


if __name__ == "__main__":
    unittest.main()
