// Opens the tutorial's page and presses its button so many times: node tutorial.mjs ADDRESS PRESSES [watch]. Prints what the
// page then shows, and whether its browser also lets it send a header of its own. `watch` tries the box "every second".
import { withPage } from './browser.mjs';

const [address, presses, watch] = process.argv.slice(2);

await withPage(async (page) => {
  const console = [];
  page.on('console', (message) => message.type() === 'error' && console.push(message.text()));
  await page.goto(address);
  // The page asks once by itself. Each answer or refusal is waited for before the next press.
  await settled(page, 1);
  for (let count = 2; count <= Number(presses) + 1; count += 1) {
    if (await page.locator('#trouble').isVisible()) break;
    await page.click('#ask');
    await settled(page, count);
  }
  return {
    answers: await page.locator('#answers li').allTextContents(),
    tally: await page.locator('#tally li').evaluateAll((rows) => rows.map((row) => [
      row.querySelector('code').textContent, Number(row.querySelector('output').textContent),
    ])),
    trouble: await page.locator('#trouble').isVisible() ? await page.locator('#trouble').textContent() : null,
    // A header of its own makes the browser ask beforehand, by OPTIONS, where the API is on another origin.
    with_own_header: await page.evaluate(async () => {
      const api = document.querySelector('meta[name="api-url"]').content;
      return fetch(api, { headers: { 'X-Tutorial': '1' } }).then((response) => response.status, (error) => error.message);
    }),
    by_itself: watch ? await asksByItself(page) : null,
    console,
  };
});

// Waits until the page shows so many answers, or a refusal.
function settled(page, answers) {
  return page.waitForFunction((wanted) => (
    document.querySelectorAll('#answers li').length === wanted || !document.getElementById('trouble').hidden
  ), answers);
}

async function asksByItself(page) {
  const before = await page.locator('#answers li').count();
  await page.check('#auto');
  await settled(page, before + 2);
  await page.uncheck('#auto');
  return true;
}
