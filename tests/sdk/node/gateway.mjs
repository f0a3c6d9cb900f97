// The real binary in front of scripted upstreams.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";

export const CLIENT_KEY = "sk-of-the-client";
export const PROMPT = "a prompt that no log may show";
const START_MS = 30_000;
const STOP_MS = 30_000;

// Starts `switchback run` with one route over `upstreams`: { NAME: { upstream, protocol } }, whose keys are key-of-NAME.
// Stopped when the test `t` ends; what it logged is checked then. Returns its origin.
export async function gateway(t, { route, model = "gpt-4o", policy = {}, upstreams }) {
  const directory = mkdtempSync(path.join(tmpdir(), "switchback-sdk-"));
  const address = `127.0.0.1:${await freePort()}`;
  const keys = {};
  const configured = {};
  for (const [name, { upstream, protocol = "openai" }] of Object.entries(upstreams)) {
    const variable = `KEY_OF_${name.toUpperCase()}`;
    keys[variable] = `key-of-${name}`;
    const url = upstream.origin + (protocol === "openai" ? "/v1" : "");
    configured[name] = { url, protocol, key: `\${${variable}}` };
  }
  const config = {
    listen: [address],
    upstreams: configured,
    routes: { [model]: route },
    policy: { retry: { backoff: "5ms", max_backoff: "10ms" }, ...policy },
    server: { threads: 1, drain: "5s" },
    log: { level: "info", format: "json" },
  };
  const file = path.join(directory, "switchback.yaml");
  writeFileSync(file, JSON.stringify(config)); // JSON is YAML.

  const process_ = spawn(process.env.SWITCHBACK_BINARY, ["run", "--config", file], {
    env: keys,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let log = "";
  process_.stderr.setEncoding("utf8").on("data", (text) => (log += text));
  const closed = new Promise((resolve) => process_.on("close", (code, signal) => resolve({ code, signal })));

  t.after(async () => {
    process_.kill("SIGTERM");
    const giveUp = setTimeout(() => process_.kill("SIGKILL"), STOP_MS);
    const { code, signal } = await closed;
    clearTimeout(giveUp);
    rmSync(directory, { recursive: true });
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, log);
    for (const secret of [CLIENT_KEY, PROMPT, ...Object.values(keys)]) {
      assert.ok(!log.includes(secret), `the log shows ${secret}:\n${log}`);
    }
  });
  await listening(address, process_, () => log);
  return `http://${address}`;
}

// A port that was free a moment ago.
async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(address, process_, log) {
  const [host, port] = address.split(":");
  const deadline = Date.now() + START_MS;
  while (Date.now() < deadline && process_.exitCode === null) {
    const connected = await new Promise((resolve) => {
      const socket = net.connect({ host, port: Number(port) });
      socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
      socket.on("connect", () => socket.destroy());
    });
    if (connected) return;
    await delay(20);
  }
  throw new Error(`the gateway does not listen on ${address}:\n${log()}`);
}

// The gateway's own headers stand beside those of the provider.
export function assertGatewayHeaders(headers, attempts) {
  assert.match(headers.get("x-gateway-request-id"), /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/);
  assert.equal(headers.get("x-gateway-attempts").split("status=").length - 1, attempts);
}
