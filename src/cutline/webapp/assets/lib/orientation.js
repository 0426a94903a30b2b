// The EXIF orientation of a JPEG, PNG or WebP file (1 to 8), and squares turned upright by it.
//
// Python turns the small square, since that costs nothing; so browsers must not turn the picture before.

const TAG = 0x0112;
const latin1 = new TextDecoder("latin1");

/**
 * Reads the orientation as Pillow does, 1 where there is none, and writes 1 in its place: no option
 * keeps all browsers from turning a picture that they decode.
 */
export function takeOrientation(bytes) {
  try {
    const { exif, xmp } = metadataOf(bytes);
    return (exif && takeFromExif(exif)) || (xmp && fromXmp(xmp)) || 1;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error; // cut off or damaged: the picture may be whole
  }
  return 1;
}

/** The EXIF (a TIFF header onwards) and XMP of a file, where it has them. */
function metadataOf(bytes) {
  const text = (at, length) => latin1.decode(bytes.subarray(at, at + length));
  if (bytes[0] === 0xff && bytes[1] === 0xd8) return fromJpeg(bytes, text);
  if (text(1, 3) === "PNG") return fromPng(bytes, text);
  if (text(0, 4) === "RIFF" && text(8, 4) === "WEBP") return fromWebp(bytes, text);
  return {};
}

function fromJpeg(bytes, text) {
  const found = {};
  for (let at = 2; bytes[at] === 0xff && bytes[at + 1] !== 0xda; ) {
    const length = view(bytes).getUint16(at + 2);
    if (bytes[at + 1] === 0xe1) {
      const content = bytes.subarray(at + 4, at + 2 + length);
      if (text(at + 4, 6) === "Exif\0\0") found.exif ??= content.subarray(6);
      if (text(at + 4, 29) === "http://ns.adobe.com/xap/1.0/\0") found.xmp ??= content;
    }
    at += 2 + length;
  }
  return found;
}

function fromPng(bytes, text) {
  const found = {};
  for (let at = 8; at + 8 <= bytes.length; ) {
    const length = view(bytes).getUint32(at);
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (text(at + 4, 4) === "eXIf") found.exif ??= content;
    if (text(at + 4, 4) === "iTXt" && text(at + 8, 17) === "XML:com.adobe.xmp") found.xmp ??= content;
    at += 12 + length;
  }
  return found;
}

function fromWebp(bytes, text) {
  const found = {};
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = view(bytes).getUint32(at + 4, true);
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (text(at, 4) === "EXIF") found.exif ??= text(at + 8, 6) === "Exif\0\0" ? content.subarray(6) : content;
    if (text(at, 4) === "XMP ") found.xmp ??= content;
    at += 8 + length + (length % 2);
  }
  return found;
}

/** The tag in the first directory of a TIFF header (TIFF 6.0, section 2). */
function takeFromExif(exif) {
  const little = exif[0] === 0x49;
  const read = view(exif);
  const start = read.getUint32(4, little);
  const entries = read.getUint16(start, little);
  for (let entry = 0, at = start + 2; entry < entries; entry++, at += 12) {
    if (read.getUint16(at, little) !== TAG) continue;
    const orientation = read.getUint16(at + 8, little);
    read.setUint16(at + 8, 1, little);
    return orientation;
  }
  return 0;
}

const fromXmp = (xmp) => Number(/tiff:Orientation(?:="|>)([0-9])/.exec(latin1.decode(xmp))?.[1] ?? 0);

const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

// For each orientation: where pixel (x, y) of the upright square lies in one whose last index is n.
const TURNS = {
  2: (x, y, n) => [n - x, y],
  3: (x, y, n) => [n - x, n - y],
  4: (x, y, n) => [x, n - y],
  5: (x, y) => [y, x],
  6: (x, y, n) => [y, n - x],
  7: (x, y, n) => [n - y, n - x],
  8: (x, y, n) => [n - y, x],
};

/** The square of RGB pixels upright. */
export function turnUpright(pixels, size, orientation) {
  const turn = TURNS[orientation];
  if (!turn) return pixels;
  const upright = new Uint8Array(pixels.length);
  for (let y = 0, out = 0; y < size; y++) {
    for (let x = 0; x < size; x++) {
      const [column, row] = turn(x, y, size - 1);
      const at = 3 * (row * size + column);
      upright.set(pixels.subarray(at, at + 3), out);
      out += 3;
    }
  }
  return upright;
}
