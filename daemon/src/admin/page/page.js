// Reads /stats.json every second and draws. Everything that comes from outside is set as text, never as markup.
'use strict';

const SPAN = 300;
const samples = [];
const byId = (id) => document.getElementById(id);

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const show = (number) => (number < 10_000 ? String(Math.round(number * 10) / 10) : short.format(number));
const clock = (time) => new Date(time).toLocaleTimeString();

async function look() {
  try {
    const answer = await fetch('stats.json', { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    draw(await answer.json());
  } catch (error) {
    state(`the daemon does not answer: ${error.message}`, true);
  }
}

function state(text, bad) {
  byId('state').textContent = text;
  byId('state').className = bad ? 'bad' : '';
}

function draw(stats) {
  const last = samples.at(-1);
  // After a restart the counters begin anew.
  if (last && (stats.at_ms <= last.at_ms || stats.started !== last.started)) samples.length = 0;
  samples.push(stats);
  if (samples.length > SPAN + 1) samples.shift();
  const mode = stats.enforcing ? 'enforcing' : 'only watching';
  const trouble = stats.missing.length > 0;
  state(trouble ? stats.missing.join('; ') : `${mode}, version ${stats.version}, since ${new Date(stats.started).toLocaleString()}`, trouble);
  numbers(stats);
  chart('calls', [['admitted', 'good', 'admitted'], ['refused', 'bad', 'refused']]);
  chart('packets', [['packets_passed', 'good', 'passed'], ['packets_dropped', 'bad', 'dropped']]);
  counts('causes', stats.causes);
  counts('drops', stats.drops.filter(([, count]) => count > 0));
  rows('offenders', stats.offenders.slice(0, 12).map((one) => [one.network, show(one.packets), clock(one.last_seen), new Date(one.until).toLocaleString(), one.origin, one.reason]));
  rows('refusals', stats.refusals.slice(0, 12).map((one) => [clock(one.at), one.address, `${one.method} ${one.path}`, one.waived ? `${one.cause} (passed)` : one.cause, one.reference]));
}

function numbers(stats) {
  const ratio = stats.enforced_ratio;
  const tiles = [
    [show(stats.bans), 'bans'],
    [ratio === null ? '–' : `${Math.floor(ratio * 10_000) / 100} %`, 'enforced by the kernel', ratio !== null && ratio < 1],
    [stats.map ? `${Math.round((100 * stats.map[0]) / stats.map[1])} %` : '–', 'of the map filled', stats.map && stats.map[0] > 0.9 * stats.map[1]],
    [show(stats.sessions), 'sessions'],
    [show(stats.connections), 'connections'],
    [stats.interfaces.map(([name, mode]) => `${name} (${mode})`).join(', ') || 'off', 'packet layer'],
  ];
  byId('numbers').replaceChildren(...tiles.map(([value, name, bad]) => {
    const tile = element('div', undefined, bad ? 'bad' : '');
    tile.append(element('b', value), element('span', name));
    return tile;
  }));
}

function rates(field) {
  return samples.slice(1).map((now, place) => {
    const before = samples[place];
    return (1000 * (now[field] - before[field])) / (now.at_ms - before.at_ms);
  });
}

function path(className, points) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  made.setAttribute('class', className);
  made.setAttribute('d', points);
  return made;
}

function chart(id, lines) {
  const all = lines.map(([field, className, name]) => [rates(field), className, name]);
  const peak = Math.max(1, ...all.flatMap(([values]) => values));
  const drawn = all.map(([values, className]) => {
    const points = values.map((value, place) => {
      const x = 600 - ((values.length - 1 - place) * 600) / (SPAN - 1);
      const y = 155 - (150 * value) / peak;
      return `${place ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`;
    });
    return path(className, points.join(''));
  });
  byId(id).replaceChildren(path('grid', 'M0 5H600M0 80H600M0 155H600'), ...drawn);
  const key = all.map(([values, className, name]) => element('span', `${name} ${show(values.at(-1) ?? 0)}`, className));
  byId(`${id}-key`).replaceChildren(...key, element('span', `peak ${show(peak)}`, 'peak'));
}

function counts(id, list) {
  rows(id, list.map(([name, count]) => [name, show(count)]));
}

function rows(id, list) {
  const made = list.map((cells) => {
    const row = element('tr');
    row.append(...cells.map((cell, place) => element('td', cell, place === cells.length - 1 ? 'last' : '')));
    return row;
  });
  byId(id).replaceChildren(...(made.length ? made : [nothing()]));
}

function nothing() {
  const row = element('tr');
  row.append(element('td', 'nothing yet', 'none'));
  return row;
}

look();
setInterval(look, 1000);
