/**
 * JSON Schema (draft 2020-12, as OpenAPI 3.1 uses it) of the fields that requests are read with:
 * each field carries its own, so that a document made of them cannot drift from what is accepted.
 */

import type { Field } from './body.ts';

export type Schema = { readonly [keyword: string]: unknown };

/** Gives a field its schema, and gives it back: no other may be using that function. */
export function described<T>(schema: Schema | (() => Schema), read: Field<T>): Field<T> {
  return Object.assign(read, { schema: typeof schema === 'function' ? schema : () => schema });
}

/** The schema of a field. Throws TypeError for a field that was made without one. */
export function schemaOf(field: Field<unknown>): Schema {
  if (field.schema === undefined) throw new TypeError('the field has no schema');
  return field.schema();
}

/** Schema of an object; fields made by `optional` need not be there. */
export function objectSchema(shape: Readonly<Record<string, Field<unknown>>>): Schema {
  const properties: Record<string, Schema> = {};
  const required: string[] = [];
  for (const [name, field] of Object.entries(shape)) {
    properties[name] = schemaOf(field);
    if (field.optional !== true) required.push(name);
  }
  return {
    type: 'object',
    properties,
    ...(required.length > 0 && { required }),
    additionalProperties: false,
  };
}

/** Decimal numbers from 0 to 2^64-1 without leading zeros. */
export const U64_PATTERN: string = decimalPattern((1n << 64n) - 1n);
/** Standard base64 with padding whose spare bits are zero. */
export const BASE64_PATTERN =
  '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$';
/** No surrogate stands alone. For patterns that are read with the flag `u`, as they should be. */
export const WELL_FORMED_PATTERN = '^[^\\uD800-\\uDFFF]*$';
/**
 * A keyword of our own, `{min, max}`: how many bytes a text has in UTF-8, or what base64 stands
 * for. JSON Schema itself counts characters.
 */
export const BYTES_KEYWORD = 'x-cephgate-bytes';

/** A pattern of all decimal numbers up to `max`: shorter ones, and by the first lesser digit. */
function decimalPattern(max: bigint): string {
  const digits = max.toString();
  const ways = ['0', `[1-9][0-9]{0,${digits.length - 2}}`];
  for (const [at, digit] of [...digits].entries()) {
    const least = at === 0 ? 1 : 0;
    const left = digits.length - at - 1;
    if (Number(digit) - 1 < least) continue;
    ways.push(`${digits.slice(0, at)}[${least}-${Number(digit) - 1}][0-9]{${left}}`);
  }
  return `^(?:${[...ways, digits].join('|')})$`;
}
