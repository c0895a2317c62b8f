/** Looks at and renames of data directories for the snapshot providers, which are another area. */
import { readControlData } from './control-data.js';
import { directoryState, ownerOf, pathExists, readTextIfThere, renameDurably, replaceFile } from './data-directory.js';
import { requireStopped } from './promotion/node-place.js';

export const dataControl = {
  readControlData,
  requireStopped,
  directoryState,
  pathExists,
  readTextIfThere,
  replaceFile,
  renameDurably,
  ownerOf,
};
