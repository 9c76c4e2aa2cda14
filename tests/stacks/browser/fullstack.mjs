// Opens the full stack's page and makes, changes and deletes an item in each half: node fullstack.mjs ADDRESS. Prints what the
// page showed after each step. With a second word it only looks at what the halves say of their databases.
import { withPage } from './browser.mjs';

const [address, look] = process.argv.slice(2);
const HALVES = { users: ['Grace', 'grace@example.com'], documents: ['From the page', 'typed in'] };

await withPage(async (page) => {
  const console = [];
  page.on('console', (message) => message.type() === 'error' && console.push(message.text()));
  await page.goto(address);
  const seen = {};
  for (const [name, words] of Object.entries(HALVES)) {
    const half = page.locator(`#${name}`);
    seen[name] = look ? await trouble(half, look === name) : await change(half, words);
  }
  return { ...seen, console };
});

async function change(half, words) {
  const row = (text) => half.locator('li', { hasText: text });
  const inputs = half.locator('form input');
  for (const [place, word] of words.entries()) await inputs.nth(place).fill(word);
  await half.getByRole('button', { name: 'Add' }).click();
  await row(words[0]).waitFor();
  const made = await row(words[0]).locator('span').textContent();

  await row(words[0]).getByRole('button', { name: 'Edit' }).click();
  await half.locator('li input').first().fill('Changed');
  await half.getByRole('button', { name: 'Save' }).click();
  await row('Changed').waitFor();
  const changed = await row('Changed').locator('span').textContent();

  await row('Changed').getByRole('button', { name: 'Delete' }).click();
  await row('Changed').waitFor({ state: 'detached' });
  return { made, changed, trouble: await half.locator('.trouble').textContent() };
}

// What a half says when its database is away; of the other, once it has shown its list.
async function trouble(half, expected) {
  const line = half.locator('.trouble');
  if (expected) await line.waitFor();
  else await half.locator('li').first().waitFor();
  return line.textContent();
}
