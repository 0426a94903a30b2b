/** A word of a caption, its probability, and where the model looked for it, in thousandths. */
export interface Word {
  word: string;
  probability: number;
  gaze?: number[];
}

/** What `cutline caption --json` prints, without the path. */
export interface Caption {
  /** null where there is none; `left_out` says why. */
  caption: string | null;
  /** The chance that the caption is good, 0 to 1. */
  confidence: number;
  /** Natural logarithm of the caption's probability. */
  log_prob: number;
  words?: Word[];
  concepts?: { noun: string; probability: number }[];
  /** The probability that the picture is a photograph. */
  photograph?: number;
  left_out?: string;
  /** With `best` above 1: all candidates, the best first. */
  best?: Caption[];
}

export interface CaptionOptions {
  /** How many candidates. Default: 1. */
  best?: number;
  /** "auto" (default) gives a phrase, such as "a zebra", where the sentence is doubtful. */
  form?: "auto" | "sentence" | "phrase";
  /** Caption drawings, documents and screenshots too. */
  anyPicture?: boolean;
  /** With a capital and a full stop. */
  sentence?: boolean;
  /** Tell where each word looked. */
  attention?: boolean;
}

export interface LoadOptions {
  /** Bytes as they are sent. */
  onProgress?: (progress: { loaded: number; total: number }) => void;
  /** Called when everything has been fetched, before the worker starts. */
  onDownloaded?: () => void;
  signal?: AbortSignal;
  /** Default: 1, or up to 4 where the page is cross-origin isolated. */
  threads?: number;
}

export class Captioner {
  static load(url?: string | URL, options?: LoadOptions): Promise<Captioner>;
  /** The contents of `captioner.json`. */
  readonly description: { view: { size: number; fit: string }; threshold: number; refusal: number; [key: string]: unknown };
  /** Milliseconds that the last picture took, decoding included. */
  readonly milliseconds: number;
  caption(blob: Blob, options?: CaptionOptions): Promise<Caption>;
  close(): void;
}
