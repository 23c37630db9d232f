export function osdcapParse(t: usize, n: i32, g: usize, gm: i32, s: usize, sm: i32): i32 { return -1; }
export function osdcapStop(): i32 { return 0; }
export function osdcapWritten(): i32 { return 0; }
export function osdcapLiterals(): usize { return 0; }
export function osdcapLiteralsLen(): i32 { return 0; }
export function osdcapIsAllowAll(g: usize, n: i32): i32 { return 0; }
export function osdcapPrint(t: usize, g: usize, n: i32, o: usize, m: i32): i32 { return 0; }
