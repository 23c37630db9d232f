/**
 * Random bytes for the sidecar. Each call of the system's generator costs as much as verifying a
 * ticket, and ids are short: small requests are served from a supply, whose bytes go out once and
 * are wiped.
 */

export function randomSource(): (n: number) => Uint8Array {
  const supply = new Uint8Array(SUPPLY_LEN);
  let at = SUPPLY_LEN;
  return (n) => {
    if (n > SHARE_MAX) return crypto.getRandomValues(new Uint8Array(n));
    if (at + n > SUPPLY_LEN) {
      crypto.getRandomValues(supply);
      at = 0;
    }
    const share = supply.slice(at, at + n);
    supply.fill(0, at, at + n);
    at += n;
    return share;
  };
}

const SUPPLY_LEN = 4_096;
const SHARE_MAX = 64;
