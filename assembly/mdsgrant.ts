export function mdsCheck(t: usize, g: usize, n: i32, gi: usize, r: usize, rel: i32, f: i32, a: usize): i32 { return 0; }
export function mdsExplain(t: usize, g: usize, n: i32, gi: usize, s: usize, w: i32, r: usize, rel: i32, f: i32, a: usize, o: usize, m: i32): i32 { return 0; }
export function mdsRecordCheck(r: usize): i32 { return 0; }
