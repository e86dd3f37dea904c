/** A `Keeper` that returns its parameters, directly or from a call of the caller's own one. */

import { toCaller, type Context } from "tce/node";

import { KeeperPrx, type Family, type Keeper, type Pet } from "../gen/zoo.js";

/** Key in the extra of a call: the servant calls the caller's own `Keeper`. */
export const CALL_BACK = "call-back";

function callersKeeper(ctx: Context): KeeperPrx | undefined {
  const isAsked = ctx.extra.get(CALL_BACK) !== undefined;
  return isAsked ? new KeeperPrx(ctx.connection, toCaller(ctx)) : undefined;
}

export class Echo implements Keeper {
  /** The parameters of calls of `many`, which has no result. */
  readonly many_: unknown[][] = [];

  roundtrip(fam: Family, ctx: Context): Family | Promise<Family> {
    ctx.returnExtra("seen", ctx.extra.get("name") ?? "");
    return callersKeeper(ctx)?.roundtrip(fam) ?? fam;
  }

  table(t: number[][], ctx: Context): number[][] | Promise<number[][]> {
    return callersKeeper(ctx)?.table(t) ?? t;
  }

  async blob(data: Uint8Array, ctx: Context): Promise<Uint8Array> {
    return (await callersKeeper(ctx)?.blob(data)) ?? data;
  }

  counts(c: Map<string, number>): Map<string, number> {
    return c;
  }

  names(c: Map<number, string>): Map<number, string> {
    return c;
  }

  many(...parameters: unknown[]): void {
    this.many_.push(parameters.slice(0, -1));
  }

  big(v: bigint): bigint {
    return v;
  }

  real(v: number): number {
    return v;
  }

  truth(v: boolean): boolean {
    return v;
  }
}

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
