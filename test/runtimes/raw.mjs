// The raw driver on Node, Deno and Bun. Usage: raw.mjs BUILD FILE
import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { drive } from './drive.mjs';

const [, , build, file] = process.argv;
const wasm = await readFile(new URL(`../../wasm/core.${build}.wasm`, import.meta.url));
console.log((await drive(new WebAssembly.Module(wasm), await readFile(file))).join('\n'));
