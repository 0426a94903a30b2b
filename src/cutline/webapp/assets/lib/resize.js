// Pillow's bilinear resampling of 8-bit pictures, to the last bit (src/libImaging/Resample.c, Pillow 13).

const PRECISION = 22; // bits behind the point of a weight: 32 - 8 - 2
const HALF = 1 << (PRECISION - 1);

/** For each of `outSize` pixels: the first input pixel and the fixed-point weights from there on. */
function weightsOf(inSize, from, to, outSize) {
  const scale = Math.fround(Math.fround(to) - Math.fround(from)) / outSize;
  const support = Math.max(scale, 1); // the radius of the triangle, in input pixels
  return Array.from({ length: outSize }, (_, pixel) => {
    const center = Math.fround(from) + (pixel + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(inSize, Math.trunc(center + support + 0.5));
    const shares = [];
    for (let at = first; at < end; at++) shares.push(Math.max(0, 1 - Math.abs((at - center + 0.5) * (1 / support))));
    const sum = shares.reduce((total, share) => total + share, 0);
    return { first, weights: Int32Array.from(shares, (share) => Math.trunc(0.5 + (share / sum) * (1 << PRECISION))) };
  });
}

/**
 * Resizes a picture to a square. Its rows arrive in bands, so that it is never held twice; `box` is
 * the part that is seen, in pixels: left, top, right, bottom.
 */
export class Resizer {
  #across;
  #down;
  #downFirst;
  #rows; // resized across, RGB; or, resized down first, the sums of the weighted rows

  constructor(width, height, size, box = [0, 0, width, height]) {
    this.width = width;
    this.size = size;
    this.#across = weightsOf(width, box[0], box[2], size);
    this.#down = weightsOf(height, box[1], box[3], size);
    this.#downFirst = height > size && height - size > 2 * (width - size); // as Pillow since 13.0
    this.#rows = this.#downFirst ? new Int32Array(size * width * 3).fill(HALF) : new Uint8Array(height * size * 3);
  }

  /** Takes RGBA rows, of which the first is row `top` of the picture, and puts them on white. */
  push(rgba, top) {
    placeOnWhite(rgba);
    if (this.#downFirst) this.#addRows(rgba, top);
    else this.#rows.set(resizeRows(rgba, 4, this.width, this.#across), top * this.size * 3);
  }

  #addRows(rgba, top) {
    const { width } = this;
    const end = top + rgba.length / (4 * width);
    this.#down.forEach(({ first, weights }, row) => {
      for (let y = Math.max(top, first); y < Math.min(end, first + weights.length); y++) {
        const weight = weights[y - first];
        for (let x = 0, at = 4 * (y - top) * width, out = 3 * row * width; x < width; x++, at += 4, out += 3) {
          this.#rows[out] += rgba[at] * weight;
          this.#rows[out + 1] += rgba[at + 1] * weight;
          this.#rows[out + 2] += rgba[at + 2] * weight;
        }
      }
    });
  }

  /** The resized picture: size * size * 3 bytes, RGB. */
  finish() {
    if (this.#downFirst) {
      const rows = Uint8Array.from(this.#rows, (sum) => sum >> PRECISION);
      return resizeRows(rows, 3, this.width, this.#across);
    }
    const stride = this.size * 3;
    const resized = new Uint8Array(this.size * stride);
    this.#down.forEach(({ first, weights }, row) => {
      for (let column = 0; column < stride; column++) {
        let sum = HALF;
        for (let i = 0, at = first * stride + column; i < weights.length; i++, at += stride) {
          sum += this.#rows[at] * weights[i];
        }
        resized[row * stride + column] = sum >> PRECISION;
      }
    });
    return resized;
  }
}

/** Rows of `channels` bytes a pixel, each made as many RGB pixels as there are weights. */
function resizeRows(source, channels, width, across) {
  const rows = source.length / (channels * width);
  const resized = new Uint8Array(rows * across.length * 3);
  for (let row = 0, out = 0; row < rows; row++) {
    for (const { first, weights } of across) {
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      for (let i = 0, at = channels * (row * width + first); i < weights.length; i++, at += channels) {
        red += source[at] * weights[i];
        green += source[at + 1] * weights[i];
        blue += source[at + 2] * weights[i];
      }
      resized[out++] = red >> PRECISION;
      resized[out++] = green >> PRECISION;
      resized[out++] = blue >> PRECISION;
    }
  }
  return resized;
}

/** As Pillow's `paste` with a mask, with its rounding: what is transparent becomes white. */
function placeOnWhite(rgba) {
  for (let at = 3; at < rgba.length; at += 4) {
    const alpha = rgba[at];
    if (alpha === 255) continue;
    for (let channel = at - 3; channel < at; channel++) {
      const sum = rgba[channel] * alpha + 255 * (255 - alpha) + 128;
      rgba[channel] = (sum + (sum >> 8)) >> 8;
    }
  }
}
