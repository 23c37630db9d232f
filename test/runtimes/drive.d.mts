/** "COUNT HASH" lines of a file of steps. */
export declare function drive(module: WebAssembly.Module, file: Uint8Array): Promise<string[]>;
