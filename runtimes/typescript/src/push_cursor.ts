/** Which pushes of a session were handled, so that none is handled twice. */

import { EPOCH, OFFSET, RECOVERED, type Extra } from "./extra.js";

/** How far a client has handled the pushes of its session. */
export class PushCursor {
  /** Names the sequence of pushes; empty until a gateway has kept pushes. */
  #epoch = "";
  #offset = 0;

  /** The value of `__resume__`; empty before the first login. */
  get position(): string {
    return this.#epoch === "" ? "" : `${this.#epoch}:${this.#offset}`;
  }

  /**
   * Reads the RETURN of a login: whether no push is missing since the one before; undefined if the
   * gateway keeps no pushes.
   */
  loggedIn(extra: Extra): boolean | undefined {
    if (!this.isKept(extra)) {
      // Pushes from here on have no position: an old one would not tell what was missed.
      this.#epoch = "";
      return undefined;
    }
    this.accept(extra, true);
    return extra.get(RECOVERED) === "1";
  }

  /** Whether the extra has a position in kept pushes. */
  isKept(extra: Extra): boolean {
    return (extra.get(EPOCH) ?? "") !== "" && extra.getNumber(OFFSET) !== undefined;
  }

  /**
   * Whether a push is new; then it counts as handled. A push on a stream that this side leaves
   * (`isCurrent` is false) may be of an epoch that has ended.
   */
  accept(extra: Extra, isCurrent: boolean): boolean {
    const epoch = extra.get(EPOCH) ?? "";
    const offset = extra.getNumber(OFFSET) ?? 0;
    const isSameEpoch = epoch === this.#epoch;
    const isNew = !isSameEpoch || offset > this.#offset;
    if (isNew && (isSameEpoch || isCurrent)) {
      this.#epoch = epoch;
      this.#offset = offset;
    }
    return isNew;
  }
}
