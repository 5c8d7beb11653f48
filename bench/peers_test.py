"""Tests of bench/peers.py: python3 -m unittest bench/peers_test.py"""
import importlib.util
import os
import unittest

spec = importlib.util.spec_from_file_location("peers", os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers.py"))
peers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(peers)


class TestNames(unittest.TestCase):
    def test_round_trip(self):
        for text in ("pp512", "tg128", "tg64@4096", "tg32x8@32"):
            self.assertEqual(str(peers.Test.parse(text)), text)

    def test_refused(self):
        for text in ("", "xx5", "pp", "pp0", "tg8x0", "pp8x2", "tg8@"):
            with self.assertRaises(ValueError):
                peers.Test.parse(text)


class Commands(unittest.TestCase):
    def command(self, dialect, test):
        engine = peers.Engine("E", ("/bin/bench", "-fa", "1"), dialect)
        return " ".join(engine.sample_command("m.gguf", peers.Test.parse(test), 2) or ["none"])

    def test_dialects(self):
        self.assertIn("-p 0 -n 64 -d 4096", self.command("llama", "tg64@4096"))
        self.assertIn("-gp 4096,64", self.command("ik", "tg64@4096"))
        self.assertIn("bench -m m.gguf", self.command("tessera", "tg32x8"))
        self.assertIn("-npl 8", self.command("tessera", "tg32x8"))
        self.assertEqual(self.command("llama", "tg32x8"), "none")  # no llama-batched-bench there

    def test_switches(self):
        self.assertTrue(peers.option_on(["-rtr", "1"], "-rtr"))
        self.assertFalse(peers.option_on(["-rtr", "0"], "-rtr"))
        self.assertFalse(peers.option_on(["-fa", "1"], "-rtr"))


class Output(unittest.TestCase):
    def test_batched(self):
        table = "| PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s |\n|  32 | 32 |  8 | 512 | 1.0 | 256.0 | 2.0 | 125.3 |\n"
        self.assertEqual(peers.parse_batched(table, 8), 125.3)
        with self.assertRaises(ValueError):
            peers.parse_batched(table, 16)

    def test_json_with_noise(self):
        self.assertEqual(peers.parse_json_records('loading\n[\n {"avg_ts": 5.5}\n]\nbye')[0]["avg_ts"], 5.5)

    def test_table(self):
        def sample(engine, rate, state="near", others=0.0):
            return {"engine": engine, "model": "m", "test": "tg128", "tokens_per_second": rate, "state": state,
                    "other_cpus": others, "busy": 0, "threads": 2}
        samples = [sample("tessera", 60), sample("tessera", 62), sample("L", 40), sample("I", 50), sample("I", 1, others=1.0),
                   sample("L", 45, state="far")]
        lines = peers.ratio_table(samples, ["tessera", "L", "I"], "tessera").splitlines()
        self.assertEqual(len(lines), 5)
        self.assertIn("61.0 (60.0-62.0, 2)", lines[2])
        self.assertIn("| 1.22 | 1 |", lines[2])  # against I's 50; the disturbed sample is dropped and counted

    def test_unlike_samples_have_rows_of_their_own(self):
        plain = {"engine": "tessera", "model": "m", "test": "tg128", "tokens_per_second": 10, "state": "unknown",
                 "other_cpus": 0.0, "busy": 0, "threads": 2}
        samples = [plain, {**plain, "threads": 1}, {**plain, "busy": 1}, {**plain, "label": "q8_0 cache"}]
        names = [line.split("|")[2].strip() for line in peers.ratio_table(samples, ["tessera"], "tessera").splitlines()[2:]]
        self.assertEqual(names, ["tg128", "tg128, 1 thread", "tg128, beside a busy thread", "tg128, q8_0 cache"])


if __name__ == "__main__":
    unittest.main()
