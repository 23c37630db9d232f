export function mdscapParse(t: usize, n: i32, r: i32, g: usize, gm: i32, s: usize, sm: i32, gi: usize, gx: i32): i32 { return -1; }
export function mdscapStop(): i32 { return 0; }
export function mdscapWritten(): i32 { return 0; }
export function mdscapGidCount(): i32 { return 0; }
export function mdscapNewMessage(): i32 { return 0; }
export function mdscapIsAllowAll(g: usize, n: i32): i32 { return 0; }
export function mdscapPrint(t: usize, g: usize, n: i32, gi: usize, o: usize, m: i32): i32 { return 0; }
