/** One listener for a signal, however many calls it can abandon: Node warns of more than ten. */

const actions = new WeakMap<AbortSignal, Set<() => void>>();

function abortAll(this: AbortSignal): void {
  const all = actions.get(this) ?? [];
  actions.delete(this);
  for (const act of all) {
    act();
  }
}

/** Calls `act` when the signal is aborted. */
export function addAbortAction(signal: AbortSignal, act: () => void): void {
  let all = actions.get(signal);
  if (all === undefined) {
    all = new Set();
    actions.set(signal, all);
    signal.addEventListener("abort", abortAll, { once: true });
  }
  all.add(act);
}

export function removeAbortAction(signal: AbortSignal, act: () => void): void {
  const all = actions.get(signal);
  all?.delete(act);
  if (all?.size === 0) {
    actions.delete(signal);
    signal.removeEventListener("abort", abortAll);
  }
}
