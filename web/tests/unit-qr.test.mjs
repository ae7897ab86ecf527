// QR codes against the worked examples of ISO/IEC 18004 and whole codes made by an independent program.
import assert from "node:assert/strict";
import test from "node:test";
import { dataCodewords, errorCorrection, formatBits, qr, versionBits } from "../chat/qr.js";

const rows = (text) => qr(text).map((row) => row.map((dark) => (dark ? "1" : "0")).join(""));

test("error correction of the standard's example (annex I: 01234567, version 1-M)", () => {
  const data = [0x10, 0x20, 0x0c, 0x56, 0x61, 0x80, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11];
  assert.deepEqual(errorCorrection(data, 10), [0xa5, 0x24, 0xd4, 0xc1, 0xed, 0x36, 0xc7, 0x87, 0x2c, 0x55]);
});

test("format and version information of the standard (annexes C and D)", () => {
  assert.equal(formatBits(0b00101).toString(2).padStart(15, "0"), "100000011001110");
  assert.equal(versionBits(7).toString(2).padStart(18, "0"), "000111110010010100");
});

test("bytes are framed by mode, count, terminator and padding", () => {
  assert.deepEqual(dataCodewords(1, new TextEncoder().encode("hi")), [0x40, 0x26, 0x86, 0x90, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11, 0xec, 0x11]);
});

test("a whole code is, module for module, what another program makes", () => {
  // "http://192.168.1.5:9527/", version 2-M, as the Python package qrcode 8.2 draws it; rows in hexadecimal.
  const expected = ["1fcb97f", "1051441", "175055d", "175ff5d", "174dc5d", "104d941", "1fd557f", "11000", "1054bce", "71db9e", "1f7c26b", "ab7719", "1c525c1", "1e25602", "10586ab", "1729115", "137d9f4", "18714", "1fcd559", "104e111", "174fbfc", "174506b", "1748c85", "104e771", "1fd5749"];
  assert.deepEqual(rows("http://192.168.1.5:9527/").map((row) => parseInt(row, 2).toString(16)), expected);
});

test("the smallest version that fits is taken, up to 213 bytes", () => {
  for (const [length, size] of [[1, 21], [14, 21], [15, 25], [26, 25], [27, 29], [42, 29], [62, 33], [84, 37], [106, 41], [122, 45], [152, 49], [180, 53], [213, 57]]) {
    assert.equal(qr("x".repeat(length)).length, size, `${length} bytes`);
  }
  assert.throws(() => qr("x".repeat(214)), RangeError);
  assert.equal(qr("客".repeat(5)).length, 25, "15 bytes of UTF-8");
});
