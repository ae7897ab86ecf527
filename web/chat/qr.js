// QR codes (ISO/IEC 18004) for short addresses: byte mode, versions 1 to 10, error correction level M.

/** Data codewords, error codewords per block, and the blocks as [count, data codewords each], for level M (table 9). */
const VERSIONS = [
  { ec: 10, blocks: [[1, 16]] },
  { ec: 16, blocks: [[1, 28]] },
  { ec: 26, blocks: [[1, 44]] },
  { ec: 18, blocks: [[2, 32]] },
  { ec: 24, blocks: [[2, 43]] },
  { ec: 16, blocks: [[4, 27]] },
  { ec: 18, blocks: [[4, 31]] },
  { ec: 22, blocks: [[2, 38], [2, 39]] },
  { ec: 22, blocks: [[3, 36], [2, 37]] },
  { ec: 26, blocks: [[4, 43], [1, 44]] },
];

/** Centres of the alignment patterns (annex E). */
const ALIGNMENT = [[], [6, 18], [6, 22], [6, 26], [6, 30], [6, 34], [6, 22, 38], [6, 24, 42], [6, 26, 46], [6, 28, 50]];

/** Level M in the format information (table 12). */
const LEVEL_M = 0b00;

/** The eight data masks (table 10): true turns a module over. @type {Array<(row: number, col: number) => boolean>} */
const MASKS = [
  (r, c) => (r + c) % 2 === 0,
  (r) => r % 2 === 0,
  (_, c) => c % 3 === 0,
  (r, c) => (r + c) % 3 === 0,
  (r, c) => (Math.floor(r / 2) + Math.floor(c / 3)) % 2 === 0,
  (r, c) => ((r * c) % 2) + ((r * c) % 3) === 0,
  (r, c) => (((r * c) % 2) + ((r * c) % 3)) % 2 === 0,
  (r, c) => (((r + c) % 2) + ((r * c) % 3)) % 2 === 0,
];

/**
 * The smallest code that holds a text, as rows of modules; true is dark. The quiet zone of four modules is left to the
 * one who draws.
 * @param {string} text
 * @returns {boolean[][]}
 * @throws {RangeError} for a text of more than 213 bytes, the most that version 10 holds
 */
export function qr(text) {
  const bytes = new TextEncoder().encode(text);
  const version = VERSIONS.findIndex((_, at) => bytes.length <= capacity(at + 1)) + 1;
  if (version === 0) throw new RangeError(`${bytes.length} bytes do not fit into a QR code of version 10`);
  const codewords = interleave(version, dataCodewords(version, bytes));
  const candidates = MASKS.map((_, mask) => draw(version, codewords, mask));
  const scores = candidates.map(penalty);
  return candidates[scores.indexOf(Math.min(...scores))];
}

/** Bytes that fit: mode and count indicators take 12 bits up to version 9, then 20. @param {number} version */
function capacity(version) {
  return dataLength(version) - (version < 10 ? 2 : 3);
}

/** @param {number} version */
function dataLength(version) {
  return VERSIONS[version - 1].blocks.reduce((sum, [count, length]) => sum + count * length, 0);
}

/** Mode, count, bytes, terminator and padding (section 7.4). @param {number} version @param {Uint8Array} bytes */
export function dataCodewords(version, bytes) {
  /** @type {number[]} */
  const bits = [];
  const put = (/** @type {number} */ value, /** @type {number} */ length) => {
    for (let at = length - 1; at >= 0; at--) bits.push((value >> at) & 1);
  };
  put(0b0100, 4);
  put(bytes.length, version < 10 ? 8 : 16);
  for (const byte of bytes) put(byte, 8);
  const length = dataLength(version);
  put(0, Math.min(4, length * 8 - bits.length));
  while (bits.length % 8 !== 0) bits.push(0);
  const codewords = [];
  for (let at = 0; at < bits.length; at += 8) codewords.push(parseInt(bits.slice(at, at + 8).join(""), 2));
  for (let pad = 0; codewords.length < length; pad++) codewords.push(pad % 2 === 0 ? 0xec : 0x11);
  return codewords;
}

/** Blocks with their error correction, taken in turns (section 7.6). @param {number} version @param {number[]} data */
function interleave(version, data) {
  const { ec, blocks } = VERSIONS[version - 1];
  const parts = [];
  let at = 0;
  for (const [count, length] of blocks) {
    for (let block = 0; block < count; block++, at += length) parts.push(data.slice(at, at + length));
  }
  const checks = parts.map((part) => errorCorrection(part, ec));
  const longest = Math.max(...parts.map(({ length }) => length));
  const out = [];
  for (let place = 0; place < longest; place++) for (const part of parts) if (place < part.length) out.push(part[place]);
  for (let place = 0; place < ec; place++) for (const check of checks) out.push(check[place]);
  return out;
}

/** Product in GF(256) with the polynomial 0x11d. @param {number} a @param {number} b */
function multiply(a, b) {
  let product = 0;
  for (; b > 0; b >>= 1) {
    if (b & 1) product ^= a;
    a = (a << 1) ^ (a & 0x80 ? 0x11d : 0);
  }
  return product;
}

/** The Reed-Solomon remainder (section 7.5). @param {number[]} data @param {number} length */
export function errorCorrection(data, length) {
  let generator = [1];
  for (let root = 1, at = 0; at < length; at++, root = multiply(root, 2)) {
    const next = [...generator, 0];
    generator.forEach((factor, place) => (next[place + 1] ^= multiply(factor, root)));
    generator = next;
  }
  const rest = [...data, ...new Array(length).fill(0)];
  for (let at = 0; at < data.length; at++) {
    const factor = rest[at];
    generator.forEach((value, place) => (rest[at + place] ^= multiply(value, factor)));
  }
  return rest.slice(data.length);
}

