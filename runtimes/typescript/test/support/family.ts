/** Values of every type, and their comparison, in Node and in browsers. */

import type { Family, Pet } from "../gen/zoo.js";

/** Key in the extra of a call: the servant calls the caller's own `Keeper`. */
export const CALL_BACK = "call-back";

const PET: Pet = {
  name: "Möp 😀",
  b: 255,
  flag: true,
  s: -32768,
  i: -2147483648,
  l: -(2n ** 63n),
  flt: Math.fround(-1.5e-38),
  dbl: -0,
  tags: ["", "ключ", "𝒳"],
  blob: Uint8Array.of(0, 255, 1),
};

const EMPTY_PET: Pet = {
  name: "",
  b: 0,
  flag: false,
  s: 32767,
  i: 2147483647,
  l: 2n ** 63n - 1n,
  flt: NaN,
  dbl: Infinity,
  tags: [],
  blob: new Uint8Array(0),
};

/** Values of every type at their limits. */
export const FAMILY: Family = {
  name: "family",
  pets: [PET, EMPTY_PET],
  named: new Map([
    ["é", PET],
    ["", EMPTY_PET],
  ]),
  chief: PET,
};

/** Whether two values are equal in every part. */
export function isSame(one: unknown, other: unknown): boolean {
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) {
    return Object.is(one, other);
  }
  const parts = (value: object): unknown[] =>
    value instanceof Map || value instanceof Uint8Array || Array.isArray(value)
      ? [...(value as Iterable<unknown>)]
      : Object.entries(value).flat();
  const [ones, others] = [parts(one), parts(other)];
  return ones.length === others.length && ones.every((part, i) => isSame(part, others[i]));
}
