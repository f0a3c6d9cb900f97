"use strict";

// How things are called, and how numbers and times are written.

const STANDING = {
  used: { sign: "●", word: "in use" },
  ready: { sign: "●", word: "ready" },
  open: { sign: "○", word: "cooling down" },
  half_open: { sign: "◐", word: "being tried" },
};

function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function clock(unixMs) {
  const date = new Date(unixMs);
  const time = date.toLocaleTimeString("en-GB");
  const day = date.toDateString() === new Date().toDateString() ? "" : `${date.toLocaleDateString("en-CA")} `;
  return day + time;
}

function span(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value < 1) return "< 1 ms";
  if (value < 1000) return `${Math.round(value)} ms`;
  return `${(value / 1000).toFixed(value < 10000 ? 2 : 1)} s`;
}

function percent(rate) {
  if (rate === null || rate === undefined) return "–";
  // Downwards: what has failed never looks like 100 %.
  return `${rate === 1 ? 100 : (Math.floor(rate * 1000) / 10).toFixed(1)} %`;
}

function money(amount, unit) {
  const digits = Math.abs(amount) >= 1000 ? 0 : 2;
  const text = amount.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return unit ? `${text} ${unit}` : text;
}

// "cooling down for 42 s: rate_limited".
function standing(state, word) {
  const left = state.seconds_left === null ? "" : ` for ${span(state.seconds_left)}`;
  const why = state.class === null ? "" : `: ${state.class}`;
  return word + left + why;
}
