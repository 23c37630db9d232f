/** Which grammar of caps a recorded file is judged by. */

export type Release = 16 | 20;

/**
 * The setting for the Ceph that a file was recorded from, its `ceph_version`. The grammars parted
 * with 19 (caps.md 6.2); a file that does not say is one of the 16.2.15 of the lab.
 */
export function releaseOf(file: { readonly ceph_version?: unknown }): Release {
  const version = file.ceph_version ?? '16.2.15';
  const [, major = '0'] = /^([0-9]{1,3})\.[0-9]+(?:\.|$)/.exec(String(version)) ?? [];
  if (Number(major) < 16) throw new Error(`the ceph_version "${version}" is not understood`);
  return Number(major) < 19 ? 16 : 20;
}
