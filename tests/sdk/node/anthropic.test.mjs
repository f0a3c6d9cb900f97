// The official Anthropic SDK for Node.
import assert from "node:assert/strict";
import { test } from "node:test";

import Anthropic from "@anthropic-ai/sdk";

import { CLIENT_KEY, PROMPT, assertGatewayHeaders, gateway } from "./gateway.mjs";
import { ANSWERS, answer, cutAfter, firstEvents, upstream } from "./upstream.mjs";

const model = "claude-switchback";
const request = { model, max_tokens: 64, messages: [{ role: "user", content: PROMPT }] };
const tools = [{ name: "get_weather", input_schema: { type: "object", properties: { city: { type: "string" } } } }];

// A client of a gateway over one upstream a script, in order: `first`, `second`.
async function through(t, scripts, base = "") {
  const names = ["first", "second"].slice(0, scripts.length);
  const started = await Promise.all(scripts.map((script) => upstream(t, ...script)));
  const described = names.map((name, index) => [name, { upstream: started[index], protocol: "anthropic" }]);
  const origin = await gateway(t, { route: names, model, upstreams: Object.fromEntries(described) });
  return { anthropic: new Anthropic({ baseURL: origin + base, apiKey: CLIENT_KEY, maxRetries: 0 }), started };
}

test("message", async (t) => {
  const { anthropic, started } = await through(t, [["message"]]);
  const { data, response, request_id } = await anthropic.messages.create(request).withResponse();
  assert.equal(data.content[0].text, "Hello, Oslo");
  assert.equal(request_id, "req_anthropic_1");
  assertGatewayHeaders(response.headers, 1);
  const [received] = started[0].received;
  assert.equal(received.path, "/v1/messages");
  assert.deepEqual(received.json, request);
  assert.equal(received.headers["x-api-key"], "key-of-first");
  assert.ok(!JSON.stringify(received.headers).includes(CLIENT_KEY));
});

test("a base URL with the version", async (t) => {
  const { anthropic, started } = await through(t, [["message"]], "/v1");
  assert.equal((await anthropic.messages.create(request)).content[0].text, "Hello, Oslo");
  assert.equal(started[0].received[0].path, "/v1/messages");
});

test("streamed message", async (t) => {
  const { anthropic } = await through(t, [["message_stream"]]);
  assert.equal(await anthropic.messages.stream(request).finalText(), "Hello, Oslo");
});

test("tools", async (t) => {
  const { anthropic, started } = await through(t, [["message_tool"]]);
  const [use] = (await anthropic.messages.create({ ...request, tools })).content;
  assert.deepEqual(use.input, { city: "Oslo" });
  assert.deepEqual(started[0].received[0].json.tools, tools);
});

test("streamed tools", async (t) => {
  const { anthropic } = await through(t, [["message_tool_stream"]]);
  const message = await anthropic.messages.stream({ ...request, tools }).finalMessage();
  assert.deepEqual(message.content[0].input, { city: "Oslo" });
});

test("counting tokens", async (t) => {
  const { anthropic } = await through(t, [["count_tokens"]]);
  const counted = await anthropic.messages.countTokens({ model, messages: request.messages });
  assert.equal(counted.input_tokens, 5);
});

test("a message switches", async (t) => {
  const { anthropic } = await through(t, [["message_overloaded"], ["message"]]);
  const { data, response } = await anthropic.messages.create(request).withResponse();
  assert.equal(data.content[0].text, "Hello, Oslo");
  assert.equal(response.headers.get("x-gateway-upstream"), "second");
});

test("a streamed message switches before its first word", async (t) => {
  const { anthropic } = await through(t, [[cutAfter(answer("message_stream"), 3)], ["message_stream"]]);
  assert.equal(await anthropic.messages.stream(request).finalText(), "Hello, Oslo");
});

for (const stream of [false, true]) {
  test(`an exhausted chain is the provider's error, stream: ${stream}`, async (t) => {
    const { anthropic } = await through(t, [["message_overloaded"], ["message_rate_limited"]]);
    await assert.rejects(anthropic.messages.create({ ...request, stream }), (error) => {
      const { status, headers, json } = ANSWERS.message_rate_limited;
      assert.ok(error instanceof Anthropic.RateLimitError);
      assert.equal(error.status, status);
      assert.deepEqual(error.error, json);
      assert.equal(error.requestID, headers["request-id"]);
      for (const [header, value] of Object.entries(headers)) assert.equal(error.headers.get(header), value);
      assertGatewayHeaders(error.headers, 3);
      return true;
    });
  });
}

test("an unknown model is the gateway's own error", async (t) => {
  const { anthropic } = await through(t, [["message"]]);
  await assert.rejects(anthropic.messages.create({ ...request, model: "claude-switchbak" }), (error) => {
    assert.ok(error instanceof Anthropic.NotFoundError);
    assert.equal(error.error.type, "error");
    assert.match(error.message, /claude-switchback/);
    return true;
  });
});

for (const [how, broken] of [
  ["is cut", cutAfter(answer("message_stream"), 4)],
  ["ends too early", firstEvents(answer("message_stream"), 4)],
]) {
  test(`a stream that ${how} is an exception`, async (t) => {
    const { anthropic } = await through(t, [[broken], ["message_stream"]]);
    const stream = await anthropic.messages.create({ ...request, stream: true });
    let text = "";
    await assert.rejects(async () => {
      for await (const event of stream) text += event.delta?.text ?? "";
    }, Anthropic.APIError);
    assert.equal(text, "Hello, ");
  });
}
