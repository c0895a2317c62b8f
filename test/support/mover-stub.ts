/**
 * A mover that copies from a folder, for tests of everything around the transfer. `node mover.js SPEC`: copies bases, writes base-done, then WAL. Files in the archive folder steer it: hold-base, hold-wal, fail.json.
 */
export const MOVER_STUB = `
const fs = require('node:fs'), path = require('node:path'), { execFileSync } = require('node:child_process');
const spec = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const archive = path.dirname(process.argv[1]), job = process.env.PGR_JOB_DIR;
const give = (p) => { if (spec.owner) execFileSync('chown', ['-R', spec.owner.uid + ':' + spec.owner.gid, p]); };
const fail = path.join(archive, 'fail.json');
if (fs.existsSync(fail)) {
  fs.writeFileSync(path.join(job, 'result.json'), fs.readFileSync(fail));
  process.exit(1);
}
fs.appendFileSync(path.join(archive, 'fetched'), JSON.stringify(spec.baseIds) + '\\n');
const sleep = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
while (spec.baseIds.length > 0 && fs.existsSync(path.join(archive, 'hold-base'))) sleep(20);
spec.baseIds.forEach((id, i) => {
  fs.rmSync(spec.baseDirs[i], { recursive: true, force: true });
  execFileSync('cp', ['-a', path.join(archive, 'bases', id), spec.baseDirs[i]]);
  give(spec.baseDirs[i]);
});
const done = { baseBytes: 10, files: 20, chunksVerified: 3, fetchedBytes: 10, seconds: 0.1 };
fs.writeFileSync(path.join(job, 'base-done.tmp'), JSON.stringify(done));
fs.renameSync(path.join(job, 'base-done.tmp'), path.join(job, 'base-done'));
const wal = path.join(archive, 'wal');
const wanted = fs.readdirSync(wal).filter((n) => n.endsWith('.history')
  || (n.length === 24 && n.slice(8) >= spec.wal.firstSegment.slice(8) && n.slice(8) <= spec.wal.lastSegment.slice(8))).sort();
(async () => {
  for (const name of wanted) {
    while (fs.existsSync(path.join(archive, 'hold-wal')) && !name.endsWith('.history')) await new Promise((r) => setTimeout(r, 20));
    const to = path.join(spec.wal.dir, name);
    fs.copyFileSync(path.join(wal, name), to + '.tmp');
    give(to + '.tmp');
    fs.renameSync(to + '.tmp', to);
  }
  fs.writeFileSync(path.join(job, 'result.json'), JSON.stringify({ ...done, walBytes: wanted.length * 16777216 }));
})();
`;
