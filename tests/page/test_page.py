"""The status page in headless Chromium, on the real binary: what it shows, that it lives, and that it asks nobody else."""

import json
import os
import pathlib
import unittest
import urllib.request

import browser
import gateway

# Where somebody may want to look at it.
SCREENSHOTS = pathlib.Path(os.environ.get("SCREENSHOTS", "target/screenshots"))
RATE_LIMITED = (429, {"message": "Rate limit reached, says <script>alert(1)</script>", "code": "rate_limit_exceeded"})
FIRST, SECOND = '#routes article[data-key="m"] tr[data-key="1 a"]', '#routes article[data-key="m"] tr[data-key="2 b/other"]'


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.a, self.b = self.upstream(), self.upstream()
        self.config = {
            "upstreams": {
                "a": {"url": self.a.origin + "/v1"},
                "b": {
                    "url": self.b.origin + "/v1",
                    "balance": {"url": self.b.origin + "/balance", "pointer": "/data/left", "every": "1s", "low": 5},
                },
            },
            "routes": {"m": ["a", "b/other"]},
            "policy": {"retry": {"same_target": 0, "backoff": "1ms"}, "cooldown": {"after": 1, "base": "8s", "max": "8s"}},
            "server": {"drain": "5s"},
        }
        self.gateway = gateway.Gateway(self.config)
        self.addCleanup(self.gateway.close)
        self.url = f"http://{self.gateway.admin}/"
        self.browser.size(1280, 900)
        self.browser.scheme("light")
        self.browser.open("about:blank")
        self.browser.console(), self.browser.requests()
        self.browser.open(self.url)
        # Lost where the page is loaded again.
        self.browser.run("window.opened = true")
        self.browser.until_text("#link", "live")
        self.browser.until_text(FIRST, "in use")

    def tearDown(self):
        self.assertEqual(self.browser.run("return window.opened"), True, "the page was loaded again")

    def upstream(self):
        started = gateway.Upstream()
        self.addCleanup(started.close)
        return started

    def assert_clean(self):
        """No complaint on the console, and no request but to the admin listener."""
        self.assertEqual(self.browser.console(), [])
        asked = set(self.browser.requests())
        self.assertIn(self.url + "status/events", asked)
        foreign = [url for url in asked if not url.startswith((self.url, "data:", "chrome:", "about:"))]
        self.assertEqual(foreign, [])

    def test_a_target_cools_down_and_comes_back(self):
        page = self.browser
        self.assertEqual(self.gateway.ask(), 200)
        page.until_text(FIRST, "100 %", "of 1")
        self.a.failure = RATE_LIMITED
        self.assertEqual(self.gateway.ask(), 200)
        page.until_text(FIRST, "cooling down for", "rate_limited")
        page.until_text(FIRST, "50.0 %", "1 failed")
        page.until_text(SECOND, "in use")
        page.until_text("#news", "a of m is cooling down: rate_limited")
        page.run("document.querySelector('#routes details').open = true")
        page.until_text("#routes .failures", "rate_limited 429", "says <script>alert(1)</script>", "req_of_the_provider")
        self.assertEqual(page.run("return document.querySelectorAll('main script').length"), 0)
        self.assertNotIn("a prompt", page.text("body"))
        self.assertIn("2 attempts in the last hour, 1 failed", page.run("return document.querySelector(arguments[0])?.getAttribute('aria-label')", FIRST + " .chart"))
        page.screenshot(SCREENSHOTS / "cooling.png")
        self.a.failure = None
        page.until("the trial to succeed", lambda: self.gateway.ask() == 200 and "in use" in page.text(FIRST))
        page.until_text("#news", "a of m is used again")
        self.assertTrue(page.run("return document.querySelector('#routes details').open"), "what was opened stays open")
        self.assert_clean()

    def test_a_rejected_reload_and_the_next_one(self):
        page = self.browser
        hash_before = page.text("#configuration dl div:nth-child(2)")
        self.gateway.write(json.dumps(self.config | {"routes": {"m": ["aa"]}, "colour": "red"}))
        page.until_text("#notices", "Reload rejected", "error[unknown-upstream]", "unknown upstream `aa`", "did you mean `a`?", ":1:")
        page.until_text("#notices", "error[unknown-key]", "unknown key `colour`")
        page.until_text("#configuration", "rejected: 2 errors", "the file changed")
        self.assertEqual(page.text("#configuration dl div:nth-child(2)"), hash_before)
        page.screenshot(SCREENSHOTS / "rejected.png")
        good = {**self.gateway.config, "routes": {**self.config["routes"], "another": ["b"]}}
        self.gateway.write(json.dumps(good))
        page.until_text('#routes article[data-key="another"]', "in use")
        page.until_text("#configuration", "taken")
        self.assertEqual(page.text("#notices"), "")
        self.assertNotEqual(page.text("#configuration dl div:nth-child(2)"), hash_before)
        self.assert_clean()

    def test_an_empty_balance(self):
        page = self.browser
        row = '#upstreams tr[data-key="b"]'
        page.until_text(row, "12.50", "ready")
        self.b.balance = 3
        page.until_text(row, "3.00", "low")
        self.b.balance = 0
        page.until_text(row, "0.00", "empty", "cooling down", "out_of_credits")
        page.until_text(SECOND, "out_of_credits", "(upstream)")
        bar = page.run("return document.querySelector(arguments[0])?.getAttribute('aria-label')", row + " svg")
        self.assertEqual(bar, "0.00 left; low is below 5.00")
        page.screenshot(SCREENSHOTS / "empty.png")
        self.b.balance = 20
        page.until_text(row, "20.00", "ready")
        self.assert_clean()

    def test_it_says_when_the_gateway_is_gone_and_finds_it_again(self):
        page = self.browser
        self.gateway.stop()
        page.until_text("#link", "disconnected since")
        self.gateway.start()
        page.until_text("#link", "live")
        # The browser complains of the connections that were refused meanwhile, and of nothing else.
        self.assertEqual([said for said in page.console() if "ERR_" not in said["message"]], [])

    def test_the_window_and_the_filter_are_reached_by_keyboard(self):
        page = self.browser
        self.gateway.ask()
        page.until_text(FIRST, "of 1")
        reached = []
        for _ in range(12):
            page.key("\ue004")  # Tab
            reached.append(page.run("const e = document.activeElement; return e.id || e.name || e.className || e.tagName"))
        for wanted in ["skip", "window", "filter"]:
            self.assertIn(wanted, reached)
        page.run("document.querySelector('input[name=window]:checked').focus()")
        page.key("\ue014")  # Arrow right
        self.assertEqual(page.run("return document.querySelector('input[name=window]:checked').value"), "60")
        page.run("document.getElementById('filter').focus()")
        page.key("x")
        page.until_text("#routes", "none of 1 route has “x” in it")
        self.assert_clean()

    def test_it_is_legible_in_both_schemes_and_on_narrow_screens(self):
        page = self.browser
        self.a.failure = RATE_LIMITED
        self.gateway.ask()
        page.until_text(FIRST, "cooling down")
        for scheme in ["light", "dark"]:
            page.scheme(scheme)
            for width in [1280, 360]:
                page.size(width, 800)
                seen = page.run("return [document.documentElement.scrollWidth, window.innerWidth]")
                self.assertLessEqual(seen[0], seen[1], f"nothing is cut off at {width} pixels")
                page.screenshot(SCREENSHOTS / f"{scheme}-{width}.png")
            low = page.run(CONTRASTS)
            self.assertEqual(low, [], scheme)

    def test_another_site_learns_nothing(self):
        request = urllib.request.Request(self.url + "status", headers={"origin": "http://evil.example"})
        with self.assertRaises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request)
        self.assertEqual(refused.exception.code, 403)
        refused.exception.close()


# Text whose contrast to what is behind it is below 4.5 (WCAG 2.2, 1.4.3).
CONTRASTS = """
const parse = (color) => color.match(/[\\d.]+/g).map(Number);
const part = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
const luminance = ([r, g, b]) => 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
const ground = (element) => {
  for (; element; element = element.parentElement) {
    const color = parse(getComputedStyle(element).backgroundColor);
    if (color.length < 4 || color[3] > 0) return color;
  }
  return [255, 255, 255];
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const low = [];
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (!texts.currentNode.data.trim() || !element.checkVisibility() || ["SCRIPT", "NOSCRIPT"].includes(element.tagName)) continue;
  const [one, other] = [luminance(parse(getComputedStyle(element).color)), luminance(ground(element))];
  const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
  if (contrast < 4.5) low.push(`${contrast.toFixed(2)}: ${texts.currentNode.data.trim()}`);
}
return low;
"""


if __name__ == "__main__":
    unittest.main()
