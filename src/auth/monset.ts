/** `mon set`: the settings of the cipher policy (Ceph: MonmapMonitor; spec section 16.1). */

import { setCipher } from './cipherpolicy.ts';
import { type Call, type CommandReply, done, EINVAL, Refusal } from './command.ts';

export async function monSet({ deps, args }: Call): Promise<CommandReply> {
  const { name, value } = args;
  if (!isSetting(name))
    throw new Refusal(EINVAL, `no such setting: expected ${SETTINGS.join(', ')}`);
  const text = typeof value === 'string' ? value : (value ?? []).join(',');
  try {
    return done((await setCipher(deps.store, name, text)) ? '' : 'already set');
  } catch (error) {
    if (error instanceof RangeError) throw new Refusal(EINVAL, error.message);
    throw error;
  }
}

function isSetting(name: unknown): name is (typeof SETTINGS)[number] {
  return (SETTINGS as readonly unknown[]).includes(name);
}

const SETTINGS = ['auth_allowed_ciphers', 'auth_preferred_cipher', 'auth_service_cipher'] as const;
