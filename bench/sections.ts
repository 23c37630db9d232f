/** All sections of the benchmark, in the order in which they run. */

import { agree } from './agree.ts';
import { pairRatios, verifyRatios } from './goals.ts';
import { httpSection } from './http.ts';
import { issueSection } from './issue.ts';
import { nativeSection } from './native.ts';
import { peersSection } from './peers.ts';
import type { Result } from './report.ts';
import { scaleSection } from './scale.ts';
import type { Bench, Section } from './section.ts';
import { capsTable, handshakeTable, verifyTable } from './tables.ts';

const verify: Section = {
  name: 'verify',
  about: 'the work item, cold and warm, beside those who verify by hand',
  everywhere: true,
  async run(bench) {
    const results: Result[] = [];
    for (const corpus of bench.corpora) {
      const { compared, differences, reasons } = await agree(corpus, bench.engine);
      bench.say(`${corpus.type}: ${compared} verdicts compared, ${differences.length} differ`);
      for (const [reason, count] of Object.entries(reasons)) bench.say(`  ${count} x ${reason}`);
      for (const line of differences) bench.differs(line);
      const ratios = verifyRatios.bind(undefined, corpus.type);
      results.push(await bench.table(await verifyTable(corpus, bench.engine), ratios));
    }
    return results;
  },
};

const caps: Section = {
  name: 'caps',
  about: 'a caps match alone, for many grants',
  everywhere: true,
  run: async (bench) => [await pairs(bench, capsTable(bench.engine))],
};

const handshake: Section = {
  name: 'handshake',
  about: 'a whole connection, with challenge and reply',
  everywhere: true,
  async run(bench) {
    const results: Result[] = [];
    for (const corpus of bench.corpora) {
      results.push(await pairs(bench, handshakeTable(corpus, bench.engine)));
    }
    return results;
  },
};

function pairs(bench: Bench, table: Parameters<Bench['table']>[0]): Promise<Result> {
  return bench.table(table, (rows) => pairRatios(table.title, rows));
}

export const SECTIONS: readonly Section[] = [
  verify,
  caps,
  handshake,
  issueSection,
  peersSection,
  nativeSection,
  scaleSection,
  httpSection,
];