/** @param {number} version @param {number[]} codewords @param {number} mask */
function draw(version, codewords, mask) {
  const size = 17 + 4 * version;
  /** @type {Array<Array<boolean | undefined>>} */
  const grid = Array.from({ length: size }, () => new Array(size).fill(undefined));
  drawFinders(grid, size);
  drawAlignment(grid, ALIGNMENT[version - 1]);
  for (let at = 8; at < size - 8; at++) grid[6][at] = grid[at][6] = at % 2 === 0;
  drawFormat(grid, size, mask);
  if (version >= 7) drawVersion(grid, size, version);
  drawData(grid, size, codewords, MASKS[mask]);
  return /** @type {boolean[][]} */ (grid);
}

/** The three corners with their white border. @param {Array<Array<boolean | undefined>>} grid @param {number} size */
function drawFinders(grid, size) {
  for (const [top, left] of [[0, 0], [0, size - 7], [size - 7, 0]]) {
    for (let r = -1; r <= 7; r++) {
      for (let c = -1; c <= 7; c++) {
        if (grid[top + r]?.[left + c] !== undefined || top + r < 0 || top + r >= size || left + c < 0 || left + c >= size) continue;
        const ring = Math.max(Math.abs(r - 3), Math.abs(c - 3));
        grid[top + r][left + c] = ring !== 2 && ring !== 4;
      }
    }
  }
}

/** @param {Array<Array<boolean | undefined>>} grid @param {number[]} centres */
function drawAlignment(grid, centres) {
  for (const row of centres) {
    for (const col of centres) {
      if (grid[row][col] !== undefined) continue; // A finder is there.
      for (let r = -2; r <= 2; r++) for (let c = -2; c <= 2; c++) grid[row + r][col + c] = Math.max(Math.abs(r), Math.abs(c)) !== 1;
    }
  }
}

/** Level and mask, twice (section 7.9). @param {Array<Array<boolean | undefined>>} grid @param {number} size @param {number} mask */
function drawFormat(grid, size, mask) {
  const bits = formatBits((LEVEL_M << 3) | mask);
  for (let at = 0; at < 15; at++) {
    const bit = ((bits >> at) & 1) === 1;
    if (at < 6) grid[at][8] = bit;
    else if (at < 8) grid[at + 1][8] = bit;
    else if (at === 8) grid[8][7] = bit;
    else grid[8][14 - at] = bit;
    if (at < 8) grid[8][size - 1 - at] = bit;
    else grid[size - 15 + at][8] = bit;
  }
  grid[size - 8][8] = true;
}

/** BCH(15,5), masked so that it is never all white. @param {number} data */
export function formatBits(data) {
  return ((data << 10) | remainder(data << 10, 0b10100110111)) ^ 0b101010000010010;
}

/** The version, twice, from version 7 on (section 7.10). @param {Array<Array<boolean | undefined>>} grid @param {number} size @param {number} version */
function drawVersion(grid, size, version) {
  const bits = versionBits(version);
  for (let at = 0; at < 18; at++) {
    const bit = ((bits >> at) & 1) === 1;
    grid[Math.floor(at / 3)][size - 11 + (at % 3)] = bit;
    grid[size - 11 + (at % 3)][Math.floor(at / 3)] = bit;
  }
}

/** BCH(18,6). @param {number} version */
export function versionBits(version) {
  return (version << 12) | remainder(version << 12, 0b1111100100101);
}

/** The rest of a division of polynomials over GF(2). @param {number} value @param {number} divisor */
function remainder(value, divisor) {
  const degree = 31 - Math.clz32(divisor);
  while (value !== 0 && 31 - Math.clz32(value) >= degree) value ^= divisor << (31 - Math.clz32(value) - degree);
  return value;
}

/**
 * Two columns at a time, up and down from the right, around what is there (section 7.7.3).
 * @param {Array<Array<boolean | undefined>>} grid @param {number} size @param {number[]} codewords
 * @param {(row: number, col: number) => boolean} flips
 */
function drawData(grid, size, codewords, flips) {
  let bit = 0;
  for (let right = size - 1, up = true; right > 0; right -= 2, up = !up) {
    if (right === 6) right = 5; // The timing pattern's column holds no data.
    for (let step = 0; step < size; step++) {
      const row = up ? size - 1 - step : step;
      for (const col of [right, right - 1]) {
        if (grid[row][col] !== undefined) continue;
        const dark = bit < codewords.length * 8 && ((codewords[bit >> 3] >> (7 - (bit & 7))) & 1) === 1;
        grid[row][col] = dark !== flips(row, col);
        bit++;
      }
    }
  }
}

/** How hard a code is to read (section 7.8.3); the mask with the least is taken. @param {boolean[][]} grid */
export function penalty(grid) {
  const size = grid.length;
  const columns = grid.map((_, at) => grid.map((row) => row[at]));
  let score = 0;
  for (const line of [...grid, ...columns]) {
    const text = line.map((dark) => (dark ? "1" : "0")).join("");
    for (const run of text.match(/0{5,}|1{5,}/g) ?? []) score += run.length - 2;
    score += 40 * (text.match(/(?=10111010000|00001011101)/g) ?? []).length;
  }
  for (let r = 1; r < size; r++) {
    for (let c = 1; c < size; c++) {
      if (grid[r][c] === grid[r][c - 1] && grid[r][c] === grid[r - 1][c] && grid[r][c] === grid[r - 1][c - 1]) score += 3;
    }
  }
  const dark = grid.flat().filter(Boolean).length / (size * size);
  return score + 10 * Math.floor(Math.abs(dark * 100 - 50) / 5);
}
