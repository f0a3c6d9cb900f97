// Elements and small charts. Text always becomes a text node, never markup.

const SVG = "http://www.w3.org/2000/svg";

function h(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

const MINUTES = 60;
const WIDTH = 180;
const HEIGHT = 40;
const STEP = WIDTH / MINUTES;

function left(minute) {
  return (MINUTES - 1 - minute.minutes_ago) * STEP;
}

// The part of the hour that the numbers beside a chart are about.
function band(minutes) {
  return svg("rect", { class: "band", x: WIDTH - Math.min(minutes, MINUTES) * STEP, y: 0, width: Math.min(minutes, MINUTES) * STEP, height: HEIGHT });
}

function chart(label, parts) {
  return svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label }, parts);
}

// A minute's successes stand above the line, its failures hang below.
function attemptsChart(minutes, shown) {
  const most = Math.max(1, ...minutes.map((minute) => minute.attempts));
  const line = HEIGHT * 0.65;
  const bars = minutes.flatMap((minute) => {
    const failed = minute.attempts - minute.succeeded;
    const up = (minute.succeeded / most) * (line - 2);
    const down = failed === 0 ? 0 : Math.max(3, (failed / most) * (HEIGHT - line - 1));
    return [
      up > 0 && svg("rect", { class: "good", x: left(minute) + 0.4, y: line - Math.max(1.5, up), width: STEP - 0.8, height: Math.max(1.5, up) }),
      down > 0 && svg("rect", { class: "bad", x: left(minute) + 0.4, y: line + 1, width: STEP - 0.8, height: down }),
    ];
  });
  const attempts = minutes.reduce((sum, minute) => sum + minute.attempts, 0);
  const failed = minutes.reduce((sum, minute) => sum + minute.attempts - minute.succeeded, 0);
  const label = attempts === 0 ? "no attempts in the last hour" : `${count(attempts, "attempt")} in the last hour, ${failed} failed, at most ${most} a minute`;
  const axis = svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: line + 0.5, y2: line + 0.5 });
  return chart(label, [band(shown), axis, bars]);
}

// Half of the answers took no longer than the full line, 95 of 100 no longer than the dotted one.
function latencyChart(minutes, shown) {
  const timed = minutes.filter((minute) => minute.total.p95_ms !== null);
  const most = Math.max(1, ...timed.map((minute) => minute.total.p95_ms));
  const y = (value) => HEIGHT - 2 - (value / most) * (HEIGHT - 5);
  // A gap in the minutes is a gap in the line; a minute alone is a dash.
  const path = (key) =>
    timed
      .map((minute, index) => {
        const after = index > 0 && timed[index - 1].minutes_ago === minute.minutes_ago + 1;
        const at = `${left(minute).toFixed(1)} ${y(minute.total[key]).toFixed(1)}h${STEP.toFixed(1)}`;
        return `${after ? "L" : "M"}${at}`;
      })
      .join("");
  const label = timed.length === 0 ? "nothing was timed in the last hour" : `total time of answers in the last hour: at most ${ms(most)} for 95 of 100`;
  return chart(label, [
    band(shown),
    svg("line", { class: "axis", x1: 0, x2: WIDTH, y1: HEIGHT - 1, y2: HEIGHT - 1 }),
    svg("path", { class: "p95", d: path("p95_ms") }),
    svg("path", { class: "p50", d: path("p50_ms") }),
  ]);
}

// What is left of the most that this page has seen; a mark at `low`.
const mostSeen = new Map();

function creditBar(name, balance) {
  const most = Math.max(mostSeen.get(name) ?? 0, balance.remaining, balance.low * 2, 0.01);
  mostSeen.set(name, most);
  const at = (amount) => Math.min(100, Math.max(0, (amount / most) * 100));
  const kind = balance.is_empty ? "empty" : balance.is_low ? "low" : "fine";
  const label = `${money(balance.remaining, balance.unit)} left; low is below ${money(balance.low, balance.unit)}`;
  return svg("svg", { class: `credit ${kind}`, viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": label },
    svg("rect", { class: "track", x: 0, y: 2, width: 100, height: 6 }),
    svg("rect", { class: "rest", x: 0, y: 2, width: at(balance.remaining), height: 6 }),
    svg("line", { class: "mark", x1: at(balance.low), x2: at(balance.low), y1: 0, y2: 10 }));
}
