// Scripted upstreams: real sockets, port 0, one per test.
import { readFileSync } from "node:fs";
import http from "node:http";

export const ANSWERS = JSON.parse(readFileSync(new URL("../answers.json", import.meta.url)));

// An answer of answers.json: { status, headers, body } or, for a stream, { status, headers, events }.
export function answer(name) {
  const { status, headers, json, events } = ANSWERS[name];
  return events ? { status, headers, events: events.map(frame) } : { status, headers, body: JSON.stringify(json) };
}

// The stream's first events, and then its clean end.
export function firstEvents(answer, count) {
  return { ...answer, events: answer.events.slice(0, count) };
}

// The stream's first events, and then a closed connection.
export function cutAfter(answer, count) {
  return { ...firstEvents(answer, count), cut: true };
}

function frame({ event, data }) {
  const name = event ? `event: ${event}\n` : "";
  return `${name}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;
}

// Gives its answers in order, the last one for ever, and remembers what it received. Closed when the test `t` ends.
export async function upstream(t, ...script) {
  const answers = script.map((item) => (typeof item === "string" ? answer(item) : item));
  const received = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const { method, url: path, headers } = request;
    const body = Buffer.concat(chunks).toString();
    received.push({ method, path, headers, json: body ? JSON.parse(body) : undefined });
    give(response, answers[Math.min(received.length, answers.length) - 1]);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { origin: `http://127.0.0.1:${server.address().port}`, received };
}

function give(response, { status, headers, body, events, cut }) {
  if (!events) {
    response.writeHead(status, { ...headers, "content-length": Buffer.byteLength(body) });
    response.end(body);
    return;
  }
  response.writeHead(status, headers);
  if (cut) {
    // Once it is on the wire, the connection goes, without the last chunk.
    response.write(events.join(""), () => response.destroy());
  } else {
    response.end(events.join(""));
  }
}
