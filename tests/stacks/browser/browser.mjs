// Debian's Chromium without a window. scripts/browser.sh installs what drives it, into target/browser.
import { createRequire } from 'node:module';

const installed = createRequire(new URL('../../../target/browser/package.json', import.meta.url));
const { chromium } = installed('playwright-core');

// Runs `work` with a page of a new browser, prints what it returns as JSON, and ends the browser whatever happens.
export async function withPage(work) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
  });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(15_000);
    console.log(JSON.stringify(await work(page)));
  } finally {
    await browser.close();
  }
}
