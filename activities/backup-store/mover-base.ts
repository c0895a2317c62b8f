/** One base on its way into its directory. */
import { stepFailure } from '../lib/failure.js';
import { baseKeys, readBaseHeader, type BaseHeader } from './base-catalog.js';
import { createPieceFinder, readBaseIndex, type BaseIndex, type FilePiece } from './base-index.js';
import { bytesOf } from './chunk-buffers.js';
import type { Owner } from './chunk-files.js';
import type { UnpackReply } from './chunk-messages.js';
import { planGroups, type ChunkGroup } from './chunk-plan.js';
import type { MoverTools, Transfer } from './mover-tools.js';
import { openFetchState, type FetchState } from './mover-state.js';
import { makeLinks, makeTree } from './mover-tree.js';

export type OpenBase = {
  header: BaseHeader;
  transfers: Transfer[];
  /** Called once when all transfers of all bases have ended well. */
  finish(): void;
};

type Context = {
  tools: MoverTools;
  header: BaseHeader;
  index: BaseIndex;
  state: FetchState;
  dir: string;
  owner: Owner;
  piecesOf: ReturnType<typeof createPieceFinder>;
};

/** Bytes asked for with one request: large against a round trip, small against the memory for ten of them. */
const GROUP_BYTES = 4 * 1024 * 1024;

/**
 * Reads header and index, makes the directories, and says what is still to be fetched. Throws NotFound or BackupCorrupt when the base is
 * not there or not what its header says, SandboxNotOurs when `dir` holds other files.
 */
export async function openBase(tools: MoverTools, id: string, dir: string, owner: Owner): Promise<OpenBase> {
  const header = await readBaseHeader(tools.objects, id);
  const state = await openFetchState(dir, header, owner);
  if (state.isComplete) {
    tools.progress.expect(header.sizes.bytes, header.sizes.bytes);
    return { header, transfers: [], finish: () => undefined };
  }
  const index = await readBaseIndex(tools.objects, header);
  makeTree(dir, index, owner);
  const context = { tools, header, index, state, dir, owner, piecesOf: createPieceFinder(index) };
  const groups = planGroups(index.chunks, (chunk) => state.isDone(chunk), GROUP_BYTES);
  const missing = groups.reduce((bytes, { start, end }) => bytes + end - start + 1, 0);
  tools.progress.expect(header.sizes.bytes, header.sizes.bytes - missing);
  return {
    header,
    transfers: groups.map((group) => () => transferGroup(context, group)),
    finish() {
      makeLinks(dir, index, owner);
      state.complete();
    },
  };
}

/** A chunk that does not verify is fetched once more, alone: the wire may have been at fault. Then it is BackupCorrupt. */
async function transferGroup(context: Context, group: ChunkGroup): Promise<void> {
  const { bad } = await fetchAndUnpack(context, group);
  for (const { number } of bad) {
    const chunk = context.index.chunks[number];
    if (chunk === undefined) continue;
    const again = { start: chunk.offset, end: chunk.offset + chunk.bytes - 1, chunks: [number] };
    const problem = (await fetchAndUnpack(context, again)).bad[0]?.problem;
    if (problem !== undefined) throw corrupt(context, number, problem);
  }
  context.tools.progress.finished(group.end - group.start + 1);
}

async function fetchAndUnpack(context: Context, group: ChunkGroup): Promise<UnpackReply> {
  const { tools, header, index, state, dir, owner, piecesOf } = context;
  const bytes = group.end - group.start + 1;
  const lease = await tools.buffers.acquire(bytes);
  try {
    const key = baseKeys(header.id).folder + header.tar;
    await tools.objects.get(key, { start: group.start, end: group.end }, bytesOf(lease));
    tools.progress.fetched(bytes);
    const chunks = group.chunks.flatMap((number) => {
      const chunk = index.chunks[number];
      if (chunk === undefined) return [];
      return [{ ...chunk, number, at: chunk.offset - group.start, pieces: piecesOf(chunk) }];
    });
    const { compression } = header;
    const place = { dir, owner, stateFile: state.file, markAt: state.markAt };
    return await tools.threads.run({ kind: 'unpack', lease, compression, chunks, ...place });
  } finally {
    tools.buffers.release(lease);
  }
}

function corrupt({ header, index, piecesOf }: Context, number: number, problem: string): Error {
  const chunk = index.chunks[number];
  const pieces: FilePiece[] = chunk === undefined ? [] : piecesOf(chunk);
  const files = pieces.slice(0, 5).map(({ path }) => path);
  const more = pieces.length > files.length ? ` and ${String(pieces.length - files.length)} more` : '';
  return stepFailure(
    'BackupCorrupt',
    `base ${header.id} is damaged: chunk ${String(number)} ${problem}; files in it: ${files.join(', ')}${more}`,
    { hint: 'nothing was promoted; recover from another base or put a good copy of the object back, then `pgr retry`' },
  );
}
