import assert from 'node:assert/strict';
import { mkdtempSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createApp } from './app.js';

let server, base;

before(async () => {
  const root = mkdtempSync(join(tmpdir(), 'page-'));
  mkdirSync(join(root, 'assets'));
  writeFileSync(join(root, 'index.html'), '<!doctype html><title>Remora</title>');
  writeFileSync(join(root, 'assets', 'app-1234.js'), 'export {}');
  server = createApp({ root, faults: true });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${server.address().port}`;
});
after(() => server.close());

test('the page, at its own paths too, and files that never change', async () => {
  for (const path of ['/', '/notes/1']) assert.match(await (await fetch(base + path)).text(), /Remora/, path);
  const asset = await fetch(`${base}/assets/app-1234.js`);
  assert.match(asset.headers.get('cache-control'), /immutable/);
  assert.ok(asset.headers.get('x-served-by'));
  assert.equal((await fetch(base, { method: 'POST' })).status, 405);
});

test('health, and sickness on request', async () => {
  const status = async () => (await fetch(`${base}/health`)).status;
  assert.equal(await status(), 200);
  assert.equal((await fetch(`${base}/_fault/sick`)).status, 405);
  await fetch(`${base}/_fault/sick?seconds=60`, { method: 'POST' });
  assert.equal(await status(), 500);
  await fetch(`${base}/_fault/sick?seconds=0`, { method: 'POST' });
  assert.equal(await status(), 200);
});

test('without SAMPLE_FAULTS there are no faults', async () => {
  const safe = createApp({ faults: false });
  await new Promise((resolve) => safe.listen(0, '127.0.0.1', resolve));
  const response = await fetch(`http://127.0.0.1:${safe.address().port}/_fault/hang`, { method: 'POST' });
  assert.equal(response.status, 405);
  safe.close();
});
