export function checkGrant(): i32 { return 0; }
export function checkCondition(): i32 { return 0; }
export function osdCheck(t: usize, g: usize, n: i32, r: usize, f: i32, a: usize): i32 { return 0; }
export function osdExplain(t: usize, g: usize, n: i32, s: usize, w: i32, r: usize, f: i32, a: usize, o: usize, m: i32): i32 { return 0; }
export function osdRecordCheck(r: usize): i32 { return 0; }
