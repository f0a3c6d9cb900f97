"""Pages of other sites in headless Chromium, on the real binary: what they can make the gateway spend, and what they read."""

import unittest

import browser
import gateway

KEY = "key-of-the-operator"
CHAT = """{"model": "m", "messages": [{"role": "user", "content": "a prompt"}]}"""

#: What a page can send without asking anybody. Each returns once the browser has sent it, or given up.
WITHOUT_ASKING = {
    "a request of its script": """
        return fetch(gateway + '/v1/chat/completions', { method: 'POST', mode: 'no-cors', body: chat }).then((r) => r.type)""",
    "a request that outlives the page": """
        return navigator.sendBeacon(gateway + '/v1/chat/completions', chat)""",
    "a form": """
        const frame = document.body.appendChild(Object.assign(document.createElement('iframe'), { name: 'frame' }));
        const form = document.body.appendChild(document.createElement('form'));
        Object.assign(form, { method: 'post', enctype: 'text/plain', target: 'frame', action: gateway + '/v1/chat/completions' });
        // As text this is JSON: its name, "=", its value.
        const [name, value] = chat.replace('a prompt', 'a=prompt').split('=');
        form.appendChild(Object.assign(document.createElement('input'), { type: 'hidden', name, value }));
        return new Promise((done) => { frame.onload = () => done(true); form.submit(); })""",
    "an image": """
        return new Promise((done) => Object.assign(new Image(), { onerror: () => done(true), src: gateway + '/v1/files' }))""",
    "a frame": """
        const frame = Object.assign(document.createElement('iframe'), { src: gateway + '/v1/files' });
        return new Promise((done) => { frame.onload = () => done(true); document.body.append(frame); })""",
    "a stream of events": """
        return new Promise((done) => { new EventSource(gateway + '/v1/files').onerror = () => done(true); })""",
    "a websocket": """
        const socket = new WebSocket(gateway.replace('http', 'ws') + '/v1/realtime?model=m');
        return new Promise((done) => { socket.onclose = () => done(true); })""",
}

#: What a page has to be allowed to, and what came of it.
ASKS_JSON = """
    const headers = { 'content-type': 'application/json', authorization: 'Bearer of-the-page' };
    return fetch(gateway + '/v1/chat/completions', { method: 'POST', headers, body: chat }).then(
        (response) => response.json().then((answer) => [
            response.status, answer, response.headers.get('x-gateway-request-id'), response.headers.get('x-request-id')]),
        (error) => String(error))"""
READS = "return fetch(url).then((response) => response.text().then((text) => [response.status, text]), (error) => String(error))"


class BrowsersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.browser = browser.Browser()
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.upstream, self.site = gateway.Upstream(), gateway.Site()
        self.addCleanup(self.upstream.close)
        self.addCleanup(self.site.close)

    def start(self, **listener):
        config = {
            "upstreams": {"a": {"url": self.upstream.origin + "/v1", "key": KEY}},
            "routes": {"m": ["a"]},
            "server": {"passthrough": "a", "drain": "1s"},
        }
        self.gateway = gateway.Gateway(config, **listener)
        self.addCleanup(self.gateway.close)
        self.origin = "http://" + self.gateway.listen

    def visit(self, name):
        self.browser.open(self.site.origin(name) + "/")

    def run_there(self, script):
        return self.browser.run("const [gateway, chat] = arguments;" + script, self.origin, CHAT)

    def assert_spends_nothing(self):
        """Whatever the page that is open does: all of it comes to the gateway, and goes no further."""
        for how, script in WITHOUT_ASKING.items():
            with self.subTest(how):
                refused = len(self.gateway.refused())
                self.assertIn(self.run_there(script), [True, "opaque"])
                self.browser.until(how, lambda: len(self.gateway.refused()) > refused or self.upstream.asked)
                self.assertEqual(self.upstream.asked, [])
                self.assertEqual(set(self.gateway.refused()), {"foreign_origin"})
        self.assertIn("TypeError", self.run_there(ASKS_JSON))
        self.assertEqual(self.upstream.asked, [])

    def assert_all_would_be_served(self):
        """Where the page that is open is allowed to, each of these ways leads to the upstream: none fails for another reason."""
        for how, script in WITHOUT_ASKING.items():
            if how in ["an image", "a frame"]:
                # Of these a browser does not say whose page it is, so that nobody can be allowed to.
                continue
            with self.subTest(how):
                asked = len(self.upstream.asked)
                self.run_there(script)
                self.browser.until(how, lambda: len(self.upstream.asked) > asked)

    def test_a_page_of_another_site_spends_nothing(self):
        self.start()
        self.visit("evil.example")
        self.assert_spends_nothing()

    def test_neither_where_another_origin_is_allowed(self):
        self.start(cors=[self.site.origin("chat.example")])
        self.visit("evil.example")
        self.assert_spends_nothing()

    def test_a_page_whose_origin_is_allowed_spends_and_reads(self):
        self.start(cors=[self.site.origin("chat.example")])
        self.visit("chat.example")
        status, answer, request_id, upstream_id = self.run_there(ASKS_JSON)
        self.assertEqual((status, answer), (200, gateway.COMPLETION))
        self.assertRegex(request_id, "^[0-9a-f-]{36}$")
        self.assertEqual(upstream_id, "req_of_the_provider")
        self.assertEqual(self.upstream.asked, [("POST", "/v1/chat/completions", "Bearer " + KEY)])
        self.upstream.failure = (400, {"message": "no such parameter", "code": "bad"})
        status, answer, request_id, _ = self.run_there(ASKS_JSON)
        self.assertEqual((status, answer["error"]["message"]), (400, "no such parameter"))
        self.assertIsNotNone(request_id)
        self.upstream.failure = None
        self.assert_all_would_be_served()

    def test_a_page_of_this_machine_spends_and_reads_nothing(self):
        # It was started here, as the programs were that need no origin at all; and nobody has allowed it to read.
        self.start()
        self.visit("localhost")
        self.assertEqual(self.run_there(WITHOUT_ASKING["a request of its script"]), "opaque")
        self.assertEqual(len(self.upstream.asked), 1)
        self.assertIn("TypeError", self.run_there(ASKS_JSON))
        self.assertEqual(len(self.upstream.asked), 1)

    def test_a_page_that_is_no_page_of_any_site_spends_nothing(self):
        # `origin: null`: a frame in a sandbox, which every site can have.
        self.start(cors=[self.site.origin("chat.example")])
        self.visit("evil.example")
        script = """
            const frame = document.createElement('iframe');
            const asks = `fetch('${gateway}/v1/chat/completions', { method: 'POST', mode: 'no-cors', body: '${chat}' })`;
            frame.sandbox = 'allow-scripts';
            frame.srcdoc = `<script>${asks}.finally(() => parent.postMessage(origin, '*'))</script>`;
            return new Promise((done) => { onmessage = (message) => done(message.data); document.body.append(frame); })"""
        self.assertEqual(self.run_there(script), "null")
        self.browser.until("the refusal", lambda: self.gateway.refused() or self.upstream.asked)
        self.assertEqual(self.upstream.asked, [])

    def test_what_a_name_that_was_turned_here_can_do(self):
        """DNS rebinding: the browser takes the gateway for the page's own server."""
        self.start()
        rebound = "http://rebound.example:" + self.gateway.listen.rsplit(":", 1)[1]
        self.browser.open(rebound + "/v1/models")
        self.origin = rebound
        # docs/security.md: it spends nothing, and reads what a GET can read.
        self.assertEqual(self.run_there(ASKS_JSON)[0], 403)
        # (The browser itself has asked for the page's icon, by GET.)
        self.assertNotIn("POST", [method for method, *_ in self.upstream.asked])
        status, text = self.browser.run("const [url] = arguments;" + READS, rebound + "/v1/models")
        self.assertEqual(status, 200)
        self.assertIn('"m"', text)

    def test_where_the_listener_has_names_it_can_do_nothing(self):
        self.start(hosts=["gateway.example"])
        rebound = "http://rebound.example:" + self.gateway.listen.rsplit(":", 1)[1]
        self.browser.open(rebound + "/v1/models")
        self.assertIn("foreign_host", self.browser.text("body"))
        for path in ["/v1/models", "/v1/files"]:
            status, text = self.browser.run("const [url] = arguments;" + READS, rebound + path)
            self.assertEqual(status, 421, text)
        self.assertEqual(self.upstream.asked, [])


if __name__ == "__main__":
    unittest.main()
