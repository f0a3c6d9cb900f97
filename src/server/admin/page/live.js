// The page as it lives: events come in, what changed is changed, and nothing else moves.

// Makes `old` like `made` and keeps what is alike, so that focus, selection and opened details stay.
function morph(old, made) {
  for (const { name } of [...old.attributes]) {
    if (!made.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of made.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const keyed = new Map();
  for (const child of old.children) {
    const key = child.getAttribute("data-key");
    if (key !== null) keyed.set(key, child);
  }
  let place = old.firstChild;
  for (const child of [...made.childNodes]) {
    const key = child.nodeType === Node.ELEMENT_NODE ? child.getAttribute("data-key") : null;
    const known = key === null ? place : keyed.get(key);
    if (!known || !alike(known, child)) {
      old.insertBefore(child, place);
      continue;
    }
    if (known === place) place = place.nextSibling;
    else old.insertBefore(known, place);
    if (child.nodeType === Node.TEXT_NODE) {
      if (known.data !== child.data) known.data = child.data;
    } else {
      morph(known, child);
    }
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function alike(one, other) {
  if (one.nodeName !== other.nodeName) return false;
  return one.nodeType !== Node.ELEMENT_NODE || one.getAttribute("data-key") === other.getAttribute("data-key");
}

function show(id, made) {
  const place = document.getElementById(id);
  if (place.firstElementChild) morph(place.firstElementChild, made);
  else place.append(made);
}

let latest = null;

function draw() {
  if (latest === null) return;
  const minutes = Number(document.querySelector("input[name=window]:checked").value);
  const filter = document.getElementById("filter").value.trim();
  show("process", processView(latest));
  show("notices", noticesView(latest));
  show("configuration", configurationView(latest));
  show("upstreams", upstreamsView(latest));
  show("routes", routesView(latest, minutes, filter));
  const troubled = latest.routes.filter((route) => !route.usable).length;
  document.title = troubled > 0 ? `(${troubled}) Switchback` : "Switchback";
}

// What somebody who can't see it should hear: changes of state, once each, and nothing that only counts.
function standings(status) {
  const all = new Map();
  for (const upstream of status.upstreams) all.set(`upstream ${upstream.name}`, upstream.state);
  for (const route of status.routes) for (const target of route.targets) all.set(`${target.name} of ${route.name}`, target.state);
  return all;
}

const NEWS_MAX = 3;

function newsOf(before, after) {
  const news = [];
  const known = standings(before);
  for (const [name, state] of standings(after)) {
    const earlier = known.get(name);
    if (!earlier || earlier.standing === state.standing) continue;
    if (state.standing === "open") news.push(`${name} is cooling down${state.class === null ? "" : `: ${state.class}`}`);
    if (state.standing === "closed") news.push(`${name} is used again`);
  }
  const load = after.configuration.last_load;
  if (load.at_unix_ms !== before.configuration.last_load.at_unix_ms) news.push(load.ok ? "a new configuration runs" : "a reload was rejected");
  const more = news.length > NEWS_MAX ? `, and ${news.length - NEWS_MAX} more changes` : "";
  return news.slice(0, NEWS_MAX).join(", ") + more;
}

function received(status) {
  const news = latest === null ? "" : newsOf(latest, status);
  latest = status;
  draw();
  if (news !== "") document.getElementById("news").textContent = news;
}

const REOPEN_MS = 3000;
let lostSince = null;

function linked(event) {
  lostSince = null;
  document.body.classList.remove("stale");
  const link = document.getElementById("link");
  link.className = "link live";
  link.textContent = "● live";
  if (event.data) received(JSON.parse(event.data));
}

function lost() {
  lostSince ??= Date.now();
  document.body.classList.add("stale");
  const link = document.getElementById("link");
  link.className = "link lost";
  link.textContent = `✗ disconnected since ${clock(lostSince)}; trying again`;
}

function listen() {
  const events = new EventSource("status/events");
  events.addEventListener("open", linked);
  events.addEventListener("status", linked);
  events.addEventListener("error", () => {
    lost();
    // The browser tries again by itself, unless it was told something else than events.
    if (events.readyState === EventSource.CLOSED) setTimeout(listen, REOPEN_MS);
  });
}

document.getElementById("filter").addEventListener("input", draw);
for (const choice of document.querySelectorAll("input[name=window]")) choice.addEventListener("change", draw);
listen();
