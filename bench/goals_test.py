"""Tests of bench/goals.py: python3 -m unittest bench/goals_test.py"""
import importlib.util
import os
import sys
import unittest

spec = importlib.util.spec_from_file_location("goals", os.path.join(os.path.dirname(os.path.abspath(__file__)), "goals.py"))
goals = importlib.util.module_from_spec(spec)
sys.modules["goals"] = goals  # dataclasses look their module up
spec.loader.exec_module(goals)


def sample(test, rate, state="near", after=None, read=(35.0, 35.0)):
    limits = [{"state": s, "read_gb_per_s": r, "read_one_gb_per_s": 30.0, "i8_gops": 900.0, "bf16_gops": 450.0, "f32_gops": 230.0}
              for s, r in zip((state, after or state), read)]
    return {"test": test, "tokens_per_second": rate, "samples": [rate], "states": [state], "before": limits[0], "after": limits[1],
            "step_bytes": 0.6e9, "arguments": next((g.arguments for g in goals.GOALS if g.name == test), "")}


class States(unittest.TestCase):
    def test_agree(self):
        self.assertEqual(goals.state_of(sample("x", 1)), "near")
        self.assertEqual(goals.state_of(sample("x", 1, "far")), "far")

    def test_changes_do_not_count(self):
        self.assertEqual(goals.state_of(sample("x", 1, "near", "far")), "changing")
        self.assertEqual(goals.state_of(sample("x", 1, read=(35.0, 30.0))), "changing")
        self.assertEqual(goals.state_of(sample("x", 1, "unknown")), "changing")

    def test_depth_is_filled_between_the_readings(self):
        deep = sample("decode at depth 4096, Q4_0, f16 cache", 40.0, "far", "near", read=(50.0, 35.0))
        deep["states"] = ["near"]
        self.assertEqual(goals.state_of(deep), "near")
        self.assertAlmostEqual(goals.fraction_of_read(deep), 40 * 0.6 / 35)


class Wanted(unittest.TestCase):
    def goal(self, name):
        return next(g for g in goals.GOALS if g.name == name)

    def test_decoding_counts_samples(self):
        samples = [sample("decode, Q4_0", 50.0), sample("decode, Q4_0", 80.0, "far"), sample("decode, Q4_0", 60.0, "near", "far"),
                   sample("decode, Q8_0", 30.0)]
        self.assertEqual(goals.samples_in(self.goal("decode, Q4_0"), samples, "near"), 1)
        self.assertEqual(goals.samples_in(self.goal("decode, Q4_0"), samples, "far"), 1)

    def test_prompts_count_passes(self):
        prompt = sample("prefill 512, Q4_0", 350.0)
        prompt["samples"], prompt["states"] = [350.0, 351.0, 352.0], ["near", "far", "near"]
        self.assertEqual(goals.samples_in(self.goal("prefill 512, Q4_0"), [prompt], "near"), 2)

    def test_takes_what_is_missing(self):
        two = [self.goal("decode, Q4_0"), self.goal("decode, Q8_0")]
        samples = [sample("decode, Q4_0", 50.0), sample("decode, Q8_0", 30.0, "far")]
        self.assertEqual(goals.next_goal(two, samples, "near", 1).name, "decode, Q8_0")
        self.assertEqual(goals.next_goal(two, samples, "far", 1).name, "decode, Q4_0")
        self.assertIsNone(goals.next_goal(two[:1], samples, "near", 1))
        samples += [sample("decode, Q8_0", 30.0, "near", "far")]  # does not count, but the other test has its turn now
        self.assertEqual(goals.next_goal(two, samples, "far", 2).name, "decode, Q4_0")


class Bytes(unittest.TestCase):
    def goal(self, name):
        return next(g for g in goals.GOALS if g.name == name)

    def test_cache_counts(self):
        record = {"packed_bytes": 6e8, "n_depth": 4096, "n_gen": 64}
        self.assertEqual(goals.bytes_of_step(self.goal("decode, Q4_0"), record), 6e8)
        cache = goals.bytes_of_step(self.goal("decode at depth 4096, Q4_0, bf16 cache"), record) - 6e8
        self.assertAlmostEqual(cache, 4128 * 22 * 512 * 2)
        cache = goals.bytes_of_step(self.goal("decode at depth 4096, Q4_0, f16 cache"), record) - 6e8
        self.assertAlmostEqual(cache, 4128 * 22 * (1024 + 8 * 4))  # a scale per token, head, keys and values
        cache = goals.bytes_of_step(self.goal("decode at depth 16384, Q4_0, q8_0 cache"), record) - 6e8
        self.assertAlmostEqual(cache, 4128 * 22 * (512 + 8 * 4))

    def test_products_of_a_prompt(self):
        # 1.938 GFLOP in matrices per token, 2.4 % attention.
        self.assertAlmostEqual(goals.flops_per_token(self.goal("prefill 512, Q4_0")) / 1.938e9, 1.024, places=2)


class Table(unittest.TestCase):
    def line(self, samples, start):
        return next(line for line in goals.table(samples).splitlines() if line.startswith(f"| {start} |"))

    def test_reached_and_missed(self):
        self.assertTrue(self.line([sample("prefill 512, Q4_0", 360.0)], "prefill 512, Q4_0").endswith("| yes |"))
        self.assertTrue(self.line([sample("prefill 512, Q4_0", 350.0)], "prefill 512, Q4_0").endswith("| no |"))
        near = self.line([sample("decode, Q4_0", 53.0)], "decode, Q4_0")  # 31.8 of 35
        self.assertIn("92 % of reading", near)
        self.assertTrue(near.endswith("| no |"))
        far = self.line([sample("decode, Q4_0", 80.0, "far", read=(55.0, 55.0))], "decode, Q4_0")  # 48 of 55
        self.assertTrue(far.endswith("| yes |"))

    def test_company(self):
        samples = [sample("decode, Q4_0", 60.0), sample("decode beside a busy thread, Q4_0", 29.0)]
        line = self.line(samples, "decode beside a busy thread, Q4_0")
        self.assertIn("48 % of the quiet rate", line)
        self.assertTrue(line.endswith("| no |"))

    def test_passes_of_prompts_have_labels_of_their_own(self):
        moved = sample("prefill 512, Q4_0", 350.0, "near", "far")
        moved["samples"], moved["states"] = [340.0, 360.0], ["far", "near"]
        lines = [line for line in goals.table([moved]).splitlines() if line.startswith("| prefill 512, Q4_0 |")]
        self.assertEqual([line.split("|")[2].strip() for line in lines], ["near", "far"])
        self.assertIn("360.0 (360.0-360.0, 1)", lines[0])

    def test_changing_samples_only_where_there_are_no_others(self):
        mixed = sample("decode, Q8_0", 30.0, "near", "far")
        self.assertIn("| changing |", goals.table([mixed]))
        self.assertNotIn("changing", goals.table([mixed, sample("decode, Q8_0", 30.0)]))


if __name__ == "__main__":
    unittest.main()
