// The document → what is seen of it.

function badge(state, kind) {
  const { sign, word } = STANDING[kind];
  return h("span", { class: `badge ${kind}` }, h("span", { "aria-hidden": "true" }, sign), ` ${standing(state, word)}`);
}

function fact(term, ...values) {
  return h("div", null, h("dt", null, term), h("dd", null, ...values));
}

function processView(status) {
  const { process } = status;
  const kind = process.ready ? "used" : "half_open";
  return h("div", { class: "process" },
    h("span", { class: `badge ${kind}` }, h("span", { "aria-hidden": "true" }, STANDING[kind].sign), ` ${process.phase}`),
    h("span", null, `${process.in_flight} in flight`),
    h("span", null, `up ${span(process.uptime_seconds)}`),
    h("span", { class: "quiet" }, `version ${process.version}, process ${process.pid}`),
    h("span", { class: "quiet wrap" }, process.listeners.join(", ")));
}

function faultView(fault, file) {
  const place = fault.line === null ? file : `${file}:${fault.line}:${fault.column}`;
  return h("li", null,
    h("p", null, h("strong", null, `${fault.severity}[${fault.code}]`), `: ${fault.message}`),
    h("p", { class: "quiet" }, h("code", { class: "wrap" }, place), fault.help === null ? null : ` – ${fault.help}`));
}

function faultsView(load, file) {
  const more = load.more_faults > 0 ? h("li", { class: "quiet" }, `and ${load.more_faults} more`) : null;
  return h("ul", { class: "faults" }, load.faults.map((fault) => faultView(fault, file)), more);
}

function noticesView(status) {
  const { configuration, process } = status;
  const load = configuration.last_load;
  const notices = [];
  if (!process.ready) notices.push(h("div", { class: "notice warn", "data-key": "unready" }, h("p", null, h("strong", null, "Not ready. "), process.reason)));
  if (!load.ok) {
    notices.push(h("div", { class: "notice bad", "data-key": "rejected" },
      h("p", null, h("strong", null, `Reload rejected at ${clock(load.at_unix_ms)}. `), `The configuration of ${clock(configuration.loaded_unix_ms)} still runs.`),
      faultsView(load, configuration.file)));
  }
  if (configuration.restart_needed.length > 0) {
    notices.push(h("div", { class: "notice warn", "data-key": "restart" },
      h("p", null, h("strong", null, "Restart needed. "), "These settings of the file are applied by a restart only: ", h("code", null, configuration.restart_needed.join(", ")))));
  }
  const unusable = status.routes.filter((route) => !route.usable).map((route) => route.name);
  if (unusable.length > 0) {
    const named = unusable.slice(0, 5).join(", ") + (unusable.length > 5 ? `, and ${unusable.length - 5} more` : "");
    notices.push(h("div", { class: "notice bad", "data-key": "unusable" },
      h("p", null, h("strong", null, "Every target is cooling down: "), h("code", { class: "wrap" }, named), ". Requests are still tried, the target that is back soonest first.")));
  }
  return h("div", null, notices);
}

function configurationView(status) {
  const { configuration } = status;
  const load = configuration.last_load;
  const warnings = load.ok && load.faults.length > 0;
  const outcome = load.ok ? "taken" : `rejected: ${count(load.faults.filter((fault) => fault.severity === "error").length, "error")}`;
  const how = { start: "start", signal: "SIGHUP", change: "the file changed" }[load.trigger] ?? load.trigger;
  return h("div", { class: "card" },
    h("dl", { class: "facts" },
      fact("file", h("code", { class: "wrap" }, configuration.file)),
      fact("hash", h("code", null, configuration.hash)),
      fact("generation", `${configuration.generation}, since ${clock(configuration.loaded_unix_ms)}`),
      fact("last load", h("span", { class: load.ok ? "" : "bad" }, `${load.ok ? "✓" : "✗"} ${outcome}`), ` at ${clock(load.at_unix_ms)} (${how})`)),
    warnings ? h("details", { "data-key": "warnings" }, h("summary", null, count(load.faults.length + load.more_faults, "warning")), faultsView(load, configuration.file)) : null);
}

