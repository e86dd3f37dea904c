/** The limits that are checked before memory is allocated for a peer's bytes. */
export interface Limits {
  /** The largest frame in bytes, magic excluded. Default: 4 MiB. */
  readonly maxFrame: number;
  /** The largest payload in bytes after a zlib stream is inflated. Default: 16 MiB. */
  readonly maxInflated: number;
  /** The most pairs in a message's extra. Default: 1,024. */
  readonly maxExtraEntries: number;
  /** The most bytes of a message's extra, as encoded. Default: 64 KiB. */
  readonly maxExtraBytes: number;
  /** The deepest nesting of sequences and dictionaries in a parameter. Default: 64. */
  readonly maxDepth: number;
}

export const DEFAULT_LIMITS: Limits = {
  maxFrame: 4 << 20,
  maxInflated: 16 << 20,
  maxExtraEntries: 1024,
  maxExtraBytes: 64 << 10,
  maxDepth: 64,
};
