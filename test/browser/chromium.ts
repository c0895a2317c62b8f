/** A browser for the tests of this folder: the machine's own Chromium, with a profile that is thrown away. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium, type Page } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

/** Nothing but the page under test: no first-run pages, no updates, no requests of its own. Root needs --no-sandbox. */
const FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** PGR_TEST_CHROMIUM when set, else the first Chromium in PATH; null when there is none. */
export function findChromium(env: NodeJS.ProcessEnv = process.env): string | null {
  const named = env['PGR_TEST_CHROMIUM'];
  if (named !== undefined && named !== '') return named;
  const dirs = (env['PATH'] ?? '').split(path.delimiter).filter((dir) => dir !== '');
  return NAMES.flatMap((name) => dirs.map((dir) => path.join(dir, name))).find((file) => existsSync(file)) ?? null;
}

export type Browser = {
  page: Page;
  /** Keeps a picture in PGR_SCREENSHOT_DIR when that is set. */
  picture(name: string): Promise<void>;
  close(): Promise<void>;
};

/** Opens a window of 1280x900, as on a laptop. */
export async function openBrowser(executablePath: string): Promise<Browser> {
  const profile = await mkdtemp(path.join(tmpdir(), 'pgr-browser-'));
  const removeProfile = (): Promise<void> => rm(profile, { recursive: true, force: true });
  try {
    const context = await chromium.launchPersistentContext(profile, {
      executablePath,
      headless: true,
      args: FLAGS,
      viewport: { width: 1280, height: 900 },
    });
    const page = context.pages()[0] ?? (await context.newPage());
    page.setDefaultTimeout(30_000);
    const close = async (): Promise<void> => {
      await context.close();
      await removeProfile();
    };
    return { page, picture: (name) => keepPicture(page, name), close };
  } catch (error) {
    await removeProfile();
    throw error;
  }
}

async function keepPicture(page: Page, name: string): Promise<void> {
  const dir = process.env['PGR_SCREENSHOT_DIR'];
  if (dir === undefined || dir === '') return;
  await mkdir(dir, { recursive: true });
  await page.screenshot({ path: path.join(dir, `${name}.png`) });
}
