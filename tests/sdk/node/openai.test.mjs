// The official OpenAI SDK for Node.
import assert from "node:assert/strict";
import { test } from "node:test";

import OpenAI from "openai";

import { CLIENT_KEY, PROMPT, assertGatewayHeaders, gateway } from "./gateway.mjs";
import { ANSWERS, answer, cutAfter, firstEvents, upstream } from "./upstream.mjs";

const messages = [{ role: "user", content: PROMPT }];
const tools = [{ type: "function", function: { name: "get_weather", parameters: { type: "object", properties: {} } } }];
const chat = { model: "gpt-4o", messages };

const client = (origin, base = "/v1") => new OpenAI({ baseURL: origin + base, apiKey: CLIENT_KEY, maxRetries: 0 });

// A client of a gateway over one upstream a script, in order: `first`, `second`.
async function through(t, { scripts, model, policy, base }) {
  const names = ["first", "second"].slice(0, scripts.length);
  const started = await Promise.all(scripts.map((script) => upstream(t, ...script)));
  const upstreams = Object.fromEntries(names.map((name, index) => [name, { upstream: started[index] }]));
  const origin = await gateway(t, { route: names, model, policy, upstreams });
  return { openai: client(origin, base), started };
}

async function textOf(stream) {
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
  return text;
}

test("chat", async (t) => {
  const { openai, started } = await through(t, { scripts: [["chat"]] });
  const { data, response, request_id } = await openai.chat.completions.create(chat).withResponse();
  assert.equal(data.choices[0].message.content, "Hello, Oslo");
  assert.equal(request_id, "req_openai_1");
  assert.equal(response.headers.get("x-ratelimit-remaining-requests"), "9999");
  assertGatewayHeaders(response.headers, 1);
  const [received] = started[0].received;
  assert.equal(received.path, "/v1/chat/completions");
  assert.deepEqual(received.json, chat);
  assert.equal(received.headers.authorization, "Bearer key-of-first");
});

test("a base URL without the version", async (t) => {
  const { openai, started } = await through(t, { scripts: [["chat"]], base: "" });
  assert.equal((await openai.chat.completions.create(chat)).choices[0].message.content, "Hello, Oslo");
  assert.equal(started[0].received[0].path, "/v1/chat/completions");
});

test("streamed chat", async (t) => {
  const { openai } = await through(t, { scripts: [["chat_stream"]] });
  assert.equal(await textOf(await openai.chat.completions.create({ ...chat, stream: true })), "Hello, Oslo");
});

test("tools", async (t) => {
  const { openai, started } = await through(t, { scripts: [["chat_tool"]] });
  const [call] = (await openai.chat.completions.create({ ...chat, tools })).choices[0].message.tool_calls;
  assert.deepEqual(JSON.parse(call.function.arguments), { city: "Oslo" });
  assert.deepEqual(started[0].received[0].json.tools, tools);
});

test("streamed tools", async (t) => {
  const { openai } = await through(t, { scripts: [["chat_tool_stream"]] });
  const completion = await openai.chat.completions.stream({ ...chat, tools }).finalChatCompletion();
  assert.deepEqual(JSON.parse(completion.choices[0].message.tool_calls[0].function.arguments), { city: "Oslo" });
});

test("embeddings", async (t) => {
  const model = "text-embedding-3-small";
  const { openai } = await through(t, { scripts: [["embeddings"]], model });
  const made = await openai.embeddings.create({ model, input: "text", encoding_format: "float" });
  assert.deepEqual(made.data[0].embedding, [0.25, -0.5]);
});

test("responses", async (t) => {
  const { openai } = await through(t, { scripts: [["response"]] });
  assert.equal((await openai.responses.create({ model: "gpt-4o", input: PROMPT })).output_text, "Hello, Oslo");
});

test("streamed responses", async (t) => {
  const { openai } = await through(t, { scripts: [["response_stream"]] });
  const response = await openai.responses.stream({ model: "gpt-4o", input: PROMPT }).finalResponse();
  assert.equal(response.output_text, "Hello, Oslo");
});

test("models", async (t) => {
  const { openai } = await through(t, { scripts: [["chat"]] });
  assert.deepEqual((await openai.models.list()).data.map(({ id }) => id), ["gpt-4o"]);
});

for (const failure of ["rate_limited", "out_of_credits", "server_error", "error_in_200"]) {
  test(`chat switches after ${failure}`, async (t) => {
    const { openai } = await through(t, { scripts: [[failure], ["chat"]] });
    const { data, response } = await openai.chat.completions.create(chat).withResponse();
    assert.equal(data.choices[0].message.content, "Hello, Oslo");
    assert.equal(response.headers.get("x-gateway-upstream"), "second");
  });
}

test("streamed chat switches before its first word", async (t) => {
  const { openai } = await through(t, { scripts: [[cutAfter(answer("chat_stream"), 1)], ["chat_stream"]] });
  assert.equal(await textOf(await openai.chat.completions.create({ ...chat, stream: true })), "Hello, Oslo");
});

test("responses switch on a late quota error", async (t) => {
  const { openai } = await through(t, { scripts: [["response_quota_stream"], ["response_stream"]] });
  const response = await openai.responses.stream({ model: "gpt-4o", input: PROMPT }).finalResponse();
  assert.equal(response.output_text, "Hello, Oslo");
});

for (const stream of [false, true]) {
  for (const [exhausted, name] of [["last", "rate_limited"], ["first", "server_error"]]) {
    test(`an exhausted chain is the ${exhausted} provider's error, stream: ${stream}`, async (t) => {
      const scripts = [["server_error"], ["rate_limited"]];
      const { openai } = await through(t, { scripts, policy: { exhausted } });
      await assert.rejects(openai.chat.completions.create({ ...chat, stream }), (error) => {
        const { status, headers, json } = ANSWERS[name];
        assert.ok(error instanceof (status === 429 ? OpenAI.RateLimitError : OpenAI.InternalServerError));
        assert.equal(error.status, status);
        assert.deepEqual(error.error, json.error);
        assert.equal(error.requestID, headers["x-request-id"]);
        for (const [header, value] of Object.entries(headers)) assert.equal(error.headers.get(header), value);
        assertGatewayHeaders(error.headers, 3);
        return true;
      });
    });
  }
}

test("an unknown model is the gateway's own error", async (t) => {
  const { openai } = await through(t, { scripts: [["chat"]] });
  await assert.rejects(openai.chat.completions.create({ ...chat, model: "gpt-4p" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    assert.match(error.message, /gpt-4o/);
    assert.equal(error.headers.get("x-gateway-error-origin"), "gateway");
    return true;
  });
});

for (const [how, broken] of [
  ["is cut", cutAfter(answer("chat_stream"), 3)],
  ["ends too early", firstEvents(answer("chat_stream"), 3)],
]) {
  test(`a stream that ${how} is an exception`, async (t) => {
    const { openai } = await through(t, { scripts: [[broken], ["chat_stream"]] });
    const stream = await openai.chat.completions.create({ ...chat, stream: true });
    let text = "";
    await assert.rejects(async () => {
      for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
    }, OpenAI.APIError);
    assert.equal(text, "Hello, ");
  });
}