function balanceView(upstream) {
  const { balance } = upstream;
  if (balance === null) return h("span", { class: "quiet" }, "not watched");
  const failing = balance.error === null ? null : h("p", { class: "quiet wrap" }, `last reading failed: ${balance.error}`);
  if (balance.is_unlimited) return h("div", null, "without a limit", failing);
  if (balance.remaining === null) return h("div", null, h("span", { class: "quiet" }, "not read yet"), failing);
  const word = balance.is_empty ? " ✗ empty" : balance.is_low ? " ⚠ low" : "";
  return h("div", { class: "balance" },
    h("p", null, money(balance.remaining, balance.unit), h("strong", { class: balance.is_empty ? "bad" : "warn" }, word)),
    creditBar(upstream.name, balance),
    failing);
}

function upstreamView(upstream) {
  const { state } = upstream;
  const kind = state.standing === "closed" ? "ready" : state.standing;
  const resting = upstream.resting_models.map((model) =>
    h("li", null, h("code", { class: "wrap" }, model.model), " ", badge(model.state, model.state.standing)));
  const most = upstream.max_inflight === null ? "" : ` of ${upstream.max_inflight}`;
  return h("tr", { role: "row", "data-key": upstream.name },
    h("th", { role: "rowheader", scope: "row" }, h("span", { class: "name wrap" }, upstream.name), h("span", { class: "quiet" }, ` ${upstream.protocols.join(", ")}`)),
    h("td", { role: "cell", "data-label": "state" }, badge(state, kind), resting.length > 0 ? h("ul", { class: "resting" }, resting) : null),
    h("td", { role: "cell", "data-label": "in flight", class: "number" }, `${upstream.in_flight}${most}`),
    h("td", { role: "cell", "data-label": "credit" }, balanceView(upstream)));
}

function tableOf(name, columns, rows) {
  const heads = columns.map((column) => h("th", { role: "columnheader", scope: "col" }, column));
  return h("table", { role: "table", "aria-label": name },
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)),
    h("tbody", { role: "rowgroup" }, rows));
}

function upstreamsView(status) {
  return h("div", { class: "card" }, tableOf("Upstreams", ["upstream", "state", "in flight", "credit"], status.upstreams.map(upstreamView)));
}

function latencyRow(name, latency) {
  return h("div", null, h("dt", null, name), h("dd", null, `${ms(latency.p50_ms)} / ${ms(latency.p95_ms)}`));
}

// What stands in the way of a target: its own cooldown, or that of its upstream.
function stateOf(target, upstreams, used) {
  const upstream = upstreams.get(target.upstream);
  const kind = target.state.standing === "closed" ? (used ? "used" : "ready") : target.state.standing;
  const own = target.usable || target.state.standing !== "closed" ? badge(target.state, kind) : null;
  const others = upstream && upstream.state.standing !== "closed" ? h("span", { class: "of-upstream" }, badge(upstream.state, upstream.state.standing), h("span", { class: "quiet" }, " (upstream)")) : null;
  const models = target.resting_models === 0 ? null : h("span", { class: "warn" }, ` ${count(target.resting_models, "model")} cooling down`);
  return [own, models, others];
}

// The three cells of what was measured.
function measuredView(target, minutes) {
  if (target.minutes.length === 0) {
    return [h("td", { role: "cell", class: "quiet", "data-label": "measured", colspan: 3 }, h("p", null, "no attempts in the last hour"))];
  }
  const shown = target.windows.find((window) => window.minutes === minutes);
  const failed = shown.attempts - shown.succeeded;
  const of = ` of ${shown.attempts}${failed > 0 ? `, ${failed} failed` : ""}`;
  return [
    h("td", { role: "cell", "data-label": "success" },
      h("p", null, h("strong", null, percent(shown.success_rate)), h("span", { class: "quiet" }, of)),
      attemptsChart(target.minutes, minutes)),
    h("td", { role: "cell", "data-label": "total, p50 / p95" },
      h("p", null, h("strong", null, ms(shown.total.p50_ms)), h("span", { class: "quiet" }, ` / ${ms(shown.total.p95_ms)}`)),
      target.minutes.some((minute) => minute.total.p95_ms !== null) && latencyChart(target.minutes, minutes)),
    h("td", { role: "cell", "data-label": "steps, p50 / p95" },
      h("dl", { class: "stages" }, latencyRow("connect", shown.connect), latencyRow("headers", shown.headers), latencyRow("first token", shown.first_token))),
  ];
}

