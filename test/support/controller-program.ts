/** The stand-in of a controller as a program. Arguments: data directory, port. */
import { startFirstRun } from './first-run-controller.js';

const [, , dataDir = '', port = ''] = process.argv;
startFirstRun(dataDir, Number(port)).catch(() => process.exit(1));
