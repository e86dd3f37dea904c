/** A `Keeper` that returns its parameters, directly or from a call of the caller's own one. */

import { toCaller, type Context } from "tce/node";

import { KeeperPrx, type Family, type Keeper } from "../gen/zoo.js";
import { CALL_BACK } from "./family.js";

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