function targetView(target, upstreams, used, minutes) {
  const weight = target.weight === null ? "" : ` · weight ${target.weight}`;
  const name = h("span", null, h("span", { class: "name wrap" }, target.name), h("span", { class: "quiet" }, weight));
  return h("tr", { role: "row", "data-key": `${target.position} ${target.name}` },
    h("th", { role: "rowheader", scope: "row" },
      h("p", { class: "target" }, h("span", { class: "position" }, `${target.position}`), name),
      h("p", null, stateOf(target, upstreams, used))),
    measuredView(target, minutes));
}

function failureView(failure, target) {
  const ids = [
    h("span", null, "request ", h("code", { class: "wrap" }, failure.request_id)),
    failure.upstream_request_id === null ? null : h("span", null, " provider's ", h("code", { class: "wrap" }, failure.upstream_request_id)),
  ];
  const status = failure.status === null ? "" : ` ${failure.status}`;
  return h("li", { "data-key": `${failure.request_id} ${failure.at_unix_ms} ${target}` },
    h("p", null, h("time", { datetime: new Date(failure.at_unix_ms).toISOString() }, clock(failure.at_unix_ms)), " ", h("strong", { class: "bad" }, `${failure.class}${status}`), " ", h("span", { class: "name wrap" }, target)),
    failure.message === null ? null : h("p", { class: "said wrap" }, failure.message),
    h("p", { class: "quiet ids" }, ids));
}

const FAILURES_MAX = 10;

function failuresView(route) {
  const seen = new Set();
  const all = route.targets.filter((target) => !seen.has(target.name) && seen.add(target.name));
  const failures = all
    .flatMap((target) => target.last_failures.map((failure) => [failure, target.name]))
    .sort(([one], [other]) => other.at_unix_ms - one.at_unix_ms)
    .slice(0, FAILURES_MAX);
  if (failures.length === 0) return h("p", { class: "quiet none" }, "no failures");
  const [last] = failures[0];
  return h("details", { "data-key": "failures" },
    h("summary", null, `Last failures: ${failures.length}, newest ${last.class} at ${clock(last.at_unix_ms)}`),
    h("ol", { class: "failures" }, failures.map(([failure, target]) => failureView(failure, target))));
}

function routeView(route, upstreams, minutes) {
  const first = route.targets.find((target) => target.usable);
  const rows = route.targets.map((target) => targetView(target, upstreams, first !== undefined && target.position === first.position, minutes));
  return h("article", { class: route.usable ? "card" : "card unusable", "data-key": route.name, "aria-label": `Route ${route.name}` },
    h("h3", { class: "wrap" }, route.name, route.usable ? null : h("span", { class: "bad" }, " ✗ every target is cooling down")),
    tableOf(`Chain of ${route.name}`, ["target", "success", "total, p50 / p95", "steps, p50 / p95"], rows),
    failuresView(route));
}

function routesView(status, minutes, filter) {
  const upstreams = new Map(status.upstreams.map((upstream) => [upstream.name, upstream]));
  const wanted = status.routes.filter((route) => [route.name, ...route.targets.map((target) => target.name)].some((name) => name.includes(filter)));
  const none = wanted.length === 0 ? h("p", { class: "quiet" }, `none of ${count(status.routes.length, "route")} has “${filter}” in it`) : null;
  return h("div", null, wanted.map((route) => routeView(route, upstreams, minutes)), none);
}
