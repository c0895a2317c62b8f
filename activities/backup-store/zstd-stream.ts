/**
 * Zstandard as a stream with bounded memory. Node has it from 22.15 only, and the WebAssembly library's own streaming takes its input in one synchronous
 * go; so its decoder is called here piece by piece.
 */
import { ZSTDDecoder } from 'zstddec/stream';

type Wasm = {
  memory: { buffer: ArrayBuffer };
  malloc(bytes: number): number;
  free(pointer: number): void;
  ZSTD_createDCtx(): number;
  ZSTD_freeDCtx(context: number): void;
  ZSTD_decompressStream(context: number, output: number, input: number): number;
};

/** Sizes of the buffers on the other side: what ZSTD_DStreamInSize and -OutSize advise. */
const IN_BYTES = 128 * 1024;
const OUT_BYTES = 128 * 1024;
/** ZSTD_isError: error codes are the last 120 numbers of size_t. */
const FIRST_ERROR = 0xffff_ffff - 120;

/** Decompressed bytes of `source`, whatever number of frames it has. Throws a plain Error when it is damaged or ends inside a frame. */
export async function* unpackZstd(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const wasm = await loadWasm();
  const context = wasm.ZSTD_createDCtx();
  const place = {
    input: wasm.malloc(12),
    output: wasm.malloc(12),
    from: wasm.malloc(IN_BYTES),
    to: wasm.malloc(OUT_BYTES),
  };
  let left = 0;
  try {
    for await (const piece of source) {
      for (let at = 0; at < piece.length; at += IN_BYTES) {
        const part = piece.subarray(at, at + IN_BYTES);
        new Uint8Array(wasm.memory.buffer).set(part, place.from);
        for (let used = 0, isFull = false; used < part.length || isFull;) {
          const step = decodeSome(wasm, context, place, { used, bytes: part.length });
          // At the start of a frame that does not come, it asks for more: only what made progress says where the stream is.
          if (step.used > used || step.out.length > 0) left = step.left;
          used = step.used;
          isFull = step.out.length === OUT_BYTES;
          if (step.out.length > 0) yield step.out;
        }
      }
    }
    if (left !== 0) throw new Error('the zstandard stream ends inside a frame');
  } finally {
    wasm.ZSTD_freeDCtx(context);
    for (const pointer of Object.values(place)) wasm.free(pointer);
  }
}

type Place = { input: number; output: number; from: number; to: number };

/** One call: ZSTD_inBuffer and ZSTD_outBuffer are {pointer, size, position}, 32 bits each. `left` is 0 at the end of a frame. */
function decodeSome(
  wasm: Wasm,
  context: number,
  { input, output, from, to }: Place,
  { used, bytes }: { used: number; bytes: number },
): { used: number; out: Buffer; left: number } {
  const before = new DataView(wasm.memory.buffer);
  [from, bytes, used].forEach((value, at) => {
    before.setUint32(input + at * 4, value, true);
  });
  [to, OUT_BYTES, 0].forEach((value, at) => {
    before.setUint32(output + at * 4, value, true);
  });
  const left = wasm.ZSTD_decompressStream(context, output, input) >>> 0;
  if (left >= FIRST_ERROR) throw new Error(`the zstandard stream is damaged (code ${String(0x1_0000_0000 - left)})`);
  // Its memory may have grown, which makes views of it useless.
  const after = new DataView(wasm.memory.buffer);
  const out = Buffer.from(new Uint8Array(wasm.memory.buffer, to, after.getUint32(output + 8, true)));
  return { used: after.getUint32(input + 8, true), out, left };
}

/** The library starts its WebAssembly once per process and remembers the promise of it: what `_init` returned to the first is told to all. */
class Decoder extends ZSTDDecoder {
  override _init(result: Instantiated): Wasm {
    super._init(result);
    return result.instance.exports;
  }
}

type Instantiated = { instance: { exports: Wasm } };

async function loadWasm(): Promise<Wasm> {
  return new Decoder().init() as Promise<unknown> as Promise<Wasm>;
}
