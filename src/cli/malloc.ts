/**
 * How glibc's malloc should keep memory (mallopt(3)), for the unit and for workers: it reads this
 * from the environment when a process starts. Node takes 64 KiB for each piece of a body, and by
 * default malloc gives such memory back at once: its pages are then had anew from the kernel for
 * each request, which is a quarter of what a body of 350 kB costs. Other C libraries ignore this.
 */

/** Values in bytes: free memory that is kept, what is mapped apart, what is taken ahead. */
export const MALLOC_ENVIRONMENT: Readonly<Record<string, string>> = {
  MALLOC_TRIM_THRESHOLD_: `${64 * 2 ** 20}`,
  MALLOC_MMAP_THRESHOLD_: `${4 * 2 ** 20}`,
  MALLOC_TOP_PAD_: `${2 ** 20}`,
};
