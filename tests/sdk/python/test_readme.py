"""README.md's Python for the SDKs, as it is written, and its ways to read what the gateway says: against a drill."""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import anthropic
import openai

README = pathlib.Path(__file__).parents[3] / "README.md"
WRITTEN = "http://127.0.0.1:8080"
CONFIG = """
listen: [127.0.0.1:0]
upstreams:
  first: { url: https://api.openai.com/v1, key: none, protocol: [openai, anthropic] }
  second: { url: https://api.anthropic.com, key: none, protocol: [openai, anthropic] }
routes:
  m: [first, second]
"""
ATTEMPTS = '"first/m";status=529;class=overloaded'
HELLO = [{"role": "user", "content": "Hello"}]


class ReadmeTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory(prefix="switchback-readme-")
        self.addCleanup(directory.cleanup)
        file = pathlib.Path(directory.name) / "switchback.yaml"
        file.write_text(CONFIG)
        drill = subprocess.Popen(
            [os.environ["SWITCHBACK_BINARY"], "drill", "--config", file, "--fault", "first=529"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.addCleanup(drill.stdout.close)
        self.addCleanup(drill.wait)
        self.addCleanup(drill.kill)
        for line in drill.stdout:
            if found := re.search("gateway +(http://[0-9.:]+)", line):
                self.origin = found[1]
            if "Ctrl-C ends the drill" in line:
                return
        self.fail("the drill ended")

    def client(self, package):
        """What the block that imports `package` makes."""
        blocks = re.findall("```python\n(.*?)```", README.read_text(), re.DOTALL)
        (block,) = [block for block in blocks if f"from {package} import" in block]
        self.assertIn(WRITTEN, block)
        made = {}
        exec(block.replace(WRITTEN, self.origin), made)
        self.addCleanup(made["client"].close)
        return made["client"]

    def assert_switched(self, headers):
        self.assertEqual((headers["x-gateway-upstream"], headers["x-gateway-model"]), ("second", "m"))
        self.assertTrue(headers["x-gateway-attempts"].startswith(ATTEMPTS), headers["x-gateway-attempts"])

    def test_openai(self):
        client = self.client("openai")
        raw = client.chat.completions.with_raw_response.create(model="m", messages=HELLO)
        self.assert_switched(raw.headers)
        self.assertIn("Hello", raw.parse().choices[0].message.content)
        raw = client.chat.completions.with_raw_response.create(model="m", messages=HELLO, stream=True)
        self.assertEqual(raw.headers["x-gateway-upstream"], "second")
        self.assertGreater(len(list(raw.parse())), 1)
        raw = client.responses.with_raw_response.create(model="m", input="Hello")
        self.assertEqual(raw.headers["x-gateway-upstream"], "second")
        with self.assertRaises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="nobody", messages=HELLO)
        self.assertEqual(caught.exception.response.headers["x-gateway-error-origin"], "gateway")

    def test_anthropic(self):
        client = self.client("anthropic")
        raw = client.messages.with_raw_response.create(model="m", max_tokens=9, messages=HELLO)
        self.assert_switched(raw.headers)
        self.assertIn("Hello", raw.parse().content[0].text)
        with self.assertRaises(anthropic.APIStatusError) as caught:
            client.messages.create(model="nobody", max_tokens=9, messages=HELLO)
        self.assertEqual(caught.exception.response.headers["x-gateway-error-origin"], "gateway")


if __name__ == "__main__":
    unittest.main()
