// ZIP files as NumPy reads and writes them: written without compression, read with or without.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * @param {Record<string, Uint8Array>} files
 * @returns {Uint8Array}
 */
export function writeZip(files) {
  const parts = [];
  const directory = [];
  let offset = 0;
  for (const [name, data] of Object.entries(files)) {
    const path = encoder.encode(name);
    const common = new Uint8Array(26);
    const view = new DataView(common.buffer);
    view.setUint16(0, 20, true); // version needed
    view.setUint16(2, 0x800, true); // names are UTF-8
    view.setUint16(8, 0x21, true); // 1 January 1980: when is nobody's business
    view.setUint32(10, crc32(data), true);
    view.setUint32(14, data.length, true);
    view.setUint32(18, data.length, true);
    view.setUint16(22, path.length, true);
    parts.push(signature(0x04034b50), common, path, data);
    const place = new Uint8Array(14);
    new DataView(place.buffer).setUint32(10, offset, true);
    // The directory repeats the header, between the version that made it and the file's place.
    directory.push(signature(0x02014b50), Uint8Array.of(20, 0), common, place, path);
    offset += 30 + path.length + data.length;
  }
  const end = new Uint8Array(18);
  const view = new DataView(end.buffer);
  view.setUint16(4, Object.keys(files).length, true);
  view.setUint16(6, Object.keys(files).length, true);
  view.setUint32(8, length(directory), true);
  view.setUint32(12, offset, true);
  return concatenate([...parts, ...directory, signature(0x06054b50), end]);
}

/**
 * @param {Uint8Array} bytes
 * @returns {Promise<Record<string, Uint8Array>>}
 */
export async function readZip(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.length - 22;
  if (end < 0 || view.getUint32(end, true) !== 0x06054b50) throw new Error("not a ZIP file");
  const files = {};
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left; left--) {
    const method = view.getUint16(at + 10, true);
    const size = view.getUint32(at + 20, true);
    const nameLength = view.getUint16(at + 28, true);
    const local = view.getUint32(at + 42, true);
    const name = decoder.decode(bytes.subarray(at + 46, at + 46 + nameLength));
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const stored = bytes.slice(start, start + size);
    files[name] = method === 8 ? await inflate(stored) : stored;
    if (crc32(files[name]) !== view.getUint32(at + 16, true)) throw new Error(`${name}: damaged`);
    at += 46 + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return files;
}

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const CRC = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = CRC[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

function signature(number) {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, number, true);
  return bytes;
}

function length(parts) {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function concatenate(parts) {
  const whole = new Uint8Array(length(parts));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
