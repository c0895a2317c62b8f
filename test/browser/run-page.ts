/** The page of a run in the Temporal Web UI, used as a person uses it: by what is written on it. */
import type { FrameLocator, Locator, Page } from 'playwright-core';

/** What current details show. */
export type Details = {
  /** All text as it is read. */
  text: string;
  /** Headings, in order. */
  headings: string[];
  /** Pieces of code, in order. */
  code: string[];
  /** The block of JSON to paste, '' when there is none. */
  json: string;
  /** Elements that only somebody else's HTML could have made. */
  foreignElements: number;
};

export class RunPage {
  constructor(readonly page: Page) {}

  async open(url: string): Promise<void> {
    await this.page.goto(url);
    await this.page.getByRole('tab', { name: 'Timeline' }).waitFor();
  }

  /** Opens the tab User Metadata and reads current details once `expected` is in them. */
  async details(expected: string): Promise<Details> {
    await this.page.getByRole('tab', { name: 'User Metadata' }).click();
    const frame = this.#currentDetails();
    await frame.locator('main').filter({ hasText: expected }).waitFor();
    return {
      text: await frame.locator('main').innerText(),
      headings: await frame.locator('h1, h2, h3').allInnerTexts(),
      code: await frame.locator('code').allInnerTexts(),
      json: (await frame.locator('pre').allInnerTexts()).find((text) => text.startsWith('{'))?.trim() ?? '',
      foreignElements: await frame.locator('main').locator('img, script, iframe, b, style').count(),
    };
  }

  /** Asks the worker for the details of now, as "Press R" says. */
  async refreshDetails(): Promise<void> {
    await this.page.keyboard.press('r');
  }

  /** Shows a heading of current details. */
  async scrollTo(heading: string): Promise<void> {
    await this.#currentDetails().getByRole('heading', { name: heading }).scrollIntoViewIfNeeded();
  }

  /** More Actions -> Send a Signal, up to the filled-in dialog. Returns the description beside the handler, and the dialog. */
  async fillSignal(name: string, json: string): Promise<{ description: string; dialog: Locator }> {
    await this.page.getByRole('button', { name: 'More Actions' }).click();
    await this.page.getByRole('menuitem', { name: 'Send a Signal' }).click();
    const dialog = this.page.getByRole('dialog', { name: 'Send a Signal' });
    await dialog.getByTestId('signal-select-button').click();
    const option = dialog.getByRole('option').filter({ hasText: new RegExp(`^\\s*${name}`) });
    const description = await option.innerText();
    await option.click();
    await dialog.getByRole('textbox', { name: 'Data' }).click();
    // The dialog keeps what was sent last.
    await this.page.keyboard.press('ControlOrMeta+a');
    await this.page.keyboard.insertText(json);
    return { description, dialog };
  }

  /** One click on Submit, no second try: it must be enough. */
  async submit(dialog: Locator): Promise<void> {
    await dialog.getByRole('button', { name: 'Submit' }).click();
    await dialog.waitFor({ state: 'hidden' });
  }

  /** The last of the frames under User Metadata; before it stand the static summary and details. */
  #currentDetails(): FrameLocator {
    return this.page.locator('iframe[title="output"]').last().contentFrame();
  }
}
