/** The chart of a run: how many times as long others take, and how cost grows. SVG, by hand. */

import type { Report, ReportRow } from './report.ts';

const WIDTH = 820;
const LEFT = 330;
const BAR = 11;
const STEP = 28;
/** The axis of the bars ends here. */
const TIMES_MAX = 400;
const CURVE_HEIGHT = 150;
const COLORS = { aes: '#2a78b8', aes256k: '#d9822b' } as const;
const LINES = ['#2a78b8', '#d9822b', '#4f9d5b', '#8f63b5', '#b5524f'];

/** Ratios shown: `TYPE: ` stands before each. */
const SHOWN: readonly (readonly [ratio: string, label: string])[] = [
  ['node:crypto tuned', 'node:crypto, tuned by hand'],
  ['node:crypto, caps parsed each time', 'node:crypto, by hand'],
  ['noble, caps parsed each time', 'noble, by hand'],
  ['C, EVP reused / single', 'C, OpenSSL EVP, contexts reused'],
  ["C in Ceph's call style / single", "C in Ceph's call style"],
  ['fast-jwt, cache off, caps parsed each time', 'fast-jwt (HS256, cache off) + caps'],
  ['macaroons.js, 5 caveats', 'macaroons.js, 5 caveats'],
  ['jose, caps parsed each time', 'jose (HS256) + caps'],
  ['casbin, 20 grants', 'casbin, decision only'],
  ['cedar-wasm', 'cedar-wasm, decision only'],
  ['biscuit-wasm, parse and authorize', 'biscuit-wasm'],
];

export function chart({ machine, rows, ratios }: Report, date: string): string {
  const bars = SHOWN.filter(([name]) => ratios[`aes: ${name}`] !== undefined);
  const barsEnd = 56 + bars.length * STEP;
  const curves = curvesOf(rows.filter(({ runtime }) => runtime === machine.runtime));
  const height = barsEnd + 40 + (curves.length === 0 ? 0 : CURVE_HEIGHT + 80);
  const parts = [
    text(10, 20, 'Time of one verify and decision, as a multiple of cephgate (object in)', 14),
    text(10, 38, `${machine.runtime}, ${machine.engine} build, ${machine.cpu}, ${date}`, 11),
    ...legend(),
    ...axis(barsEnd),
    ...bars.flatMap(([name, label], i) => bar(ratios, name, label, 56 + i * STEP)),
    ...(curves.length === 0 ? [] : curveChart(curves, barsEnd + 60)),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" ` +
      `viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif">`,
    `<rect width="${WIDTH}" height="${height}" fill="#fff"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function legend(): string[] {
  return Object.entries(COLORS).flatMap(([type, color], i) => [
    `<rect x="${WIDTH - 160 + i * 70}" y="28" width="10" height="10" fill="${color}"/>`,
    text(WIDTH - 146 + i * 70, 37, type, 11),
  ]);
}

/** Where a multiple lies, on a scale of logarithms. */
function x(times: number): number {
  const part = Math.log(Math.max(times, MIN) / MIN) / Math.log(TIMES_MAX / MIN);
  return LEFT + part * (WIDTH - LEFT - 60);
}

function axis(end: number): string[] {
  return [0.5, 1, 2, 5, 10, 20, 50, 100, 200].flatMap((times) => [
    `<line x1="${n(x(times))}" x2="${n(x(times))}" y1="50" y2="${end}" ` +
      `stroke="${times === 1 ? '#444' : '#ddd'}"/>`,
    text(x(times), end + 14, `${times}×`, 10, 'middle'),
  ]);
}

function bar(ratios: Report['ratios'], name: string, label: string, y: number): string[] {
  const parts = [text(LEFT - 8, y + BAR + 4, label, 11, 'end')];
  Object.entries(COLORS).forEach(([type, color], i) => {
    const value = ratios[`${type}: ${name}`];
    if (value === undefined) return;
    const top = y + i * BAR;
    const [from, to] = [Math.min(x(1), x(value)), Math.max(x(1), x(value))];
    parts.push(
      `<rect x="${n(from)}" y="${top}" width="${n(to - from)}" height="${BAR - 1}" ` +
        `fill="${color}"/>`,
      text(to + 4, top + BAR - 2, value.toFixed(value < 10 ? 1 : 0), 10),
    );
  });
  return parts;
}

interface CurveLine {
  readonly label: string;
  readonly points: readonly { readonly size: number; readonly ns: number }[];
}

/** The rows of the scale section: `scale, WHAT by OF: 1,000 OF`. */
function curvesOf(rows: readonly ReportRow[]): CurveLine[] {
  const curves = new Map<string, { size: number; ns: number }[]>();
  for (const { name, median } of rows) {
    const found = /^scale, (.+): ([0-9,]+) /.exec(name);
    if (found === null) continue;
    const points = curves.get(found[1]!) ?? [];
    points.push({ size: Number(found[2]!.replaceAll(',', '')), ns: median });
    curves.set(found[1]!, points);
  }
  return [...curves].map(([label, points]) => ({ label, points }));
}

/** Both axes in logarithms: 1 to 10^6 of something, 100 ns to 100 µs. */
function curveChart(curves: readonly CurveLine[], top: number): string[] {
  const [left, right] = [60, 560];
  const at = (size: number): number => left + ((right - left) * Math.log10(Math.max(size, 1))) / 6;
  const up = (ns: number): number => top + CURVE_HEIGHT * (1 - Math.log10(ns / 100) / 3);
  const parts = [text(10, top - 12, 'Cost of one call against how many there are', 14)];
  for (let power = 0; power <= 3; power++) {
    const y = up(100 * 10 ** power);
    parts.push(`<line x1="${left}" x2="${right}" y1="${n(y)}" y2="${n(y)}" stroke="#ddd"/>`);
    const label = ['0.1 µs', '1 µs', '10 µs', '100 µs'][power] as string;
    parts.push(text(left - 6, y + 4, label, 10, 'end'));
  }
  for (let power = 0; power <= 6; power++) {
    const label = (10 ** power).toLocaleString('en');
    parts.push(text(at(10 ** power), top + CURVE_HEIGHT + 14, label, 10, 'middle'));
  }
  curves.forEach(({ label, points }, i) => {
    const color = LINES[i % LINES.length] as string;
    const line = points.map(({ size, ns }) => `${n(at(size))},${n(up(ns))}`).join(' ');
    parts.push(`<polyline points="${line}" fill="none" stroke="${color}" stroke-width="2"/>`);
    for (const { size, ns } of points) {
      parts.push(`<circle cx="${n(at(size))}" cy="${n(up(ns))}" r="2.5" fill="${color}"/>`);
    }
    const y = top + 10 + i * 18;
    parts.push(`<rect x="${right + 20}" y="${y - 8}" width="14" height="4" fill="${color}"/>`);
    parts.push(text(right + 40, y, label, 11));
  });
  return parts;
}

function text(x: number, y: number, value: string, size: number, anchor = 'start'): string {
  const escaped = value.replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
  return (
    `<text x="${n(x)}" y="${n(y)}" font-size="${size}" text-anchor="${anchor}" fill="#222">` +
    `${escaped}</text>`
  );
}

function n(value: number): string {
  return String(Math.round(value * 10) / 10);
}

const MIN = 0.3;
